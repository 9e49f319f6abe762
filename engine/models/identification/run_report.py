"""Figures and report.html of a run folder."""

from __future__ import annotations

import csv
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from neurorbit.engine.analysis import LeakyNetwork, SlowPoints, decode_heading, slow_points
from neurorbit.engine.data.rate_trials import RateTrials
from neurorbit.engine.models.identification.fitted import FittedIdentification, load
from neurorbit.engine.models.identification.fitting import trials_of
from neurorbit.engine.models.identification.measures import (
    SILENT_STEPS,
    STEPS,
    compass_preferred,
    evaluate_runs,
    first_trials,
)
from neurorbit.engine.training.diverged import check_any_survives
from neurorbit.engine.training.folder import RunFolder
from neurorbit.engine.training.settings import to_dict

if TYPE_CHECKING:
    from neurorbit.engine.plots.identification_results import RecoveredNetwork

SLOW_STARTS, SLOW_STEPS, SLOW_UNITS = 24, 40, 400


def write_run_reports(
    workdir: str | os.PathLike[str],
    trials: RateTrials | None = None,
    *,
    control: str | os.PathLike[str] | None = None,
    targets: Mapping[str, float] | None = None,
    title: str = "Identified connectivity",
    intro: str = "",
) -> list[Path]:
    """Write figures/ and report.html of a fit, one per shape of which a run is left; returns the reports. Runs that
    diverged in training are left out.

    Args:
        workdir: run folder.
        trials: for the free runs and the measures; those of the fit, read again from their file, when None.
        control: run folder of a fit of the same units without separated inputs, shown beside it.
        targets: values to reach, by measure.
    """
    root = RunFolder(workdir)
    if trials is None:
        trials = trials_of(workdir)
    fits = load(workdir)
    check_any_survives(fits, str(root.path))
    other = None if control is None else load(control)[0]
    if other is not None:
        check_any_survives([other], f"control {control}")
    folders = [root.path] if len(fits) == 1 else [root.path / f"shape_{k}" for k in range(len(fits))]
    return [
        _write(folder, fitted, other, trials, dict(targets or {}), title, intro)
        for folder, fitted in zip(folders, fits, strict=True)
        if fitted.surviving
    ]


def _write(
    folder: Path,
    fitted: FittedIdentification,
    control: FittedIdentification | None,
    trials: RateTrials,
    targets: Mapping[str, float],
    title: str,
    intro: str,
) -> Path:
    from neurorbit.engine.plots.identification_report import write_identification_report
    from neurorbit.engine.plots.identification_results import IdentificationResults

    few = first_trials(trials, STEPS + 1)
    ring = trials.headings is not None and trials.headings.ndim == 2
    preferred = compass_preferred(trials) if ring else None
    activity = few.activity[:, 1:].float().masked_fill(few.missing[:, 1:], torch.nan)
    results = IdentificationResults(
        activity=activity.numpy(),
        inputs=few.inputs[:, 1:].numpy(),
        recovered=_recovered(fitted, trials, few, preferred, "recovered", with_slow_points=ring),
        headings=None if few.headings is None else few.headings[:, 1:].numpy(),
        preferred=preferred,
        control=None if control is None else _recovered(control, trials, few, preferred, "control"),
        truth=trials.truth,
        metrics=_metrics(folder),
        settings=to_dict(fitted.config),
        targets=targets,
        dt_s=trials.dt_s,
        unit="spikes per step" if trials.kind == "spikes" else "rate",
    )
    return write_identification_report(folder, results, title=title, intro=intro)


def _recovered(
    fitted: FittedIdentification,
    trials: RateTrials,
    few: RateTrials,
    preferred: np.ndarray | None,
    label: str,
    *,
    with_slow_points: bool = False,
) -> RecoveredNetwork:
    from neurorbit.engine.plots.identification_results import RecoveredNetwork

    run, n, kept = fitted.best_run, fitted.n_observed, fitted.surviving
    start = fitted.start_rates(few)
    rates = fitted.free_run(few.inputs[:, 1:], start[:, 0])[run]
    last = fitted.silent_run(start[:, -1], SILENT_STEPS)[run]
    silent = None if preferred is None else decode_heading(last[..., :n], preferred)
    slow = _slow_points(fitted, run, last[:, -1]) if with_slow_points else None
    measures: Sequence[Mapping[str, Any]] = evaluate_runs([fitted], trials)["runs"]
    return RecoveredNetwork(
        fitted.W()[kept].numpy(), rates.numpy(), silent=silent, slow=slow, measures=[measures[e] for e in kept],
        run=kept.index(run), label=label, diverged=[e for e in range(len(measures)) if e not in kept],
    )  # fmt: skip


def _slow_points(fitted: FittedIdentification, run: int, rates: torch.Tensor) -> SlowPoints | None:
    """From the last states [B, N] of silent runs, as rates stand for states there."""
    network = fitted.network
    starts = rates[rates.isfinite().all(1)][:SLOW_STARTS]
    if network.config.unit_norm or network.n_units > SLOW_UNITS or not len(starts):
        return None
    bias = None if network.b is None else network.b[run]
    alpha = float(fitted.members[run].settings["alpha"])
    step = LeakyNetwork.of(fitted.W()[run], bias, alpha=alpha, phi=network.config.phi)
    return slow_points(step, starts, max_steps=SLOW_STEPS)


def _metrics(folder: Path) -> list[dict[str, str]]:
    with open(folder / "metrics.csv", newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))
