"""One look for every figure: true in dark grey, generated in one accent, readable with any colour vision."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import wraps
from typing import Any, ParamSpec

import matplotlib
from cycler import cycler
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

TRUE = "#333333"
GENERATED = "#D55E00"
MEDIAN = "#8C3D00"
HIGHLIGHT = "#0072B2"
FAINT = "#9A9A9A"

_RC: dict[str, Any] = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 9.0,
    "axes.titlesize": 10.0,
    "axes.titlelocation": "left",
    "axes.labelsize": 9.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#666666",
    "axes.linewidth": 0.8,
    "axes.grid": False,
    "axes.formatter.limits": (-3, 4),
    "axes.formatter.use_mathtext": True,
    "axes.prop_cycle": cycler(color=["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#333333"]),
    "xtick.labelsize": 8.0,
    "ytick.labelsize": 8.0,
    "xtick.color": "#444444",
    "ytick.color": "#444444",
    "grid.color": "#DDDDDD",
    "grid.linewidth": 0.6,
    "legend.fontsize": 8.5,
    "legend.frameon": False,
    "lines.linewidth": 1.0,
    "lines.solid_capstyle": "round",
    "figure.facecolor": "white",
    "axes.facecolor": "white",
    "savefig.facecolor": "white",
    "figure.dpi": 100.0,
    "savefig.dpi": 150.0,
    "agg.path.chunksize": 10000,
    "path.simplify": True,
}

P = ParamSpec("P")


@contextmanager
def look() -> Iterator[None]:
    """The settings of this look, in force inside the block only."""
    with matplotlib.rc_context(_RC):
        yield


def styled(draw: Callable[P, Figure]) -> Callable[P, Figure]:
    """Run a drawing function inside look()."""

    @wraps(draw)
    def inside(*args: P.args, **kwargs: P.kwargs) -> Figure:
        with look():
            return draw(*args, **kwargs)

    return inside


def panels(n: int, *, width: float, height: float, columns: int) -> tuple[Figure, list[Axes]]:
    """A figure of n panels in rows of `columns`; width and height are one panel's, in inches."""
    columns = min(columns, n)
    rows = -(-n // columns)
    figure = Figure(figsize=(width * columns, height * rows), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False)
    for spare in list(grid.flat)[n:]:
        spare.remove()
    return figure, list(grid.flat)[:n]


def legend_above(figure: Figure, grid: Sequence[Axes], columns: int = 5) -> None:
    """One legend for all panels, above them, where it covers no data; equal labels appear once."""
    entries: dict[str, Any] = {}
    for axes in grid:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            entries.setdefault(label, handle)
    if entries:
        figure.legend(
            list(entries.values()), list(entries), loc="outside upper center", ncols=min(columns, len(entries))
        )


def number_text(value: float, digits: int = 3) -> str:
    """A number for a label, with a true minus sign."""
    return f"{value:.{digits}g}".replace("-", "\N{MINUS SIGN}")


def plain_ticks(axis: Axis, n: int = 6) -> None:
    """At most n + 1 ticks as plain numbers, without a power of ten beside the axis."""
    axis.set_major_locator(MaxNLocator(nbins=n, steps=[1, 2, 2.5, 5, 10]))
    axis.set_major_formatter(FuncFormatter(lambda value, _: number_text(value, 6)))


def step_ticks(axis: Axis) -> None:
    """Training steps as 5 k, 250 k, 2 M."""
    axis.set_major_locator(MaxNLocator(nbins=5, integer=True, steps=[1, 2, 5, 10]))
    axis.set_major_formatter(FuncFormatter(lambda value, _: _short(value)))


def log_ticks(axis: Axis) -> None:
    """Powers of ten, or the plain numbers 1, 2, 5 where the axis spans less than two decades; call after drawing."""
    low, high = axis.get_view_interval()
    if low > 0 and high < 100 * low:
        axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if high < 30 * low else (1.0, 3.0)))
        axis.set_major_formatter(FuncFormatter(lambda value, _: number_text(value)))
        axis.set_minor_formatter(NullFormatter())


def _short(value: float) -> str:
    for size, letter in ((1e6, " M"), (1e3, " k")):
        if abs(value) >= size:
            return f"{number_text(value / size, 4)}{letter}"
    return number_text(value, 4)


def note(axes: Axes, text: str, *, x: float = 0.5, y: float = 0.5) -> None:
    """A remark inside a panel, in axes coordinates, for what cannot be drawn."""
    axes.annotate(text, (x, y), xycoords="axes fraction", ha="center", va="center", color="#555555", fontsize=9)
