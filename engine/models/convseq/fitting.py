"""Fit an ensemble of filters to a recording, and resume a fit."""

from __future__ import annotations

import dataclasses
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from neurorbit.engine.data import DenseRecording, EventBlocks, SpikeEvents, open_event_blocks, read_spike_events
from neurorbit.engine.models.convseq.config import ConvseqConfig, DetectionConfig
from neurorbit.engine.models.convseq.fitted import FittedConvseq, build, read_config
from neurorbit.engine.models.convseq.members import Member, members
from neurorbit.engine.models.convseq.objective import ConvseqObjective
from neurorbit.engine.models.convseq.responses import Recording, Responder, responder
from neurorbit.engine.training.device import find_device
from neurorbit.engine.training.folder import RunFolder
from neurorbit.engine.training.loop import Outcome, Trainer
from neurorbit.engine.training.progress import Reporter
from neurorbit.engine.training.settings import to_dict

MOST_EVENTS = 100_000_000  # of a recording in blocks that is read whole for its detections


@dataclass(frozen=True)
class SpikeSource:
    """A file with a recording, so that a fit can be resumed and its detections found without the data again."""

    path: str
    key: str | None = None
    bin_s: float | None = None
    transpose: bool = False
    trust_pickle: bool = False

    def read(self) -> SpikeEvents | DenseRecording:
        """The checked recording of the file, all of it in memory."""
        return read_spike_events(
            self.path, self.key, bin_s=self.bin_s, transpose=self.transpose, trust_pickle=self.trust_pickle
        )

    def open(self, config: ConvseqConfig) -> Recording:
        """The recording as the settings want it: in memory, or in blocks of time."""
        if not config.block_bins:
            return self.read()
        return open_event_blocks(
            self.path,
            self.key,
            block_bins=config.block_bins,
            width=config.width,
            padding=config.padding,
            bin_s=self.bin_s,
            transpose=self.transpose,
        )


@dataclass(frozen=True)
class ConvseqFit:
    """How training ended, and the fitted ensemble."""

    outcome: Outcome
    fitted: FittedConvseq


def fit(
    config: ConvseqConfig,
    recording: Recording,
    workdir: str | os.PathLike[str] | None = None,
    *,
    source: SpikeSource | None = None,
    detection: DetectionConfig | None = None,
    overwrite: bool = False,
    reporter: Reporter | None = None,
) -> ConvseqFit:
    """Train runs x grid models of K filters each on a recording, all in one launch.

    Every model is as it would be alone, bit for bit on one device; with loadings or terms that compare filters up to
    the rounding of sums.

    Args:
        config: the settings.
        recording: SpikeEvents, a DenseRecording, or EventBlocks of a file made with the width and padding of `config`.
        workdir: run folder to make (config, metrics, checkpoints); nothing is written when None.
        source: where the recording comes from, kept in the folder so that `resume` and `detect` find it.
        detection: kept in the folder for the report.
        overwrite: replace a run that the folder holds.
        reporter: gets progress and notes.

    Raises:
        ValueError: a setting or the data; nothing has been written then.
        RuntimeError: the device or the kernel is missing, or another process uses the folder.
    """
    found = members(config)
    check_recording(config, recording)
    device = find_device(config.device, "event_projection", config.backend)
    respond = responder(recording, config.padding, device, config.backend)
    if workdir is None:
        return train(config, found, respond, recording.n_neurons, None, reporter)
    origin: dict[str, Any] = dataclasses.asdict(source) if source else {"path": None}
    if source:
        origin["path"] = str(Path(source.path).resolve())
    data = origin | {"n_neurons": recording.n_neurons, "n_bins": recording.n_bins, "sha256": recording.fingerprint()}
    record = {"system": "convseq", "format": 1, "config": to_dict(config), "data": data}
    record["detection"] = to_dict(detection or DetectionConfig())
    folder = RunFolder.create(workdir, record, overwrite=overwrite)
    with folder.lock():
        return train(config, found, respond, recording.n_neurons, folder, reporter)


def resume(
    workdir: str | os.PathLike[str], *, recording: Recording | None = None, reporter: Reporter | None = None
) -> ConvseqFit:
    """Continue a stopped fit; on the same device it ends bit for bit as if it had never been stopped.

    The recording is read from where the fit found it unless it is given; another one is refused.
    """
    folder = RunFolder(workdir)
    config, record = read_config(folder)
    recording = same_recording(config, record["data"], recording)
    respond = responder(
        recording, config.padding, find_device(config.device, "event_projection", config.backend), config.backend
    )
    with folder.lock():
        return train(config, members(config), respond, recording.n_neurons, folder, reporter)


def train(
    config: ConvseqConfig,
    found: list[Member],
    respond: Responder,
    n_neurons: int,
    folder: RunFolder | None,
    reporter: Reporter | None,
    weight: Tensor | None = None,
) -> ConvseqFit:
    """Train models from the folder's newest checkpoint, or from the start; weight [1|E, T'] leaves bins out."""
    device = find_device(config.device, "event_projection", config.backend)
    objective = ConvseqObjective(
        config, found, respond, n_neurons, device, None if weight is None else weight.to(device)
    )
    trainer = Trainer(
        objective,
        config.training,
        config.epochs,
        objective.learning_rate,
        folder=folder,
        reporter=reporter,
        rectified=False,
    )
    if folder is not None:
        trainer.restore()
    outcome = trainer.run()
    tensors = {f"parameters/{n}": v.cpu().clone() for n, v in trainer.stack.named(trainer.stack.values).items()}
    tensors |= {name: getattr(trainer.record, name).cpu() for name in ("best_value", "alive")}
    return ConvseqFit(outcome, build(config, n_neurons, tensors, found))


def check_recording(config: ConvseqConfig, recording: Recording) -> None:
    """ValueError when the filters do not fit into the recording."""
    config.check()
    if isinstance(recording, EventBlocks) and (recording.width, recording.padding) != (config.width, config.padding):
        raise ValueError(
            f"recording: expected blocks for width {config.width} and padding {config.padding}, got blocks for "
            f"{recording.width} and {recording.padding}: open {recording.name} again"
        )
    longest = recording.n_bins + 2 * config.padding
    if config.width > recording.n_bins:
        raise ValueError(
            f"width: expected at most T={recording.n_bins}, the bins of {recording.name}, got {config.width}: use "
            "narrower filters or a longer recording"
        )
    if longest - config.width < 2:
        raise ValueError(f"width: {config.width} leaves fewer than 3 bins of the response to {recording.name}")


def fits_in_memory(recording: Recording) -> bool:
    """Whether a recording is in memory, or its events are few enough to be read whole (12 bytes each)."""
    return not isinstance(recording, EventBlocks) or recording.n_spikes <= MOST_EVENTS


def same_recording(
    config: ConvseqConfig, record: dict[str, Any], recording: Recording | None, *, whole: bool = False
) -> Recording:
    """The recording of a run folder, read again unless given; ValueError when it is another one.

    whole: in memory even when the fit read it in blocks of time, as the calibrated significances need it, unless it is
    too large for that.
    """
    if recording is None:
        if record["path"] is None:
            raise ValueError("recording: the fit was given arrays, not a file: give the same recording again")
        recording = _source(record).open(config)
    if recording.fingerprint() != record["sha256"]:
        raise ValueError(f"recording: {record['path'] or 'this one'}: differs from the one the fit began with")
    if whole and isinstance(recording, EventBlocks) and record["path"] is not None and fits_in_memory(recording):
        return _source(record).read()
    return recording


def _source(record: dict[str, Any]) -> SpikeSource:
    return SpikeSource(**{f.name: record[f.name] for f in dataclasses.fields(SpikeSource)})
