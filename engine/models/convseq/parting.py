"""Which detection belongs to which of K sequences, where one filter answers to several."""

from __future__ import annotations

import numpy as np
from scipy.cluster.vq import ClusterError, kmeans2
from scipy.optimize import linear_sum_assignment

from neurorbit.engine.analysis.participation import aligned_counts
from neurorbit.engine.data import SpikeEvents

STARTS = 10  # of the grouping
Peaks = list[np.ndarray]  # K arrays of bins of a response


def parted(events: SpikeEvents, at: Peaks, o: np.ndarray, width: int, padding: int) -> Peaks:
    """The detections of K filters, parted by which neurons fire in their windows into K groups of one sequence each.

    at: bins of the peaks of each response in o [K, T']. A filter may answer to several sequences, each with a lag of
    its own; the windows of one sequence share their neurons. Groups go to the filters that detect most of them, and
    keep that filter's times.
    """
    K = len(at)
    found = _pooled(at, o, width)
    if len(found) < 2 * K:
        return at
    fired = np.stack([aligned_counts(events, np.array([t - padding]), width).sum(1) for t in found])  # [D, N]
    usual = np.sqrt(np.bincount(events.neurons, events.counts, events.n_neurons) + 1.0)
    features = np.sqrt(fired) / np.sqrt(usual)
    features -= features.mean(0)
    features /= np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-12)
    fits = [fit for seed in range(STARTS) if (fit := _grouped(features, K, seed)) is not None]
    if not fits:
        return at
    group = min(fits, key=lambda fit: float(np.square(features - fit[0][fit[1]]).sum()))[1]
    near = [[_nearest(at[k], found[group == j], width) for j in range(K)] for k in range(K)]
    rows, columns = linear_sum_assignment([[-np.count_nonzero(n >= 0) for n in row] for row in near])
    own: Peaks = [found[:0]] * K
    for k, j in zip(rows, columns, strict=True):
        times = found[group == j]
        own[k] = np.unique(np.where(near[k][j] >= 0, near[k][j], times))
    return own


def _grouped(features: np.ndarray, K: int, seed: int) -> tuple[np.ndarray, np.ndarray] | None:
    """Middles [K, N] and group [D] of a k-means from random starts; None when a group lost its last window."""
    try:
        middles, group = kmeans2(features, K, minit="++", seed=seed, missing="raise")
    except ClusterError:
        return None
    return middles, group


def winners(at: Peaks, o: np.ndarray, width: int) -> Peaks:
    """Of detections by several templates within half a width, the one that stands out most from its own response."""
    K = len(at)
    z = [_standing_out(o[k]) for k in range(K)]
    kept: Peaks = []
    for k in range(K):
        beaten = np.zeros(len(at[k]), bool)
        for other in range(K):
            if other != k and len(at[other]):
                close = np.abs(at[k][:, None] - at[other][None]) < width // 2
                higher = z[other][at[other]][None] > z[k][at[k]][:, None]
                beaten |= (close & higher).any(1)
        kept.append(at[k][~beaten])
    return kept


def _pooled(at: Peaks, o: np.ndarray, width: int) -> np.ndarray:
    """Detections of any filter, the most outstanding one of those within half a width, sorted."""
    bins = np.concatenate(at)
    height = np.concatenate([_standing_out(o[k])[b] for k, b in enumerate(at)])
    kept: list[int] = []
    for i in np.argsort(-height, kind="stable"):
        if all(abs(int(bins[i]) - t) >= width // 2 for t in kept):
            kept.append(int(bins[i]))
    return np.sort(np.array(kept, np.int64))


def _standing_out(o: np.ndarray) -> np.ndarray:
    middle = np.median(o)
    spread: np.ndarray = (o - middle) / max(float(np.median(np.abs(o - middle))), 1e-12)
    return spread


def _nearest(mine: np.ndarray, times: np.ndarray, width: int) -> np.ndarray:
    """For each time the nearest of mine within half a width, or -1."""
    if not len(mine) or not len(times):
        return np.full(len(times), -1, np.int64)
    distance = np.abs(times[:, None] - mine[None])
    return np.where(distance.min(1) < width // 2, mine[distance.argmin(1)], -1)
