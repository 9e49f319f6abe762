"""One look for every figure: true in dark grey, generated in one accent, readable with any colour vision."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any, ParamSpec

import matplotlib
from cycler import cycler
from matplotlib.axes import Axes
from matplotlib.figure import Figure

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


def legend_above(figure: Figure, axes: Axes, columns: int = 4) -> None:
    """The legend of `axes` above all panels, where it covers no data."""
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=min(columns, max(1, len(labels))))


def note(axes: Axes, text: str, *, x: float = 0.5, y: float = 0.5) -> None:
    """A remark inside a panel, in axes coordinates, for what cannot be drawn."""
    axes.annotate(text, (x, y), xycoords="axes fraction", ha="center", va="center", color="#555555", fontsize=9)
