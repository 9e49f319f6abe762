"""neurorbit convseq resume"""

from __future__ import annotations

from dataclasses import dataclass

from neurorbit.engine.cli.parsing import parse


@dataclass(frozen=True)
class ConvseqResumeCommand:
    """Continue a stopped fit; on the same device it ends as if it had never been stopped."""

    workdir: str
    """Folder of the fit."""
    report: bool = True
    """Detect as the fit would have, and write detections.csv, neurons.csv, figures and report.html at the end."""


def main(arguments: list[str], prog: str) -> int:
    """Parse, resume, detect, say where it is."""
    command = parse(ConvseqResumeCommand, arguments, prog)

    from neurorbit.engine.cli.convseq_ending import end
    from neurorbit.engine.cli.progress import ConsoleReporter
    from neurorbit.engine.models.convseq.fitting import resume

    with ConsoleReporter() as reporter:
        found = resume(command.workdir, reporter=reporter)
        return end(found, command.workdir, report=command.report, recording=None, reporter=reporter)
