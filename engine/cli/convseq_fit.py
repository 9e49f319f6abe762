"""neurorbit convseq fit"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

import tyro

from neurorbit.engine.cli.parsing import parse
from neurorbit.engine.models.convseq.config import ConvseqConfig, DetectionConfig


@dataclass(frozen=True)
class ConvseqFitCommand:
    """Find repeating spike sequences: train filters on a recording, then detect where their sequences occur."""

    data: str
    """Recording (.npy .npz .mat .h5 .hdf5 .nwb): counts or activity [N, T], events, or sorted units."""
    workdir: str
    """Folder to make for config, metrics, checkpoints, detections, figures and the report."""
    key: str | None = None
    """Name of the recording inside the file."""
    bin_s: float | None = None
    """Width of a bin in seconds; needed for spike times in seconds."""
    transpose: bool = False
    """The array in the file is [T, N]."""
    trust_pickle: bool = False
    """The .npy file is pickled and may run the code that it holds."""
    overwrite: bool = False
    """Replace a run that the folder holds."""
    report: bool = True
    """Detect, and write detections.csv, neurons.csv, figures and report.html at the end."""
    detection: DetectionConfig = field(default_factory=DetectionConfig)
    config: Annotated[ConvseqConfig, tyro.conf.arg(name="")] = field(default_factory=ConvseqConfig)


def main(arguments: list[str], prog: str) -> int:
    """Parse, load, fit, detect, say where it is."""
    command = parse(ConvseqFitCommand, arguments, prog)
    command.config.check()
    command.detection.check()

    from neurorbit.engine.cli.convseq_ending import end
    from neurorbit.engine.cli.progress import ConsoleReporter
    from neurorbit.engine.models.convseq.detecting import check_search
    from neurorbit.engine.models.convseq.fitting import SpikeSource, check_recording, fit

    source = SpikeSource(command.data, command.key, command.bin_s, command.transpose, command.trust_pickle)
    recording = source.open(command.config)
    check_recording(command.config, recording)
    if command.report:
        check_search(command.config, recording, command.detection, whole=True)
    with ConsoleReporter() as reporter:
        found = fit(
            command.config,
            recording,
            command.workdir,
            source=source,
            detection=command.detection,
            overwrite=command.overwrite,
            reporter=reporter,
        )
        return end(found, command.workdir, report=command.report, recording=recording, reporter=reporter)
