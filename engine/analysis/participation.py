"""Which neurons take part in a sequence, in which order, and how surely."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter1d

from neurorbit.engine.data import SpikeEvents

DRAWS = 1000
SMOOTHING = 0.0625  # of a width: sd of the Gaussian over a neuron's lag histogram


@dataclass(frozen=True, eq=False)
class Participation:
    """The neurons of one sequence, sorted by their lag; last those that never fire in it."""

    neuron: np.ndarray  # [N] int
    lag_bins: np.ndarray  # [N] where the neuron fires most, from the middle of the sequence; NaN where it never does
    share: np.ndarray  # [N] of the response at the detections
    p_value: np.ndarray  # [N]

    def significant(self, level: float = 0.05) -> np.ndarray:
        """Rows [N] that pass the procedure of Benjamini & Hochberg (1995): on average at most a share `level` of them
        take no part."""
        order = np.argsort(self.p_value, kind="stable")
        passed = np.flatnonzero(self.p_value[order] <= level * np.arange(1, len(order) + 1) / len(order))
        keep = np.zeros(len(order), bool)
        if len(passed):
            keep[order[: passed[-1] + 1]] = True
        return keep


def aligned_counts(events: SpikeEvents, starts: np.ndarray, width: int) -> np.ndarray:
    """Spikes of each neuron at each lag of the windows that begin at bins starts [D], summed over them, [N, W]."""
    starts = np.asarray(starts, np.int64)
    bounds = np.searchsorted(events.times, np.stack([starts, starts + width]))
    sizes = bounds[1] - bounds[0]
    ends = np.cumsum(sizes)
    at = np.arange(int(sizes.sum())) - np.repeat(ends - sizes, sizes) + np.repeat(bounds[0], sizes)
    lags = events.times[at] - np.repeat(starts, sizes)
    found = np.bincount(events.neurons[at] * np.int64(width) + lags, events.counts[at], events.n_neurons * width)
    return found.reshape(events.n_neurons, width)


def lag_smoother(width: int, mode: str = "constant") -> np.ndarray:
    """Matrix G [W, W]: lag histograms [N, W] @ G are smoothed; mode says what lies beyond their ends, as in scipy."""
    smoother: np.ndarray = gaussian_filter1d(np.eye(width), SMOOTHING * width, axis=1, mode=mode)
    return smoother


def participation(
    w: np.ndarray,
    recording: SpikeEvents,
    starts: np.ndarray,
    *,
    generator: np.random.Generator,
    shift: int = 0,
    draws: int = DRAWS,
) -> Participation:
    """Neurons that fire at a fixed lag in the windows around the detections more than in windows at random times.

    The statistic is the highest point of the neuron's smoothed lag histogram; as many windows at random times, drawn
    `draws` times, give its distribution without a sequence. (Windows drawn one by one, because a train shifted as a
    whole meets regularly repeating sequences again.)

    Args:
        w: the filter [N, W] whose response is shared out: spikes in the windows, weighted by it.
        starts: [D] first bins of the windows of the detections.
        shift: bins from the middle of a window to the middle of the sequence, from which lags are counted.
        draws: the smallest p-value is 1 / (draws + 1).
    """
    N, W = w.shape
    if recording.n_neurons != N:
        raise ValueError(f"recording: expected N={N} neurons as in the filter, got {recording.n_neurons}")
    counts = aligned_counts(recording, starts, W)
    smoother = lag_smoother(W)
    smooth = counts @ smoother
    peak = smooth.max(1)
    as_high = np.zeros(N, np.int64)
    for _ in range(draws if len(starts) else 0):
        anywhere = generator.integers(0, max(1, recording.n_bins - W + 1), len(starts))
        drawn = aligned_counts(recording, anywhere, W) @ smoother
        as_high += drawn.max(1) >= peak * (1 - 1e-9)
    p = (1 + as_high) / (1 + draws) if len(starts) else np.ones(N)
    p[peak == 0] = 1.0
    response = np.maximum((counts * w).sum(1), 0.0)
    share = response / response.sum() if response.sum() > 0 else response
    lag = np.where(peak > 0, smooth.argmax(1), np.nan) - (W - 1) / 2 - shift
    rows = np.lexsort((np.arange(N), lag))
    return Participation(rows, lag[rows], share[rows], p[rows])
