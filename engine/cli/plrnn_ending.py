"""What a PLRNN fit says when it ends."""

from __future__ import annotations

from typing import Any

from neurorbit.engine.cli.ending import say_how_shapes_ended, say_which_diverged
from neurorbit.engine.training.ensembles import Fit


def end(found: Fit[Any], workdir: str, *, report: bool) -> int:
    """One line, the report, and the exit code; a line more for runs that diverged beside others that did not."""

    def write_report() -> str:
        from neurorbit.engine.models.plrnn.run_report import write_run_reports

        return ", ".join(str(path) for path in write_run_reports(workdir))

    say_which_diverged(found.status, found.fitted, "the medians")
    return say_how_shapes_ended(found, workdir, "neurorbit plrnn resume", write_report if report else None)
