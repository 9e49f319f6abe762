"""neurorbit findr resume"""

from __future__ import annotations

from dataclasses import dataclass

from neurorbit.engine.cli.parsing import parse


@dataclass(frozen=True)
class FindrResumeCommand:
    """Continue a stopped fit or grid; on the same device it ends as if it had never been stopped."""

    workdir: str
    """Folder of the fit."""
    report: bool = True
    """Write figures and report.html at the end."""


def main(arguments: list[str], prog: str) -> int:
    """Parse, resume, say where it is."""
    command = parse(FindrResumeCommand, arguments, prog)

    from neurorbit.engine.cli.findr_ending import end
    from neurorbit.engine.cli.progress import ConsoleReporter
    from neurorbit.engine.models.findr.fitting import resume

    with ConsoleReporter() as reporter:
        found = resume(command.workdir, reporter=reporter)
    return end(found, command.workdir, report=command.report)
