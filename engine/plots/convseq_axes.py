"""Colours, time axes and ticks of the sequence figures."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from matplotlib.axis import Axis
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.ticker import MaxNLocator

# Okabe and Ito's colours, distinguishable with any colour vision; filters beyond the seventh start anew.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7A5C00")
INK = LinearSegmentedColormap.from_list("ink", ["#FFFFFF", "#BCD6EA", "#4A93C3", "#0B4F82", "#071D33"])


@dataclass(frozen=True)
class TimeAxis:
    """Bins as time on an axis: multiply by `scale`, label with `unit`."""

    scale: float
    unit: str

    def label(self, word: str = "time") -> str:
        """The label of an axis."""
        return f"{word} ({self.unit})"


def time_axis(n_bins: float, bin_s: float | None) -> TimeAxis:
    """Seconds, minutes or hours by the length to show; bins where their width is not known."""
    if bin_s is None:
        return TimeAxis(1.0, "bins")
    if not (np.isfinite(bin_s) and bin_s > 0):
        raise ValueError(f"bin_s: expected a positive width in seconds, got {bin_s!r}")
    length = n_bins * bin_s
    for limit, seconds, unit in ((1.0, 1e-3, "ms"), (3000.0, 1.0, "s"), (36000.0, 60.0, "min")):
        if length <= limit:
            return TimeAxis(bin_s / seconds, unit)
    return TimeAxis(bin_s / 3600.0, "h")


def colour_of(k: int) -> str:
    """The colour of filter k."""
    return COLOURS[k % len(COLOURS)]


def neuron_ticks(axis: Axis, n: int = 6) -> None:
    """At most n + 1 ticks, at whole numbers."""
    axis.set_major_locator(MaxNLocator(nbins=n, integer=True, steps=[1, 2, 5, 10], min_n_ticks=1))
