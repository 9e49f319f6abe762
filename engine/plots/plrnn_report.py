"""The figures and the report of a PLRNN reconstruction."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from neurorbit.engine.analysis import median_mad
from neurorbit.engine.plots.arguments import (
    Array,
    Values,
    count,
    diverged_at,
    generated_orbits,
    measure_columns,
    measure_rows,
    number,
    time_step,
    true_orbit,
)
from neurorbit.engine.plots.ensemble import measure_distributions
from neurorbit.engine.plots.exponents import lyapunov_exponents
from neurorbit.engine.plots.fixed_points import FixedPointSet, fixed_points_in_plane
from neurorbit.engine.plots.measures import measure_words
from neurorbit.engine.plots.orbits import attractor_gallery, attractors, time_series, typical_run
from neurorbit.engine.plots.report import Section, png_bytes, save_figures, write_report
from neurorbit.engine.plots.spectra import power_spectra
from neurorbit.engine.plots.training import training_curves

Measures = Sequence[Mapping[str, Any]] | Mapping[str, Any]


def plrnn_figures(
    x_true: Values,
    x_generated: Values,
    metrics: Iterable[Mapping[str, Any]] | None = None,
    measures: Measures | None = None,
    *,
    truth: Mapping[str, Any] | None = None,
    targets: Mapping[str, float] | None = None,
    fixed_points: Sequence[FixedPointSet] | None = None,
    x_forecast: Values | None = None,
    dt: float = 1.0,
    time_unit: str | None = None,
    names: Sequence[str] | None = None,
) -> dict[str, Figure]:
    """Every figure of a reconstruction that its inputs allow, by name.

    x_true [T, N], x_generated [E, T', N] after the transient; metrics: rows of metrics.csv; measures: one dict per run
    (d_stsp, d_h, pe_20, lyapunov_max, and `lyapunov`: the list of exponents), or what analysis.evaluate returns; truth:
    known values under the same names, and fixed_points (a FixedPointSet or [K, N]); targets: values to reach;
    fixed_points: one set per run; x_forecast [E, S, N]: row k belongs to x_true[k]; dt: time per step.
    """
    x_true = true_orbit(x_true)
    x_generated = generated_orbits(x_generated, x_true.shape[1])
    dt, unit = time_step(dt, time_unit)
    truth = _with_largest(truth)
    metrics, rows = list(metrics or []), measure_rows(measures, len(x_generated))
    columns = measure_columns(rows)
    d_stsp = columns.get("d_stsp")
    run = typical_run(x_true, x_generated, d_stsp)
    figures = {"attractors": attractors(x_true, x_generated, run=run, names=names)}
    if len(x_generated) > 1:
        figures["runs"] = attractor_gallery(x_true, x_generated, d_stsp=d_stsp, names=names)
    series = x_generated if x_forecast is None else generated_orbits(x_forecast, x_true.shape[1])
    if len(series) != len(x_generated):
        raise ValueError(f"x_forecast: expected {len(x_generated)} runs as in x_generated, got {len(series)}")
    figures["time_series"] = time_series(x_true, series, run=run, dt=dt, time_unit=unit, names=names)
    figures["power_spectra"] = power_spectra(x_true, x_generated, dt=dt, time_unit=unit, names=names)
    if metrics:
        figures["training"] = training_curves(metrics, truth=truth)
    spectra = _spectra(rows)
    if spectra is not None:
        true = truth.get("lyapunov", truth.get("lyapunov_max"))
        figures["exponents"] = lyapunov_exponents(spectra, truth=true, time_unit=unit)
    if columns:
        figures["measures"] = measure_distributions(columns, truth=truth, targets=targets)
    if fixed_points is not None and x_true.shape[1] > 1:
        known = truth.get("fixed_points")
        known = FixedPointSet(known) if known is not None and not isinstance(known, FixedPointSet) else known
        figures["fixed_points"] = fixed_points_in_plane(x_true, fixed_points, true=known, names=names)
    return figures


def write_plrnn_report(
    folder: str | Path,
    x_true: Values,
    x_generated: Values,
    metrics: Iterable[Mapping[str, Any]] | None = None,
    measures: Measures | None = None,
    *,
    truth: Mapping[str, Any] | None = None,
    targets: Mapping[str, float] | None = None,
    fixed_points: Sequence[FixedPointSet] | None = None,
    x_forecast: Values | None = None,
    dt: float = 1.0,
    time_unit: str | None = None,
    names: Sequence[str] | None = None,
    diverged: Sequence[int] = (),
    title: str = "PLRNN reconstruction",
    intro: str = "",
) -> Path:
    """Write folder/report.html and folder/figures/NAME.png; returns the path of the report.

    diverged: runs that left the finite numbers in training; they are named and their measures left out. Otherwise as
    `plrnn_figures`.
    """
    folder = Path(folder)
    true = true_orbit(x_true)
    generated = generated_orbits(x_generated, true.shape[1])
    if diverged:
        measures = _without(measure_rows(measures, len(generated)), diverged)
    figures = plrnn_figures(
        x_true, x_generated, metrics, measures, truth=truth, targets=targets, fixed_points=fixed_points,
        x_forecast=x_forecast, dt=dt, time_unit=time_unit, names=names,
    )  # fmt: skip
    pictures = {name: png_bytes(figure) for name, figure in figures.items()}
    rows = measure_rows(measures, len(generated))
    d_stsp = measure_columns(rows).get("d_stsp")
    captions = _captions(true, typical_run(true, generated, d_stsp), d_stsp is not None, x_forecast is not None)
    sections = []
    if measure_columns(rows):
        stops = diverged_at(true, generated)
        sections.append(
            Section(
                "Measures",
                _measures_text(stops, diverged),
                table=measures_table(rows, truth=_with_largest(truth), targets=targets),
            )
        )
    for heading, members in _SECTIONS:
        drawn = [(pictures[name], captions[name]) for name in members if name in pictures]
        if drawn:
            sections.append(Section(heading, figures=drawn))
    save_figures(folder / "figures", pictures)
    return write_report(folder / "report.html", title, intro or _intro(true, generated), sections)


def measures_table(
    measures: Measures, *, truth: Mapping[str, Any] | None = None, targets: Mapping[str, float] | None = None
) -> tuple[list[str], list[list[Any]]]:
    """Columns (a measure each) and rows: median, median absolute deviation, truth, target, then every run."""
    columns = measure_columns(measures)
    if not columns:
        raise ValueError("measures: expected at least one measure with one number per run, got none")
    middle = [median_mad(values) for values in columns.values()]
    rows: list[list[Any]] = [
        ["median", *(float(m.median) for m in middle)],
        ["MAD", *(float(m.mad) for m in middle)],
    ]
    for word, given in (("truth", truth), ("target", targets)):
        known = [number((given or {}).get(name)) for name in columns]
        if np.isfinite(known).any():
            rows.append([word, *known])
    labels = _run_labels(measures, len(next(iter(columns.values()))))
    rows += [[label, *(float(values[e]) for values in columns.values())] for e, label in enumerate(labels)]
    return ["", *map(measure_words, columns)], rows


def _run_labels(measures: Measures, n_models: int) -> list[str]:
    """run 0, run 1, ...; in a grid with the settings of each."""
    if isinstance(measures, Mapping):
        return [f"run {e}" for e in range(n_models)]
    return [" ".join([f"run {e}", *(f"{n} {v:g}" for n, v in (row.get("settings") or {}).items())])
            for e, row in enumerate(measures)]  # fmt: skip


_SECTIONS = (
    ("The attractor", ("attractors", "runs", "fixed_points")),
    ("Over time and frequency", ("time_series", "power_spectra")),
    ("The ensemble", ("measures", "exponents")),
    ("Training", ("training",)),
)


def _with_largest(truth: Mapping[str, Any] | None) -> dict[str, Any]:
    """Truth, with lyapunov_max taken from the list of exponents where only that is given."""
    known = dict(truth or {})
    if known.get("lyapunov") is not None:
        known.setdefault("lyapunov_max", max(number(v) for v in known["lyapunov"]))
    return known


def _captions(true: Array, run: int, ranked: bool, forecast: bool) -> dict[str, str]:
    chosen = f"Run {run} is the middle one of the ensemble by D_stsp." if ranked else f"Run {run} is shown."
    together = (
        "Both start from the same observation; in a chaotic system they must part after a few Lyapunov times."
        if forecast
        else "Each starts where its own orbit starts: compare the kind of movement, not the moment."
    )
    plane = " Principal components of the true data." if true.shape[1] > 3 else ""
    return {
        "attractors": f"True orbit and freely generated orbit on the same axes. {chosen}{plane}",
        "runs": "The true orbit and every run" + (", with its D_stsp." if ranked else "."),
        "time_series": f"The observed variables over time, true and generated. {together}",
        "power_spectra": "Power density of each variable divided by its true variance, by Welch's method.",
        "training": "Loss, forcing and measures of every run during training.",
        "exponents": "Lyapunov exponents of each run along its own generated orbit.",
        "measures": "Each dot is one run; smaller is better for distances and errors.",
        "fixed_points": "Fixed points found in every run; the marker tells in how many directions they are unstable.",
    }


def _intro(true: Array, generated: Array) -> str:
    return (
        f"{count(len(generated), 'model')} against a test orbit of {count(len(true), 'step')} "
        f"and {count(true.shape[1], 'variable')}."
    )


def _measures_text(stops: Array, diverged: Sequence[int]) -> str:
    lost = ", ".join(f"run {e} (step {stops[e]})" for e in np.flatnonzero(stops >= 0) if e not in diverged)
    out = ", ".join(f"run {e}" for e in diverged)
    return (
        "Median and median absolute deviation (MAD) over the runs with a finite value; a dash marks a missing one."
        + (f" Left out, as they diverged in training: {out}." if out else "")
        + (f" Diverged while generating: {lost}." if lost else "")
    )


def _without(rows: Sequence[Mapping[str, Any]], diverged: Sequence[int]) -> list[Mapping[str, Any]]:
    """The measures of each run, None in place of those of the runs that diverged."""
    kept = ("run", "seed", "settings")
    return [
        {n: v if n in kept else None for n, v in row.items()} if e in diverged else row for e, row in enumerate(rows)
    ]


def _spectra(measures: Sequence[Mapping[str, Any]]) -> Array | None:
    """Exponents [E, D] from `lyapunov`, else [E, 1] from `lyapunov_max`, else None."""
    lists = [[] if row.get("lyapunov") is None else [number(v) for v in row["lyapunov"]] for row in measures]
    width = max(map(len, lists), default=0)
    if width:
        return np.array([values + [float("nan")] * (width - len(values)) for values in lists])
    if any("lyapunov_max" in row for row in measures):
        return np.array([[number(row.get("lyapunov_max"))] for row in measures])
    return None
