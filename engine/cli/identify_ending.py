"""What an identification says when it ends."""

from __future__ import annotations

from typing import Any

from neurorbit.engine.cli.ending import say_how_shapes_ended
from neurorbit.engine.training.ensembles import Fit


def end(found: Fit[Any], workdir: str, *, report: bool) -> int:
    """One line, the report, and the exit code."""

    def write_report() -> str:
        from neurorbit.engine.models.identification.run_report import write_run_reports

        return ", ".join(str(path) for path in write_run_reports(workdir))

    return say_how_shapes_ended(found, workdir, "neurorbit identify resume", write_report if report else None)
