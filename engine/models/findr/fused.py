"""FINDR's gradient without a graph, from the parameters' flat buffer into that of the gradients."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor

from neurorbit.bindings.latent_sde_elbo import DrivenDrift, GruWeights, latent_sde_elbo_gradient
from neurorbit.bindings.rollout_gated_sde import GatedWeights, PackedWeights, packed_weights
from neurorbit.engine.models.findr.network import Findr, Trials
from neurorbit.engine.training.stack import ParameterStack

_KEPT_BYTES = 8 << 20  # of the encoder's gates, for the models that go together


class FusedGradient:
    """The bound of one session and its gradient, for a `fused` module whose parameters lie in a stack.

    What depends on where the parameters lie is found once: views of them, and which place of the buffer each number of
    the packed weights and of the gradients comes from.
    """

    def __init__(self, module: Findr, stack: ParameterStack, session: int) -> None:
        self.module, self.stack, self.session = module, stack, session
        values, P = stack.named(stack.values), stack.values.shape[1]
        places = stack.named(torch.arange(P, device=stack.values.device)[None])
        depth, M = len(module.config.features), module.config.latent_dim
        self.encoder = self._encoder(values)
        self.s, self.C = values["s"], values[f"readout.{session}.C"]
        self.bias = values.get(f"readout.{session}.bias")
        drifts, order = [], [x.flatten() for x in self._encoder(places)]
        packed = [packed_weights(_drift(places, part, depth)) for part in ("posterior", "flow")]
        self.places = torch.cat([row[0] for row, _ in packed])  # of the packed weights
        self.rows = stack.values.new_empty(len(self.s), len(self.places))
        rows = self.rows.split([row.shape[1] for row, _ in packed], 1)
        for part, row, (places_, hidden) in zip(("posterior", "flow"), rows, packed, strict=True):
            drifts.append(DrivenDrift(PackedWeights(row, M, hidden), values.get(f"{part}.own.V")))
            order.append(places_[0])
            if drifts[-1].V is not None:
                order.append(places[f"{part}.own.V"].flatten())
        self.posterior, self.prior = drifts
        order += [places["s"].flatten(), places[f"readout.{session}.C"].flatten()]
        if self.bias is not None:
            order.append(places[f"readout.{session}.bias"].flatten())
        known = torch.cat(order)
        self.source = torch.full((P,), len(known), device=known.device)  # of another session's: a column of zeros
        self.source[known] = torch.arange(len(known), device=known.device)
        self._checked: tuple[torch.Size, ...] = ()
        self._known, self._parts = False, [self._of_models(slice(None))]
        self._share = self.s
        self.zeros = [stack.values.new_zeros(len(self.s), 1)] if len(known) < P else []

    def _encoder(self, named: Mapping[str, Tensor]) -> GruWeights:
        gates = (2, 3 * self.module.config.encoder_size)
        W_in, b_in = named[f"encoder.W_in.{self.session}.W"], named["encoder.own.b_in"]
        return GruWeights(
            W_in.unflatten(2, gates), b_in.unflatten(1, gates), named["encoder.own.W"], named["encoder.own.b"]
        )

    @torch.no_grad()
    def __call__(
        self, trials: Trials, noise_seed: Tensor, first_step: int, weight_nll: Tensor, weight_kl: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Negative log-likelihoods and divergences [E, B]; fills the stack's gradients with those of their sum with
        weights [E, B]."""
        torch.index_select(self.stack.values, 1, self.places, out=self.rows)
        likeness = trials.counts.shape, trials.lengths.shape, trials.by_trial.shape
        if likeness != self._checked:
            self._checked, self._known = likeness, False
            self._parts = [self._of_models(at) for at in self._few_models(trials)]
        self._share = torch.sigmoid(self.s)
        if len(self._parts) == 1:
            terms = self._some_models(self._parts[0], trials, noise_seed, first_step, weight_nll, weight_kl)
            self._known = True
            return terms
        found = []
        for part in self._parts:
            at = part.at
            some = Trials(*(_of(x, at) for x in trials))
            found.append(self._some_models(part, some, noise_seed[at], first_step, weight_nll[at], weight_kl[at]))
        self._known = True
        nll, kl = zip(*found, strict=True)
        return torch.cat(nll), torch.cat(kl)

    def _few_models(self, trials: Trials) -> list[slice]:
        """Parts of the models that go together: on a CPU as many as leave what is kept of the encoder below a size that
        the system would map, and clear, anew in every step."""
        E, (B, T) = len(self.s), trials.counts.shape[1:3]
        size = 8 * B * T * self.module.config.encoder_size * self.s.element_size()
        few = max(1, _KEPT_BYTES // size) if self.s.device.type == "cpu" else E
        few = -(-E // -(-E // few))  # parts of about one size
        return [slice(first, min(first + few, E)) for first in range(0, E, few)]

    def _of_models(self, at: slice) -> _Part:
        drifts = (
            drift._replace(weights=drift.weights._replace(row=drift.weights.row[at]), V=_of(drift.V, at))  # type: ignore[call-arg]
            for drift in (self.posterior, self.prior)
        )
        return _Part(at, GruWeights(*(x[at] for x in self.encoder)), *drifts, self.C[at], _of(self.bias, at))

    def _some_models(
        self, part: _Part, trials: Trials, noise_seed: Tensor, first_step: int, weight_nll: Tensor, weight_kl: Tensor
    ) -> tuple[Tensor, Tensor]:
        at, encoder, posterior, prior, C, bias = part
        whole = len(self._parts) == 1  # every view of a slice would cost as much as a small product
        share = self._share if whole else self._share[at]
        sigma = share * self.module.config.model.noise_level
        found = latent_sde_elbo_gradient(
            weight_nll, weight_kl, trials.counts, encoder, posterior, prior, C, sigma=sigma, bias=bias,
            check=not self._known, **self.module.bound_options(len(share), trials, noise_seed, first_step),
        )  # fmt: skip
        parts: list[Tensor | None] = [*found.encoder]
        for drift in (found.posterior, found.prior):
            assert isinstance(drift.weights, PackedWeights)
            parts += [drift.weights.row, drift.V]
        parts += [found.sigma * sigma * (1 - share), found.C, found.bias, *(x if whole else x[at] for x in self.zeros)]
        every = torch.cat([x.flatten(1) for x in parts if x is not None], 1)
        torch.index_select(every, 1, self.source, out=self.stack.gradients if whole else self.stack.gradients[at])
        return found.nll, found.kl


class _Part(NamedTuple):
    """Some of the models."""

    at: slice
    encoder: GruWeights
    posterior: DrivenDrift
    prior: DrivenDrift
    C: Tensor
    bias: Tensor | None


def _of(x: Tensor | None, at: slice) -> Any:
    """Some models' part of what is each model's own."""
    return x if x is None or x.shape[0] == 1 else x[at]


def _drift(named: Mapping[str, Tensor], part: str, depth: int) -> GatedWeights:
    own = {name.rpartition(".")[2]: x for name, x in named.items() if name.startswith(f"{part}.own.")}
    further = tuple((own[f"W{k}"], own[f"b{k}"]) for k in range(2, depth + 1))
    return GatedWeights(own["Wg"], own["bg"], own["W1"], own["b1"], own["Wo"], own["bo"], further)
