"""PLRNN reconstruction as a Problem for the training loop."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from neurorbit.engine.analysis import evaluate
from neurorbit.engine.data import Standardiser, TimeSeries, WindowSampler
from neurorbit.engine.models.plrnn.config import PlrnnConfig
from neurorbit.engine.models.plrnn.forcing import ESTIMATORS, batch_jacobians, jacobian_upper_bound, updated_alpha
from neurorbit.engine.models.plrnn.model import Plrnn, mean_squared_error
from neurorbit.engine.models.plrnn.regularise import FACTORS, Regulariser
from neurorbit.engine.training.grid import Member
from neurorbit.engine.training.optimiser import exponential_decay
from neurorbit.engine.training.stack import ParameterStack

MEASURES = ("d_stsp", "d_h", "pe_20")
_NOISE_STREAM = 0x9E3779B97F4A7C15  # keeps the noise of a seed apart from its initial parameters


class PlrnnObjective:
    """Loss, adaptive forcing and measures of an ensemble on standardised data.

    Args:
        config: settings of one shape; members: its models.
        series: training data, standardised; validation: [T, N] (and inputs [T, U]) for the measures.
        device: where the models live.
    """

    def __init__(
        self,
        config: PlrnnConfig,
        members: Sequence[Member],
        series: TimeSeries,
        validation: TimeSeries,
        standardiser: Standardiser,
        device: torch.device,
    ) -> None:
        length = _window_length(config.training.sequence_length, series)
        self.config, self.device = config, device
        self.labels = tuple(m.label for m in members)
        self.seeds = [m.seed for m in members]
        self.module = Plrnn(
            config.model,
            series.n_observed,
            n_inputs=series.n_inputs,
            seeds=self.seeds,
            data_range=_range(series),
            backend=config.backend,
        ).to(device)
        self.sampler = WindowSampler(series, length, config.training.batch_size, self.seeds, device=device)
        self._series = series
        self._missing = any(bool(v.isnan().any()) for v in series.values)
        self._partial = config.forcing.states == "observed" or (
            config.forcing.states == "auto" and config.model.observation == "identity"
        )

        def per_model(name: str, dtype: torch.dtype = torch.float32) -> Tensor:
            return torch.tensor([m.settings[name] for m in members], dtype=dtype, device=device)

        self.learning_rate = per_model("learning_rate", torch.float64)
        self.alpha = per_model("alpha")
        self._first_alpha = per_model("alpha", torch.float64)
        self.interval = per_model("interval", torch.int64)
        self._forced = config.forcing.adaptive != "off" or bool((self.alpha > 0).any())
        self.regulariser = Regulariser(self.module, config.regularisation, {n: per_model(n) for n in FACTORS})
        self._states: Tensor | None = None  # [E, B, T, M] of the last step, when alpha is adaptive
        tail = validation.longest()
        at = next(i for i, v in enumerate(validation.values) if v is tail)
        self._truth = tail[-config.evaluation.steps :].to(device)
        self._truth_inputs = None
        if validation.inputs is not None:
            self._truth_inputs = validation.inputs[at][-config.evaluation.steps :].to(device)
        self._constants = {f"standardiser/{n}": v for n, v in standardiser.tensors().items()}
        self._constants["start"] = _first_whole_row(series)
        self.term_names = ("loss", *self.regulariser.terms())
        self.measure_names: tuple[str, ...] = MEASURES if config.evaluation.every_epochs else ()
        self.penalty: Tensor | None = None

    def terms(self, step: int) -> list[Tensor]:
        """Mean squared error of the forced predictions, and the penalties in use; each [E]."""
        if self.config.forcing.alpha_final:
            self._decay(step, self.config.forcing.alpha_final)
        z, targets = self._forced_states(step)
        self._states = z.detach()
        loss = mean_squared_error(self.module.observe(z), targets, missing=self._missing)
        return [loss, *self.regulariser.terms().values()]

    def _decay(self, step: int, final: float) -> None:
        """The alpha of an epoch, when a step is its first, by the schedule of the learning rate."""
        epoch, within = divmod(step, self.config.training.batches_per_epoch)
        if within == 0:
            n_epochs = -(-self.config.steps // self.config.training.batches_per_epoch)
            self.alpha.copy_(exponential_decay(self._first_alpha, final, epoch, n_epochs))

    def _forced_states(self, step: int) -> tuple[Tensor, Tensor]:
        """States [E, B, T, M] of a step's batch, emitted before forcing, and the observations [E, B, T, N] there."""
        x, u = self.sampler.draw(step)
        if self.config.training.observation_noise:
            x = x + self.config.training.observation_noise * self._noise(x, step)
        forcing = {"forcing_alpha": self.alpha, "forcing_interval": self.interval} if self._forced else {}
        return self.module.rollout(x, u, partial=self._partial, **forcing), x[:, :, 1:]

    def gradients(self, step: int, stack: ParameterStack) -> None:
        """By autograd."""

    @torch.no_grad()
    def where(self, step: int, model: int) -> str:
        """The first window of a step's batch in which a model's predictions leave the finite numbers, if any does."""
        z, targets = self._forced_states(step)
        error = self.module.observe(z)[model] - targets[model].nan_to_num()  # [B, T, N]
        bad = (~error.square().sum((1, 2)).isfinite()).nonzero().flatten().tolist()
        if not bad:
            return ""
        sequence, row = _place(self.sampler.draw(step).x[model, bad[0]], self._series)
        of = f" of sequence {sequence}" if len(self._series.values) > 1 else ""
        return f"in the window from row {row}{of} ({len(bad)} of {len(targets[model])} windows of the batch)"

    def _noise(self, x: Tensor, step: int) -> Tensor:
        """Standard normal like x, a function of (seed, step) per model."""
        shape = x.shape[1:]
        draws = []
        for seed in self.seeds:
            generator = torch.Generator().manual_seed((seed * 1_000_003 + step + _NOISE_STREAM) % 2**63)
            draws.append(torch.randn(shape, generator=generator))
        return torch.stack(draws).to(x.device)

    @torch.no_grad()
    def after_update(self, step: int) -> None:
        """Adaptive forcing: a new alpha every few steps."""
        forcing = self.config.forcing
        if forcing.adaptive == "off" or step % forcing.adapt_every:
            return
        arguments = self.module.cell_arguments()
        if forcing.adaptive == "jacobian_upper_bound":
            norm = jacobian_upper_bound(arguments["A"], arguments["W1"], arguments["W2"])
        else:
            assert self._states is not None
            del arguments["C"]
            norm = ESTIMATORS[forcing.adaptive](batch_jacobians(self._states, arguments))
        self.alpha.copy_(updated_alpha(self.alpha, norm, forcing.adapt_rate))

    def finished(self) -> None:
        """Every model trains to the last step."""

    @torch.no_grad()
    def evaluate(self) -> dict[str, Tensor]:
        """d_stsp, d_h and the 20-step prediction error on the validation rows, [E] each."""
        found = evaluate(
            self.module,
            self._truth,
            u=self._truth_inputs,
            measures=("d_stsp", "d_h", "pe"),
            generator=torch.Generator().manual_seed(0),
        )
        return {name: found[name] for name in MEASURES}

    def logged(self) -> dict[str, Tensor]:
        """The forcing strength."""
        return {"forcing_alpha": self.alpha if self._forced else torch.zeros_like(self.alpha)}

    def state(self) -> dict[str, Tensor]:
        """The present alpha."""
        return {"alpha": self.alpha}

    def constants(self) -> dict[str, Tensor]:
        """The standardiser, and the first whole row of the data as a place to start from."""
        return self._constants


def _window_length(sequence_length: int, series: TimeSeries) -> int:
    """Rows of a window: one more than the predicted steps; ValueError when a sequence of the data is shorter."""
    shortest = min(series.lengths)
    if sequence_length >= shortest:
        which = "the data have" if len(series.lengths) == 1 else "the shortest sequence has"
        raise ValueError(
            f"training.sequence_length: expected at most {shortest - 1}, since a window holds one row more and {which} "
            f"{shortest}, got {sequence_length}"
            + (" (or transpose x if it is [N, T])" if series.n_observed > shortest else "")
        )
    return sequence_length + 1


def _place(window: Tensor, series: TimeSeries) -> tuple[int, int]:
    """(sequence, row) where a window [L, N] of the series begins."""
    window = window.cpu().nan_to_num(nan=torch.inf)  # equal where both are missing
    for sequence, values in enumerate(series.values):
        values = values.nan_to_num(nan=torch.inf)
        same = (values[: len(values) - len(window) + 1] == window[0]).all(1)
        for row in same.nonzero().flatten().tolist():
            if torch.equal(values[row : row + len(window)], window):
                return sequence, row
    raise ValueError("window: expected one of the series")


def _range(series: TimeSeries) -> tuple[float, float]:
    values = [v[~v.isnan()] for v in series.values]
    low, high = min(float(v.min()) for v in values if len(v)), max(float(v.max()) for v in values if len(v))
    if not (math.isfinite(low) and math.isfinite(high)):
        raise ValueError(f"x: expected finite values, got {low} to {high}")
    return low, high


def _first_whole_row(series: TimeSeries) -> Tensor:
    """The first row without a missing value; zeros, the mean, when there is none."""
    for values in series.values:
        whole = (~values.isnan().any(1)).nonzero()
        if len(whole):
            return values[int(whole[0])].clone()
    return torch.zeros(series.n_observed)
