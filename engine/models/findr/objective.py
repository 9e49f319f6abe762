"""FINDR as a Problem for the training loop."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from neurorbit.engine.models.findr.config import FindrConfig
from neurorbit.engine.models.findr.fused import FusedGradient
from neurorbit.engine.models.findr.members import Member
from neurorbit.engine.models.findr.network import Findr
from neurorbit.engine.models.findr.prepared import Batches, Session
from neurorbit.engine.models.findr.principal import principal_readouts
from neurorbit.engine.training.stack import ParameterStack

_NOISE, _VALIDATION = 0x2545F491, 0x1B873593  # keep draws of a seed apart from its initial parameters
_AT_ONCE = 2  # batches of validation trials that are looked at together
MEASURES = ("selected_by", "validation_nll", "validation_kl")


class FindrObjective:
    """Loss and validation of an ensemble; every model sees the trials of its own fold."""

    def __init__(
        self,
        config: FindrConfig,
        members: Sequence[Member],
        sessions: Sequence[Session],
        bin_s: float,
        device: torch.device,
    ) -> None:
        n_inputs = 0 if sessions[0].inputs is None else sessions[0].inputs.shape[-1]
        self.config, self.members, self.sessions = config, members, sessions
        self.labels = tuple(m.label for m in members)
        seeds = [m.seed for m in members]
        self.module = Findr(config, [s.counts.shape[-1] for s in sessions], n_inputs, bin_s, seeds).to(device)
        if config.model.readout_start == "principal":
            self._start_at_principal_axes(bin_s)
        self.batches = Batches(config, sessions, members)
        self.learning_rate = torch.tensor([m.rate for m in members], dtype=torch.float64, device=device)
        self._seeds = {
            part: torch.tensor([(s * 1_000_003 + part) % 2**62 for s in seeds], device=device)
            for part in (_NOISE, _VALIDATION)
        }
        self._bins = max(s.counts.shape[1] for s in sessions)
        self.penalty: Tensor | None = self._l2_factors(device)
        self._step = 0
        self._fused: dict[int, FusedGradient] = {}
        self._constants = {
            f"baseline/{i}/{name}": getattr(s, name) for i, s in enumerate(sessions) for name in ("by_trial", "by_bin")
        }
        self.term_names: tuple[str, ...] = ("loss", "weighted_kl", "l2")
        self.measure_names: tuple[str, ...] = MEASURES

    @torch.no_grad()
    def _start_at_principal_axes(self, bin_s: float) -> None:
        for i, session in enumerate(self.sessions):
            found = principal_readouts(self.config, session, bin_s)
            self.module.C(i).copy_(torch.stack([found[m.fold] for m in self.members]))

    def _l2_factors(self, device: torch.device) -> Tensor:
        """Factor of each parameter's square, so that their sum is that of the weighted means of squares."""
        loss, parts = self.config.loss, []
        for name, p in self.module.named_parameters():
            n = p[0].numel()
            factor = loss.l2_irrelevant if name.startswith("irrelevant") else loss.l2
            parts.append(torch.full((n,), factor / n))
        return torch.cat(parts).to(device)

    def terms(self, step: int) -> list[Tensor]:
        """Negative log-likelihood and beta KL of a step's batch, each [E]; L2 is the penalty."""
        self._step = step
        session, trials = self.batches.draw(step)
        n_bins = trials.lengths.sum(1)
        nll, kl = (x.sum(1) / n_bins for x in self.module.elbo(trials, session, *self._noise(step)))
        return [nll, self._beta(step) * kl]

    @torch.no_grad()
    def gradients(self, step: int, stack: ParameterStack) -> list[Tensor] | None:
        """The same terms, and the gradient of their sum without a graph; None where there is no such way."""
        if not self.module.fused:
            return None
        self._step, beta = step, self._beta(step)
        session, trials = self.batches.draw(step)
        if session not in self._fused or self._fused[session].stack is not stack:
            self._fused[session] = FusedGradient(self.module, stack, session)
        E, B = len(self.members), trials.counts.shape[1]
        share = trials.lengths.sum(1).to(stack.values.dtype).reciprocal_()  # [E]
        shares = share, beta * share
        weights = [s[:, None].expand(E, B) for s in shares]
        terms = self._fused[session](trials, *self._noise(step), *weights)
        return [term.sum(1).mul_(s) for term, s in zip(terms, shares, strict=True)]

    def _beta(self, step: int) -> float:
        return self.config.loss.beta(step // self.batches.per_epoch)

    def _noise(self, step: int) -> tuple[Tensor, int]:
        """Seeds and first step of a step's noise."""
        return self._seeds[_NOISE], step * self._bins

    @torch.no_grad()
    def where(self, step: int, model: int) -> str:
        """How many trials of a step's batch have latents that are not finite."""
        session, trials = self.batches.draw(step)
        path = self.module.infer(trials, session, *self._noise(step))
        bad = int((~path.z[model].isfinite().all(-1).all(-1)).sum())
        return f"in {bad} of the {path.z.shape[1]} trials of the batch its latents are not finite" if bad else ""

    def after_update(self, step: int) -> None:
        """Nothing adapts."""

    def finished(self) -> None:
        """Every model trains to the last step."""

    @torch.no_grad()
    def evaluate(self) -> dict[str, Tensor]:
        """Negative log-likelihood and KL per bin of the validation trials, and what decides the best state: NaN until
        beta has been annealed."""
        E, device = len(self.members), self.learning_rate.device
        nll, kl, n_bins = (torch.zeros(E, dtype=torch.float64, device=device) for _ in range(3))
        for i, session in enumerate(self.sessions):
            numbers, lengths = session.part(self.members, "validation")
            rows = session.fold_rows(self.members)
            size = _AT_ONCE * self.batches.size
            for first in range(0, numbers.shape[1], size):
                at = slice(first, first + size)
                trials = session.gather(numbers[:, at], rows, lengths[:, at])
                terms = self.module.elbo(trials, i, self._seeds[_VALIDATION], first * self._bins)
                nll += terms[0].sum(1)
                kl += terms[1].sum(1)
                n_bins += trials.lengths.sum(1)
        nll, kl = nll / n_bins, kl / n_bins
        done = (self._step + 1) // self.batches.per_epoch
        chosen = nll if self.config.training.select == "nll" else nll + self.config.loss.beta_max * kl
        if done <= self.config.loss.annealed:
            chosen = torch.full_like(nll, math.nan)
        return {"selected_by": chosen, "validation_nll": nll, "validation_kl": kl}

    def logged(self) -> dict[str, Tensor]:
        """beta."""
        return {"beta": torch.full_like(self.learning_rate, self._beta(self._step))}

    def state(self) -> dict[str, Tensor]:
        """The parameters are all."""
        return {}

    def constants(self) -> dict[str, Tensor]:
        """The baselines inside the link."""
        return self._constants
