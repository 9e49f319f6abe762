"""Long traces and tall matrices cut down to what a picture can show, without losing peaks."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from neurorbit.engine.plots.arguments import Array


def envelope(values: Array, n_columns: int, start: int = 0) -> tuple[Array, Array]:
    """Positions and values of a trace [T] that draw as the whole one: smallest and largest of each of n_columns."""
    T = len(values)
    if T <= 2 * n_columns:
        return start + np.arange(T), values
    cuts = np.linspace(0, T, n_columns + 1).astype(int)
    at = np.empty(2 * n_columns, dtype=int)
    for i, (a, b) in enumerate(pairwise(cuts)):
        part = values[a:b]
        low, high = a + int(np.argmin(part)), a + int(np.argmax(part))
        at[2 * i], at[2 * i + 1] = min(low, high), max(low, high)
    return start + at, values[at]


def fewer_rows(x: Array, most: int, reduce: np.ufunc = np.maximum) -> Array:
    """At most `most` rows of x [N, ...]: neighbours are joined by their maximum, or another ufunc."""
    if len(x) <= most:
        return x
    joined: Array = reduce.reduceat(x, np.linspace(0, len(x), most + 1)[:-1].astype(int), axis=0)
    return joined


def fewer_columns(x: Array, most: int) -> Array:
    """At most `most` columns of x [N, T], by their maximum."""
    return fewer_rows(x.T, most).T


def busiest_stretch(times: Array, length: float, n_bins: int, margin: float = 0) -> tuple[int, int]:
    """First and last bin of the stretch of `length` bins that holds the most times, which lie in its middle.

    margin: bins around a time that the stretch has to hold as well, for the time to count.
    """
    length = int(min(n_bins, max(1, round(length))))
    times = np.sort(times)
    if not times.size:
        return 0, length
    held = np.searchsorted(times, times + max(1.0, length - 2 * margin), side="left") - np.arange(len(times))
    first = int(np.argmax(held))
    middle = (times[first] + times[first + held[first] - 1]) / 2
    start = int(np.clip(round(middle - length / 2), 0, n_bins - length))
    return start, start + length
