"""How often each value of the response occurs, beside the null of random filters, with thresholds."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from neurorbit.engine.plots.arguments import Values
from neurorbit.engine.plots.convseq_arguments import NullLike, one_row, response_rows
from neurorbit.engine.plots.convseq_axes import colour_of
from neurorbit.engine.plots.style import FAINT, TRUE, legend_above, number_text, plain_ticks, styled

MAX_FILTERS = 7
BINS_NULL, BINS = 160, 90
_STYLES = ("-", (0, (5, 2)), (0, (1.2, 1.5)), (0, (5, 1.5, 1, 1.5)))


@styled
def response_histogram(
    values: Values,
    *,
    null: NullLike | None = None,
    thresholds: Mapping[str, float] | None = None,
    label: str = "response",
    null_label: str = "random filters",
) -> Figure:
    """Density of the responses [K, T'] on a logarithmic axis over its null distribution.

    null: edges [B + 1] and counts [B] of the null distribution; thresholds: by name, drawn as lines.
    """
    rows = response_rows("values", values)
    finite = rows[np.isfinite(rows)]
    if not finite.size:
        raise ValueError("values: holds no finite response")
    marks = dict(thresholds or {})
    bad = [name for name, value in marks.items() if not np.isfinite(value)]
    if bad:
        raise ValueError(f"thresholds: expected finite numbers, got {marks[bad[0]]!r} for {bad[0]}")
    figure = Figure(figsize=(7.2, 3.5), layout="constrained")
    axes = figure.subplots()
    low, high = float(finite.min()), float(finite.max())
    floor = np.inf
    if null is not None:
        edges, counts = one_row("null.edges", null.edges), one_row("null.counts", null.counts)
        if len(edges) != len(counts) + 1 or not (np.diff(edges) > 0).all() or counts.sum() <= 0:
            raise ValueError(
                f"null: expected B + 1 rising edges of B counts, some above 0, got {len(edges)} edges and "
                f"{len(counts)} counts with sum {counts.sum():g}"
            )
        edges, counts = _joined(edges, counts)
        density = counts / counts.sum() / np.diff(edges)
        seen = np.flatnonzero(counts)
        low, high = min(low, edges[seen[0]]), max(high, edges[seen[-1] + 1])
        shown = np.where(density > 0, density, np.nan)
        axes.stairs(shown, edges, fill=True, color="#C9C9C9", linewidth=0, label=null_label, baseline=1e-300)
        floor = float(np.nanmin(shown))
    grid = np.linspace(low, high if high > low else low + 1.0, BINS + 1)
    n_drawn = min(len(rows), MAX_FILTERS)
    top = 0.0 if null is None else float(np.nanmax(shown))
    for k in range(n_drawn):
        row = rows[k][np.isfinite(rows[k])]
        if not row.size:
            continue
        density = np.histogram(row, grid)[0] / row.size / np.diff(grid)
        some = density > 0
        name = "trained filter" if len(rows) == 1 else f"trained filter {k}"
        axes.stairs(np.where(some, density, np.nan), grid, baseline=None, color=colour_of(k), linewidth=1.3, label=name)
        floor, top = min(floor, float(density[some].min())), max(top, float(density.max()))
    for i, (name, value) in enumerate(marks.items()):
        axes.axvline(
            value, color=TRUE, linestyle=_STYLES[i % len(_STYLES)], linewidth=1.1,
            label=f"{name} {number_text(value)}",
        )  # fmt: skip
    axes.set_yscale("log")
    axes.set_ylim(floor / 2, top * 2)
    room = 0.03 * (max([high, *marks.values()]) - min([low, *marks.values()])) or 0.5
    axes.set_xlim(min([low, *marks.values()]) - room, max([high, *marks.values()]) + room)
    axes.set(xlabel=label, ylabel=f"density (per unit of {label})")
    axes.spines["left"].set_color(FAINT)
    plain_ticks(axes.xaxis, 8)
    more = len(rows) - n_drawn
    if more:
        axes.set_xlabel(f"{label}     {more} further filters not shown")
    legend_above(figure, [axes], columns=3 if n_drawn + len(marks) > 4 else 5)
    return figure


def _joined(edges: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A fine histogram on at most BINS_NULL bins between its first and last count."""
    seen = np.flatnonzero(counts)
    edges, counts = edges[seen[0] : seen[-1] + 2], counts[seen[0] : seen[-1] + 1]
    size = -(-len(counts) // BINS_NULL)
    starts = np.arange(0, len(counts), size)
    return np.append(edges[starts], edges[-1]), np.add.reduceat(counts, starts)
