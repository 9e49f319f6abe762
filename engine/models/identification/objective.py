"""Identification as a Problem for the training loop."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from neurorbit.engine.data import TimeSeries, WindowSampler
from neurorbit.engine.models.identification import losses
from neurorbit.engine.models.identification.config import MOST_UNITS, PENALTIES, IdentificationConfig
from neurorbit.engine.models.identification.network import LeakyRnn
from neurorbit.engine.models.identification.prepared import Scaling
from neurorbit.engine.training.grid import Member
from neurorbit.engine.training.stack import ParameterStack

SHARE_OF_COUNTS = 0.1  # of the error of counts, most of which is chance and stays: what penalties are scaled to
_NOISE_SEED = 0x1D5EED  # keeps the noise of a seed apart from its windows


class IdentificationObjective:
    """Error of the observed units in windows of the data, and penalties, for an ensemble.

    Args:
        config: settings of one shape; members: its models.
        series: one sequence per trial, of `prepared.sequences`.
        n_observed: n; scaling: of the training data; input_scale: [U].
        device: where the models live.
    """

    def __init__(
        self,
        config: IdentificationConfig,
        members: Sequence[Member],
        series: TimeSeries,
        n_observed: int,
        scaling: Scaling,
        input_scale: Tensor,
        device: torch.device,
    ) -> None:
        length = config.training.sequence_length
        if length >= min(series.lengths):
            raise ValueError(
                f"training.sequence_length: expected at most {min(series.lengths) - 1}, since a window holds one step "
                f"more and a trial has {min(series.lengths)}, got {length}"
            )
        if n_observed > MOST_UNITS:
            raise ValueError(
                f"rs: expected at most {MOST_UNITS} units, observed and hidden together, got {n_observed} observed "
                "ones: leave some out"
            )
        if n_observed + config.n_hidden > MOST_UNITS:
            raise ValueError(
                f"hidden: expected at most {MOST_UNITS - n_observed}, for {MOST_UNITS} units together with the "
                f"{n_observed} observed ones, got {config.n_hidden}"
            )
        self.config, self.scaling, self.n_observed = config, scaling, n_observed
        self.labels = tuple(m.label for m in members)
        seeds = [m.seed for m in members]

        def per_model(name: str, dtype: torch.dtype = torch.float32) -> Tensor:
            return torch.tensor([m.settings[name] for m in members], dtype=dtype, device=device)

        self.module = LeakyRnn(
            config.model,
            n_observed + config.n_hidden,
            n_observed,
            n_inputs=series.n_inputs,
            separate_inputs=config.separate_inputs,
            seeds=seeds,
            alpha=per_model("alpha"),
            input_scale=input_scale,
            backend=config.backend,
        ).to(device)
        self.sampler = WindowSampler(series, length + 1, config.training.batch_size, seeds, device=device)
        self.learning_rate = per_model("learning_rate", torch.float64)
        factors = {n: per_model(n) for n in PENALTIES if n != "factors" or config.model.rank}
        self.factors = {n: f for n, f in factors.items() if bool((f > 0).any())}
        noise = per_model("noise")
        self._noise = noise if bool((noise > 0).any()) else None
        self._seeds = torch.tensor([(s * 1_000_003 + _NOISE_SEED) % 2**62 for s in seeds], device=device)
        self._missing = any(bool(v[:, :n_observed].isnan().any()) for v in series.values)
        self._series = series
        self.term_names = ("loss", *self.factors)
        self.measure_names: tuple[str, ...] = ()
        self.penalty: Tensor | None = None

    def terms(self, step: int) -> list[Tensor]:
        """The error of the observed units, and the penalties in use; each [E]."""
        r, x = self._predicted(step)
        error = self._error(r[..., : self.n_observed], x)
        scale = error if self.scaling.kind == "rates" else SHARE_OF_COUNTS * error
        return [error, *losses.penalties(self.module, r, self.factors, scale).values()]

    def _predicted(self, step: int) -> tuple[Tensor, Tensor]:
        """Rates [E, B, T, N] in a step's windows, and what was observed there [E, B, T, n]."""
        x, inputs = self.sampler.draw(step)
        assert inputs is not None
        u0 = self.module.start(x[:, :, 0, -self.n_observed :])
        first = step * self.config.training.sequence_length
        seeds = None if self._noise is None else self._seeds
        rolled = self.module.rollout(
            u0, inputs[:, :, 1:], noise_sd=self._noise, noise_seed=seeds, first_step=first if seeds is not None else 0
        )
        return rolled.r, x[:, :, 1:, : self.n_observed]

    def _error(self, r: Tensor, x: Tensor) -> Tensor:
        if self.scaling.kind == "rates":
            return losses.squared_error(r, x, self._missing)
        return losses.poisson_loss(r, x, self.scaling.gain, self.config.loss.floor, self.config.backend)

    def gradients(self, step: int, stack: ParameterStack) -> None:
        """By autograd."""

    @torch.no_grad()
    def where(self, step: int, model: int) -> str:
        """How many windows of a step's batch leave the finite numbers."""
        r, x = self._predicted(step)
        bad = int((~r[model].isfinite().all(-1).all(-1)).sum())
        return f"(its rates in {bad} of the {x.shape[1]} windows of the batch)" if bad else ""

    def after_update(self, step: int) -> None:
        """Nothing adapts."""

    def finished(self) -> None:
        """Every model trains to the last step."""

    def evaluate(self) -> dict[str, Tensor]:
        """No measures: headings and the truth take no part in training."""
        return {}

    def logged(self) -> dict[str, Tensor]:
        """Nothing besides the terms."""
        return {}

    def state(self) -> dict[str, Tensor]:
        """The parameters are all."""
        return {}

    def constants(self) -> dict[str, Tensor]:
        """What turns data into the units of the models."""
        return {"input_scale": self.module.input_scale, "gain": self.scaling.tensor()}
