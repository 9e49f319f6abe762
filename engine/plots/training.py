"""What happened during training: loss, forcing strength and measures of every run over the steps."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from neurorbit.engine.plots.arguments import Array, number
from neurorbit.engine.plots.measures import measure_label
from neurorbit.engine.plots.style import (
    GENERATED,
    MEDIAN,
    TRUE,
    legend_above,
    log_ticks,
    panels,
    plain_ticks,
    step_ticks,
    styled,
)

Curves = dict[int, tuple[Array, Array]]
_FIRST = ("loss", "forcing_alpha", "learning_rate")
_NOT_DRAWN = ("step", "run", "epoch")


def metric_curves(rows: Iterable[Mapping[str, Any]]) -> dict[str, Curves]:
    """Rows of metrics.csv as {column: {run: (steps, values)}}; empty cells are dropped, non-finite losses kept."""
    rows = list(rows)
    if not rows:
        raise ValueError("metrics: expected at least one row with step, run and loss, got none")
    for name in ("step", "run"):
        if name not in rows[0]:
            raise ValueError(f"metrics: column {name!r} is missing, got {', '.join(map(str, rows[0]))}")
    names = dict.fromkeys(name for row in rows for name in row)
    found: dict[str, dict[int, list[tuple[float, float]]]] = {}
    for row in rows:
        step, run = number(row["step"]), number(row["run"])
        if not (np.isfinite(step) and np.isfinite(run)):
            raise ValueError(f"metrics: expected numbers for step and run, got {row['step']!r} and {row['run']!r}")
        for name in names:
            cell = row.get(name)
            if name in _NOT_DRAWN or cell is None or cell == "":
                continue
            found.setdefault(name, {}).setdefault(int(run), []).append((step, number(cell)))
    curves: dict[str, Curves] = {}
    for name, runs in found.items():
        curves[name] = {}
        for run, pairs in sorted(runs.items()):
            steps, values = np.array(sorted(pairs, key=lambda pair: pair[0])).T
            curves[name][run] = (steps, values)
    return {name: runs for name, runs in curves.items() if any(np.isfinite(v).any() for _, v in runs.values())}


@styled
def training_curves(
    rows: Iterable[Mapping[str, Any]], *, columns: Sequence[str] | None = None, truth: Mapping[str, Any] | None = None
) -> Figure:
    """One panel per column of metrics.csv over the steps, every run thin and the median thick; x marks divergence."""
    curves = metric_curves(rows)
    if columns is None:
        columns = [name for name in _FIRST if name in curves] + [name for name in curves if name not in _FIRST]
    missing = [name for name in columns if name not in curves]
    if missing or not columns:
        raise ValueError(
            f"columns: {', '.join(missing) or 'none given'}: the metrics hold {', '.join(curves) or 'none'}"
        )
    figure, grid = panels(len(columns), width=2.95, height=2.5, columns=3)
    for name, axes in zip(columns, grid, strict=True):
        _draw(axes, name, curves[name])
        goal = number((truth or {}).get(name))
        if np.isfinite(goal):
            axes.axhline(goal, color=TRUE, linestyle="--", linewidth=1.0, label="truth")
    for axes in grid[-min(3, len(grid)) :]:
        axes.set_xlabel("training step")
    legend_above(figure, grid)
    return figure


def _draw(axes: Axes, name: str, runs: Curves) -> None:
    positive = all((v[np.isfinite(v)] > 0).all() for _, v in runs.values())
    values = np.concatenate([v[np.isfinite(v)] for _, v in runs.values()])
    log = positive and name != "forcing_alpha" and values.max() > 4 * values.min()
    lost = False
    for i, (steps, run_values) in enumerate(runs.values()):
        finite = np.isfinite(run_values)
        if not finite.any():
            continue
        stride = max(1, len(steps) // 2000)
        marker = "." if finite.sum() == 1 else None
        label = "runs" if i == 0 and len(runs) > 1 else None
        axes.plot(
            steps[::stride],
            run_values[::stride],
            color=GENERATED,
            linewidth=0.6,
            alpha=0.45,
            marker=marker,
            label=label,
        )
        if not finite[-1]:
            last = np.flatnonzero(finite)[-1]
            axes.plot(steps[last], run_values[last], "x", color=TRUE, markersize=7, markeredgewidth=1.6, zorder=4,
                      label=None if lost else "diverged")  # fmt: skip
            lost = True
    steps, median = _median(runs)
    if len(steps):
        several = len(runs) > 1
        axes.plot(
            steps,
            median,
            color=MEDIAN if several else GENERATED,
            linewidth=1.6 if several else 1.0,
            label="median" if several else "run",
        )
    if log:
        axes.set_yscale("log")
        log_ticks(axes.yaxis)
    else:
        plain_ticks(axes.yaxis)
    step_ticks(axes.xaxis)
    axes.set_title(measure_label(name))
    axes.grid(True, which="major")


def _median(runs: Curves) -> tuple[Array, Array]:
    """Median over the runs that are finite at each step."""
    steps = np.unique(np.concatenate([s for s, _ in runs.values()]))
    if len(steps) > 2000:
        steps = steps[:: len(steps) // 1000]
    table = np.full((len(runs), len(steps)), np.nan)
    for row, (s, v) in zip(table, runs.values(), strict=True):
        where = np.searchsorted(s, steps)
        where = np.minimum(where, len(s) - 1)
        hit = s[where] == steps
        row[hit] = v[where[hit]]
    table[~np.isfinite(table)] = np.nan
    some = ~np.isnan(table).all(axis=0)
    return steps[some], np.nanmedian(table[:, some], axis=0)
