"""Each term of the convSeq loss against the sum that its sentence says, written out."""

from itertools import combinations

import numpy as np
import pytest
import torch
from torch.autograd import gradcheck

from neurorbit.engine.models.convseq import losses
from neurorbit.engine.models.convseq.losses import peakedness


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def plain(o: torch.Tensor, weight: torch.Tensor | None = None) -> tuple[torch.Tensor, torch.Tensor]:
    """Variance and variation by autograd through numpy-like sums."""
    w = torch.ones_like(o) if weight is None else weight[:, None].expand(o.shape)
    n = w.sum(-1)
    mean = (o * w).sum(-1) / n
    variance = (w * (o - mean[..., None]) ** 2).sum(-1) / n
    pairs = w[..., 1:] * w[..., :-1]
    return variance, (pairs * (o[..., 1:] - o[..., :-1]) ** 2).sum(-1) / pairs.sum(-1)


@pytest.mark.parametrize("weights", [None, 1, 2])
def test_peakedness_and_its_gradient(weights: int | None) -> None:
    o = draw(2, 3, 9).requires_grad_()
    weight = None if weights is None else torch.tensor([[1, 1, 0, 1, 1, 1, 0, 0, 1], [0, 1, 1, 1, 1, 0, 1, 1, 1]])
    weight = None if weight is None else weight[:weights].double()
    found, expected = peakedness(o, weight), plain(o, weight)
    for a, b in zip(found, expected, strict=True):
        assert torch.allclose(a, b, rtol=1e-12)
        factor = draw(*a.shape, seed=1)
        (da,), (db,) = (torch.autograd.grad((x * factor).sum(), o, retain_graph=True) for x in (a, b))
        assert torch.allclose(da, db, rtol=1e-10, atol=1e-14)
    assert gradcheck(lambda x: peakedness(x, weight), o)


def test_weight_is_cutting() -> None:
    o = draw(1, 2, 12)
    for kept in (slice(0, 7), slice(4, 12), slice(3, 9)):
        weight = torch.zeros(1, 12, dtype=torch.float64)
        weight[:, kept] = 1
        for a, b in zip(peakedness(o, weight), peakedness(o[..., kept]), strict=True):
            assert torch.allclose(a, b, rtol=1e-12)


def test_a_gap_in_the_weight_is_no_difference() -> None:
    o = torch.tensor([[[0.0, 1.0, 100.0, 5.0, 7.0]]], dtype=torch.float64)
    variance, variation = peakedness(o, torch.tensor([[1.0, 1, 0, 1, 1]], dtype=torch.float64))
    assert variance.item() == pytest.approx(np.var([0, 1, 5, 7]))
    assert variation.item() == pytest.approx((1 + 4) / 2)  # 1 -> 5 does not count


def test_filter_variation() -> None:
    w = draw(2, 3, 4, 5)
    expected = [sum((np.diff(w[e, k].numpy(), axis=1) ** 2).mean() for k in range(3)) for e in range(2)]
    assert losses.filter_variation(w).tolist() == pytest.approx(expected)


def correlation(a: np.ndarray, b: np.ndarray, lag: int) -> float:
    """Mean over all T of standardised a[t + lag] b[t], 0 outside."""
    a, b = (a - a.mean()) / a.std(), (b - b.mean()) / b.std()
    n = len(a)
    return sum(a[t + lag] * b[t] for t in range(n) if 0 <= t + lag < n) / n


@pytest.mark.parametrize("n", [7, 130])  # shorter and longer than the largest lag
def test_cross_correlation(n: int) -> None:
    o = draw(2, 3, n)
    o[:, 1, 5:] += o[:, 0, :-5]  # one pair is alike at a lag
    lags = range(-min(100, n - 1), min(100, n - 1) + 1)
    expected = [
        np.mean([[correlation(o[e, i].numpy(), o[e, j].numpy(), d) ** 8 for d in lags]
                 for i, j in combinations(range(3), 2)])
        for e in range(2)
    ]  # fmt: skip
    assert losses.cross_correlation(o).tolist() == pytest.approx(expected, rel=1e-9)


def test_cross_correlation_of_a_constant_response_is_0_with_a_finite_gradient() -> None:
    o = torch.stack([torch.ones(30), torch.arange(30.0)])[None].double().requires_grad_()
    found = losses.cross_correlation(o)
    (do,) = torch.autograd.grad(found.sum(), o)
    assert found.item() == 0 and bool(do.isfinite().all())


def test_response_similarity() -> None:
    o = draw(1, 3, 90).numpy()
    o[0, 2] = -o[0, 0]
    kernel = np.exp(-0.5 * (np.arange(-30, 31) / 10) ** 2)
    smooth = [np.convolve(row - row.mean(), kernel / kernel.sum())[30:-30] for row in o[0]]
    smooth = [row - row.mean() for row in smooth]
    cosine = [a @ b / np.linalg.norm(a) / np.linalg.norm(b) for a, b in combinations(smooth, 2)]
    found = losses.response_similarity(torch.from_numpy(o))
    assert found.item() == pytest.approx(np.mean(cosine), rel=1e-9)
    assert cosine[1] == pytest.approx(-1)


def test_response_similarity_does_not_see_the_mean() -> None:
    o = draw(1, 2, 80)
    assert torch.allclose(losses.response_similarity(o), losses.response_similarity(o + 1000), rtol=1e-6)


def test_filter_similarity() -> None:
    w = draw(2, 3, 4, 6)
    expected = []
    for e in range(2):
        unit = [f / np.linalg.norm(f) for f in w[e].numpy()]
        pairs = [
            sum(sum(np.correlate(a[n], b[n], "full") for n in range(4)) ** 2) / 11 for a, b in combinations(unit, 2)
        ]
        expected.append(np.mean(pairs))
    assert losses.filter_similarity(w).tolist() == pytest.approx(expected)


def test_loading_similarity() -> None:
    loadings = draw(2, 3, 8)
    expected = [np.mean([np.corrcoef(loadings[e])[i, j] for i, j in combinations(range(3), 2)]) for e in range(2)]
    assert losses.loading_similarity(loadings).tolist() == pytest.approx(expected)


def test_power_entropy() -> None:
    variance = torch.tensor([[1.0, 1.0, 1.0, 1.0], [1.0, 3.0, 0.0, 0.0]], dtype=torch.float64)
    one, three = 0.25, 0.75
    expected = [-np.log(4), one * np.log(one) + three * np.log(three)]
    assert losses.power_entropy(variance).tolist() == pytest.approx(expected)


@pytest.mark.parametrize(
    "term", [losses.cross_correlation, losses.response_similarity, losses.power_entropy, losses.loading_similarity]
)
def test_gradients_of_the_pairwise_terms(term: object) -> None:
    x = draw(2, 3, 8).abs().requires_grad_()
    assert callable(term)
    assert gradcheck(term if term is not losses.power_entropy else lambda o: losses.power_entropy(o.mean(-1)), x)


def test_gradients_of_the_filter_terms() -> None:
    w = draw(2, 2, 3, 5).requires_grad_()
    assert gradcheck(losses.filter_similarity, w) and gradcheck(losses.filter_variation, w)
