"""neurorbit convseq detect"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

import tyro

from neurorbit.engine.cli.parsing import parse
from neurorbit.engine.models.convseq.config import DetectionConfig


@dataclass(frozen=True)
class DetectCommand:
    """Where the sequences of a fit occur, in its recording or in another one of the same neurons."""

    workdir: str
    """Folder of the fit."""
    out: str
    """CSV file to write: run, sequence, time_bin, time_s, height_sd, p_value, recording."""
    data: str | None = None
    """Another recording of the same neurons; that of the fit when not given."""
    key: str | None = None
    """Name of the other recording inside its file."""
    bin_s: float | None = None
    """Width of a bin of the other recording in seconds."""
    transpose: bool = False
    """The other recording's array is [T, N]."""
    trust_pickle: bool = False
    """The other recording's .npy file is pickled and may run the code that it holds."""
    neurons: str | None = None
    """CSV file to write as well: the neurons of each sequence by lag, and which of them take part."""
    run: int | None = None
    """Which run's filters; those of the best one when not given."""
    detection: Annotated[DetectionConfig, tyro.conf.arg(name="")] = field(default_factory=DetectionConfig)


def main(arguments: list[str], prog: str) -> int:
    """Parse, load, detect, write."""
    command = parse(DetectCommand, arguments, prog)
    command.detection.check()

    from neurorbit.engine.cli.progress import ConsoleReporter
    from neurorbit.engine.data.write import check_writable
    from neurorbit.engine.models.convseq.detecting import detect
    from neurorbit.engine.models.convseq.fitted import load, read_config
    from neurorbit.engine.models.convseq.fitting import SpikeSource, same_recording
    from neurorbit.engine.models.convseq.null import cache_folder
    from neurorbit.engine.models.convseq.tables import write_detections, write_neurons
    from neurorbit.engine.training.folder import RunFolder

    for path in (command.out, command.neurons):
        if path is not None:
            check_writable(path, (".csv",))
    fitted = load(command.workdir)
    folder = RunFolder(command.workdir)
    recording = of_fit = same_recording(fitted.config, read_config(folder)[1]["data"], None, whole=True)
    trained_on = None
    if command.data is not None:
        source = SpikeSource(command.data, command.key, command.bin_s, command.transpose, command.trust_pickle)
        recording, trained_on = source.read(), of_fit
        if recording.fingerprint() == of_fit.fingerprint():
            trained_on = None
    with ConsoleReporter() as reporter:
        found = detect(
            fitted,
            recording,
            command.detection,
            run=command.run,
            trained_on=trained_on,
            workdir=command.workdir,
            cache=cache_folder(),
            reporter=reporter,
        )
    written = write_detections(command.out, found)
    if command.neurons is not None:
        write_neurons(command.neurons, found)
    d = found.detections
    others = "".join(f", {n} gives {c}" for n, c in d.other_counts.items())
    many = f"{len(d)} detection{'s' * (len(d) != 1)} of {len(found.w)} sequence{'s' * (len(found.w) != 1)}"
    print(f"{many} ({d.significance}{others}): {written}")
    return 0
