"""What an orbit is drawn in: its own variables, its principal components, or delay coordinates; and thinning."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from neurorbit.engine.plots.arguments import Array


@dataclass(frozen=True)
class Coordinates:
    """Drawing coordinates fitted to the true data: x -> (x - mean) @ axes, or delay pairs when lag > 0."""

    mean: Array  # [N]
    axes: Array  # [N, D]
    labels: tuple[str, ...]
    lag: int = 0

    @property
    def n_dims(self) -> int:
        return len(self.labels)

    def apply(self, x: Array) -> Array:
        """[T, N] -> [T', D]; with delays T' = T - lag."""
        if self.lag:
            lag = min(self.lag, len(x) - 1)
            return np.concatenate([x[: len(x) - lag], x[lag:]], axis=1)
        with np.errstate(invalid="ignore", over="ignore"):
            return (x - self.mean) @ self.axes


def fit_coordinates(x_true: Array, names: Sequence[str], max_dims: int) -> Coordinates:
    """The variables themselves where they fit into max_dims, else principal components of the true data."""
    n = x_true.shape[1]
    if n == 1:
        lag = max(1, round(cycle_steps(x_true) / 4))
        lag = min(lag, max(1, len(x_true) // 4))
        return Coordinates(np.zeros(1), np.eye(1), (f"{names[0]} now", f"{names[0]} {lag} steps later"), lag)
    if n <= max_dims:
        return Coordinates(np.zeros(n), np.eye(n), tuple(names))
    mean = np.nanmean(x_true, axis=0)
    rows = x_true[~np.isnan(x_true).any(axis=1)]
    if len(rows) < 2:
        rows = np.where(np.isnan(x_true), mean, x_true)
    _, sd, axes = np.linalg.svd(rows - rows.mean(axis=0), full_matrices=False)
    d = min(max_dims, len(sd))
    total = float((sd**2).sum()) or 1.0
    signs = np.sign(axes[np.arange(d), np.abs(axes[:d]).argmax(axis=1)])  # a fixed sign, so that pictures repeat
    labels = tuple(f"PC{i + 1} ({100 * sd[i] ** 2 / total:.0f} %)" for i in range(d))
    return Coordinates(mean, (axes[:d] * signs[:, None]).T, labels)


def fill_missing(x: Array) -> Array:
    """NaN of [T, N] filled by linear interpolation in time."""
    filled = x.copy()
    steps = np.arange(len(x))
    for column in filled.T:
        gaps = np.isnan(column)
        if gaps.any():
            column[gaps] = np.interp(steps[gaps], steps[~gaps], column[~gaps])
    return filled


def cycle_steps(x: Array) -> float:
    """Steps of one typical cycle of [T, N]: one over the median frequency of the power."""
    part = fill_missing(x[:20000])
    power = (np.abs(np.fft.rfft(part - part.mean(axis=0), axis=0)) ** 2).sum(axis=1)
    cumulative = np.cumsum(power)
    if not cumulative[-1] > 0:
        return float(len(part))
    median = int(np.searchsorted(cumulative, 0.5 * cumulative[-1]))
    return len(part) / max(1, median)


def thin(points: Array, max_points: int, diagonal: float) -> Array:
    """At most max_points of [T, D]: every s-th one where the orbit stays smooth, then the first max_points."""
    if len(points) <= max_points:
        return points
    steps = np.linalg.norm(np.diff(points, axis=0), axis=1)
    steps = steps[np.isfinite(steps)]
    mean_step = float(steps.mean()) if steps.size else 0.0
    fit = -(-len(points) // max_points)
    smooth = int(0.01 * diagonal / mean_step) if mean_step > 0 else fit
    return points[:: max(1, min(fit, smooth))][:max_points]


def box(true: Array, generated: Sequence[Array], expand: float = 1.0) -> tuple[Array, Array]:
    """Limits (low [D], high [D]) around the true points and those generated ones not over `expand` widths outside."""
    low, high = np.nanmin(true, axis=0), np.nanmax(true, axis=0)
    width = high - low
    width = np.where(width > 0, width, 1.0)
    far_low, far_high = low - expand * width, high + expand * width
    for points in generated:
        near = points[((points >= far_low) & (points <= far_high)).all(axis=1)]
        if len(near):
            low, high = np.minimum(low, near.min(axis=0)), np.maximum(high, near.max(axis=0))
    margin = 0.04 * np.where(high > low, high - low, 1.0)
    return low - margin, high + margin


def cut_outside(points: Array, low: Array, high: Array) -> Array:
    """Points outside the limits become NaN, so that lines end at the box."""
    with np.errstate(invalid="ignore"):
        inside = np.asarray(((points >= low) & (points <= high)).all(axis=1, keepdims=True))
    return np.where(inside, points, np.nan)
