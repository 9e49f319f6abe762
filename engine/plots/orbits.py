"""Attractors side by side, a gallery of every run, and time series one over the other."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from neurorbit.engine.plots.arguments import (
    Array,
    Values,
    diverged_at,
    generated_orbits,
    time_step,
    true_orbit,
    variable_names,
)
from neurorbit.engine.plots.coordinates import Coordinates, box, cut_outside, cycle_steps, fit_coordinates, thin
from neurorbit.engine.plots.style import FAINT, GENERATED, TRUE, legend_above, note, panels, plain_ticks, styled

MAX_POINTS = 8000
MAX_VARIABLES = 8
MAX_GALLERY = 24


def typical_run(x_true: Values, x_generated: Values, d_stsp: Values | None = None) -> int:
    """The run to show when one must stand for all: the middle one by d_stsp among those that stay finite."""
    x_true = true_orbit(x_true)
    x_generated = generated_orbits(x_generated, x_true.shape[1])
    stays = diverged_at(x_true, x_generated) < 0
    score = np.zeros(len(stays)) if d_stsp is None else np.asarray(d_stsp, dtype=np.float64)
    if score.shape != stays.shape:
        raise ValueError(f"d_stsp: expected one value per run [E={len(stays)}], got {list(score.shape)}")
    candidates = np.flatnonzero(stays & np.isfinite(score))
    if not candidates.size:
        candidates = np.flatnonzero(stays)
    if not candidates.size:
        return 0
    order = candidates[np.argsort(score[candidates], kind="stable")]
    return int(order[(len(order) - 1) // 2])


@styled
def attractors(
    x_true: Values, x_generated: Values, *, run: int | None = None, names: Sequence[str] | None = None
) -> Figure:
    """The true [T, N] and one generated orbit ([T, N], or `run` of [E, T, N]) side by side, on the same axes."""
    x_true = true_orbit(x_true)
    x_generated = generated_orbits(x_generated, x_true.shape[1])
    run = _checked_run(run, len(x_generated))
    coordinates = fit_coordinates(x_true, variable_names(names, x_true.shape[1]), 3)
    stop = diverged_at(x_true, x_generated)[run]
    shown = x_generated[run] if stop < 0 else x_generated[run][:stop]
    true, generated = coordinates.apply(x_true), _apply(coordinates, shown)
    low, high = box(true, [generated])
    title = f"generated (run {run})" if len(x_generated) > 1 else "generated"
    if stop >= 0:
        title += f", diverged at step {stop}"

    solid = coordinates.n_dims == 3
    figure = Figure(figsize=(9.0, 4.0) if solid else (8.4, 4.2), layout=None if solid else "constrained")
    for i, (points, colour, text) in enumerate([(true, TRUE, "true"), (generated, GENERATED, title)]):
        keyword: dict[str, Any] = {"projection": "3d"} if solid else {}
        axes: Any = figure.add_subplot(1, 2, i + 1, **keyword)
        points = cut_outside(thin(points, MAX_POINTS, float(np.linalg.norm(high - low))), low, high)
        axes.plot(*points.T, color=colour, linewidth=0.5, alpha=0.85)
        _mark_rest(axes, points, colour, float(np.linalg.norm(high - low)))
        axes.set_title(text, color=colour, loc="center")
        if not np.isfinite(points).all(axis=1).any():
            figure.text(0.25 + 0.5 * i, 0.5, "no finite point to draw", ha="center", color="#555555")
        _frame(axes, coordinates, low, high)
    if solid:
        figure.subplots_adjust(left=0.0, right=0.95, bottom=0.09, top=0.95, wspace=0.05)
    return figure


@styled
def attractor_gallery(
    x_true: Values,
    x_generated: Values,
    *,
    d_stsp: Values | None = None,
    names: Sequence[str] | None = None,
) -> Figure:
    """Every run's attractor as a small picture beside the true one, seen in the plane of its widest spread."""
    x_true = true_orbit(x_true)
    x_generated = generated_orbits(x_generated, x_true.shape[1])
    score = None if d_stsp is None else np.asarray(d_stsp, dtype=np.float64)
    stops = diverged_at(x_true, x_generated)
    n_shown = min(len(x_generated), MAX_GALLERY - 1)
    coordinates = fit_coordinates(x_true, variable_names(names, x_true.shape[1]), 2)
    true = coordinates.apply(x_true)
    orbits = [
        _apply(coordinates, x_generated[e][: stops[e]] if stops[e] >= 0 else x_generated[e]) for e in range(n_shown)
    ]
    low, high = box(true, [orbit for e, orbit in enumerate(orbits) if stops[e] < 0], expand=0.5)
    diagonal = float(np.linalg.norm(high - low))
    figure, grid = panels(n_shown + 1, width=1.65, height=1.75, columns=-(-(n_shown + 1) // (1 + n_shown // 6)))
    for i, axes in enumerate(grid):
        points = true if i == 0 else orbits[i - 1]
        points = cut_outside(thin(points, MAX_POINTS // 2, diagonal), low, high)
        colour = TRUE if i == 0 else GENERATED if stops[i - 1] < 0 else FAINT
        axes.plot(*points.T, color=colour, linewidth=0.35, alpha=0.85)
        if not np.isfinite(points).all(axis=1).any():
            note(axes, "no point inside")
        _mark_rest(axes, points, colour, diagonal)
        axes.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]), xticks=[], yticks=[])
        axes.spines[:].set(visible=True, color="#CCCCCC")
        text = "true" if i == 0 else f"run {i - 1}"
        if i and stops[i - 1] >= 0:
            text += ": diverged"
        elif i and score is not None and np.isfinite(score[i - 1]):
            text += f": {score[i - 1]:.3g}"
        axes.set_title(text, fontsize=8, loc="center", color=colour)
    left_out = len(x_generated) - n_shown
    figure.supxlabel(
        coordinates.labels[0] + (f"   ({left_out} further runs not shown)" if left_out else ""), fontsize=9
    )
    figure.supylabel(coordinates.labels[1], fontsize=9)
    return figure


@styled
def time_series(
    x_true: Values,
    x_generated: Values,
    *,
    run: int | None = None,
    dt: float = 1.0,
    time_unit: str | None = None,
    names: Sequence[str] | None = None,
    steps: int | None = None,
) -> Figure:
    """Each variable of the true and of one generated orbit over time, from their first rows on (about 25 cycles)."""
    x_true = true_orbit(x_true)
    x_generated = generated_orbits(x_generated, x_true.shape[1])
    labels = variable_names(names, x_true.shape[1])
    dt, unit = time_step(dt, time_unit)
    run = _checked_run(run, len(x_generated))
    longest = min(len(x_true), x_generated.shape[1])
    steps = min(longest, steps if steps is not None else max(50, round(25 * cycle_steps(x_true))))
    if steps < 2:
        raise ValueError(f"steps: expected at least 2 to draw, got {steps}")
    stop = diverged_at(x_true, x_generated)[run]
    n_drawn = min(x_true.shape[1], MAX_VARIABLES)
    figure, grid = panels(n_drawn, width=8.8, height=1.35 if n_drawn > 1 else 2.4, columns=1)
    generated = x_generated[run][: steps if stop < 0 else min(steps, int(stop))]
    stride = max(1, steps // 4000)
    for n, axes in enumerate(grid):
        low, high = box(x_true[:, n : n + 1], [generated[:, n : n + 1]])
        axes.plot(dt * np.arange(steps)[::stride], x_true[:steps:stride, n], color=TRUE, linewidth=1.3, label="true")
        time = dt * np.arange(len(generated))[::stride]
        text = "generated" if len(x_generated) == 1 else f"generated (run {run})"
        if len(generated):
            axes.plot(time, generated[::stride, n], color=GENERATED, linewidth=1.0, alpha=0.9, label=text)
        axes.set(ylim=(low[0], high[0]), xlim=(0, dt * (steps - 1)), ylabel=labels[n])
        if 0 <= stop < steps:
            axes.axvline(
                dt * stop, color=GENERATED, linestyle=":", linewidth=1.6, label=f"run {run} diverged at step {stop}"
            )
        if n + 1 < n_drawn:
            axes.tick_params(labelbottom=False)
    more = x_true.shape[1] - n_drawn
    grid[-1].set_xlabel(
        ("time" if unit == "time units" else f"time ({unit})")
        + (f"     {more} further variables not shown" if more else "")
    )
    figure.align_ylabels(grid)
    legend_above(figure, grid)
    return figure


def _checked_run(run: int | None, n_models: int) -> int:
    run = 0 if run is None else run
    if not 0 <= run < n_models:
        raise ValueError(f"run: expected 0..{n_models - 1} for {n_models} generated orbits, got {run}")
    return run


def _apply(coordinates: Coordinates, x: Array) -> Array:
    return coordinates.apply(x) if len(x) > 1 else np.full((1, coordinates.n_dims), np.nan)


def _mark_rest(axes: Any, points: Array, colour: str, diagonal: float) -> None:
    """A dot where an orbit came to rest, which as a line is not seen."""
    seen = points[np.isfinite(points).all(axis=1)]
    if len(seen) and np.linalg.norm(np.ptp(seen[len(seen) // 2 :], axis=0)) < 0.01 * diagonal:
        axes.plot(*seen[-1:].T, "o", color=colour, markersize=4)


def _frame(axes: Any, coordinates: Coordinates, low: Array, high: Array) -> None:
    axes.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]))
    axes.set(xlabel=coordinates.labels[0], ylabel=coordinates.labels[1])
    if coordinates.n_dims == 3:
        axes.set(zlim=(low[2], high[2]), zlabel=coordinates.labels[2])
        axes.view_init(elev=18, azim=-60)
        axes.set_box_aspect((4, 4, 3.4), zoom=1.12)
        for axis in (axes.xaxis, axes.yaxis, axes.zaxis):
            axis.pane.set(facecolor="white", edgecolor="#CCCCCC")
            axis._axinfo["grid"].update(color="#EEEEEE", linewidth=0.5)
            plain_ticks(axis, 5)
    else:
        plain_ticks(axes.xaxis)
        plain_ticks(axes.yaxis)
