"""Fit an ensemble of flows to the spikes of one or several sessions, and resume a fit."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from neurorbit.engine.data.read_trials import read_trials
from neurorbit.engine.data.spike_trials import BIN_S, SpikeTrials
from neurorbit.engine.models.findr.config import FindrConfig
from neurorbit.engine.models.findr.fitted import FittedFindr, build, read_config
from neurorbit.engine.models.findr.members import members, shapes
from neurorbit.engine.models.findr.objective import FindrObjective
from neurorbit.engine.models.findr.prepared import prepare
from neurorbit.engine.training.config import LoopConfig
from neurorbit.engine.training.device import find_device
from neurorbit.engine.training.ensembles import Fit, train_shapes
from neurorbit.engine.training.folder import RunFolder
from neurorbit.engine.training.loop import Trainer
from neurorbit.engine.training.momentum import StackedOptimiser, StackedSgd
from neurorbit.engine.training.optimiser import StackedAdam
from neurorbit.engine.training.progress import LoggingReporter, Reporter
from neurorbit.engine.training.schedules import half_cosine, warm_restarts
from neurorbit.engine.training.settings import to_dict
from neurorbit.engine.training.stack import ParameterStack

OPS = ("rollout_gru", "rollout_gated_sde", "poisson_readout")
_NAMED = 8  # silent neurons that a note names


@dataclass(frozen=True)
class TrialSource:
    """Data files, one per session, so that a fit can be resumed and evaluated without being given the data again."""

    paths: tuple[str, ...]
    bin_s: float = BIN_S

    def read(self) -> list[SpikeTrials]:
        """The checked trials of the files."""
        return [read_trials(path, bin_s=self.bin_s) for path in self.paths]


def fit(
    config: FindrConfig,
    sessions: SpikeTrials | Sequence[SpikeTrials],
    workdir: str | os.PathLike[str] | None = None,
    *,
    source: TrialSource | None = None,
    overwrite: bool = False,
    reporter: Reporter | None = None,
) -> Fit[FittedFindr]:
    """Infer the flow behind the spikes with folds x rates x runs models, all of one shape in one launch.

    Choices and the truth that a simulation knows take no part.

    Args:
        config: the settings.
        sessions: trials; several sessions share one flow, each with its own encoder weights, readout and baseline.
        workdir: run folder to make (config, metrics, checkpoints); nothing is written when None.
        source: where the data come from, kept in the folder so that `resume` and `evaluate` find them.
        overwrite: replace a run that the folder holds.
        reporter: gets progress and notes.

    Raises:
        ValueError: a setting or the data; nothing has been written then.
        RuntimeError: the device or the kernel is missing, or another process uses the folder.
    """
    every = [sessions] if isinstance(sessions, SpikeTrials) else list(sessions)
    prepared = _Prepared(config, every)
    prepared.trainer(prepared.shapes[0], None, reporter)  # finds what is wrong, early
    _note_silent_neurons(every, reporter)
    _note_early_end(config, reporter)
    if workdir is None:
        return prepared.train(reporter)
    record = {"system": "findr", "format": 1, "config": to_dict(config), "data": _data_record(every, source)}
    return prepared.train(reporter, RunFolder.create(workdir, record, overwrite=overwrite), record)


def resume(
    workdir: str | os.PathLike[str],
    *,
    sessions: SpikeTrials | Sequence[SpikeTrials] | None = None,
    reporter: Reporter | None = None,
) -> Fit[FittedFindr]:
    """Continue a stopped fit; on the same device it ends bit for bit as if it had never been stopped.

    The data are read from where the fit found them unless they are given; other data are refused.
    """
    root = RunFolder(workdir)
    config, record = read_config(root)
    return _Prepared(config, same_sessions(record["data"], sessions)).train(reporter, root, record)


def same_sessions(
    record: dict[str, Any], sessions: SpikeTrials | Sequence[SpikeTrials] | None = None
) -> list[SpikeTrials]:
    """The sessions of a run folder, read again unless given; ValueError when they are others."""
    if sessions is None:
        if record["paths"] is None:
            raise ValueError("sessions: the fit was given arrays, not files: give the same trials again")
        found = TrialSource(tuple(record["paths"]), record["bin_s"]).read()
    else:
        found = [sessions] if isinstance(sessions, SpikeTrials) else list(sessions)
    if len(found) != len(record["sha256"]):
        raise ValueError(f"sessions: expected {len(record['sha256'])} as in the fit, got {len(found)}")
    for k, trials in enumerate(found):
        if trials.fingerprint() != record["sha256"][k]:
            where = "these data" if record["paths"] is None or sessions is not None else record["paths"][k]
            raise ValueError(f"sessions: {where}: differ from the data the fit began with")
    return found


def sessions_of(workdir: str | os.PathLike[str]) -> list[SpikeTrials]:
    """The sessions of a fit, read again from their files."""
    return same_sessions(read_config(RunFolder(workdir))[1]["data"])


class _Prepared:
    """Sessions with their folds and baselines, and the shapes of a configuration."""

    def __init__(self, config: FindrConfig, sessions: Sequence[SpikeTrials]) -> None:
        config.check()
        for op in OPS:
            self.device = find_device(config.device, op, config.backend)
        for trials in sessions:
            if trials.n_trials < config.folds:
                raise ValueError(
                    f"{trials.name}: expected at least as many trials as folds, {config.folds}, got {trials.n_trials}; "
                    "3 folds are the fewest"
                )
        self.sessions = prepare(config, sessions, self.device)
        self.n_neurons = [s.n_neurons for s in sessions]
        self.n_inputs, self.bin_s = sessions[0].n_inputs, sessions[0].bin_s
        self.shapes = shapes(config)

    def trainer(self, config: FindrConfig, folder: RunFolder | None, reporter: Reporter | None) -> Trainer:
        objective = FindrObjective(config, members(config), self.sessions, self.bin_s, self.device)
        per_epoch, training = objective.batches.per_epoch, config.training
        loop = LoopConfig(
            gradient_clip=training.gradient_clip,
            log_every=training.evaluate_every * per_epoch,
            checkpoint_every=training.checkpoint_every * per_epoch,
            batches_per_epoch=per_epoch,
        )
        return Trainer(
            objective,
            loop,
            config.epochs * per_epoch,
            objective.learning_rate,
            folder=folder,
            reporter=reporter,
            evaluate_every=training.evaluate_every * per_epoch,
            optimiser=optimiser_of(config),
            schedule=schedule_of(config, per_epoch),
        )

    def train(
        self, reporter: Reporter | None, root: RunFolder | None = None, record: dict[str, Any] | None = None
    ) -> Fit[FittedFindr]:
        """Every shape, from where the folder has it."""

        def trainer(config: FindrConfig, folder: RunFolder | None) -> Trainer:
            return self.trainer(config, folder, reporter)

        def fitted(config: FindrConfig, tensors: dict[str, Tensor]) -> FittedFindr:
            return build(config, self.n_neurons, self.n_inputs, self.bin_s, tensors, str(self.device))

        return train_shapes(self.shapes, trainer, fitted, root, record)


def optimiser_of(config: FindrConfig) -> Callable[[ParameterStack], StackedOptimiser]:
    """The optimiser of a configuration."""
    training = config.training
    if training.optimiser == "sgd":
        return lambda stack: StackedSgd(stack, momentum=training.momentum, clip=training.gradient_clip)
    return lambda stack: StackedAdam(stack, rectified=False, clip=training.gradient_clip)


def schedule_of(config: FindrConfig, per_epoch: int) -> Callable[[int], float]:
    """Factor of the peak rate at each step."""
    training, epochs = config.training, config.epochs
    kind, rise = training.schedule, float(training.rise_epochs)
    if kind == "auto":
        kind = "restarts" if training.optimiser == "sgd" else "cosine"

    def factor(step: int) -> float:
        epoch = (step + 1) / per_epoch if rise else step / per_epoch  # the first step has a rate above 0
        if kind == "restarts":
            return warm_restarts(epoch, rise=rise)
        if epoch < rise:
            return epoch / rise
        return 1.0 if kind == "constant" else half_cosine((epoch - rise) / max(epochs - rise, 1.0))

    return factor


def _note_silent_neurons(sessions: Sequence[SpikeTrials], reporter: Reporter | None) -> None:
    for trials in sessions:
        silent = trials.silent_neurons
        if silent:
            named = ", ".join(map(str, silent[:_NAMED])) + (", ..." if len(silent) > _NAMED else "")
            (reporter or LoggingReporter()).note(
                f"{trials.name}: {len(silent)} of {trials.n_neurons} neurons never fire ({named}): they say nothing"
            )


def _note_early_end(config: FindrConfig, reporter: Reporter | None) -> None:
    if config.epochs <= config.loss.annealed:
        (reporter or LoggingReporter()).note(
            f"epochs: {config.epochs} end before beta is annealed, after epoch {config.loss.annealed}: the models' "
            "last states are kept, not their best on the validation trials (more epochs, or a lower loss.annealing)"
        )


def _data_record(sessions: Sequence[SpikeTrials], source: TrialSource | None) -> dict[str, Any]:
    return {
        "paths": None if source is None else [str(Path(p).resolve()) for p in source.paths],
        "names": [s.name for s in sessions],
        "n_neurons": [s.n_neurons for s in sessions],
        "n_inputs": sessions[0].n_inputs,
        "bin_s": sessions[0].bin_s,
        "sha256": [s.fingerprint() for s in sessions],
    }
