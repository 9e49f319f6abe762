"""Fit an ensemble of PLRNNs to time series, and resume a fit."""

from __future__ import annotations

import dataclasses
import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from neurorbit.engine.analysis import estimate_forcing_interval
from neurorbit.engine.data import Standardiser, TimeSeries, read_time_series
from neurorbit.engine.models.plrnn.config import PlrnnConfig
from neurorbit.engine.models.plrnn.fitted import FittedPlrnn, build, read_config
from neurorbit.engine.models.plrnn.members import GRID
from neurorbit.engine.models.plrnn.objective import PlrnnObjective
from neurorbit.engine.training.device import find_device
from neurorbit.engine.training.ensembles import Fit, train_shapes
from neurorbit.engine.training.folder import RunFolder
from neurorbit.engine.training.loop import Trainer
from neurorbit.engine.training.progress import LoggingReporter, Reporter
from neurorbit.engine.training.settings import to_dict

LARGE_INPUT = 20.0  # beyond it the first, unscaled steps of RAdam throw a run away


@dataclass(frozen=True)
class DataSource:
    """A data file, so that a fit can be resumed without being given the data again."""

    path: str
    key: str | None = None
    inputs_key: str | None = None
    transpose: bool = False

    def read(self) -> TimeSeries:
        """The checked series of the file."""
        return read_time_series(self.path, self.key, self.inputs_key, transpose=self.transpose)

    @classmethod
    def of(cls, record: dict[str, Any]) -> DataSource:
        """The source that a run folder names."""
        return cls(record["path"], record["key"], record["inputs_key"], record.get("transpose", False))


def fit(
    config: PlrnnConfig,
    series: TimeSeries,
    workdir: str | os.PathLike[str] | None = None,
    *,
    validation: TimeSeries | None = None,
    source: DataSource | None = None,
    validation_source: DataSource | None = None,
    overwrite: bool = False,
    reporter: Reporter | None = None,
) -> Fit[FittedPlrnn]:
    """Train runs x grid models on a series, all models of one shape in one launch.

    Args:
        config: the settings; see PRESETS for published ones.
        series: training data in its own units.
        workdir: run folder to make (config, metrics, checkpoints); nothing is written when None.
        validation: data for the measures during training; the last rows of `series` when None.
        source, validation_source: where the data come from, kept in the folder so that `resume` finds them.
        overwrite: replace a run that the folder holds.
        reporter: gets progress and notes.

    Raises:
        ValueError: a setting or the data; nothing has been written then.
        RuntimeError: the device or the kernel is missing, or another process uses the folder.
    """
    config = _resolved(config, series)
    prepared = _Prepared(config, series, validation)
    for one in prepared.shapes:
        prepared.trainer(one, None, reporter)  # finds what is wrong, early
    _note_large_inputs(series, reporter)
    if workdir is None:
        return prepared.train(reporter)
    data = _data_record(series, source)
    record: dict[str, Any] = {"system": "plrnn", "format": 1, "config": to_dict(config), "data": data}
    record["validation"] = None if validation is None else _data_record(validation, validation_source)
    return prepared.train(reporter, RunFolder.create(workdir, record, overwrite=overwrite), record)


def resume(
    workdir: str | os.PathLike[str],
    *,
    series: TimeSeries | None = None,
    validation: TimeSeries | None = None,
    reporter: Reporter | None = None,
) -> Fit[FittedPlrnn]:
    """Continue a stopped fit; on the same device it ends bit for bit as if it had never been stopped.

    The data are read from where the fit found them unless they are given; other data are refused.
    """
    root = RunFolder(workdir)
    config, record = read_config(root)
    series = _same_data(record["data"], series, "series")
    if record.get("validation") is not None:
        validation = _same_data(record["validation"], validation, "validation")
    elif validation is not None:
        raise ValueError("validation: the fit began without validation data")
    return _Prepared(config, series, validation).train(reporter, root, record)


class _Prepared:
    """Standardised data and the shapes of a configuration."""

    def __init__(self, config: PlrnnConfig, series: TimeSeries, validation: TimeSeries | None) -> None:
        config.check()
        self.device = find_device(config.device, "rollout_plrnn", config.backend)
        self.n_observed, self.n_inputs = series.n_observed, series.n_inputs
        if validation is not None and (validation.n_observed, validation.n_inputs) != (self.n_observed, self.n_inputs):
            raise ValueError(
                f"validation: expected N={self.n_observed}, U={self.n_inputs} as in the training data, got "
                f"N={validation.n_observed}, U={validation.n_inputs}"
            )
        self.standardiser = Standardiser.fit(series) if config.standardise else Standardiser.identity(self.n_observed)
        self.series = self.standardiser.apply(series)
        self.validation = self.series if validation is None else self.standardiser.apply(validation)
        self.shapes = GRID.shapes(config)

    def trainer(self, config: PlrnnConfig, folder: RunFolder | None, reporter: Reporter | None) -> Trainer:
        objective = PlrnnObjective(
            config, GRID.members(config), self.series, self.validation, self.standardiser, self.device
        )
        return Trainer(
            objective,
            config.training,
            config.steps,
            objective.learning_rate,
            folder=folder,
            reporter=reporter,
            evaluate_every=config.evaluation.every_epochs * config.training.batches_per_epoch,
        )

    def train(
        self, reporter: Reporter | None, root: RunFolder | None = None, record: dict[str, Any] | None = None
    ) -> Fit[FittedPlrnn]:
        """Every shape, from where the folder has it."""

        def trainer(config: PlrnnConfig, folder: RunFolder | None) -> Trainer:
            return self.trainer(config, folder, reporter)

        def fitted(config: PlrnnConfig, tensors: dict[str, Tensor]) -> FittedPlrnn:
            return build(config, self.n_observed, self.n_inputs, tensors, str(self.device))

        return train_shapes(self.shapes, trainer, fitted, root, record)


def _resolved(config: PlrnnConfig, series: TimeSeries) -> PlrnnConfig:
    """The configuration with an estimate in place of a forcing interval of 0."""
    config.check()
    if 0 not in (config.forcing.interval, *config.grid.interval):
        return config
    tau = estimate_forcing_interval(list(series.values), method="autocorrelation")
    forcing = dataclasses.replace(config.forcing, interval=config.forcing.interval or tau)
    grid = dataclasses.replace(config.grid, interval=tuple(i or tau for i in config.grid.interval))
    return dataclasses.replace(config, forcing=forcing, grid=grid)


def _note_large_inputs(series: TimeSeries, reporter: Reporter | None) -> None:
    """Unlike the observations, inputs are not standardised; the model is made for values of about 1."""
    if series.inputs is None:
        return
    largest = torch.stack([u.abs().amax(0) for u in series.inputs]).amax(0)
    worst = int(largest.argmax())
    if largest[worst] > LARGE_INPUT:
        (reporter or LoggingReporter()).note(
            f"inputs: variable {worst} reaches {float(largest[worst]):.3g}; inputs enter the model as they are: if the "
            "runs diverge, scale them to about 1"
        )


def _fingerprint(series: TimeSeries) -> str:
    digest = hashlib.sha256()
    for x in (*series.values, *(series.inputs or ())):
        digest.update(repr(tuple(x.shape)).encode())
        digest.update(x.contiguous().numpy().tobytes())
    return digest.hexdigest()


def _data_record(series: TimeSeries, source: DataSource | None) -> dict[str, Any]:
    origin: dict[str, Any] = {"path": None, "key": None, "inputs_key": None, "transpose": False}
    if source:
        origin = dataclasses.asdict(source) | {"path": str(Path(source.path).resolve())}
    sizes = {"n_observed": series.n_observed, "n_inputs": series.n_inputs}
    return origin | sizes | {"sha256": _fingerprint(series)}


def _same_data(record: dict[str, Any], series: TimeSeries | None, name: str) -> TimeSeries:
    if series is None:
        if record["path"] is None:
            raise ValueError(f"{name}: the fit was given arrays, not a file: give the same arrays to resume")
        series = DataSource.of(record).read()
    if _fingerprint(series) != record["sha256"]:
        raise ValueError(f"{name}: {record['path'] or 'these data'}: differ from the data the fit began with")
    return series
