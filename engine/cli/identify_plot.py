"""neurorbit identify plot"""

from __future__ import annotations

from dataclasses import dataclass

from neurorbit.engine.cli.parsing import parse


@dataclass(frozen=True)
class PlotCommand:
    """Write figures and report of a fit: connectivity beside the truth and beside a control's, free runs, shifters."""

    workdir: str
    """Folder of the fit."""
    control: str | None = None
    """Folder of a fit of the same data without separated inputs, shown beside it."""
    data: str | None = None
    """File with other trials of the same units for the free runs; those of the fit when not given."""


def main(arguments: list[str], prog: str) -> int:
    """Parse, write, say where it is."""
    command = parse(PlotCommand, arguments, prog)

    from neurorbit.engine.models.identification.fitting import trials_of
    from neurorbit.engine.models.identification.run_report import write_run_reports

    trials = trials_of(command.workdir, command.data)
    for path in write_run_reports(command.workdir, trials, control=command.control):
        print(path)
    return 0
