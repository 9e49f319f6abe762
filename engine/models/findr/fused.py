"""FINDR's gradient without a graph, from the parameters' flat buffer into that of the gradients."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from neurorbit.bindings.latent_sde_elbo import DrivenDrift, GruWeights, latent_sde_elbo_gradient
from neurorbit.bindings.rollout_gated_sde import GatedWeights, PackedWeights, packed_weights
from neurorbit.engine.models.findr.network import Findr, Trials
from neurorbit.engine.training.stack import ParameterStack


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
        known, self._checked = likeness == self._checked, likeness
        share = torch.sigmoid(self.s)
        sigma = share * self.module.config.model.noise_level
        found = latent_sde_elbo_gradient(
            weight_nll, weight_kl, trials.counts, self.encoder, self.posterior, self.prior, self.C, sigma=sigma,
            bias=self.bias, check=not known, **self.module.bound_options(trials, noise_seed, first_step),
        )  # fmt: skip
        parts: list[Tensor | None] = [*found.encoder]
        for drift in (found.posterior, found.prior):
            assert isinstance(drift.weights, PackedWeights)
            parts += [drift.weights.row, drift.V]
        parts += [found.sigma * sigma * (1 - share), found.C, found.bias, *self.zeros]
        every = torch.cat([x.flatten(1) for x in parts if x is not None], 1)
        torch.index_select(every, 1, self.source, out=self.stack.gradients)
        return found.nll, found.kl


def _drift(named: Mapping[str, Tensor], part: str, depth: int) -> GatedWeights:
    own = {name.rpartition(".")[2]: x for name, x in named.items() if name.startswith(f"{part}.own.")}
    further = tuple((own[f"W{k}"], own[f"b{k}"]) for k in range(2, depth + 1))
    return GatedWeights(own["Wg"], own["bg"], own["W1"], own["b1"], own["Wo"], own["bo"], further)
