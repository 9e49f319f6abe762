"""Detections against planted sequences: one-to-one matches, precision, recall, F1, timing."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import linear_sum_assignment


@dataclass(frozen=True)
class SequenceScore:
    """Result of `score_detections`; offsets and errors are in bins."""

    precision: float
    recall: float
    f1: float
    timing_error_bins: float | None  # median distance of matched pairs; None without a match
    offset_bins: tuple[float, ...]  # what was added to each filter's times; 0 when not aligned
    matched: int
    n_detected: int
    n_true: int
    sequence_of_filter: tuple[int | None, ...]  # planted sequence that each filter was assigned to
    zones: dict[str, float]  # the published metric: precision, recall, f1


def score_detections(
    times: ArrayLike,
    truth: ArrayLike,
    *,
    tolerance: float,
    filters: ArrayLike | None = None,
    sequences: ArrayLike | None = None,
    align: bool = True,
    zone: float | None = None,
) -> SequenceScore:
    """Match detections to planted occurrences one to one.

    Args:
        times: [D] bins of the detections; filters: [D] the filter of each, all 0 when None.
        truth: [G] bins of the middles of the planted occurrences; sequences: [G] the sequence of each.
        tolerance: largest distance of a match in bins; a quarter of the filter's width is usual.
        align: first remove the constant offset between a filter's response peaks and the sequence's middle, the one
            within +- 2 tolerances that gives the most matches.
        zone: half-width in bins of the zones of the published metric; 4 tolerances when None.

    Each filter is assigned to one sequence, so that the mean distance from a true occurrence to the nearest detection
    is smallest over all filters (Hungarian algorithm); detections of a filter without a sequence are false.
    Without planted occurrences recall is 1 and precision is 1 only when nothing is detected.
    """
    t, g = np.asarray(times, np.float64).ravel(), np.asarray(truth, np.float64).ravel()
    k = np.zeros(len(t), np.int64) if filters is None else np.asarray(filters).ravel().astype(np.int64)
    s = np.zeros(len(g), np.int64) if sequences is None else np.asarray(sequences).ravel().astype(np.int64)
    for name, found, like in (("filters", k, t), ("sequences", s, g)):
        if len(found) != len(like):
            raise ValueError(f"{name}: expected [{len(like)}], got [{len(found)}]")
    if not 0 < tolerance < np.inf:
        raise ValueError(f"tolerance: expected above 0 and finite, got {tolerance}")
    for name, bins in (("times", t), ("truth", g)):
        if not np.isfinite(bins).all():
            raise ValueError(f"{name}: expected finite bins, got {bins[~np.isfinite(bins)][0]}")
    n_filters, n_sequences = int(k.max(initial=-1)) + 1, int(s.max(initial=-1)) + 1
    offsets = np.zeros(n_filters)
    owner: list[int | None] = [None] * n_filters
    cost = np.full((n_filters, n_sequences), np.inf)
    shift = np.zeros((n_filters, n_sequences))
    for i in range(n_filters):
        for j in range(n_sequences):
            if align:
                shift[i, j] = _best_offset(t[k == i], g[s == j], tolerance)
            cost[i, j] = _mean_distance(t[k == i] + shift[i, j], g[s == j])
    if cost.size:
        for i, j in zip(*linear_sum_assignment(np.where(np.isfinite(cost), cost, 1e12)), strict=True):
            if np.isfinite(cost[i, j]):
                owner[i], offsets[i] = int(j), shift[i, j]
    errors: list[float] = []
    for i, own in enumerate(owner):
        if own is not None:
            errors += matches(t[k == i] + offsets[i], g[s == own], tolerance)
    precision, recall = _ratio(len(errors), len(t)), _ratio(len(errors), len(g))
    half = 4 * tolerance if zone is None else zone
    return SequenceScore(
        precision=precision,
        recall=recall,
        f1=_harmonic(precision, recall),
        timing_error_bins=float(np.median(np.abs(errors))) if errors else None,
        offset_bins=tuple(float(v) for v in offsets),
        matched=len(errors),
        n_detected=len(t),
        n_true=len(g),
        sequence_of_filter=tuple(owner),
        zones=zones(t, k, g, s, owner, half),
    )


def matches(times: np.ndarray, truth: np.ndarray, tolerance: float) -> list[float]:
    """time - truth of the one-to-one pairs within the tolerance: as many as there can be, in order of time."""
    a, b = np.sort(times), np.sort(truth)
    found, i, j = [], 0, 0
    while i < len(a) and j < len(b):
        error = a[i] - b[j]
        if abs(error) <= tolerance:
            found.append(float(error))
            i, j = i + 1, j + 1
        elif error < 0:
            i += 1
        else:
            j += 1
    return found


def zones(
    times: np.ndarray,
    filters: np.ndarray,
    truth: np.ndarray,
    sequences: np.ndarray,
    owner: list[int | None],
    half: float,
) -> dict[str, float]:
    """Share of detections inside a zone of +- half around an occurrence, and of zones with a detection inside."""
    inside, hit = 0, 0
    for i, j in enumerate(owner):
        if j is None:
            continue
        near = np.abs(times[filters == i][:, None] - truth[sequences == j][None]) <= half
        inside += int(near.any(1).sum())
        hit += int(near.any(0).sum())
    precision, recall = _ratio(inside, len(times)), _ratio(hit, len(truth))
    return {"precision": precision, "recall": recall, "f1": _harmonic(precision, recall)}


def _best_offset(t: np.ndarray, g: np.ndarray, tolerance: float) -> float:
    """The offset with the most matches, among them the one with the smallest distances."""
    if not len(t) or not len(g):
        return 0.0
    best, value = (0, -np.inf), 0.0
    reach = min(round(2 * tolerance), int(max(t.max() - g.min(), g.max() - t.min(), 0)) + 1)
    for offset in np.arange(-reach, reach + 1):
        errors = matches(t + offset, g, tolerance)
        rank = (len(errors), -float(np.mean(np.abs(errors))) if errors else -np.inf)
        if rank > best:
            best, value = rank, float(offset)
    errors = matches(t + value, g, tolerance)
    finer = value - float(np.median(errors)) if errors else value
    return finer if len(matches(t + finer, g, tolerance)) == len(errors) else value


def _mean_distance(t: np.ndarray, g: np.ndarray) -> float:
    if not len(t) or not len(g):
        return np.inf
    return float(np.abs(t[:, None] - g[None]).min(0).mean())


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else 1.0


def _harmonic(precision: float, recall: float) -> float:
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0
