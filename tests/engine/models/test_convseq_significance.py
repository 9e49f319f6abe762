"""Thresholds and p-values against brute force; which bins a fold sees."""

import numpy as np
import pytest
import torch

from neurorbit.engine.data import SpikeEvents
from neurorbit.engine.models.convseq.config import DetectionConfig
from neurorbit.engine.models.convseq.null import Null
from neurorbit.engine.models.convseq.significance import (
    Window,
    _family_p,
    _match,
    _moved,
    _named,
    by_null,
    by_surrogates,
    by_templates,
    fold_weights,
    upper,
)
from neurorbit.engine.models.convseq.templates import Template, middle, template

WINDOW = Window(width=10, padding=5, bin_s=0.1)


def test_the_threshold_keeps_its_level_among_exchangeable_draws() -> None:
    """Of S + 1 exchangeable values the one left out exceeds the threshold of the others with a chance <= level."""
    rng = np.random.default_rng(0)
    for level in (0.05, 0.1, 0.25, 0.5):
        for S in (int(np.ceil(1 / level)) - 1, 39, 100):
            if S + 1 < 1 / level - 1e-9:
                continue
            values = rng.permutation(S + 1).astype(float)
            exceed = [values[i] > upper(np.sort(np.delete(values, i)), level) for i in range(S + 1)]
            assert np.mean(exceed) <= level + 1e-12
            assert np.mean(exceed) > level - 1 / (S + 1) - 1e-12  # and not less than it has to


def test_every_level_that_the_settings_allow_has_a_threshold() -> None:
    for n in range(2, 400):
        shuffles = n - 1
        DetectionConfig(level=1 / n, shuffles=shuffles, surrogates=shuffles).check()
        assert upper(np.arange(float(shuffles)), 1 / n) == shuffles - 1  # the largest
        with pytest.raises(ValueError, match="more"):
            DetectionConfig(level=1 / n, shuffles=shuffles - 1, surrogates=shuffles).check()
        with pytest.raises(ValueError, match="surrogates, got"):
            upper(np.arange(float(shuffles - 1)), 1 / n)


def test_p_values_are_ranks_among_the_surrogates() -> None:
    largest, heights = np.array([1.0, 2.0, 2.0, 5.0]), np.array([0.0, 1.0, 2.0, 3.0, 5.0, 6.0])
    expected = [(1 + (largest >= h).sum()) / 5 for h in heights]
    assert _family_p(heights, largest).tolist() == pytest.approx(expected)


@pytest.mark.parametrize("level", [0.05, 0.2])
def test_a_detection_is_what_has_a_p_value_up_to_the_level(level: float) -> None:
    rng = np.random.default_rng(1)
    surrogate = rng.integers(0, 30, (39, 2, 50)).astype(float)  # with ties
    o = rng.integers(0, 36, (2, 200)).astype(float)
    found = by_surrogates(o, surrogate, [0, 0], WINDOW, level=level)
    largest = np.sort(surrogate.max((1, 2)))
    assert len(found) and (found.p_value <= level).all() and found.level == level
    assert (_family_p(found.threshold, largest) > level).all()  # at the threshold itself it is none
    assert found.null_mean[0] == pytest.approx(surrogate.mean()) and found.null_sd[1] == pytest.approx(surrogate.std())


def test_published_rule() -> None:
    null = Null(1.0, 0.5, 1000, 2, np.linspace(-2, 8, 11), np.array([0, 0, 400, 500, 90, 6, 4, 0, 0, 0]))
    o = np.zeros((2, 60))
    o[0, [5, 30, 34, 50]] = [3.6, 4.0, 3.9, 3.5]  # threshold 3.5: not above; 34 within 10 bins of a higher one
    o[1, 20] = 7.2
    found = by_null(o, null, [0, -3], WINDOW)
    offset = -5 + 4.5  # of a window's middle from the bin of the response
    assert found.time_bin.tolist() == [5 + offset, 20 + offset - 3, 30 + offset]
    assert found.sequence.tolist() == [0, 1, 0]
    assert found.height_sd.tolist() == pytest.approx([5.2, 12.4, 6.0])
    assert found.p_value.tolist() == pytest.approx([0.01, 0.001, 0.004])
    assert (found.significance, found.level, found.threshold.tolist()) == ("random", None, [3.5, 3.5])
    assert found.time_s is not None and found.time_s.tolist() == pytest.approx((found.time_bin + 0.5) * 0.1)


def test_a_fold_is_trained_a_width_away_from_its_block() -> None:
    edges, weight = fold_weights(1003, 4, 30)
    assert edges[0] == 0 and edges[-1] == 1003 and np.diff(edges).min() >= 250
    for f in range(4):
        excluded = np.flatnonzero(weight[f].numpy() == 0)
        low, high = max(0, edges[f] - 30), min(1003, edges[f + 1] + 30)
        assert excluded.tolist() == list(range(low, high))
        for t in range(edges[f], edges[f + 1]):  # no window of the block shares a bin with one that was trained on
            assert weight[f, max(0, t - 29) : t + 30].sum() == 0


def test_recordings_too_short_for_the_folds() -> None:
    with pytest.raises(ValueError, match="5 blocks of 199 bins are too short for filters of 50 bins"):
        fold_weights(999, 5, 50)
    assert len(fold_weights(1000, 5, 50)[0]) == 6


def test_template_is_the_log_ratio_of_smoothed_rates() -> None:
    rng = np.random.default_rng(2)
    x = rng.poisson(0.1, (3, 400))
    x[2] = 0
    events, at = SpikeEvents.from_dense(x), np.array([60, 150, 222, 380])
    rate = x.mean(1)
    found = template(events, at, rate, 20, 10)
    from scipy.ndimage import gaussian_filter1d

    windows = np.pad(x, ((0, 0), (10, 30)))
    counts = sum(windows[:, t : t + 20] for t in at)  # bins t - P ..
    smooth = gaussian_filter1d(counts.astype(float), 20 / 16, axis=1, mode="nearest")
    around = (smooth[:2] + 2 * rate[:2, None]) / 6
    assert np.allclose(found.w[:2], np.log(around / rate[:2, None]), atol=1e-5) and (found.w[2] == 0).all()
    assert np.allclose(found.excess[:2], around - rate[:2, None])


def bump(W: int, at: float, neurons: int = 4) -> Template:
    rows = np.exp(-0.5 * ((np.arange(W) - at - 2 * np.arange(neurons)[:, None]) / 3) ** 2)
    return Template(rows.astype(np.float32), np.array([100, 200]), rows)


def test_middle_of_a_template() -> None:
    for at in (10, 16, 22):
        assert middle(bump(41, at)) == pytest.approx(at + 3 - 20, abs=1)  # of 4 rows, each two bins later
    assert middle(Template(np.zeros((2, 9), np.float32), np.zeros(0, int), np.zeros((2, 9)))) == 0


def test_templates_of_folds_are_named_and_moved_to_match_those_of_the_whole() -> None:
    a, b = bump(40, 12), Template(bump(40, 25).w[::-1].copy(), np.array([7]), bump(40, 25).excess[::-1].copy())
    late = Template(_moved(a.w, 5), a.detections, _moved(a.excess, 5))
    similarity, lag = _match(a, late)
    assert lag == -5 and similarity > 0.99
    ((first, second),) = _named([[b, late]], [a, b])
    assert np.array_equal(second.w, b.w) and second.detections.tolist() == [7]
    assert first.detections.tolist() == [105, 205]  # the filter sees its sequence 5 bins earlier, so at later bins
    assert np.allclose(first.w[:, :30], a.w[:, :30], atol=1e-6)


def test_moving_lets_zeros_in() -> None:
    x = np.arange(1.0, 6.0)[None]
    assert _moved(x, 2).tolist() == [[0, 0, 1, 2, 3]] and _moved(x, -1).tolist() == [[2, 3, 4, 5, 0]]
    assert _moved(x, 0).tolist() == x.tolist()


def test_templates_that_say_nothing_detect_nothing() -> None:
    """Flat templates: the statistic is 0 everywhere, and so is every surrogate's largest."""
    events = SpikeEvents.from_dense(np.random.default_rng(0).poisson(0.1, (5, 400)))
    flat = Template(np.zeros((5, 10), np.float32), np.zeros(0, int), np.zeros((5, 10)))
    found = by_templates(
        events, [[flat], [flat]], np.array([0, 200, 401]), WINDOW, level=0.05,
        generator=np.random.default_rng(0), shuffles=19,
    )  # fmt: skip
    assert len(found) == 0 and found.statistic.shape == (1, 401)


def test_each_block_is_searched_with_its_own_template_against_shuffles() -> None:
    """Twin: the same shuffles, one by one, with numpy."""
    rng = np.random.default_rng(3)
    x = rng.poisson(0.08, (4, 300))
    events = SpikeEvents.from_dense(x)
    rows = [[Template(rng.standard_normal((4, 10)).astype(np.float32), np.zeros(0, int), np.zeros((4, 10)))
             for _ in range(2)] for _ in range(3)]  # fmt: skip
    edges = np.array([0, 90, 200, 301])
    found = by_templates(events, rows, edges, WINDOW, level=0.25, generator=np.random.default_rng(9), shuffles=7)

    def blocks(x: np.ndarray) -> list[np.ndarray]:
        windows = np.lib.stride_tricks.sliding_window_view(np.pad(x, ((0, 0), (5, 5))), 10, axis=1)
        every = [[np.einsum("nl,ntl->t", t.w.astype(float), windows) for t in row] for row in rows]
        return [np.stack(every[f])[:, edges[f] : edges[f + 1]] for f in range(3)]

    again = np.random.default_rng(9)
    shuffled = [blocks(events.shuffled(again).dense()) for _ in range(7)]
    z, largest = [], np.full(7, -np.inf)
    for f in range(3):
        values = np.stack([s[f] for s in shuffled])  # [S, K, n]
        mean, sd = values.mean((0, 2))[:, None], values.std((0, 2))[:, None]
        z.append((blocks(x)[f] - mean) / sd)
        largest = np.maximum(largest, ((values - mean) / sd).max((1, 2)))
    assert np.allclose(found.statistic, np.concatenate(z, 1), atol=1e-3)
    assert found.threshold[0] == pytest.approx(np.sort(largest)[5], abs=1e-3)  # the sixth of seven: 2 of 8 are above
    assert torch.tensor(found.p_value).le(0.25).all()
