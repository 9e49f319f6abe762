"""neurorbit convseq video"""

from __future__ import annotations

from dataclasses import dataclass

from neurorbit.engine.cli.parsing import parse


@dataclass(frozen=True)
class VideoCommand:
    """A film of the optimisation; the run is trained again from its seed for it."""

    workdir: str
    """Folder of the fit."""
    out: str
    """.mp4 (needs ffmpeg, on PATH or from `pip install imageio-ffmpeg`) or .gif."""
    every: int = 20
    """Steps between two frames (>= 1)."""
    run: int | None = None
    """Which run; the best one when not given."""
    sequence: int = 0
    """Which filter."""


def main(arguments: list[str], prog: str) -> int:
    """Parse, load, train again, write."""
    command = parse(VideoCommand, arguments, prog)

    from neurorbit.engine.cli.progress import ConsoleReporter
    from neurorbit.engine.models.convseq.film import check_film, watch, write_film
    from neurorbit.engine.models.convseq.fitted import load, read_config
    from neurorbit.engine.models.convseq.fitting import same_recording
    from neurorbit.engine.training.folder import RunFolder

    check_film(command.out)
    fitted = load(command.workdir)
    recording = same_recording(fitted.config, read_config(RunFolder(command.workdir))[1]["data"], None)
    with ConsoleReporter() as reporter:
        film = watch(
            fitted, recording, run=command.run, every=command.every, sequence=command.sequence, reporter=reporter
        )
    print(f"{len(film.steps)} frames: {write_film(command.out, film, bin_s=recording.bin_s)}")
    return 0
