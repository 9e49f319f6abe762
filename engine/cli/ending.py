"""What a fit says when it ends, and the exit code."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Sequence
from typing import Any

from neurorbit.engine.training.diverged import Trained, lost_sentence
from neurorbit.engine.training.ensembles import Fit
from neurorbit.engine.training.loop import Outcome


def say_how_it_ended(
    outcome: Outcome, n_runs: int, workdir: str, resume: str, write_report: Callable[[], str] | None = None
) -> int:
    """One line, the report, and the exit code: 0, 1 when every run diverged, 128 + n after signal n.

    resume: the command that continues a stopped fit; write_report: writes it and says where it is.
    """
    if outcome.status == "stopped":
        name = outcome.signal or "SIGTERM"
        print(
            f"stopped by {name} at step {outcome.step}, saved; continue with: {resume} --workdir {workdir}",
            file=sys.stderr,
        )
        return 128 + signal.Signals[name].value
    if outcome.status == "diverged":
        print(f"every run diverged by step {outcome.step}; {workdir} keeps their last good states", file=sys.stderr)
        return 1
    where = workdir if write_report is None else write_report()
    print(f"{n_runs} {'run' if n_runs == 1 else 'runs'} trained for {outcome.step} steps: {where}")
    return 0


def say_which_diverged(status: str, fits: Sequence[Trained], left_out_of: str) -> None:
    """A line that names the runs of a finished fit that diverged beside others; nothing when there are none."""
    if status == "finished" and (sentence := lost_sentence(fits, left_out_of)):
        print(sentence, file=sys.stderr)


def say_how_shapes_ended(
    found: Fit[Any], workdir: str, resume: str, write_report: Callable[[], str] | None = None
) -> int:
    """The same for a fit of several shapes: the last one's outcome tells where training stopped."""
    last = found.outcomes[-1]
    n_runs = sum(len(f.members) for f in found.fitted)
    return say_how_it_ended(Outcome(found.status, last.step, last.signal), n_runs, workdir, resume, write_report)
