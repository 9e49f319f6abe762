"""Detections of filters that answer to several sequences, parted by the neurons that fire in them."""

import numpy as np
import pytest

from neurorbit.engine.data import SpikeEvents
from neurorbit.engine.models.convseq.parting import parted, winners

W, P, T = 20, 10, 1200


def two_sequences(seed: int = 0) -> tuple[SpikeEvents, np.ndarray, np.ndarray]:
    """Neurons 0..7 fire around the first times, 8..15 around the second, 16..23 anywhere."""
    rng = np.random.default_rng(seed)
    middles = np.arange(50, 1150, 50)
    own = np.arange(len(middles)) % 2
    who, when = [rng.integers(0, 24, 150)], [rng.integers(0, T, 150)]
    for t, k in zip(middles, own, strict=True):
        who.append(np.arange(8) + 8 * k)
        when.append(t - 4 + np.arange(8))
    events = SpikeEvents.from_events(np.concatenate(who), np.concatenate(when), n_neurons=24, n_bins=T)
    return events, middles[own == 0], middles[own == 1]


def peaks(at: list[np.ndarray], heights: list[float]) -> np.ndarray:
    o = 0.01 * np.random.default_rng(9).random((len(at), T + 1))
    for k, bins in enumerate(at):
        o[k, bins] = heights[k]
    return o


@pytest.mark.parametrize("seed", range(3))
def test_filters_that_both_answer_to_both_get_one_each(seed: int) -> None:
    events, first, second = two_sequences(seed)
    lags = [[0, 3], [4, -2]]  # of each filter's answer to each sequence
    at = [np.sort(np.concatenate([first + a, second + b])) for a, b in lags]
    found = parted(events, at, peaks(at, [2.0, 1.0]), W, P)
    ways = [(first + lags[0][0], second + lags[1][1]), (second + lags[0][1], first + lags[1][0])]
    assert any(all(np.array_equal(f, e) for f, e in zip(found, way, strict=True)) for way in ways)


def test_filters_that_already_have_one_each_keep_it() -> None:
    events, first, second = two_sequences()
    at = [second, first]
    found = parted(events, at, peaks(at, [1.0, 1.0]), W, P)
    assert np.array_equal(found[0], second) and np.array_equal(found[1], first)


def test_too_few_detections_are_left_alone() -> None:
    events, first, _ = two_sequences()
    at = [first[:2], first[:0]]
    found = parted(events, at, peaks(at, [1.0, 1.0]), W, P)
    assert np.array_equal(found[0], first[:2]) and len(found[1]) == 0


def test_the_template_that_stands_out_more_keeps_a_detection() -> None:
    at = [np.array([100, 300, 500]), np.array([108, 320, 505])]
    o = peaks(at, [3.0, 2.0])
    o[1, 505] = 4.0
    kept = winners(at, o, W)
    assert kept[0].tolist() == [100, 300] and kept[1].tolist() == [320, 505]  # 320 is W from 300, so another one
