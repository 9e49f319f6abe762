"""neurorbit findr plot"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from neurorbit.engine.cli.parsing import parse


@dataclass(frozen=True)
class FindrPlotCommand:
    """Write figures and report of a fit: flow field with its standstill points, input-driven flow, trajectories, PSTHs
    with confidence bands, agreement between folds; beside the truth where a simulation knows it."""

    workdir: str
    """Folder of the fit or grid."""
    fold: int | None = None
    """Fold whose best model is drawn; the best of all by its validation trials when not given."""
    state: Literal["best", "last"] = "best"
    """Each model's best state during training, or its last."""


def main(arguments: list[str], prog: str) -> int:
    """Parse, write, say where it is."""
    command = parse(FindrPlotCommand, arguments, prog)

    from neurorbit.engine.models.findr.run_report import write_run_report

    print(write_run_report(command.workdir, fold=command.fold, state=command.state))
    return 0
