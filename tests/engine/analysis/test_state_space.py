"""d_stsp against dense histograms, naive loops and closed forms."""

import numpy as np
import pytest
import torch

from neurorbit.engine.analysis import d_stsp, d_stsp_binned, d_stsp_gmm


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def dense_kl(x: np.ndarray, y: np.ndarray, bins: int) -> float:
    """The definition with every bin allocated."""
    margin = 0.1 * x.std(0, ddof=1)
    box = list(zip(x.min(0) - margin, x.max(0) + margin, strict=True))
    p, q = (np.histogramdd(v, bins, box)[0] + 1e-5 for v in (x, y))
    p, q = p / p.sum(), q / q.sum()
    return float((p * np.log(p / q)).sum())


@pytest.mark.parametrize(("n_observed", "bins"), [(1, 7), (2, 30), (3, 12), (5, 6)])
def test_binned_equals_the_dense_histograms(n_observed: int, bins: int) -> None:
    x, y = noise(3000, n_observed, seed=1), 1.3 * noise(2, 2000, n_observed, seed=2) + 0.5  # some outside the box
    expected = [dense_kl(x.numpy(), v.numpy(), bins) for v in y]
    found = d_stsp_binned(x, y, bins)
    assert found.tolist() == pytest.approx(expected, rel=1e-9)


def test_binned_kl_of_two_known_histograms() -> None:
    # two bins, p = (3/4, 1/4), q = (1/4, 3/4): KL = log(3) / 2
    x = torch.tensor([[0.0], [0.0], [0.0], [1.0]]).repeat(1000, 1)
    assert d_stsp_binned(x, 1 - x, bins=2).item() == pytest.approx(np.log(3) / 2, rel=1e-6)


def test_identical_data_are_at_distance_zero() -> None:
    x = noise(2000, 3)
    assert abs(d_stsp_binned(x, x).item()) < 1e-12
    assert abs(d_stsp_gmm(x, x).item()) < 1e-12


def test_box_of_many_bins_is_never_allocated() -> None:
    x = noise(500, 12)
    found = d_stsp_binned(x, x + 0.01)  # 30^12 bins = 5e17
    assert 0 <= found.item() < 1


def test_orbits_outside_or_not_finite_are_nan_and_leave_the_others_alone() -> None:
    x = noise(1000, 2)
    y = torch.stack([x, x + 100, x.clone(), x.clone(), x])
    y[2, 500:] = torch.inf
    y[3, 7, 1] = torch.nan
    binned = d_stsp_binned(x, y)
    assert binned.isnan().tolist() == [False, True, True, True, False]
    assert binned[0] == binned[4] == d_stsp_binned(x, x)[0]
    assert d_stsp_gmm(x, y).isnan().tolist() == [False, True, True, True, False]


def test_rows_with_nan_are_left_out_of_the_true_data() -> None:
    x, y = noise(1000, 2, seed=1), noise(1000, 2, seed=2)
    holes = torch.cat([x[:300], torch.tensor([[torch.nan, 99.0]]), x[300:]])
    assert d_stsp_binned(holes, y) == d_stsp_binned(x, y)
    assert d_stsp_gmm(holes, y) == d_stsp_gmm(x, y)


def test_a_model_among_others_equals_itself_alone() -> None:
    x, y = noise(800, 6, seed=1), noise(3, 800, 6, seed=2)
    together = d_stsp(x, y)
    assert together.tolist() == [d_stsp(x, v).item() for v in y]
    assert together.tolist() == d_stsp_gmm(x, y).tolist()  # N = 6 is where the mixture takes over


def test_gmm_equals_a_naive_loop() -> None:
    x, y = noise(40, 6, seed=3), 1.5 * noise(30, 6, seed=4)
    generator = torch.Generator().manual_seed(5)
    chosen = torch.randint(40, (50,), generator=generator)
    samples = x[chosen] + 0.5**0.5 * torch.randn(50, 6, generator=generator, dtype=torch.float64)
    terms = []
    for s in samples.numpy():
        p = np.mean([np.exp(-((s - c) ** 2).sum() / (2 * 0.5)) for c in x.numpy()])
        q = np.mean([np.exp(-((s - c) ** 2).sum() / (2 * 0.5)) for c in y.numpy()])
        terms.append(np.log(p) - np.log(q))
    found = d_stsp_gmm(x, y, variance=0.5, n_samples=50, generator=torch.Generator().manual_seed(5))
    assert found.item() == pytest.approx(np.mean(terms), rel=1e-9)


def test_gmm_of_two_gaussians_is_their_closed_form() -> None:
    # the mixtures are N(0, 2 I) and N(m, 2 I): KL = |m|^2 / (2 * 2)
    x, y = noise(8000, 6, seed=6), noise(8000, 6, seed=7)
    y[:, 0] += 2.0
    assert d_stsp_gmm(x, y, n_samples=4000).item() == pytest.approx(1.0, abs=0.1)


def test_bad_arguments_are_named() -> None:
    x = noise(100, 2)
    with pytest.raises(ValueError, match="N differs from x_true"):
        d_stsp_binned(x, noise(100, 3))
    with pytest.raises(ValueError, match=r"x_true: columns \[1\] are constant"):
        d_stsp_binned(torch.cat([x[:, :1], torch.ones(100, 1)], 1), x)
    with pytest.raises(ValueError, match="x_true: contains inf"):
        d_stsp_binned(torch.cat([x, torch.full((1, 2), torch.inf)]), x)
    with pytest.raises(ValueError, match="x_true: expected at least 2 rows"):
        d_stsp_binned(torch.full((9, 2), torch.nan), x)
    with pytest.raises(TypeError, match="x_gen: expected real numbers"):
        d_stsp_binned(x, x.to(torch.complex64))
    with pytest.raises(TypeError, match="x_true: expected a tensor or an array"):
        d_stsp_binned([[1.0, 2.0]], x)
    with pytest.raises(ValueError, match="bins:"):
        d_stsp_binned(x, x, bins=2**40)


def test_binned_floor_between_two_recordings_of_one_density() -> None:
    # K bins with p n and p m entries: 2 KL / (1/n + 1/m) is chi-square with K - 1 degrees of freedom
    generator, K, n, m = torch.Generator().manual_seed(8), 30**2, 90_000, 45_000
    x = torch.rand(n, 2, generator=generator, dtype=torch.float64)
    y = torch.rand(8, m, 2, generator=generator, dtype=torch.float64)
    found = d_stsp(x, y)  # 30 bins a side, none of them empty
    assert found.mean().item() == pytest.approx((K - 1) / 2 * (1 / n + 1 / m), rel=0.08)
    assert found.min() > 0.8 * found.mean() and found.max() < 1.2 * found.mean()
