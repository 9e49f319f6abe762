"""Torus networks: activity on the sheet, rate maps over position with their autocorrelograms and grid scores."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

from neurorbit.engine.plots.arguments import Array, Values, as_array, count
from neurorbit.engine.plots.identification_axes import CONTROL, RATES, WEIGHTS, colour_bar, weight_limit
from neurorbit.engine.plots.style import FAINT, HIGHLIGHT, TRUE, legend_above, note, number_text, plain_ticks, styled

CORRELATION = LinearSegmentedColormap.from_list("correlation", ["#0072B2", "#9CC7E0", "#FFFFFF", "#F3B98D", "#D55E00"])
GRID_CELL = 0.3
UNKNOWN = "#EDE6D3"  # where nothing is known


@styled
def grid_maps(
    maps: Values,
    correlograms: Values,
    scores: Values,
    *,
    extent: tuple[tuple[float, float], tuple[float, float]] | None = None,
    n_units: int = 8,
    unit: str = "",
) -> Figure:
    """Rate maps [N, n, m] above their autocorrelograms [N, 2 n - 1, 2 m - 1], from the lowest to the highest score [N].

    extent: of the positions, as rate_map took it; unit: their unit.
    """
    m, r, s = (
        as_array("maps", maps, "Nij"),
        as_array("correlograms", correlograms, "Nij"),
        as_array("scores", scores, "N"),
    )
    if not len(m) == len(r) == len(s):
        raise ValueError(f"maps, correlograms, scores: expected N each, got {len(m)}, {len(r)} and {len(s)}")
    ranked = np.argsort(np.where(np.isfinite(s), s, -math.inf), kind="stable")
    chosen = ranked[np.unique(np.linspace(0, len(s) - 1, min(n_units, len(s))).round().astype(int))]
    figure = Figure(figsize=(1.42 * len(chosen) + 0.8, 3.5), layout="constrained")
    grid = figure.subplots(2, len(chosen), squeeze=False)
    (low, high), (left, right) = extent or ((0.0, m.shape[1]), (0.0, m.shape[2]))
    box = (left, right, low, high)
    away = (left - right, right - left, low - high, high - low)
    image = other = None
    for k, n in enumerate(chosen):
        peak = float(np.nanmax(m[n])) if np.isfinite(m[n]).any() else 1.0
        image = grid[0, k].imshow(m[n] / (peak or 1.0), cmap=RATES, vmin=0, vmax=1, origin="lower", extent=box)
        other = grid[1, k].imshow(r[n], cmap=CORRELATION, vmin=-1, vmax=1, origin="lower", extent=away)
        score = f"score {number_text(float(s[n]), 2)}" if np.isfinite(s[n]) else "no score"
        grid[0, k].set_title(f"unit {n}\n{score}", fontsize=8.5)
        for axes in grid[:, k]:
            axes.set_facecolor(UNKNOWN)
            plain_ticks(axes.xaxis, 2)
            plain_ticks(axes.yaxis, 2)
            if k:
                axes.tick_params(labelleft=False)
    in_unit = f" ({unit})" if unit else ""
    grid[0, 0].set_ylabel(f"position{in_unit}")
    grid[1, 0].set_ylabel(f"shift{in_unit}")
    if image is not None and other is not None:
        colour_bar(image, list(grid[0]), "rate / largest")
        colour_bar(other, list(grid[1]), "correlation")
    return figure


@styled
def grid_scores(scores: Mapping[str, Values], *, threshold: float = GRID_CELL) -> Figure:
    """Distribution of the grid scores {name: [N]} and the share of all N above the threshold."""
    sets = {name: as_array(f"scores[{name!r}]", x, "N") for name, x in scores.items()}
    if not sets:
        raise ValueError("scores: expected at least one set {name: [N]}, got none")
    finite = {name: x[np.isfinite(x)] for name, x in sets.items()}
    every = np.concatenate([*finite.values(), [threshold]])
    edges = np.linspace(min(-0.5, float(every.min())), max(1.0, float(every.max())), 36).tolist()
    figure = Figure(figsize=(5.6, 2.9), layout="constrained")
    axes = figure.subplots()
    if not any(x.size for x in finite.values()):
        axes.set_axis_off()
        note(axes, "no unit has a score: the walks leave too much of the box unknown")
        return figure
    for (name, x), colour in zip(finite.items(), (HIGHLIGHT, "#D55E00", CONTROL, FAINT), strict=False):
        share = float((x > threshold).sum()) / len(sets[name])  # of all units, as the measure has it
        axes.hist(x, edges, histtype="stepfilled", color=colour, alpha=0.35, linewidth=0)
        words = f"{name}: {number_text(100 * share, 3)} % of {len(sets[name])} above {threshold:g}"
        axes.hist(x, edges, histtype="step", color=colour, linewidth=1.4, label=words)
    axes.axvline(threshold, color=TRUE, linestyle="--", linewidth=1.0)
    axes.set(xlabel="grid score", ylabel="units")
    plain_ticks(axes.xaxis, 7)
    plain_ticks(axes.yaxis, 4)
    legend_above(figure, [axes], columns=1)
    return figure


@styled
def sheet_activity(
    rates: Values, place: Values, *, side: float, steps: Values | None = None, unit: str = "rate"
) -> Figure:
    """Activity [T, N] of one trial on a periodic sheet at some moments; place [N, 2] of the units, 0 to side."""
    x, at = as_array("rates", rates, "TN"), as_array("place", place, "Nd")
    if at.shape != (x.shape[1], 2):
        raise ValueError(f"place: expected [N={x.shape[1]}, 2] as in rates, got {list(at.shape)}")
    moments = np.linspace(0, len(x) - 1, 5).astype(int) if steps is None else as_array("steps", steps, "k").astype(int)
    if moments.min() < 0 or moments.max() >= len(x):
        raise ValueError(f"steps: expected 0 to T - 1 = {len(x) - 1}, got {moments.min()} to {moments.max()}")
    figure = Figure(figsize=(1.85 * len(moments) + 0.8, 2.3), layout="constrained")
    grid = figure.subplots(1, len(moments), squeeze=False)[0]
    top = float(np.nanquantile(x[moments], 0.995)) or 1.0
    size = (72 * 1.75 / max(3.0, math.sqrt(len(at)))) ** 2
    image, edge = None, side / (2 * math.sqrt(len(at)))
    for t, axes in zip(moments, grid, strict=True):
        image = axes.scatter(at[:, 1], at[:, 0], c=x[t], cmap=RATES, vmin=0, vmax=top, s=size, marker="s", linewidth=0)
        axes.set(xlim=(-edge, side - edge), ylim=(-edge, side - edge), aspect="equal")
        axes.set_title(f"step {t}", fontsize=9)
        plain_ticks(axes.xaxis, 3)
        plain_ticks(axes.yaxis, 3)
        if t != moments[0]:
            axes.tick_params(labelleft=False)
    grid[0].set_ylabel("place on the sheet")
    if image is not None:
        bar = figure.colorbar(image, ax=list(grid), shrink=0.8, aspect=20, pad=0.015)
        bar.set_label(unit, fontsize=8.5)
        bar.ax.tick_params(labelsize=7.5, length=2)
    return figure


@styled
def sheet_kernels(kernels: Mapping[str, Values]) -> Figure:
    """Weights by displacement on the sheet {name: [n, n]}, displacement 0 in the middle, each on its own scale."""
    sets = {name: as_array(f"kernels[{name!r}]", x, "ij") for name, x in kernels.items()}
    if not sets:
        raise ValueError("kernels: expected at least one {name: [n, n]}, got none")
    figure = Figure(figsize=(3.2 * len(sets), 2.75), layout="constrained")
    grid = figure.subplots(1, len(sets), squeeze=False)[0]
    for (name, k), axes in zip(sets.items(), grid, strict=True):
        if not np.isfinite(k).any():
            note(axes, "no pair of units")
            continue
        limit = weight_limit(k)
        rows, columns = k.shape
        box = (-(columns // 2) - 0.5, columns - columns // 2 - 0.5, -(rows // 2) - 0.5, rows - rows // 2 - 0.5)
        image = axes.imshow(k, cmap=WEIGHTS, vmin=-limit, vmax=limit, origin="lower", extent=box, aspect="auto")
        axes.set_title(name, fontsize=9)
        axes.set_xlabel("displacement (units)")
        colour_bar(image, axes, "mean weight")
        plain_ticks(axes.xaxis, 4)
        plain_ticks(axes.yaxis, 4)
    return figure


def above(scores: Array, threshold: float = GRID_CELL) -> str:
    """Words for the share of units above the threshold."""
    return f"{int((scores > threshold).sum())} of {count(len(scores), 'unit')} above {threshold:g}"
