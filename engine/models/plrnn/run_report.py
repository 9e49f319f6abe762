"""Figures and report.html of a run folder."""

from __future__ import annotations

import csv
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from neurorbit.engine.analysis import fixed_points, generate_orbit
from neurorbit.engine.data import TimeSeries
from neurorbit.engine.models.plrnn.fitted import FittedPlrnn, evaluate_runs, load, read_config
from neurorbit.engine.models.plrnn.fitting import DataSource
from neurorbit.engine.training.diverged import check_any_survives, lost_runs, surviving
from neurorbit.engine.training.folder import RunFolder

FORECAST_STEPS = 1000
ROWS = 10_000


def write_run_reports(
    workdir: str | os.PathLike[str],
    series: TimeSeries | None = None,
    *,
    measures: Mapping[str, Any] | None = None,
    truth: Mapping[str, Any] | None = None,
    with_fixed_points: bool = False,
    title: str = "PLRNN reconstruction",
    intro: str = "",
) -> list[Path]:
    """Write figures/ and report.html of a fit, one per shape of which a run is left; returns the reports. Runs that
    diverged in training are named and take no part.

    Args:
        workdir: run folder.
        series: test data; the fit's validation data, or else its training data when None. Up to 10000 rows are shown.
        measures: result of evaluate_runs on the test data for a folder of one shape; computed when None.
        truth: known values for the tables and figures, as neurorbit.engine.plots.plrnn_figures takes them.
        with_fixed_points: search the fixed points of every run.
    """
    root = RunFolder(workdir)
    _, record = read_config(root)
    measured_on = "test data"
    if series is None:
        origin = record.get("validation") or record["data"]
        measured_on = "the validation data" if record.get("validation") else "the training data themselves"
        if origin["path"] is None:
            raise ValueError("series: the fit was given arrays, not a file: give the data for the report")
        series = DataSource.of(origin).read()
    fits = load(workdir)
    check_any_survives(fits, str(root.path))
    folders = [root.path] if len(fits) == 1 else [root.path / f"shape_{k}" for k in range(len(fits))]
    return [
        _write(
            folder,
            fitted,
            series,
            measures,
            truth,
            with_fixed_points,
            title,
            intro or _intro(fitted, record, measured_on),
        )
        for folder, fitted in zip(folders, fits, strict=True)
        if surviving(fitted)
    ]


def _write(
    folder: Path,
    fitted: FittedPlrnn,
    series: TimeSeries,
    measures: Mapping[str, Any] | None,
    truth: Mapping[str, Any] | None,
    with_fixed_points: bool,
    title: str,
    intro: str,
) -> Path:
    from neurorbit.engine.plots import write_plrnn_report

    shown = _last_rows(series)
    x_true = shown.longest()
    u = None if shown.inputs is None else shown.inputs[0]
    with torch.no_grad():
        generated = generate_orbit(fitted.model, fitted.standardiser.apply(x_true), u)
    whole = not bool(x_true[0].isnan().any())
    forecast = None
    if whole and u is None:
        run = fitted.generate(min(FORECAST_STEPS, len(x_true)) - 1, x0=x_true[0])
        forecast = torch.cat([x_true[:1].expand(len(run), 1, -1), run], 1)
        forecast[fitted.diverged] = torch.nan
    generated[fitted.diverged] = torch.nan
    found = measures or evaluate_runs([fitted], shown)
    return write_plrnn_report(
        folder,
        x_true,
        fitted.standardiser.undo(generated.float()),
        read_metrics(folder),
        found["runs"],
        diverged=lost_runs([fitted]),
        truth=truth,
        fixed_points=_fixed_points(fitted) if with_fixed_points else None,
        x_forecast=forecast,
        dt=fitted.config.evaluation.dt,
        title=title,
        intro=intro,
    )


def _intro(fitted: FittedPlrnn, record: Mapping[str, Any], measured_on: str) -> str:
    """What was fitted to what, and on which data it was measured."""
    c, m = fitted.config, fitted.config.model
    path = record["data"]["path"]
    source = "arrays" if path is None else Path(path).name
    hidden = f", H {m.hidden_dim}" if m.cell.startswith("shallow") else ""
    n = len(fitted.members)
    lowest = "d_stsp" if c.evaluation.every_epochs else "loss"
    return (
        f"{n} {'model' if n == 1 else 'models'} ({m.cell}, M {m.latent_dim}{hidden}, observation {m.observation}), "
        f"trained for {c.steps} steps on {source} (N {fitted.model.n_observed}, U {fitted.model.n_inputs}), each in "
        f"the state with the lowest {lowest} during training; measured on {measured_on} (its last {ROWS} rows at most)."
    )


def read_metrics(folder: Path) -> list[dict[str, str]]:
    """Rows of metrics.csv."""
    with open(folder / "metrics.csv", newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _last_rows(series: TimeSeries) -> TimeSeries:
    at = int(np.argmax(series.lengths))
    inputs = None if series.inputs is None else (series.inputs[at][-ROWS:],)
    return TimeSeries((series.values[at][-ROWS:],), inputs)


def _fixed_points(fitted: FittedPlrnn) -> list[Any]:
    """The fixed points of every run that is left, as observations in the units of the data."""
    from neurorbit.engine.plots import FixedPointSet

    found = []
    arguments = fitted.model.cell_arguments()
    for e in surviving(fitted):
        one = {n: v[e : e + 1] if isinstance(v, torch.Tensor) else v for n, v in arguments.items()}
        cycles = fixed_points(one)
        z = cycles.points[:, 0].float().expand(fitted.model.n_models, -1, -1)
        x = fitted.standardiser.undo(fitted.model.observe(z)[e])
        found.append(FixedPointSet.from_eigenvalues(x, cycles.eigenvalues))
    return found
