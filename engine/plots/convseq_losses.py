"""The loss of a sequence model and each of its terms over the steps."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from neurorbit.engine.plots.arguments import count
from neurorbit.engine.plots.measures import measure_label
from neurorbit.engine.plots.style import (
    FAINT,
    GENERATED,
    HIGHLIGHT,
    legend_above,
    panels,
    plain_ticks,
    step_ticks,
    styled,
)
from neurorbit.engine.plots.training import metric_curves

_NOT_TERMS = ("seconds", "learning_rate", "time_s")
MAX_POINTS = 2000


@styled
def loss_terms(rows: Iterable[Mapping[str, Any]], *, run: int | None = None, columns: Sequence[str] = ()) -> Figure:
    """One panel for the loss and one for each of its terms over the steps, from rows of metrics.csv.

    Every run is a thin line, `run` (the one with the smallest last loss when None) a thick one; a term that is zero
    throughout is left out; x marks where a run stopped being finite.
    """
    curves = metric_curves(rows)
    names = list(columns) or ["loss", *(n for n in curves if n != "loss" and n not in _NOT_TERMS)]
    missing = [name for name in names if name not in curves]
    if missing:
        raise ValueError(f"columns: {', '.join(missing)}: the metrics hold {', '.join(curves) or 'none'}")
    if not columns:
        names = [n for n in names if n == "loss" or any(np.nanmax(np.abs(v)) > 0 for _, v in curves[n].values())]
    last = {e: v[-1] for e, (_, v) in curves[names[0]].items() if np.isfinite(v[-1])}
    chosen = run if run is not None else min(last, key=lambda e: last[e]) if last else min(curves[names[0]])
    if chosen not in curves[names[0]]:
        raise ValueError(f"run: expected one of {', '.join(map(str, curves[names[0]]))}, got {chosen}")
    figure, grid = panels(len(names), width=3.1, height=2.3, columns=3)
    for name, axes in zip(names, grid, strict=True):
        others = [e for e in curves[name] if e != chosen]
        for e in (*others, *([chosen] if chosen in curves[name] else [])):
            steps, values = curves[name][e]
            stride = max(1, len(steps) // MAX_POINTS)
            mine = e == chosen
            axes.plot(
                steps[::stride], values[::stride], color=HIGHLIGHT if mine else FAINT,
                linewidth=1.4 if mine else 0.7, alpha=1.0 if mine else 0.6, zorder=3 if mine else 2,
                marker="." if np.isfinite(values).sum() == 1 else None,
                label=f"run {e}" if mine else count(len(others), "other run"),
            )  # fmt: skip
            finite = np.flatnonzero(np.isfinite(values))
            if finite.size and finite[-1] < len(values) - 1:
                axes.plot(steps[finite[-1]], values[finite[-1]], "x", color=GENERATED, markersize=6, zorder=4,
                          markeredgewidth=1.5, label="not finite from here")  # fmt: skip
        axes.set_title(measure_label(name))
        axes.grid(True, which="major")
        plain_ticks(axes.yaxis, 5)
        step_ticks(axes.xaxis)
    for axes in grid[-min(3, len(grid)) :]:
        axes.set_xlabel("training step")
    if len(curves[names[0]]) > 1 or any("x" == line.get_marker() for axes in grid for line in axes.get_lines()):
        legend_above(figure, grid)
    return figure
