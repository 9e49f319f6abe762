"""Fitted ensembles: what a fit returns and a run folder holds."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from neurorbit.bindings.rollout_gated_sde import GatedWeights, gated_drift
from neurorbit.engine.data.spike_trials import SpikeTrials
from neurorbit.engine.models.findr.config import FindrConfig
from neurorbit.engine.models.findr.flows import AttractorFlow, GatedFlow, attractor_drift
from neurorbit.engine.models.findr.members import Member, members
from neurorbit.engine.models.findr.network import Findr, Trials
from neurorbit.engine.models.findr.prepared import Session, session_of
from neurorbit.engine.training.folder import RunFolder
from neurorbit.engine.training.saved import load_parameters, saved_settings, saved_tensors, shape_folders

SAMPLES = 8


@dataclass(frozen=True, eq=False)
class FittedFindr:
    """The models of one shape.

    baselines: of each session, by trial [F, B, N] and by bin [F, T, N] inside the link, F the chosen folds.
    selected_by [E]: the validation value of the kept state; inf where none came after the annealing.
    """

    config: FindrConfig
    members: tuple[Member, ...]
    network: Findr
    baselines: tuple[tuple[Tensor, Tensor], ...]
    selected_by: Tensor

    @property
    def bin_s(self) -> float:
        """Width of a bin."""
        return self.network.bin_s

    def session(self, trials: SpikeTrials, number: int = 0) -> Session:
        """The data of a session of the fit as the models see them."""
        by_trial, by_bin = self.baselines[number]
        expected = (by_trial.shape[1], by_bin.shape[1], by_trial.shape[2])
        if tuple(trials.counts.shape) != expected or trials.n_inputs != self.network.n_inputs:
            raise ValueError(
                f"{trials.name}: expected the trials of the fit, [B, T, N] {list(expected)} and "
                f"U={self.network.n_inputs}, got {list(trials.counts.shape)} and U={trials.n_inputs}"
            )
        return session_of(self.config, trials, by_trial, by_bin, device=self.network.s.device)

    @torch.no_grad()
    def posterior_mean(
        self, seen: Trials, session: int = 0, *, n_samples: int = SAMPLES, seed: int = 0, counts: Tensor | None = None
    ) -> Tensor:
        """Mean [E, B, T, M] of samples of the posterior; counts [E, B, T, N] in floats instead of those of the
        trials."""
        network, T = self.network, seen.counts.shape[2]
        e = network.encode(seen.counts if counts is None else counts, seen, session)
        seeds = torch.full((network.n_models,), seed, dtype=torch.int64, device=network.s.device)
        mean = torch.zeros((), device=network.s.device)
        for k in range(n_samples):
            mean = mean + network.posterior_path(e, seen, seeds, k * T).z / n_samples
        return mean

    @torch.no_grad()
    def sample(
        self,
        inputs: Any = None,
        lengths: Any = None,
        *,
        noise: bool = True,
        seed: int = 0,
        z0: Tensor | None = None,
        shape: tuple[int, int] | None = None,
    ) -> Tensor:
        """Paths of the flow [E, B, T, M], by its own dynamics alone.

        Args:
            inputs: [B, T, U]; None for a flow without inputs or, with shape, for none.
            lengths: bins of each trial [B]; later ones are 0.
            noise: of the fitted size; without it the paths are those of the mean flow.
            z0: where they start [E, B, M], 0 when None. shape: (B, T) without inputs.
        """
        network = self.network
        device = network.s.device
        u = None if inputs is None else torch.as_tensor(inputs, dtype=torch.float32, device=device)
        if u is not None and (u.ndim != 3 or u.shape[2] != network.n_inputs):
            raise ValueError(f"inputs: expected [B, T, U={network.n_inputs}], got {list(u.shape)}")
        ends = None if lengths is None else torch.as_tensor(lengths, device=device).long()[None]
        seeds = torch.full((network.n_models,), seed, dtype=torch.int64, device=device) if noise else None
        return network.sample(None if u is None else u[None], ends, seeds, z0=z0, shape=shape)

    @torch.no_grad()
    def spikes(
        self,
        z: Tensor,
        model: int,
        session: int = 0,
        *,
        trials: Tensor | None = None,
        lengths: Tensor | None = None,
        seed: int = 0,
    ) -> Tensor:
        """Counts [B, T, N] int32 that one model draws behind latents [B, T, M].

        trials: numbers of the session's trials whose baselines are taken [B]; the mean over all when None.
        """
        by_trial, by_bin = self.baseline(model, session, z.shape[1])
        chosen = by_trial.mean(0, keepdim=True).expand(len(z), -1) if trials is None else by_trial[trials]
        N, generator = by_trial.shape[1], torch.Generator().manual_seed(seed)
        found = torch.zeros(*z.shape[:2], N, dtype=torch.int32)
        step = max(1, 2**22 // (z.shape[1] * N))
        for first in range(0, len(z), step):
            at = slice(first, first + step)
            rates = self.network.rates_hz(model, z[at], chosen[at], by_bin, session)
            drawn = torch.poisson(rates.cpu().double() * self.bin_s, generator=generator).int()
            if lengths is not None:
                drawn *= (torch.arange(z.shape[1]) < lengths[at, None])[..., None]
            found[at] = drawn
        return found

    def flow(self, model: int, u: Tensor | None = None) -> Callable[[Tensor], Tensor]:
        """dz/dt of one model in 1/s as a function of states [S, M] in float64, for constant inputs u [U] (0 when
        None); autograd can follow it."""
        flow, tau_s = self.network.flow, self.config.model.tau_s
        own = {n: p[model : model + 1].detach().double().cpu() for n, p in flow.own.items()}
        x = None if u is None else torch.as_tensor(u).double()

        def gated(z: Tensor) -> Tensor:
            further = tuple((own[f"W{k}"], own[f"b{k}"]) for k in range(2, len(self.config.features) + 1))
            weights = GatedWeights(own["Wg"], own["bg"], own["W1"], own["b1"], own["Wo"], own["bo"], further)
            drive = None if x is None else (x @ own["V"][0]).expand(1, len(z), 1, -1)
            return gated_drift(z[None, :, None], weights, drive, backend="reference")[0, :, 0] / tau_s

        def attractor(z: Tensor) -> Tensor:
            assert isinstance(flow, AttractorFlow)
            inputs = None if x is None else x.expand(1, 1, len(z), -1)
            return attractor_drift(flow.kind, own, z[None, None], inputs)[0, 0] / tau_s

        return gated if isinstance(flow, GatedFlow) else attractor

    def baseline(self, model: int, session: int, T: int) -> tuple[Tensor, Tensor]:
        """Of a model's fold inside the link, by trial [B, N] and by bin [T, N]."""
        row = self.config.chosen_folds.index(self.members[model].fold)
        by_trial, by_bin = (part[row].to(self.network.s.device) for part in self.baselines[session])
        if T > len(by_bin):  # later than any trial: as in its last bin
            by_bin = torch.cat((by_bin, by_bin[-1:].expand(T - len(by_bin), -1)))
        return by_trial, by_bin[:T]


def load(
    workdir: str | os.PathLike[str], *, state: Literal["best", "last"] = "best", device: str = "cpu"
) -> list[FittedFindr]:
    """The fitted ensembles of a run folder, one per shape: each model's best state, or its last."""
    return [_load_one(folder, state, device) for folder in shape_folders(RunFolder(workdir))]


def read_config(folder: RunFolder) -> tuple[FindrConfig, dict[str, Any]]:
    """The settings of a run folder, checked, and the whole content of its config.json."""
    return saved_settings(folder, FindrConfig, "findr", "a FINDR fit")


def _load_one(folder: RunFolder, state: str, device: str) -> FittedFindr:
    config, content = read_config(folder)
    data = content["data"]
    return build(config, data["n_neurons"], data["n_inputs"], data["bin_s"], saved_tensors(folder, state), device)


def build(
    config: FindrConfig,
    n_neurons: Sequence[int],
    n_inputs: int,
    bin_s: float,
    tensors: dict[str, Tensor],
    device: str = "cpu",
) -> FittedFindr:
    """A fitted ensemble from the tensors of best.safetensors or of a checkpoint."""
    found = members(config)
    network = Findr(config, n_neurons, n_inputs, bin_s, [m.seed for m in found])
    load_parameters(network, tensors)
    baselines = tuple(
        (tensors[f"constants/baseline/{s}/by_trial"].cpu(), tensors[f"constants/baseline/{s}/by_bin"].cpu())
        for s in range(len(n_neurons))
    )
    network = network.to(device).requires_grad_(False)
    return FittedFindr(config, found, network, baselines, tensors["best_value"].cpu())
