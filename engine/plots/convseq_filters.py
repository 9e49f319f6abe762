"""Filters before and after training as pictures of neurons by lag, and the neurons that take part by their lag."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from neurorbit.engine.plots.arguments import Array, Values, count
from neurorbit.engine.plots.convseq_arguments import (
    ParticipationLike,
    by_lag,
    filter_rows,
    members,
    one_row,
    same_shape,
)
from neurorbit.engine.plots.convseq_axes import INK, colour_of, neuron_ticks, time_axis
from neurorbit.engine.plots.convseq_thinning import fewer_columns, fewer_rows
from neurorbit.engine.plots.style import FAINT, TRUE, legend_above, number_text, panels, plain_ticks, styled

MAX_FILTERS, MAX_ROWS, MAX_COLUMNS = 6, 420, 400


@styled
def sequence_filters(after: Values, before: Values | None = None, *, bin_s: float | None = None) -> Figure:
    """Filters [K, N, W] after and before training, in the recording's order and sorted by their own peak lag."""
    after = filter_rows("after", after)
    states = [("after training", after)]
    if before is not None:
        before = filter_rows("before", before)
        same_shape("before", before, "after", after)
        states.insert(0, ("before training", before))
    K, N, W = after.shape
    n_drawn = min(K, MAX_FILTERS)
    n_columns = 2 * len(states)
    figure = Figure(figsize=(2.45 * n_columns + 0.4, (3.3 if n_drawn == 1 else 2.4) * n_drawn + 0.4))
    figure.set_layout_engine("constrained")
    grid = figure.subplots(n_drawn, n_columns, squeeze=False, sharex=True, sharey=True)
    axis = time_axis(W, bin_s)
    extent = (-W / 2 * axis.scale, W / 2 * axis.scale, N - 0.5, -0.5)
    for k in range(n_drawn):
        top = max(float(np.quantile(w[k].max(axis=1), 0.9)) for _, w in states) or 1.0
        image: Any = None
        for i, (state, w) in enumerate(states):
            for j, (order, words) in enumerate(((np.arange(N), "as recorded"), (by_lag(w[k]), "sorted"))):
                axes = grid[k, 2 * i + j]
                image = axes.imshow(
                    fewer_columns(fewer_rows(w[k][order], MAX_ROWS), MAX_COLUMNS), aspect="auto", cmap=INK, vmin=0,
                    vmax=top, interpolation="nearest", extent=extent,
                )  # fmt: skip
                axes.spines["left"].set_color(FAINT)
                plain_ticks(axes.xaxis, 4)
                neuron_ticks(axes.yaxis, 5)
                if k == 0:
                    axes.set_title(f"{state}, {words}", fontsize=9)
        grid[k, 0].set_ylabel("neuron" if K == 1 else f"filter {k}: neuron")
        bar = figure.colorbar(image, ax=list(grid[k]), pad=0.01, aspect=28, extend="max")
        bar.set_label("weight")
        plain_ticks(bar.ax.yaxis, 4)
        bar.outline.set_visible(False)  # type: ignore[operator]
    more = f"     {K - n_drawn} further filters not shown" if K > n_drawn else ""
    figure.supxlabel(axis.label("lag from the window's middle: time") + more, fontsize=9)
    return figure


@styled
def sequence_participation(
    parts: list[ParticipationLike] | tuple[ParticipationLike, ...],
    *,
    width: int,
    level: float = 0.05,
    orders: list[Values | None] | None = None,
    bin_s: float | None = None,
) -> Figure:
    """Lag and share of every neuron of each sequence; those that take part are filled (false discovery rate `level`).

    orders: the planted neurons of each sequence in firing order; they are ringed.
    """
    if not parts:
        raise ValueError("parts: expected one Participation per sequence, got none")
    known = list(orders or [None] * len(parts))
    if len(known) != len(parts):
        raise ValueError(f"orders: expected {len(parts)}, one per sequence, got {len(known)}")
    n_drawn = min(len(parts), MAX_FILTERS)
    figure, grid = panels(n_drawn, width=7.4 if n_drawn == 1 else 4.6, height=3.5 if n_drawn == 1 else 2.9, columns=2)
    axis = time_axis(width, bin_s)
    for k, axes in enumerate(grid):
        part, order = parts[k], known[k]
        lag = one_row("participation.lag_bins", part.lag_bins) * axis.scale
        share = one_row("participation.share", part.share)
        same_shape("participation.share", share, "lag_bins", lag)
        chosen = members(part, level)
        size = float(np.clip(34 - 6 * np.log10(len(lag) + 1), 4, 28))
        axes.scatter(lag[~chosen], share[~chosen], s=size * 0.6, color="#B5B5B5", linewidth=0, rasterized=True,
                     label="not significant")  # fmt: skip
        axes.scatter(lag[chosen], share[chosen], s=size, color=colour_of(k), linewidth=0, rasterized=True,
                     label="takes part")  # fmt: skip
        text = f"{count(int(chosen.sum()), 'neuron')} of {len(lag)}"
        if order is not None:
            planted = np.isin(np.asarray(part.neuron, dtype=int), np.asarray(order, dtype=int))
            axes.scatter(lag[planted], share[planted], s=size * 2.4, facecolor="none", edgecolor=TRUE, linewidth=0.6,
                         label="planted")  # fmt: skip
            text += f", {int((planted & chosen).sum())} of {int(planted.sum())} planted"
        axes.set_title(text if len(parts) == 1 else f"sequence {k}: {text}", fontsize=9)
        half = max(width / 2 * axis.scale, float(np.abs(lag[np.isfinite(lag)]).max(initial=0.0)))
        axes.set(xlim=(-half, half), ylim=(-0.03 * (share.max(initial=0.0) or 1.0), None))
        axes.spines["left"].set_color(FAINT)
        plain_ticks(axes.xaxis, 6)
        plain_ticks(axes.yaxis, 5)
    more = f"     {len(parts) - n_drawn} further sequences not shown" if len(parts) > n_drawn else ""
    figure.supxlabel(axis.label("lag from the sequence's middle: time") + more, fontsize=9)
    figure.supylabel("share of the response at detections", fontsize=9)
    legend_above(figure, grid)
    return figure


@styled
def order_recovered(part: ParticipationLike, order: Values, *, width: int, bin_s: float | None = None) -> Figure:
    """Planted rank of each neuron of a sequence against the lag that its filter gave it, and their rank correlation."""
    planted = np.asarray(order, dtype=int)
    rank = {int(n): i for i, n in enumerate(planted)}
    neuron = np.asarray(part.neuron, dtype=int)
    mine = np.array([int(n) in rank for n in neuron], dtype=bool) & np.isfinite(part.lag_bins)
    if mine.sum() < 2:
        raise ValueError(f"order: expected at least 2 of its neurons among the filter's, got {int(mine.sum())}")
    x = np.array([rank[int(n)] for n in neuron[mine]], dtype=float)
    axis = time_axis(width, bin_s)
    lag = one_row("participation.lag_bins", part.lag_bins)[mine]
    figure = Figure(figsize=(3.9, 3.5), layout="constrained")
    axes = figure.subplots()
    axes.plot(x, lag * axis.scale, "o", color=colour_of(0), markersize=3.4, markeredgewidth=0, alpha=0.8)
    axes.set(xlabel="planted rank", ylabel=axis.label("lag found: time"))
    axes.set_title(f"rank correlation {number_text(_rank_correlation(x, lag))}", fontsize=9)
    plain_ticks(axes.xaxis, 5)
    plain_ticks(axes.yaxis, 6)
    return figure


def _rank_correlation(x: Array, y: Array) -> float:
    from scipy.stats import rankdata

    a, b = (rankdata(v) - (len(v) + 1) / 2 for v in (x, y))
    size = float(np.sqrt((a**2).sum() * (b**2).sum()))
    return float((a * b).sum() / size) if size > 0 else float("nan")
