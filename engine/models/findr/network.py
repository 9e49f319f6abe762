"""E FINDR models as one nn.Module: flow, encoder, posterior and readout over the model axis."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from neurorbit.bindings.latent_sde_elbo import divergence, latent_sde_elbo
from neurorbit.bindings.poisson_readout import FLOOR_HZ, PoissonReadout, poisson_readout
from neurorbit.engine.models.findr.config import FindrConfig
from neurorbit.engine.models.findr.encoder import Encoder
from neurorbit.engine.models.findr.flows import AttractorFlow, GatedFlow
from neurorbit.engine.models.findr.initialise import lecun, stacked
from neurorbit.engine.models.findr.irrelevant import IrrelevantGru


class Trials(NamedTuple):
    """Trials as models see them: counts [E or 1, B, T, N], inputs [E or 1, B, T, U], lengths [E or 1, B], the baseline
    as it enters the link, by trial [E or 1, B, N] and by bin [E or 1, T, N]."""

    counts: Tensor
    inputs: Tensor | None
    lengths: Tensor
    by_trial: Tensor
    by_bin: Tensor


class Path(NamedTuple):
    """States z and drifts mu of the posterior, [E, B, T, M] each."""

    z: Tensor
    mu: Tensor


class Findr(nn.Module):
    """dz = f(z, u) dt / tau + noise behind the spikes of one or several sessions, whose neurons differ.

    Args:
        config: sizes and options. n_neurons: N of each session. n_inputs: U. bin_s: width of a bin.
        seeds: one per model; their number is E.

    Source: Kim et al. 2025 (flow-field inference from neural data).
    """

    def __init__(
        self, config: FindrConfig, n_neurons: Sequence[int], n_inputs: int, bin_s: float, seeds: Sequence[int]
    ) -> None:
        super().__init__()
        M, own = config.latent_dim, config.model
        self.config, self.n_neurons, self.n_inputs, self.bin_s = config, tuple(n_neurons), n_inputs, bin_s
        self.a = bin_s / own.tau_s
        if not self.a <= 1:
            raise ValueError(f"model.tau_s: expected at least bin_s={bin_s:g}, got {own.tau_s:g}")
        self.encoder = Encoder(n_neurons, n_inputs, config.encoder_size, seeds, config.backend)
        self.posterior: GatedFlow | None = None
        self.correction: nn.ParameterDict | None = None
        if own.posterior == "own":
            self.posterior = GatedFlow(M, config.features, n_inputs + 2 * config.encoder_size, seeds, 2, config.backend)
        else:
            width = M + config.features[0]
            self.correction = stacked(seeds, 2, lambda g: {"V": lecun(g, 2 * config.encoder_size, width)})
        self.flow: GatedFlow | AttractorFlow
        if own.flow == "free":
            self.flow = GatedFlow(M, config.features, n_inputs, seeds, 3, config.backend)
        else:
            self.flow = AttractorFlow(own.flow, n_inputs, seeds, 3)
        with torch.no_grad():
            for part in (self.posterior, self.flow):
                if isinstance(part, GatedFlow):
                    part.own["bg"].add_(own.gate_start)
        self.s = nn.Parameter(torch.full((len(seeds), M), own.noise_start))

        def readout(g: torch.Generator, N: int) -> dict[str, Tensor]:
            found = {"C": own.readout_hz * torch.randn(N, M, generator=g)}
            return found | {"bias": torch.zeros(N)} if own.bias else found

        self.readout = nn.ModuleList(
            stacked(seeds, 200 + s, lambda g, N=N: readout(g, N))  # type: ignore[misc]
            for s, N in enumerate(n_neurons)
        )
        self.irrelevant = None
        if own.irrelevant_size:
            self.irrelevant = IrrelevantGru(n_neurons, own.irrelevant_size, seeds, config.backend)

    @property
    def n_models(self) -> int:
        """E."""
        return len(self.s)

    @property
    def sigma(self) -> Tensor:
        """Scale of the noise [E, M]."""
        return self.config.model.noise_level * torch.sigmoid(self.s)

    def C(self, session: int = 0) -> Tensor:
        """Readout [E, N, M]."""
        found: Tensor = self.readout[session]["C"]  # type: ignore[index]
        return found

    def encode(self, counts: Tensor, trials: Trials, session: int = 0) -> Tensor:
        """The encoding [E, B, T, 2 K] of counts [E or 1, B, T, N] beside the trials' inputs."""
        found: Tensor = self.encoder(counts, trials.inputs, trials.lengths, session)
        return found

    def posterior_path(self, e: Tensor, trials: Trials, noise_seed: Tensor | None, first_step: int = 0) -> Path:
        """A sample of the posterior behind an encoding, or without a seed its path without noise."""
        B, T = e.shape[1:3]
        z0 = self.s.new_zeros(self.n_models, B, self.s.shape[1])
        options = (self.a, self.sigma, noise_seed, trials.lengths, T, first_step)
        if self.posterior is not None:
            return Path(*self.posterior.roll_out(z0, trials.inputs, *options, e=e))
        assert isinstance(self.flow, GatedFlow)
        return Path(*self.flow.roll_out(z0, trials.inputs, *options, e=e, V=self._tied_V(trials)))

    def _tied_V(self, trials: Trials) -> Tensor:
        """The flow's weights of the inputs, then those by which the encoder adds to it."""
        assert isinstance(self.flow, GatedFlow) and self.correction is not None
        V: Tensor = self.correction["V"]
        return V if trials.inputs is None else torch.cat((self.flow.own["V"], V), 1)

    def infer(self, trials: Trials, session: int, noise_seed: Tensor | None, first_step: int = 0) -> Path:
        """A sample of the posterior given the counts, or without a seed its path without noise."""
        e = self.encode(trials.counts, trials, session)
        return self.posterior_path(e, trials, noise_seed, first_step)

    def elbo(
        self, trials: Trials, session: int, noise_seed: Tensor | None, first_step: int = 0
    ) -> tuple[Tensor, Tensor]:
        """Negative log-likelihood at a sample of the posterior and divergence from the prior, [E, B] each."""
        if not self.fused:
            path = self.infer(trials, session, noise_seed, first_step)
            return self.score(path.z, trials, session).nll, self.kl(path, trials)
        assert isinstance(self.flow, GatedFlow)
        own, prior = self.readout[session], self.flow.driven()
        posterior = prior._replace(V=self._tied_V(trials)) if self.posterior is None else self.posterior.driven()
        return latent_sde_elbo(
            trials.counts, self.encoder.weights(session), posterior, prior, self.C(session),
            sigma=self.sigma, bias=own["bias"] if "bias" in own else None,  # type: ignore[operator,index]
            **self.bound_options(self.n_models, trials, noise_seed, first_step),
        )  # fmt: skip

    def bound_options(
        self, n_models: int, trials: Trials, noise_seed: Tensor | None, first_step: int
    ) -> dict[str, Any]:
        """What the bound of some models takes besides parameters and counts."""
        streams = None
        if noise_seed is not None:
            streams = _streams(n_models, trials.counts.shape[1], self.s.device)
        return dict(
            a=self.a, noise_seed=noise_seed, noise_stream=streams, first_step=first_step, x=trials.inputs,
            lengths=trials.lengths, bin_s=self.bin_s, link=self.config.model.link, baseline_trial=trials.by_trial,
            baseline_time=trials.by_bin, backend=self.config.backend,
        )  # fmt: skip

    @property
    def fused(self) -> bool:
        """Whether `elbo` is a single call: a free flow and no task-irrelevant part."""
        return isinstance(self.flow, GatedFlow) and self.irrelevant is None

    def kl(self, path: Path, trials: Trials) -> Tensor:
        """Divergence [E, B] of the posterior from the prior along its path, both drifts at the same state."""
        z0 = path.z.new_zeros(path.z.shape[0], path.z.shape[1], path.z.shape[3])
        mu = self.flow.along(path.z, z0, trials.inputs, trials.lengths)
        return divergence(mu, path.mu, self.sigma, self.a)

    def score(self, z: Tensor, trials: Trials, session: int = 0) -> PoissonReadout:
        """Negative log-likelihood of the counts, by trial and by neuron."""
        own = self.readout[session]
        by_bin = trials.by_bin
        if self.irrelevant is not None:
            by_bin = by_bin + self.irrelevant(z.shape[2], session)
        return poisson_readout(
            z, self.C(session), trials.counts, bin_s=self.bin_s, link=self.config.model.link,
            bias=own["bias"] if "bias" in own else None,  # type: ignore[operator,index]
            baseline_trial=trials.by_trial, baseline_time=by_bin, lengths=trials.lengths, backend=self.config.backend,
        )  # fmt: skip

    def rates_hz(
        self, model: int, z: Tensor, by_trial: Tensor, by_bin: Tensor, session: int = 0, neurons: slice | None = None
    ) -> Tensor:
        """Rates [b, T, n] of some neurons of one model at z [b, T, M], for baselines [b, N] and [T, N]; ask for a few
        trials or neurons at a time."""
        at = slice(None) if neurons is None else neurons
        own, inside = self.readout[session], by_bin[:, at]
        if self.irrelevant is not None:
            inside = inside + self.irrelevant(z.shape[1], session)[model, :, at]
        inside = z @ self.C(session)[model, at].T + inside + by_trial[:, None, at]
        return self.from_link(inside + own["bias"][model, at] if "bias" in own else inside)  # type: ignore[operator,index]

    def from_link(self, x: Tensor) -> Tensor:
        """Rates in Hz."""
        if self.config.model.link == "exp":
            return x.exp()
        return nn.functional.softplus(x, threshold=30.0) + FLOOR_HZ

    def sample(
        self, inputs: Tensor | None, lengths: Tensor | None, noise_seed: Tensor | None, *, z0: Tensor | None = None,
        shape: tuple[int, int] | None = None,
    ) -> Tensor:  # fmt: skip
        """Paths of the prior [E, B, T, M] from z0 [E, B, M] (0 when None), for inputs [E or 1, B, T, U] or without
        any for shape (B, T)."""
        if (inputs is None) != (self.n_inputs == 0) and shape is None:
            raise ValueError(f"inputs: expected U={self.n_inputs}, got {0 if inputs is None else inputs.shape[-1]}")
        B, T = inputs.shape[1:3] if inputs is not None else shape  # type: ignore[misc]
        z0 = self.s.new_zeros(self.n_models, B, self.s.shape[1]) if z0 is None else z0
        return self.flow.roll_out(z0, inputs, self.a, self.sigma, noise_seed, lengths, T)[0]


@cache
def _streams(E: int, B: int, device: torch.device) -> Tensor:
    """The trials' numbers [E, B]: every model draws the same noise for a trial, but for its seed."""
    return torch.arange(B, device=device).expand(E, -1)
