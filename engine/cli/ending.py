"""What a fit says when it ends, and the exit code."""

from __future__ import annotations

import signal
import sys

from neurorbit.engine.models.plrnn.fitting import Fit


def say_how_it_ended(found: Fit, workdir: str, *, report: bool) -> int:
    """One line, the report, and the exit code: 0, 1 when every run diverged, 128 + n after signal n."""
    last = found.outcomes[-1]
    if found.status == "stopped":
        name = last.signal or "SIGTERM"
        print(
            f"stopped by {name} at step {last.step}, saved; continue with: neurorbit plrnn resume --workdir {workdir}",
            file=sys.stderr,
        )
        return 128 + signal.Signals[name].value
    if found.status == "diverged":
        print(f"every run diverged by step {last.step}; {workdir} keeps their last good states", file=sys.stderr)
        return 1
    runs = sum(len(f.members) for f in found.fitted)
    where = workdir
    if report:
        from neurorbit.engine.models.plrnn.run_report import write_run_reports

        where = ", ".join(str(path) for path in write_run_reports(workdir))
    print(f"{runs} runs trained for {last.step} steps: {where}")
    return 0
