"""What an identification says when it ends."""

from __future__ import annotations

from neurorbit.engine.cli.ending import say_how_shapes_ended, say_which_diverged
from neurorbit.engine.models.identification.fitted import FittedIdentification
from neurorbit.engine.training.ensembles import Fit


def end(found: Fit[FittedIdentification], workdir: str, *, report: bool) -> int:
    """One line, the report, and the exit code; a line more for runs that diverged beside others that did not."""

    def write_report() -> str:
        from neurorbit.engine.models.identification.run_report import write_run_reports

        return ", ".join(str(path) for path in write_run_reports(workdir))

    say_which_diverged(found.status, found.fitted, "the medians")
    return say_how_shapes_ended(found, workdir, "neurorbit identify resume", write_report if report else None)
