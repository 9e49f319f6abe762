"""Fitted ensembles: what a fit returns and a run folder holds."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from neurorbit.engine.analysis import evaluate, median_mad
from neurorbit.engine.data import Standardiser, TimeSeries
from neurorbit.engine.models.plrnn.config import PlrnnConfig
from neurorbit.engine.models.plrnn.members import GRID
from neurorbit.engine.models.plrnn.model import Plrnn
from neurorbit.engine.training.diverged import best_surviving, check_any_survives, lost_runs, surviving
from neurorbit.engine.training.folder import RunFolder
from neurorbit.engine.training.grid import Member
from neurorbit.engine.training.saved import load_parameters, saved_settings, saved_tensors, shape_folders


@dataclass(frozen=True)
class FittedPlrnn:
    """The models of one shape, with what turns data into their units and back.

    `start` is a row of the training data in the models' units; `best_value` [E] is each state's value of the first
    measure (or of the loss), by which the best run is chosen; `diverged` [E]: runs that left the finite numbers in
    training, of which the last good state is kept.
    """

    config: PlrnnConfig
    members: tuple[Member, ...]
    model: Plrnn
    standardiser: Standardiser
    start: Tensor
    best_value: Tensor
    diverged: Tensor

    @property
    def best_run(self) -> int:
        """The run with the lowest value in training, of those that did not diverge; ValueError when none is left."""
        return best_surviving(self, self.best_value)

    def generate(self, steps: int, *, x0: Any = None, u: Any = None) -> Tensor:
        """Free orbit of every model in the units of the data, [E, steps, N], from the observation x0 [N].

        Args:
            steps: rows to generate.
            x0: observation before the first generated row; a row of the training data when None.
            u: inputs [steps, U], for models with inputs.
        """
        if steps < 1:
            raise ValueError(f"steps: expected at least 1, got {steps}")
        device = self.model.A.device
        first = self.start if x0 is None else self.standardiser.apply(torch.as_tensor(x0, dtype=torch.float32))
        if first.shape != self.start.shape:
            raise ValueError(f"x0: expected [N={len(self.start)}], got {list(first.shape)}")
        inputs = None
        if u is not None:
            inputs = torch.as_tensor(u, dtype=torch.float32).to(device)
            if inputs.shape != (steps, self.model.n_inputs):
                raise ValueError(f"u: expected [steps={steps}, U={self.model.n_inputs}], got {list(inputs.shape)}")
            inputs = inputs[None, None]
        with torch.no_grad():
            z = self.model.free_run(self.model.initial_state(first.to(device)[None, None]), steps, u=inputs)
            return self.standardiser.undo(self.model.observe(z)[:, 0].cpu())

    def measures(self, series: TimeSeries, **options: Any) -> dict[str, Any]:
        """All measures on the longest sequence of a test series in the units of the data; options as `evaluate`."""
        check_same_variables(self, series)
        device = self.model.A.device
        x = series.longest()
        n_ahead = options.get("n_ahead", 20)
        if len(x) <= n_ahead:
            raise ValueError(f"data: expected more than {n_ahead} rows for pe_{n_ahead}, got {len(x)}")
        at = next(i for i, v in enumerate(series.values) if v is x)
        u = None if series.inputs is None else series.inputs[at].to(device)
        options.setdefault("generator", torch.Generator().manual_seed(0))
        options.setdefault("dt", self.config.evaluation.dt)
        with torch.no_grad():
            return evaluate(self.model, self.standardiser.apply(x).to(device), u=u, **options)


def check_same_variables(fitted: FittedPlrnn, series: TimeSeries) -> None:
    """ValueError when the data do not fit the models."""
    if series.n_observed != fitted.model.n_observed:
        raise ValueError(
            f"data: expected N={fitted.model.n_observed} variables as in the fit, got N={series.n_observed}"
        )
    if series.n_inputs != fitted.model.n_inputs:
        raise ValueError(f"data: expected U={fitted.model.n_inputs} inputs as in the fit, got U={series.n_inputs}")


def evaluate_runs(fits: Sequence[FittedPlrnn], series: TimeSeries, **options: Any) -> dict[str, Any]:
    """Measures of every run with their median and median absolute deviation, as plain values that json can write.

    {"runs": [{"run", "seed", "d_stsp", "d_h", "pe_20", "lyapunov_max", "lyapunov", ...}], "diverged", "median", "mad",
    "variants"}; None stands for a value that is not finite. "diverged" names runs that left the finite numbers in
    training: the medians are without them. Runs of a grid carry their "settings", and "by_settings" holds median and
    MAD for each of them. "dropped_rows" counts rows with a NaN, which d_stsp and d_h leave out, if there are any.
    """
    check_any_survives(fits)
    diverged = lost_runs(fits)
    runs: list[dict[str, Any]] = []
    names: list[str] = []
    result: dict[str, Any] = {}
    varied = _varied_shapes(fits)
    for fitted in fits:
        found = fitted.measures(series, **options)
        result = {"variants": found["variants"]}
        if found["dropped_rows"]:
            result["dropped_rows"] = found["dropped_rows"]
        tensors = {n: v.double().cpu() for n, v in found.items() if isinstance(v, Tensor)}
        names = [n for n, v in tensors.items() if v.ndim == 1]
        for e, member in enumerate(fitted.members):
            run: dict[str, Any] = {"run": len(runs), "seed": member.seed}
            settings = {n: member.settings[n] for n in member.varied} | {n: _shape(fitted)[n] for n in varied}
            if settings:
                run["settings"] = settings
            runs.append(run | {n: _plain(v[e].tolist()) for n, v in tensors.items()})
    groups: list[list[dict[str, Any]]] = []
    for run in runs:
        same = next((g for g in groups if g[0].get("settings") == run.get("settings")), None)
        groups.append([run]) if same is None else same.append(run)
    if len(groups) > 1:
        result["by_settings"] = [
            {"settings": g[0]["settings"], "runs": len(g), **_centre(g, diverged, names)} for g in groups
        ]
    return {"runs": runs, "diverged": diverged, **_centre(runs, diverged, names), **result}


def _centre(runs: Sequence[dict[str, Any]], diverged: Sequence[int], names: Sequence[str]) -> dict[str, Any]:
    """Median and median absolute deviation of the finite values of the runs that did not diverge."""
    nan = math.nan
    found = {n: median_mad([nan if r[n] is None or r["run"] in diverged else r[n] for r in runs]) for n in names}
    return {
        "median": {n: _plain(float(m.median)) for n, m in found.items()},
        "mad": {n: _plain(float(m.mad)) for n, m in found.items()},
    }


def _shape(fitted: FittedPlrnn) -> dict[str, int]:
    model, training = fitted.config.model, fitted.config.training
    return dict(zip(GRID.of_shape, (model.latent_dim, model.hidden_dim, training.sequence_length), strict=True))


def _varied_shapes(fits: Sequence[FittedPlrnn]) -> list[str]:
    """The settings of shape that are not the same in all fits."""
    return [n for n in GRID.of_shape if len({_shape(f)[n] for f in fits}) > 1]


def generate_runs(
    fits: Sequence[FittedPlrnn],
    steps: int,
    *,
    run: int | Literal["all"] | None = None,
    series: TimeSeries | None = None,
) -> Tensor:
    """Free orbits in the units of the data: [steps, N] of one run (the best when None), [runs, steps, N] of all.

    The start is the first whole row of `series`, whose inputs drive models with inputs; or a row of the training data.
    """
    x0 = u = None
    if series is not None:
        check_same_variables(fits[0], series)
        x = series.longest()
        whole = (~x.isnan().any(1)).nonzero().flatten()
        if len(whole) == 0:
            raise ValueError("data: no row without NaN to start from")
        first = int(whole[0])
        x0 = x[first]
        if series.inputs is not None:
            at = next(i for i, v in enumerate(series.values) if v is x)
            u = series.inputs[at][first + 1 : first + 1 + steps]
            if len(u) < steps:
                raise ValueError(f"steps: expected at most {len(u)}, the inputs after the first row, got {steps}")
    elif fits[0].model.n_inputs:
        raise ValueError("data: is needed for its inputs, which the models were fitted with")
    if run == "all":
        return torch.cat([f.generate(steps, x0=x0, u=u) for f in fits])
    places = [(f, e) for f in fits for e in range(len(f.members))]
    if run is None:
        check_any_survives(fits)
        bests = [(f, f.best_run) for f in fits if surviving(f)]
        place = min(bests, key=lambda one: float(one[0].best_value[one[1]].nan_to_num(nan=math.inf)))
    elif 0 <= run < len(places):
        place = places[run]
    else:
        raise ValueError(f"run: expected 0 to {len(places) - 1}, got {run}")
    return place[0].generate(steps, x0=x0, u=u)[place[1]]


def load(
    workdir: str | os.PathLike[str], *, state: Literal["best", "last"] = "best", device: str = "cpu"
) -> list[FittedPlrnn]:
    """The fitted ensembles of a run folder, one per shape: each run's best state, or its last."""
    return [_load_one(folder, state, device) for folder in shape_folders(RunFolder(workdir))]


def read_config(folder: RunFolder) -> tuple[PlrnnConfig, dict[str, Any]]:
    """The settings of a run folder, checked, and the whole content of its config.json."""
    return saved_settings(folder, PlrnnConfig, "plrnn", "a PLRNN fit")


def _load_one(folder: RunFolder, state: str, device: str) -> FittedPlrnn:
    config, content = read_config(folder)
    return build(
        config, content["data"]["n_observed"], content["data"]["n_inputs"], saved_tensors(folder, state), device
    )


def build(
    config: PlrnnConfig, n_observed: int, n_inputs: int, tensors: dict[str, Tensor], device: str = "cpu"
) -> FittedPlrnn:
    """A fitted ensemble from the tensors of best.safetensors or of a checkpoint."""
    found = tuple(GRID.members(config))
    model = Plrnn(config.model, n_observed, n_inputs=n_inputs, seeds=[m.seed for m in found], backend=config.backend)
    load_parameters(model, tensors)
    standardiser = Standardiser.from_tensors({n: tensors[f"constants/standardiser/{n}"] for n in ("mean", "sd")})
    model = model.to(device).requires_grad_(False)
    start, best_value, lost = tensors["constants/start"], tensors["best_value"], ~tensors["alive"].cpu()
    return FittedPlrnn(config, found, model, standardiser, start, best_value, lost)


def _plain(value: Any) -> Any:
    if isinstance(value, list):
        return [_plain(v) for v in value]
    return value if math.isfinite(value) else None
