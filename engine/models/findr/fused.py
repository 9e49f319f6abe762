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
        self.tied = module.posterior is None
        parts = ("flow",) if self.tied else ("posterior", "flow")
        packed = [packed_weights(_drift(places, part, depth)) for part in parts]
        Vs = [values.get(f"{part}.own.V") for part in parts]
        order, gathered = [x.flatten() for x in self._encoder(places)], [row[0] for row, _ in packed]
        if self.tied:  # the flow's rows for the inputs, then the encoder's own
            V = torch.cat([places[n] for n in ("flow.own.V", "correction.V") if n in places], 1)
            gathered.append(V.flatten())
            order += [gathered[0], V.flatten()]
        else:
            for part, (row, _) in zip(parts, packed, strict=True):
                order.append(row[0])
                if f"{part}.own.V" in places:
                    order.append(places[f"{part}.own.V"].flatten())
        self.places = torch.cat(gathered)  # of what the kernels take in one row
        self.rows = stack.values.new_empty(len(self.s), len(self.places))
        rows = self.rows.split([len(x) for x in gathered], 1)
        drifts = [
            DrivenDrift(PackedWeights(row, M, hidden), V) for row, (_, hidden), V in zip(rows, packed, Vs, strict=False)
        ]
        if self.tied:
            drifts.insert(0, drifts[0]._replace(V=rows[1].unflatten(1, V.shape[1:])))
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
        def some(drift: DrivenDrift) -> DrivenDrift:
            assert isinstance(drift.weights, PackedWeights)
            return DrivenDrift(drift.weights._replace(row=drift.weights.row[at]), _of(drift.V, at))

        encoder, bias = GruWeights(*(x[at] for x in self.encoder)), _of(self.bias, at)
        return _Part(at, encoder, some(self.posterior), some(self.prior), self.C[at], bias)

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
        drifts: tuple[DrivenDrift, ...] = (found.posterior, found.prior)
        if self.tied:
            drifts = (_sum_of_tied(*drifts),)
        for drift in drifts:
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


def _sum_of_tied(posterior: DrivenDrift, prior: DrivenDrift) -> DrivenDrift:
    """The gradient of weights that are the posterior's and the prior's: V's first rows are those of the prior."""
    assert isinstance(posterior.weights, PackedWeights) and isinstance(prior.weights, PackedWeights)
    assert posterior.V is not None
    if prior.V is not None:
        posterior.V[:, : prior.V.shape[1]] += prior.V
    return DrivenDrift(posterior.weights._replace(row=posterior.weights.row + prior.weights.row), posterior.V)


def _drift(named: Mapping[str, Tensor], part: str, depth: int) -> GatedWeights:
    own = {name.rpartition(".")[2]: x for name, x in named.items() if name.startswith(f"{part}.own.")}
    further = tuple((own[f"W{k}"], own[f"b{k}"]) for k in range(2, depth + 1))
    return GatedWeights(own["Wg"], own["bg"], own["W1"], own["b1"], own["Wo"], own["bo"], further)
