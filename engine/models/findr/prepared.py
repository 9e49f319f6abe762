"""Sessions as models see them: folds, baselines inside the link, and trials gathered for every model of an ensemble."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from neurorbit.engine.data.spike_trials import SpikeTrials
from neurorbit.engine.data.trial_folds import Fold, folds
from neurorbit.engine.models.findr.baseline import Baseline, fit_baselines
from neurorbit.engine.models.findr.config import FindrConfig
from neurorbit.engine.models.findr.members import Member
from neurorbit.engine.models.findr.network import Trials

_LEAST_HZ = 0.01


@dataclass(frozen=True, eq=False)
class Session:
    """One session on a device.

    folds: every fold of its trials. by_trial [F, B, N], by_bin [F, T, N]: the baseline of each chosen fold inside the
    link; rows: which of the F a fold is.
    """

    counts: Tensor
    inputs: Tensor | None
    lengths: Tensor
    folds: tuple[Fold, ...]
    by_trial: Tensor
    by_bin: Tensor
    rows: dict[int, int]

    def gather(
        self, trials: Tensor, fold_rows: Tensor, lengths: Tensor | None = None, by_bin: Tensor | None = None
    ) -> Trials:
        """Trials [E, b] by number, with the baselines of the folds' rows [E]; lengths [E, b] where some are to be 0,
        by_bin [E, T, N] where the caller has them."""
        return Trials(
            _chosen(self.counts, trials),
            None if self.inputs is None else _chosen(self.inputs, trials),
            self.lengths[trials] if lengths is None else lengths,
            self.by_trial[fold_rows[:, None], trials],
            self.by_bin[fold_rows] if by_bin is None else by_bin,
        )

    def fold_rows(self, members: Sequence[Member]) -> Tensor:
        """Row of each model's fold [E]."""
        return torch.tensor([self.rows[m.fold] for m in members], device=self.lengths.device)

    def part(self, members: Sequence[Member], name: str) -> tuple[Tensor, Tensor]:
        """Numbers [E, b] of the train, validation or test trials of each model, filled up with trials of length 0, and
        their lengths [E, b]."""
        parts = [getattr(self.folds[m.fold], name) for m in members]
        most = max(len(p) for p in parts)
        numbers = torch.zeros(len(parts), most, dtype=torch.int64)
        there = torch.zeros(len(parts), most, dtype=torch.bool)
        for e, p in enumerate(parts):
            numbers[e, : len(p)], there[e, : len(p)] = p, True
        numbers, there = numbers.to(self.lengths.device), there.to(self.lengths.device)
        return numbers, self.lengths[numbers].masked_fill(~there, 0)


def _chosen(x: Tensor, numbers: Tensor) -> Tensor:
    """x[numbers], in whole rows: several times as fast for bytes."""
    return x.index_select(0, numbers.flatten()).unflatten(0, numbers.shape)


def prepare(config: FindrConfig, sessions: Sequence[SpikeTrials], device: torch.device) -> list[Session]:
    """Folds and baselines of each session; ValueError when the sessions do not fit each other or the settings."""
    check_sessions(sessions)
    found = []
    for trials in sessions:
        parts = folds(trials.n_trials, config.folds, seed=config.fold_seed)
        fitted = [inside_link(b, config) for b in _baselines(config, trials, [parts[k] for k in config.chosen_folds])]
        found.append(session_of(config, trials, *(torch.stack(p) for p in zip(*fitted, strict=True)), device=device))
    return found


def session_of(
    config: FindrConfig, trials: SpikeTrials, by_trial: Tensor, by_bin: Tensor, *, device: torch.device
) -> Session:
    """A session whose baselines are known, of all chosen folds."""
    return Session(
        trials.counts.to(device),
        None if trials.inputs is None else trials.inputs.to(device),
        trials.lengths.to(device),
        tuple(folds(trials.n_trials, config.folds, seed=config.fold_seed)),
        by_trial.to(device),
        by_bin.to(device),
        {fold: row for row, fold in enumerate(config.chosen_folds)},
    )


def check_sessions(sessions: Sequence[SpikeTrials]) -> None:
    """ValueError unless all have the same inputs and bins of the same width."""
    if not sessions:
        raise ValueError("sessions: expected at least one")
    first = sessions[0]
    for other in sessions[1:]:
        for what, a, b in (
            ("inputs", first.n_inputs, other.n_inputs),
            ("bin_s", first.bin_s, other.bin_s),
        ):
            if a != b:
                raise ValueError(
                    f"{other.name}: expected the {what} of {first.name}, {a:g}, got {b:g}: sessions share one flow"
                )


def inside_link(baseline: Baseline, config: FindrConfig) -> tuple[Tensor, Tensor]:
    """The parts [B, N] and [T, N] of a baseline as they stand inside the link."""
    if config.model.link == "exp":
        rates = baseline.across.double().clamp(min=_LEAST_HZ)
        typical = torch.maximum(rates.mean(0), baseline.within.double().abs().amax(0))
        return rates.log().float(), (baseline.within.double() / typical).float()
    return baseline.inside("softplus" if config.model.exact_baseline else "identity")


def _baselines(config: FindrConfig, trials: SpikeTrials, parts: Sequence[Fold]) -> list[Baseline]:
    if config.baseline == "given":
        if trials.baseline_hz is None:
            raise ValueError(
                f"{trials.name}: holds no baseline_hz: choose another baseline (--baseline trial_and_time)"
            )
        nothing = torch.zeros(2, trials.n_neurons)
        return [Baseline(*trials.baseline_hz, nothing.long(), nothing.double())] * len(parts)
    return fit_baselines(trials, [(p.train, p.validation) for p in parts], kind=config.baseline)


class Batches:
    """Which trials each model sees in a step: a function of its seed and fold, the session and the epoch.

    Every epoch goes once through the training trials of every session, batch_size at a time; the sessions take turns
    in an order drawn for the epoch, the same for all models.
    """

    def __init__(self, config: FindrConfig, sessions: Sequence[Session], members: Sequence[Member]) -> None:
        size = config.training.batch_size
        self.sessions, self.members, self.size = sessions, members, size
        self.per_session = []
        for session in sessions:
            least = min(len(f.train) for f in session.folds)
            if least < size:
                raise ValueError(
                    f"training.batch_size: expected at most {least}, the trials that train in the smallest fold, got "
                    f"{size}"
                )
            self.per_session.append(least // size)
        self.per_epoch = sum(self.per_session)
        self._shuffle_seed = config.fold_seed
        self._rows = [s.fold_rows(members) for s in sessions]
        self._by_bin = [s.by_bin[rows] for s, rows in zip(sessions, self._rows, strict=True)]
        self._epoch = -1
        self._turns: list[int] = []
        self._orders: list[Tensor] = []
        self._lengths: list[Tensor] = []

    def draw(self, step: int) -> tuple[int, Trials]:
        """The session of a step, and its trials for every model."""
        epoch, turn = divmod(step, self.per_epoch)
        if epoch != self._epoch:
            self._shuffle(epoch)
        session = self._turns[turn]
        batch = self._turns[:turn].count(session)
        at = slice(batch * self.size, (batch + 1) * self.size)
        trials, lengths = self._orders[session][:, at], self._lengths[session][:, at]
        return session, self.sessions[session].gather(trials, self._rows[session], lengths, self._by_bin[session])

    def _shuffle(self, epoch: int) -> None:
        turns = [s for s, n in enumerate(self.per_session) for _ in range(n)]
        order = torch.randperm(len(turns), generator=_generator(self._shuffle_seed, epoch, 0, 0))
        self._turns = [turns[i] for i in order.tolist()]
        self._orders = []
        for s, session in enumerate(self.sessions):
            known: dict[tuple[int, int], Tensor] = {}
            used = self.per_session[s] * self.size
            for m in self.members:
                if (m.seed, m.fold) not in known:
                    train = session.folds[m.fold].train
                    shuffled = torch.randperm(len(train), generator=_generator(m.seed, epoch, m.fold + 1, s + 1))
                    known[m.seed, m.fold] = train[shuffled[:used]]
            every = torch.stack([known[m.seed, m.fold] for m in self.members])
            self._orders.append(every.to(session.lengths.device))
        self._lengths = [s.lengths[order] for s, order in zip(self.sessions, self._orders, strict=True)]
        self._epoch = epoch


def _generator(*numbers: int) -> torch.Generator:
    seed = 0x5EED
    for n in numbers:
        seed = (seed * 6364136223846793005 + n + 1442695040888963407) % 2**64
        seed ^= seed >> 29
    return torch.Generator().manual_seed(seed % 2**63)
