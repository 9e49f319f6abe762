"""Fitted ensembles: what an identification returns and a run folder holds."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from neurorbit.engine.data.rate_trials import RateTrials
from neurorbit.engine.models.identification.config import IdentificationConfig
from neurorbit.engine.models.identification.members import GRID
from neurorbit.engine.models.identification.network import LeakyRnn
from neurorbit.engine.models.identification.prepared import Scaling, start_rates
from neurorbit.engine.training.diverged import best_surviving, surviving
from neurorbit.engine.training.folder import RunFolder
from neurorbit.engine.training.grid import Member
from neurorbit.engine.training.saved import load_parameters, saved_settings, saved_tensors, shape_folders

SILENT_STEPS = 1000


@dataclass(frozen=True, eq=False)
class FittedIdentification:
    """The networks of one shape. `loss` [E] is each state's error in training, by which the best run is chosen;
    `diverged` [E]: runs that left the finite numbers in training, of which the last good state is kept."""

    config: IdentificationConfig
    members: tuple[Member, ...]
    network: LeakyRnn
    scaling: Scaling
    loss: Tensor
    diverged: Tensor

    @property
    def best_run(self) -> int:
        """The run with the lowest error in training, of those that did not diverge."""
        return best_surviving(self, self.loss)

    @property
    def surviving(self) -> list[int]:
        """The runs that did not diverge."""
        return surviving(self)

    @property
    def n_observed(self) -> int:
        """n."""
        return self.network.n_observed

    @torch.no_grad()
    def W(self) -> Tensor:
        """Weights [E, N, N] of all units, the observed ones first; W[i, j] from unit i to unit j."""
        return self.network.weights().detach().cpu()

    def response_block(self) -> Tensor:
        """Weights [E, n, n] among the observed units."""
        return self.W()[:, : self.n_observed, : self.n_observed]

    def start_rates(self, trials: RateTrials) -> Tensor:
        """Rates [B, T, n] in the models' units that a run may start from, at every step of the trials."""
        check_same_units(self, trials)
        return start_rates(trials, self.scaling, self.config.loss.start_bins)

    @torch.no_grad()
    def free_run(self, inputs: Tensor, rates: Tensor) -> Tensor:
        """Rates [E, B, T, N] of all units, driven by the inputs alone, without noise.

        Args:
            inputs: [B, T, U]. rates: [B, n] of the observed units before the first step, in the models' units.
        """
        B, n = rates.shape
        if n != self.n_observed or inputs.ndim != 3 or len(inputs) != B or inputs.shape[2] != self.network.n_inputs:
            raise ValueError(
                f"inputs, rates: expected [B, T, U={self.network.n_inputs}] and [B, n={self.n_observed}], got "
                f"{list(inputs.shape)} and {list(rates.shape)}"
            )
        device = self.network.alpha.device
        u0 = self.network.start(rates.to(device)[None])
        return self.network.rollout(u0, inputs.to(device)[None]).r.cpu()

    def silent_run(self, rates: Tensor, steps: int = SILENT_STEPS) -> Tensor:
        """Rates [E, B, steps, N] of all units with inputs of 0."""
        return self.free_run(torch.zeros(len(rates), steps, self.network.n_inputs), rates)


def check_same_units(fitted: FittedIdentification, trials: RateTrials) -> None:
    """ValueError when the data do not fit the models."""
    network = fitted.network
    if trials.n_observed != network.n_observed:
        more = f"; its network has {network.n_units} units" if trials.n_observed > network.n_units else ""
        raise ValueError(
            f"data: expected n={network.n_observed} observed units as in the fit, got {trials.n_observed}{more}"
        )
    if trials.n_inputs != network.n_inputs:
        raise ValueError(f"data: expected U={network.n_inputs} inputs as in the fit, got U={trials.n_inputs}")
    if trials.kind != fitted.scaling.kind:
        raise ValueError(f"data: expected {fitted.scaling.kind} as in the fit, got {trials.kind}")


def load(
    workdir: str | os.PathLike[str], *, state: Literal["best", "last"] = "best", device: str = "cpu"
) -> list[FittedIdentification]:
    """The fitted ensembles of a run folder, one per shape: each run's best state, or its last."""
    return [_load_one(folder, state, device) for folder in shape_folders(RunFolder(workdir))]


def read_config(folder: RunFolder) -> tuple[IdentificationConfig, dict[str, Any]]:
    """The settings of a run folder, checked, and the whole content of its config.json."""
    return saved_settings(folder, IdentificationConfig, "identification", "an identification")


def _load_one(folder: RunFolder, state: str, device: str) -> FittedIdentification:
    config, content = read_config(folder)
    data = content["data"]
    return build(config, data["n_observed"], data["n_inputs"], data["kind"], saved_tensors(folder, state), device)


def build(
    config: IdentificationConfig,
    n_observed: int,
    n_inputs: int,
    kind: str,
    tensors: dict[str, Tensor],
    device: str = "cpu",
) -> FittedIdentification:
    """A fitted ensemble from the tensors of best.safetensors or of a checkpoint."""
    found = tuple(GRID.members(config))
    network = LeakyRnn(
        config.model,
        n_observed + config.n_hidden,
        n_observed,
        n_inputs=n_inputs,
        separate_inputs=config.separate_inputs,
        seeds=[m.seed for m in found],
        alpha=torch.tensor([m.settings["alpha"] for m in found]),
        backend=config.backend,
    )
    load_parameters(network, tensors, input_scale=tensors["constants/input_scale"])
    scaling = Scaling(kind, float(tensors["constants/gain"]))
    return FittedIdentification(
        config, found, network.to(device).requires_grad_(False), scaling, tensors["best_value"].cpu(),
        ~tensors["alive"].cpu(),
    )  # fmt: skip
