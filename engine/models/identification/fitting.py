"""Fit an ensemble of networks to trials of activity and inputs, and resume a fit."""

from __future__ import annotations

import dataclasses
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from neurorbit.engine.data.rate_trials import RateTrials
from neurorbit.engine.data.read_rates import read_rates
from neurorbit.engine.models.identification.config import IdentificationConfig
from neurorbit.engine.models.identification.fitted import FittedIdentification, build, read_config
from neurorbit.engine.models.identification.members import GRID
from neurorbit.engine.models.identification.objective import IdentificationObjective
from neurorbit.engine.models.identification.prepared import find_scaling, sequences
from neurorbit.engine.training.device import find_device
from neurorbit.engine.training.ensembles import Fit, train_shapes
from neurorbit.engine.training.folder import RunFolder
from neurorbit.engine.training.loop import Trainer
from neurorbit.engine.training.progress import LoggingReporter, Reporter
from neurorbit.engine.training.settings import to_dict

_NAMED = 8  # constant units that a note names


@dataclass(frozen=True)
class RateSource:
    """A data file, so that a fit can be resumed and evaluated without being given the data again."""

    path: str
    rates_key: str | None = None
    inputs_key: str | None = None
    headings_key: str | None = None
    spikes: bool | None = None
    dt_s: float | None = None

    def read(self) -> RateTrials:
        """The checked trials of the file."""
        keys = {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.name != "path"}
        return read_rates(self.path, **keys)

    @classmethod
    def of(cls, record: dict[str, Any]) -> RateSource:
        """The source that a run folder names."""
        return cls(**{f.name: record[f.name] for f in dataclasses.fields(cls)})


def fit(
    config: IdentificationConfig,
    trials: RateTrials,
    workdir: str | os.PathLike[str] | None = None,
    *,
    source: RateSource | None = None,
    overwrite: bool = False,
    reporter: Reporter | None = None,
) -> Fit[FittedIdentification]:
    """Identify the network behind trials with runs x grid models, all models of one shape in one launch.

    Headings and the truth that a simulation knows take no part.

    Args:
        config: the settings; see PRESETS for published ones.
        trials: rates or spikes with the inputs.
        workdir: run folder to make (config, metrics, checkpoints); nothing is written when None.
        source: where the data come from, kept in the folder so that `resume` and `evaluate` find them.
        overwrite: replace a run that the folder holds.
        reporter: gets progress and notes.

    Raises:
        ValueError: a setting or the data; nothing has been written then.
        RuntimeError: the device or the kernel is missing, or another process uses the folder.
    """
    prepared = _Prepared(config, trials)
    for one in prepared.shapes:
        prepared.trainer(one, None, reporter)  # finds what is wrong, early
    _note_constant_units(trials, reporter)
    if workdir is None:
        return prepared.train(reporter)
    record = {"system": "identification", "format": 1, "config": to_dict(config), "data": _data_record(trials, source)}
    return prepared.train(reporter, RunFolder.create(workdir, record, overwrite=overwrite), record)


def resume(
    workdir: str | os.PathLike[str], *, trials: RateTrials | None = None, reporter: Reporter | None = None
) -> Fit[FittedIdentification]:
    """Continue a stopped fit; on the same device it ends bit for bit as if it had never been stopped.

    The data are read from where the fit found them unless they are given; other data are refused.
    """
    root = RunFolder(workdir)
    config, record = read_config(root)
    trials = same_trials(record["data"], trials)
    return _Prepared(config, trials).train(reporter, root, record)


def same_trials(record: dict[str, Any], trials: RateTrials | None) -> RateTrials:
    """The trials of a run folder, read again unless given; ValueError when they are others."""
    if trials is None:
        if record["path"] is None:
            raise ValueError("trials: the fit was given arrays, not a file: give the same trials again")
        trials = RateSource.of(record).read()
    if trials.fingerprint() != record["sha256"]:
        raise ValueError(f"trials: {record['path'] or 'these data'}: differ from the data the fit began with")
    return trials


def trials_of(workdir: str | os.PathLike[str], path: str | None = None) -> RateTrials:
    """The trials of a fit, or those of another file that is read as the fit's was."""
    _, record = read_config(RunFolder(workdir))
    if path is None:
        return same_trials(record["data"], None)
    return dataclasses.replace(RateSource.of(record["data"]), path=path).read()


class _Prepared:
    """Data in the units of the models, and the shapes of a configuration."""

    def __init__(self, config: IdentificationConfig, trials: RateTrials) -> None:
        config.check()
        self.device = find_device(config.device, "rollout_leaky_rnn", config.backend)
        if trials.kind == "spikes":
            find_device(config.device, "poisson_readout", config.backend)
        if trials.n_steps < 2:
            raise ValueError(
                f"{trials.name}: expected at least 2 steps per trial, one to start from and one to predict, got "
                f"{trials.n_steps}"
            )
        varying = trials.inputs.flatten(0, 1).std(0)
        if not bool((varying > 0).all()):
            raise ValueError(f"{trials.name}: inputs never vary; such inputs identify nothing: record while they do")
        self.scaling = find_scaling(trials, config)
        self.series = sequences(trials, self.scaling, config.loss.start_bins)
        self.input_scale = varying
        self.trials = trials
        self.shapes = GRID.shapes(config)

    def trainer(self, config: IdentificationConfig, folder: RunFolder | None, reporter: Reporter | None) -> Trainer:
        objective = IdentificationObjective(
            config,
            GRID.members(config),
            self.series,
            self.trials.n_observed,
            self.scaling,
            self.input_scale,
            self.device,
        )
        return Trainer(
            objective,
            config.training,
            config.steps,
            objective.learning_rate,
            folder=folder,
            reporter=reporter,
            rectified=False,
        )

    def train(
        self, reporter: Reporter | None, root: RunFolder | None = None, record: dict[str, Any] | None = None
    ) -> Fit[FittedIdentification]:
        """Every shape, from where the folder has it."""
        sizes = (self.trials.n_observed, self.trials.n_inputs, self.trials.kind)

        def trainer(config: IdentificationConfig, folder: RunFolder | None) -> Trainer:
            return self.trainer(config, folder, reporter)

        def fitted(config: IdentificationConfig, tensors: dict[str, Tensor]) -> FittedIdentification:
            return build(config, *sizes, tensors, str(self.device))

        return train_shapes(self.shapes, trainer, fitted, root, record)


def _note_constant_units(trials: RateTrials, reporter: Reporter | None) -> None:
    constant = trials.constant_units
    if constant:
        named = ", ".join(map(str, constant[:_NAMED])) + (", ..." if len(constant) > _NAMED else "")
        (reporter or LoggingReporter()).note(
            f"{len(constant)} of {trials.n_observed} observed units never vary ({named}): what reaches them is not "
            "identified"
        )


def _data_record(trials: RateTrials, source: RateSource | None) -> dict[str, Any]:
    origin: dict[str, Any] = {f.name: None for f in dataclasses.fields(RateSource)}
    if source:
        origin = dataclasses.asdict(source) | {"path": str(Path(source.path).resolve())}
    sizes = {"n_observed": trials.n_observed, "n_inputs": trials.n_inputs, "kind": trials.kind}
    return origin | sizes | {"sha256": trials.fingerprint()}
