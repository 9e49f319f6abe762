"""neurorbit convseq report"""

from __future__ import annotations

from dataclasses import dataclass

from neurorbit.engine.cli.parsing import parse


@dataclass(frozen=True)
class ReportCommand:
    """Write tables, figures and report of a fit again, detecting as the fit was told; with an animal's position."""

    workdir: str
    """Folder of the fit."""
    position: str | None = None
    """File with the animal's position in each bin (.npy .npz .mat .h5 .hdf5 .csv)."""
    position_key: str | None = None
    """Name of the position inside its file."""
    position_unit: str = ""
    """Unit of the position, for the axes."""
    run: int | None = None
    """Which run's filters; those of the best one when not given."""


def main(arguments: list[str], prog: str) -> int:
    """Parse, detect, write."""
    command = parse(ReportCommand, arguments, prog)

    from neurorbit.engine.cli.progress import ConsoleReporter
    from neurorbit.engine.data.read import read_one_row
    from neurorbit.engine.models.convseq.run_report import write_run_report

    position = None if command.position is None else read_one_row(command.position, command.position_key)
    with ConsoleReporter() as reporter:
        made = write_run_report(
            command.workdir,
            position=position,
            position_unit=command.position_unit,
            run=command.run,
            reporter=reporter,
        )
    print(made.path)
    return 0
