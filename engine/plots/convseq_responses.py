"""The response of each filter over time before and after training, with threshold and detections."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from neurorbit.engine.plots.arguments import Array, Values
from neurorbit.engine.plots.convseq_arguments import (
    SequenceTruth,
    one_row,
    response_rows,
    same_shape,
)
from neurorbit.engine.plots.convseq_axes import TimeAxis, colour_of, time_axis
from neurorbit.engine.plots.convseq_thinning import busiest_stretch, envelope
from neurorbit.engine.plots.style import FAINT, TRUE, legend_above, plain_ticks, styled

MAX_FILTERS = 6
COLUMNS_WHOLE, COLUMNS_ZOOM = 900, 1500
EDGE = 0.03  # of the part's length: so far from its edges lie the peaks it was chosen for


@dataclass(frozen=True)
class _Row:
    title: str
    values: Array  # [T]
    colour: str
    marked: bool


@styled
def sequence_responses(
    after: Values,
    before: Values | None = None,
    *,
    statistic: Values | None = None,
    threshold: Values | None = None,
    times: Values = (),
    sequence: Values | None = None,
    truth: SequenceTruth | None = None,
    shift: float = 0.0,
    bin_s: float | None = None,
    zoom: tuple[float, float] | None = None,
) -> Figure:
    """Responses [K, T'] after and before training, the whole recording beside a part of it.

    statistic [K, T']: what was thresholded, where it is not the response; threshold [K] and the detections at `times`
    [D] (bins) of filter `sequence` [D] belong to it. Column t of the arrays is bin t + shift of the recording
    (shift = W / 2 - padding). zoom: first and last bin of the part; the one with the most detections when None.
    """
    after = response_rows("after", after)
    rows_before = None if before is None else response_rows("before", before)
    rows_statistic = None if statistic is None else response_rows("statistic", statistic)
    for name, other in (("before", rows_before), ("statistic", rows_statistic)):
        if other is not None:
            same_shape(name, other, "after", after)
    K, T = after.shape
    limit = None if threshold is None else one_row("threshold", threshold)
    if limit is not None and len(limit) != K:
        raise ValueError(f"threshold: expected [K={K}], one per filter, got {list(limit.shape)}")
    found = one_row("times", times)
    which = np.zeros(len(found)) if sequence is None else one_row("sequence", sequence)
    if which.shape != found.shape:
        raise ValueError(f"sequence: expected [D={len(found)}] as in times, got {list(which.shape)}")
    part_length = max(200, min(T / 5, 2500))
    low, high = zoom or busiest_stretch(found - shift, part_length, T, EDGE * part_length)
    if not low < high:
        raise ValueError(f"zoom: expected a first bin before the last, got {low:g} and {high:g}")
    n_drawn = min(K, MAX_FILTERS)
    grouped = [_rows(k, K, after, rows_before, rows_statistic) for k in range(n_drawn)]
    n_rows = sum(map(len, grouped))
    height = 1.5 if n_rows <= 4 else 1.2
    figure = Figure(figsize=(9.6, height * n_rows + 0.9), layout="constrained")
    grid = figure.subplots(n_rows, 2, squeeze=False, width_ratios=(1.0, 1.0), sharex="col")
    whole, part = time_axis(T, bin_s), time_axis(high, bin_s)
    i = 0
    for k, rows in enumerate(grouped):
        mine = found[which == k]
        true = truth.times_of(k) if truth is not None else np.zeros(0)
        ceiling = max(float(np.nanmax(r.values)) for r in rows[: 2 if rows_before is not None else 1])
        floor = min(float(np.nanmin(r.values)) for r in rows[: 2 if rows_before is not None else 1])
        for row in rows:
            line = None if limit is None or not row.marked else float(limit[k])
            top, bottom = ceiling, floor
            if rows_statistic is not None and row.marked:
                top, bottom = float(np.nanmax(row.values)), float(np.nanmin(row.values))
            top = max(top, line) if line is not None else top
            room = (top - bottom) or 1.0
            for j, (axes, axis) in enumerate(zip(grid[i], (whole, part), strict=True)):
                span = (0.0, float(T)) if j == 0 else (float(low), float(high))
                _trace(axes, row, span, axis, shift, COLUMNS_WHOLE if j == 0 else COLUMNS_ZOOM)
                _marks(axes, row, mine, true, line, axis, (bottom, top))
                axes.set_ylim(bottom - 0.13 * room, top + 0.17 * room)
                axes.set_xlim((span[0] + shift) * axis.scale, (span[1] + shift) * axis.scale)
                plain_ticks(axes.yaxis, 4)
                plain_ticks(axes.xaxis, 6)
            grid[i, 0].axvspan(
                (low + shift) * whole.scale, (high + shift) * whole.scale, color="#F0EBDD", linewidth=0, zorder=0
            )
            grid[i, 0].set_title(row.title, fontsize=9)
            grid[i, 1].tick_params(labelleft=False)
            i += 1
    more = f"     {K - n_drawn} further filters not shown" if K > n_drawn else ""
    grid[-1, 0].set_xlabel(whole.label("whole recording: time") + more)
    grid[-1, 1].set_xlabel(part.label("shaded part: time"))
    figure.supylabel("response" if rows_statistic is None else "response or statistic", fontsize=9)
    legend_above(figure, list(grid.flat))
    return figure


def _rows(k: int, K: int, after: Array, before: Array | None, statistic: Array | None) -> list[_Row]:
    of = f"filter {k}, " if K > 1 else ""
    rows = [] if before is None else [_Row(f"{of}before training", before[k], "#777777", False)]
    rows.append(_Row(f"{of}after training", after[k], colour_of(k), statistic is None))
    if statistic is not None:
        rows.append(_Row(f"{of}detection statistic", statistic[k], colour_of(k), True))
    return rows


def _trace(axes: Axes, row: _Row, span: tuple[float, float], axis: TimeAxis, shift: float, columns: int) -> None:
    first, last = max(0, int(span[0])), min(len(row.values), int(np.ceil(span[1])) + 1)
    if first >= last:
        raise ValueError(f"zoom: expected a part of the {len(row.values)} bins, got {span[0]:g} to {span[1]:g}")
    at, values = envelope(row.values[first:last], columns, first)
    axes.plot((at + shift) * axis.scale, values, color=row.colour, linewidth=0.7, solid_joinstyle="round")


def _marks(
    axes: Axes,
    row: _Row,
    found: Array,
    true: Array,
    line: float | None,
    axis: TimeAxis,
    frame: tuple[float, float],
) -> None:
    bottom, top = frame
    room = (top - bottom) or 1.0
    if true.size:
        y = np.full(len(true), bottom - 0.075 * room)
        axes.plot(true * axis.scale, y, "|", color=TRUE, markersize=5, markeredgewidth=1.0, label="planted")
    if line is not None:
        axes.axhline(line, color=TRUE, linestyle=(0, (4, 2)), linewidth=0.9, label="threshold")
    if row.marked and found.size:
        heights = np.full(len(found), top + 0.09 * room)
        axes.plot(found * axis.scale, heights, "v", color=TRUE, markersize=3.6, markeredgewidth=0, label="detected")
    axes.spines["left"].set_color(FAINT)
