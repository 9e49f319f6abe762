"""What a convSeq fit says when it ends."""

from __future__ import annotations

from neurorbit.engine.cli.ending import say_how_it_ended, say_which_diverged
from neurorbit.engine.models.convseq.fitting import ConvseqFit
from neurorbit.engine.models.convseq.responses import Recording
from neurorbit.engine.training.progress import Reporter


def end(found: ConvseqFit, workdir: str, *, report: bool, recording: Recording | None, reporter: Reporter) -> int:
    """Detect and write the report of a finished fit; the exit code."""

    def write_report() -> str:
        from neurorbit.engine.models.convseq.run_report import write_run_report

        made = write_run_report(workdir, recording=recording, reporter=reporter)
        d = made.found.detections
        score = "" if made.score is None else f", F1 {made.score.f1:.2f} against the planted sequences"
        return f"{len(d)} detection{'s' * (len(d) != 1)} ({d.significance}){score}; {made.path}"

    say_which_diverged(found.outcome.status, [found.fitted], "the choice of the best run")
    runs = len(found.fitted.members)
    return say_how_it_ended(found.outcome, runs, workdir, "neurorbit convseq resume", write_report if report else None)
