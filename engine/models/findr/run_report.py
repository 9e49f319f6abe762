"""Figures and report.html of a run folder."""

from __future__ import annotations

import csv
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from torch import Tensor

from neurorbit.engine.analysis import match_flow, psth_of_counts, psth_of_rates, psth_r2
from neurorbit.engine.analysis.flow_field import (
    RatePlane,
    StandstillPoints,
    flow_on_grid,
    rate_plane,
    standstill_points,
)
from neurorbit.engine.data.spike_trials import SpikeTrials
from neurorbit.engine.models.findr.fitted import FittedFindr, load
from neurorbit.engine.models.findr.fitting import sessions_of
from neurorbit.engine.models.findr.measures import best_per_fold, evaluate_fits
from neurorbit.engine.models.findr.recovery import latents, recover, true_bits
from neurorbit.engine.simulate.true_flow import true_flow
from neurorbit.engine.training.folder import RunFolder
from neurorbit.engine.training.saved import shape_folders
from neurorbit.engine.training.settings import to_dict

if TYPE_CHECKING:
    from neurorbit.engine.plots.findr_results import FindrResults, FlowPicture

_STATES = 20_000
_LEAST_TRIALS = 5


def write_run_report(
    workdir: str | os.PathLike[str],
    sessions: Sequence[SpikeTrials] | None = None,
    *,
    fold: int | None = None,
    state: Literal["best", "last"] = "best",
    title: str = "Inferred flow",
    intro: str = "",
) -> Path:
    """Write figures/ and report.html of a fit or grid; returns the report.

    Args:
        workdir: run folder. sessions: those of the fit, read again from their files when None.
        fold: whose best model is drawn; the one with the most validation bits per spike when None.
    """
    from neurorbit.engine.plots.findr_report import write_findr_report

    root = RunFolder(workdir)
    every = sessions_of(workdir) if sessions is None else list(sessions)
    results = gather_results(
        load(workdir, state=state), every, fold=fold, folders=[f.path for f in shape_folders(root)]
    )
    return write_findr_report(root.path, results, title=title, intro=intro)


def gather_results(
    fits: Sequence[FittedFindr],
    sessions: Sequence[SpikeTrials],
    *,
    fold: int | None = None,
    folders: Sequence[Path] = (),
) -> FindrResults:
    """What the report of some ensembles shows, about the first session."""
    from neurorbit.engine.plots.findr_results import FindrResults

    measures = evaluate_fits(fits, sessions, all_models=True)
    best = best_per_fold(measures["folds"])
    chosen = [row for row in best if fold is None or row["fold"] == fold]
    if not chosen:
        raise ValueError(f"fold: expected one of {', '.join(str(r['fold']) for r in best)}, got {fold}")
    row = max(chosen, key=lambda r: r["validation"]["bits_per_spike"] or -np.inf)
    fitted, model, trials = fits[row["shape"]], row["model"], sessions[0]
    z = latents(fitted, trials)[model]
    visited = z[trials.valid].double()
    plane = rate_plane(fitted.network.C()[model].cpu(), visited)
    flow = fitted.flow(model)
    still = standstill_points(flow, visited, tau_s=fitted.config.model.tau_s)
    picture = _picture(plane, flow, visited, still)
    test = trials.select(fitted.session(trials).folds[row["fold"]].test)
    observed, predicted, r2 = _psths(fitted, model, trials, z)
    return FindrResults(
        flow=picture,
        **_beside_truth(fitted, model, trials, z, still),
        input_flows=_input_flows(fitted, model, plane, picture),
        paths=_means(plane, z, trials),
        prior_paths=_means(plane, fitted.sample(trials.inputs, trials.lengths, shape=z.shape[:2])[model].cpu(), trials),
        observed=observed,
        predicted=predicted,
        r2=r2,
        bin_s=trials.bin_s,
        agreement=_agreement(fits, best, trials),
        folds=[r["fold"] for r in best],
        measures=measures | {"folds": best},
        all_models=measures["folds"],
        truth_measures={"bits per spike of the true rates, test": true_bits(test)} if trials.truth else {},
        metrics=_metrics(folders[row["shape"]]) if folders else [],
        settings=to_dict(fitted.config),
        label=_words(fits, sessions, fitted, model),
    )


def _picture(plane: RatePlane, flow: Callable[[Tensor], Tensor], z: Tensor, still: StandstillPoints) -> FlowPicture:
    from neurorbit.engine.plots.findr_results import FlowPicture

    with torch.no_grad():
        field = flow_on_grid(plane, flow, z, points=35)
    labels = [f"rate axis {k + 1}, Hz ({100 * s:.0f} %)" for k, s in enumerate(plane.share[: len(field.axes)].tolist())]
    places = plane.project(still.points).numpy()
    return FlowPicture(field, places, still.kinds, still.eigenvalues.numpy(), labels, "Hz")


def _beside_truth(
    fitted: FittedFindr, model: int, trials: SpikeTrials, z: Tensor, still: StandstillPoints
) -> dict[str, Any]:
    """The flow in the coordinates of a two-dimensional truth, and its profile along the first of them."""
    from neurorbit.engine.plots.findr_results import FlowPicture

    if trials.truth is None:
        return {}
    system, flow = true_flow(trials.truth), fitted.flow(model)
    recovery = recover(fitted, model, trials, z, still)
    match, places = recovery.match, trials.truth.z[trials.valid].double()
    found: dict[str, Any] = {"profile": recovery.profile}
    if places.shape[1] != 2:
        return found
    back = torch.linalg.pinv(match.A)
    centre = z[trials.valid].double().mean(0)

    def mapped(x: Tensor) -> Tensor:
        return flow(centre + (x - match.A @ centre - match.c) @ back.T) @ match.A.T

    flat = RatePlane(torch.zeros(2).double(), torch.eye(2).double(), torch.eye(2).double(), torch.ones(2))
    true_points = standstill_points(lambda x: system.flow(x), places, tau_s=system.tau_s)
    for name, f_of, points, at in (
        ("matched", mapped, still, recovery.places),
        ("true", lambda x: system.flow(x), true_points, true_points.points),
    ):
        with torch.no_grad():
            field = flow_on_grid(flat, f_of, places, points=35)
        labels = ["true axis 1", "true axis 2"]
        found[name] = FlowPicture(field, at.numpy(), points.kinds, points.eigenvalues.numpy(), labels)
    return found


@torch.no_grad()
def _input_flows(fitted: FittedFindr, model: int, plane: RatePlane, picture: FlowPicture) -> dict[str, Any]:
    U = fitted.network.n_inputs
    grid = torch.stack(torch.meshgrid(*picture.field.axes, indexing="ij"), -1)
    z = plane.lift(grid.flatten(0, -2))
    without = fitted.flow(model)(z)
    added = {f"input {k}": fitted.flow(model, torch.eye(U)[k])(z) - without for k in range(U)}
    return {name: (f @ plane.onto).view(grid.shape).numpy() for name, f in added.items()}


def _means(plane: RatePlane, z: Tensor, trials: SpikeTrials) -> dict[str, Any]:
    """Mean path of each condition in the plane [T, D], NaN where fewer than five trials are."""
    truth = trials.truth
    if truth is not None and truth.evidence is not None:
        labels, word = truth.evidence, "evidence"
    elif trials.choices is not None:
        labels, word = trials.choices, "choice"
    else:
        labels, word = torch.zeros(trials.n_trials), "trials"
    p, valid = plane.project(z), trials.valid.double()
    found = {}
    for value in labels.unique().tolist():
        at = labels == value
        n = valid[at].sum(0)[:, None]
        mean = (p[at] * valid[at][..., None]).sum(0) / n.clamp(min=1)
        name = word if word == "trials" else f"{word} {value:g}".replace("-", "\N{MINUS SIGN}")
        found[name] = torch.where(n >= min(_LEAST_TRIALS, int(at.sum())), mean, torch.nan).numpy()
    return found


def _psths(fitted: FittedFindr, model: int, trials: SpikeTrials, z: Tensor) -> tuple[Any, Any, Any]:
    """Of the test trials of a model: recorded, fitted, and R^2 of each neuron."""
    numbers = fitted.session(trials).folds[fitted.members[model].fold].test
    by_trial, by_bin = fitted.baseline(model, 0, trials.n_bins)
    device = by_trial.device

    @torch.no_grad()
    def rates(at: Tensor, neurons: slice) -> Tensor:
        chosen = numbers[at]
        path = z[chosen].to(device)
        return fitted.network.rates_hz(model, path, by_trial[chosen.to(device)], by_bin, 0, neurons).cpu()

    test = trials.select(numbers)
    observed, predicted = psth_of_counts(test, n_bootstrap=300), psth_of_rates(test, rates)
    return observed, predicted, psth_r2(observed, predicted)[0].numpy()


def _agreement(fits: Sequence[FittedFindr], best: Sequence[dict[str, Any]], trials: SpikeTrials) -> Any:
    """R^2 [F, F] along the leading rate axis of the row's model, of the column's flow after the best affine map."""
    states, flows, planes = [], [], []
    for row in best:
        fitted = fits[row["shape"]]
        z = latents(fitted, trials)[row["model"]][trials.valid].double()
        z = z[:: max(1, len(z) // _STATES)]
        flow = fitted.flow(row["model"])
        states.append(z)
        flows.append(flow)
        planes.append(rate_plane(fitted.network.C()[row["model"]].cpu(), z))
    found = np.ones((len(best), len(best)))
    for i, plane in enumerate(planes):
        for j, z in enumerate(states):
            if i == j:
                continue

            def there(p: Tensor, plane: RatePlane = plane, i: int = i) -> Tensor:
                return flows[i](plane.lift(p)) @ plane.onto

            with torch.no_grad():
                match = match_flow(z, plane.project(states[i]), flows[j](z), there)
            found[i, j] = float(match.flow_r2[0])
    return found


def _words(fits: Sequence[FittedFindr], sessions: Sequence[SpikeTrials], fitted: FittedFindr, model: int) -> str:
    trials = sessions[0]
    n = sum(len(f.members) for f in fits)
    more = "" if len(sessions) == 1 else f" and {len(sessions) - 1} other sessions"
    return (
        f"{n} models of {trials.n_trials} trials of {trials.n_neurons} neurons{more}. Drawn: "
        f"{fitted.members[model].label}, {fitted.config.latent_dim} latents."
    )


def _metrics(folder: Path) -> list[dict[str, str]]:
    with open(folder / "metrics.csv", newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))
