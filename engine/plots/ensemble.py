"""How a measure is distributed over the runs of an ensemble."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from neurorbit.engine.plots.arguments import Array, count, measure_columns, number
from neurorbit.engine.plots.measures import measure_label
from neurorbit.engine.plots.style import (
    GENERATED,
    HIGHLIGHT,
    MEDIAN,
    TRUE,
    legend_above,
    log_ticks,
    note,
    panels,
    plain_ticks,
    styled,
)


def scatter_offsets(n: int, width: float = 0.28) -> Array:
    """Sideways offsets [n] that keep dots of one column apart; the golden ratio instead of a random draw."""
    return width * (2 * ((0.5 + np.arange(n) * 0.6180339887) % 1) - 1)


@styled
def measure_distributions(
    measures: Sequence[Mapping[str, Any]] | Mapping[str, Any],
    *,
    truth: Mapping[str, Any] | None = None,
    targets: Mapping[str, float] | None = None,
) -> Figure:
    """One panel per measure: a dot per run, median and quartiles, the known truth and a target where given."""
    columns = measure_columns(measures)
    if not columns:
        raise ValueError("measures: expected at least one measure with one number per run, got none")
    figure, grid = panels(len(columns), width=2.25, height=2.9, columns=4)
    for (name, values), axes in zip(columns.items(), grid, strict=True):
        _draw(axes, values, number((truth or {}).get(name)), number((targets or {}).get(name)))
        axes.set_title(measure_label(name), loc="center", fontsize=9, wrap=False)
        n_lost = int((~np.isfinite(values)).sum())
        axes.set_xlabel(count(len(values), "run") + (f", {n_lost} without a value" if n_lost else ""))
    legend_above(figure, grid)
    return figure


def _draw(axes: Axes, values: Array, truth: float, target: float) -> None:
    finite = values[np.isfinite(values)]
    axes.set(xlim=(-1, 1), xticks=[])
    if finite.size:
        axes.plot(
            scatter_offsets(finite.size), finite, "o", color=GENERATED, markersize=4.5, alpha=0.75, mew=0, label="run"
        )
        low, median, high = np.quantile(finite, [0.25, 0.5, 0.75])
        if finite.size > 2:
            axes.fill_between([-0.5, 0.5], low, high, color=GENERATED, alpha=0.18, linewidth=0, label="quartiles")
        axes.plot([-0.5, 0.5], [median, median], color=MEDIAN, linewidth=2.2, label="median")
    else:
        note(axes, "no finite value")
    if np.isfinite(truth):
        axes.axhline(truth, color=TRUE, linestyle="--", linewidth=1.2, label="truth")
    if np.isfinite(target):
        axes.axhline(target, color=HIGHLIGHT, linestyle=":", linewidth=1.6, label="target")
    marks = np.array([v for v in (truth, target) if np.isfinite(v)])
    drawn = np.concatenate([finite, marks])
    if drawn.size and (drawn > 0).all() and drawn.max() > 30 * drawn.min():
        axes.set_yscale("log")
        log_ticks(axes.yaxis)
    else:
        plain_ticks(axes.yaxis)
    axes.grid(True, axis="y", which="major")
