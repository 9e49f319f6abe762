"""The recording with its neurons sorted by one filter's lag: a stretch with detections, and the average around them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from neurorbit.engine.plots.arguments import Array, Values, count
from neurorbit.engine.plots.convseq_arguments import (
    Recording,
    by_lag,
    filter_rows,
    one_row,
    peak_lags,
)
from neurorbit.engine.plots.convseq_axes import TimeAxis, colour_of, neuron_ticks, time_axis
from neurorbit.engine.plots.convseq_thinning import busiest_stretch, fewer_columns, fewer_rows
from neurorbit.engine.plots.style import FAINT, TRUE, note, plain_ticks, styled

MAX_ROWS, MAX_COLUMNS, MAX_MARKS = 240, 1600, 150_000


@dataclass(frozen=True)
class AlignedAverage:
    """Average around detections: events (or activity) per bin [N, L], and the middle lag [L] of each column in bins."""

    rate: Array
    lag_bins: Array
    n_detections: int


def aligned_average(recording: Recording, times: Values, width: int, *, columns: int = 50) -> AlignedAverage:
    """Mean activity per bin of each neuron over lags -width/2..width/2 around the middle times [D], in `columns` steps.

    Detections whose window leaves the recording take no part.
    """
    if width < 1:
        raise ValueError(f"width: expected at least 1 bin, got {width}")
    N, T = recording.n_neurons, recording.n_bins
    start = np.rint(one_row("times", times) - width / 2).astype(int)
    start = start[(start >= 0) & (start + width <= T)]
    columns = int(min(columns, width))
    edges = np.linspace(0, width, columns + 1).round().astype(int)
    column = np.repeat(np.arange(columns), np.diff(edges))  # [W]
    total = np.zeros((N, columns))
    if hasattr(recording, "x"):
        x = _values(recording)
        for s in start:
            total += np.add.reduceat(x[:, s : s + width], edges[:-1], axis=1)
    else:
        when = np.asarray(recording.times)
        order = np.argsort(when, kind="stable")
        when, who = when[order], np.asarray(recording.neurons)[order]
        how_many = np.asarray(recording.counts)[order]
        for s in start:
            a, b = np.searchsorted(when, [s, s + width])
            np.add.at(total, (who[a:b], column[when[a:b] - s]), how_many[a:b])
    middle = (edges[:-1] + edges[1:] - 1) / 2 - width / 2
    return AlignedAverage(total / np.diff(edges) / max(1, len(start)), middle, len(start))


@styled
def sorted_raster(
    recording: Recording,
    w: Values,
    times: Values,
    *,
    sequence: int = 0,
    neurons: Values | None = None,
    truth_times: Values = (),
    stretch: tuple[float, float] | None = None,
    shift: float = 0.0,
) -> Figure:
    """A stretch of the recording with neurons sorted by the peak lag of filter w [N, W], and the average at detections.

    times [D]: detections (middles, in bins) of this sequence; neurons [M]: those to show, all when None;
    truth_times: planted middles; stretch: first and last bin to show, the one with the most detections when None;
    shift: bins from the middle of the filter's window to that of the sequence, which its peaks are moved by.
    """
    weights = filter_rows("w", w)[0]
    if len(weights) != recording.n_neurons:
        raise ValueError(f"w: expected [N={recording.n_neurons}, W] as in the recording, got {list(weights.shape)}")
    W = weights.shape[1]
    found, true = one_row("times", times), one_row("truth_times", truth_times)
    order = by_lag(weights)
    if neurons is not None:
        chosen = np.unique(np.asarray(neurons, dtype=int))
        if chosen.size and not (0 <= chosen[0] and chosen[-1] < len(weights)):
            raise ValueError(f"neurons: expected 0..{len(weights) - 1}, got {chosen[0]}..{chosen[-1]}")
        order = order[np.isin(order, chosen)]
    if not order.size:
        raise ValueError("neurons: expected at least one to show, got none")
    T = recording.n_bins
    low, high = stretch or busiest_stretch(found, max(4 * W, min(10 * W, 1800)), T, W / 2)
    low, high = max(0, int(low)), min(T, int(high))
    if low >= high:
        raise ValueError(f"stretch: expected a part of the {T} bins, got {low} to {high}")
    figure = Figure(figsize=(9.8, 4.6), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(2.6, 1.0), sharey=True)
    axis, colour, M = time_axis(high, recording.bin_s), colour_of(sequence), len(order)
    for t in found[(found > low - W) & (found < high + W)]:
        left.axvspan((t - W / 2) * axis.scale, (t + W / 2) * axis.scale, color=colour, alpha=0.09, linewidth=0)
    if hasattr(recording, "x"):
        _activity(left, _values(recording)[order, low:high], (low, high), axis, M)
    else:
        _spikes(left, recording, order, found, W, (low, high), axis, colour)
    seen = found[(found >= low) & (found < high)]
    left.plot(seen * axis.scale, np.full(len(seen), 1.02), "v", transform=left.get_xaxis_transform(), color=colour,
              clip_on=False, markersize=6, markeredgewidth=0, label="detected")  # fmt: skip
    known = true[(true >= low) & (true < high)]
    if true.size:
        left.plot(known * axis.scale, np.full(len(known), 1.055), "|", transform=left.get_xaxis_transform(),
                  color=TRUE, clip_on=False, markersize=7, markeredgewidth=1.3, label="planted")  # fmt: skip
    left.set(xlim=(low * axis.scale, high * axis.scale), ylim=(M - 0.5, -0.5), xlabel=axis.label())
    some = "" if M == recording.n_neurons else f"{M} of "
    left.set_ylabel(f"{some}{count(recording.n_neurons, 'neuron')}, sorted by lag")
    plain_ticks(left.xaxis, 8)
    neuron_ticks(left.yaxis)
    lag = peak_lags(weights)[order] - W / 2 - shift
    _average(figure, right, aligned_average(recording, found, W), order, lag, W, recording)
    handles, labels = left.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper left", ncols=2)
    return figure


def _spikes(
    axes: Axes,
    recording: Any,
    order: Array,
    found: Array,
    W: int,
    span: tuple[int, int],
    axis: TimeAxis,
    colour: str,
) -> None:
    row = np.full(recording.n_neurons, -1)
    row[order] = np.arange(len(order))
    times, who = np.asarray(recording.times), row[np.asarray(recording.neurons)]
    shown = (times >= span[0]) & (times < span[1]) & (who >= 0)
    times, who = times[shown], who[shown]
    inside = np.zeros(len(times), bool)
    for t in found:
        inside |= np.abs(times - t) <= W / 2
    if len(times) > MAX_MARKS:
        _activity(axes, _counts(times - span[0], who, len(order), span[1] - span[0]), span, axis, len(order))
        return
    size = float(np.clip(5.6 - 0.95 * np.log10(len(times) + 1), 0.7, 4.5))
    for part, shade, z in ((~inside, "#8A8A8A", 2), (inside, colour, 3)):
        axes.plot(
            times[part] * axis.scale,
            who[part],
            linestyle="",
            marker="|" if len(order) <= 60 else ".",
            markersize=min(9.0, 230 / len(order)) if len(order) <= 60 else size,
            markeredgewidth=1.0 if len(order) <= 60 else 0,
            color=shade,
            rasterized=True,
            zorder=z,
        )


def _values(recording: Any) -> Array:
    """x [N, T] of a DenseRecording, not copied."""
    x: Array = np.asarray(recording.x)
    if x.shape != (recording.n_neurons, recording.n_bins):
        raise ValueError(f"recording.x: expected [N={recording.n_neurons}, T={recording.n_bins}], got {list(x.shape)}")
    return x


def _counts(times: Array, rows: Array, M: int, T: int) -> Array:
    """Events per cell of a grid that a picture can show, [rows, columns]."""
    m, n = min(M, 2 * MAX_ROWS), min(T, MAX_COLUMNS)
    cells: Array = np.bincount((rows * m // M) * n + times * n // T, minlength=m * n).reshape(m, n)
    return cells.astype(np.float64)


def _activity(axes: Axes, x: Array, span: tuple[int, int], axis: TimeAxis, n_rows: int) -> None:
    picture = fewer_columns(fewer_rows(x, 2 * MAX_ROWS), MAX_COLUMNS)
    low, high = np.nanquantile(x, [0.02, 0.998])
    axes.imshow(picture, aspect="auto", cmap="Greys", vmin=low, vmax=max(high, low + 1e-9), interpolation="nearest",
                extent=(span[0] * axis.scale, span[1] * axis.scale, n_rows - 0.5, -0.5))  # fmt: skip


def _average(
    figure: Figure, axes: Axes, average: AlignedAverage, order: Array, lag: Array, width: int, recording: Recording
) -> None:
    axis, events = time_axis(width, recording.bin_s), not hasattr(recording, "x")
    span = ((-width / 2 - 0.5) * axis.scale, (width / 2 - 0.5) * axis.scale)
    axes.set_title(f"average of {count(average.n_detections, 'detection')}", fontsize=9)
    axes.set_xlabel(axis.label("time from detection"))
    axes.tick_params(labelleft=False)
    axes.spines["left"].set_color(FAINT)
    plain_ticks(axes.xaxis, 4)
    axes.set(xlim=(-width / 2 * axis.scale, width / 2 * axis.scale), autoscale_on=False)
    if not average.n_detections:
        note(axes, "no detection with\na whole window")
        return
    rate = average.rate[order] / ((recording.bin_s or 1.0) if events else 1.0)
    starts = np.linspace(0, len(rate), min(len(rate), MAX_ROWS) + 1).astype(int)
    joined = np.add.reduceat(rate, starts[:-1], axis=0) / np.diff(starts)[:, None]
    low, high = 0.0 if events else float(joined.min()), float(np.quantile(joined, 0.998))
    image = axes.imshow(
        joined, aspect="auto", cmap="Greys", vmin=low, vmax=high if high > low else low + 1.0, interpolation="nearest",
        extent=(*span, len(rate) - 0.5, -0.5),
    )  # fmt: skip
    axes.plot(lag * axis.scale, np.arange(len(lag)), color="#D55E00", linewidth=1.0, alpha=0.55, label="filter's peak")
    axes.legend(loc="lower left", frameon=True, framealpha=0.85, edgecolor="none", fontsize=7.5)
    bar = figure.colorbar(image, ax=axes, pad=0.02, aspect=35)
    bar.set_label("activity" if not events else "rate (events per bin)" if recording.bin_s is None else "rate (Hz)")
    bar.outline.set_visible(False)  # type: ignore[operator]
