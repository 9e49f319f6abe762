"""Lyapunov exponents of the runs against the known ones."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from neurorbit.engine.plots.arguments import Array, Values, as_array, rate_unit
from neurorbit.engine.plots.ensemble import scatter_offsets
from neurorbit.engine.plots.style import FAINT, GENERATED, MEDIAN, TRUE, legend_above, note, number_text, styled

MAX_EXPONENTS = 30


@styled
def lyapunov_exponents(spectra: Values, *, truth: Values | None = None, time_unit: str = "time units") -> Figure:
    """Largest exponent of every run, and the whole spectra [E, D] when D > 1, beside the true ones where known."""
    values = as_array("spectra", spectra, "ED" if _rank(spectra) != 1 else "E")
    values = values[:, None] if values.ndim == 1 else values
    true = None if truth is None else np.sort(as_array("truth", np.atleast_1d(_plain(truth)), "D"))[::-1]
    finite = np.asarray(np.isfinite(values).all(axis=1))
    values[finite] = np.sort(values[finite], axis=1)[:, ::-1]
    two = values.shape[1] > 1
    figure = Figure(figsize=(9.0, 3.4) if two else (5.5, 3.4), layout="constrained")
    largest: Axes = figure.add_subplot(1, 2 if two else 1, 1)
    _largest(largest, values[:, 0], finite, None if true is None else float(true[0]))
    largest.set_ylabel(f"exponent ({rate_unit(time_unit)})")
    if two:
        whole: Axes = figure.add_subplot(1, 2, 2)
        _spectrum(whole, values[finite][:, :MAX_EXPONENTS], true)
        more = values.shape[1] - MAX_EXPONENTS
        whole.set_title("spectrum" + (f" (first {MAX_EXPONENTS} of {values.shape[1]})" if more > 0 else ""))
    legend_above(figure, figure.axes)
    return figure


def _largest(axes: Axes, values: Array, finite: Array, true: float | None) -> None:
    runs = np.arange(len(values))
    axes.plot(runs[finite], values[finite], "o", color=GENERATED, markersize=5, mew=0, label="run")
    if true is not None:
        axes.axhline(true, color=TRUE, linestyle="--", linewidth=1.2, label=f"truth {number_text(true)}")
        if true:
            low, high = sorted((0.95 * true, 1.05 * true))
            axes.axhspan(low, high, color=TRUE, alpha=0.1, linewidth=0, label="truth ± 5 %")
    if finite.any():
        median = float(np.median(values[finite]))
        axes.axhline(median, color=MEDIAN, linewidth=1.4, label=f"median {number_text(median)}")
    else:
        note(axes, "no run has a finite exponent")
    for run in runs[~finite]:
        axes.axvline(
            run, color=FAINT, linestyle=":", linewidth=1.2, label="diverged" if run == runs[~finite][0] else None
        )
    axes.set(xlim=(-0.6, len(values) - 0.4), xlabel="run", title="largest exponent")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(True, axis="y")


def _spectrum(axes: Axes, values: Array, true: Array | None) -> None:
    n = values.shape[1]
    offsets = scatter_offsets(len(values), 0.2)
    for i in range(n):
        axes.plot(i + 1 + offsets, values[:, i], "o", color=GENERATED, markersize=3.5, alpha=0.7, mew=0)
        if len(values):
            axes.plot([i + 0.7, i + 1.3], [np.median(values[:, i])] * 2, color=MEDIAN, linewidth=1.8)
    if true is not None:
        shown = true[:n]
        axes.hlines(
            shown, np.arange(len(shown)) + 0.55, np.arange(len(shown)) + 1.45, color=TRUE, ls="--", lw=1.2, zorder=3
        )
    axes.axhline(0, color=FAINT, linewidth=0.8, zorder=0)
    axes.set(xlim=(0.4, n + 0.6), xlabel="exponent number")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(True, axis="y")


def _plain(value: Values) -> Array:
    return np.asarray(value.detach().cpu() if hasattr(value, "detach") else value)


def _rank(value: Values) -> int:
    return _plain(value).ndim
