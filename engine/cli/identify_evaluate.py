"""neurorbit identify evaluate"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Literal

from neurorbit.engine.cli.parsing import parse


@dataclass(frozen=True)
class EvaluateCommand:
    """Measures of every run of a fit, with their median and median absolute deviation: agreement of the connectivity
    with a known truth, free and silent runs, shifters among the hidden units."""

    workdir: str
    """Folder of the fit."""
    data: str | None = None
    """File with other trials of the same units; those of the fit when not given."""
    steps: int = 1000
    """Steps of the free runs (>= 2); fewer where the trials are shorter."""
    state: Literal["best", "last"] = "best"
    """Each run's best state during training, or its last."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where to compute."""
    json: bool = False
    """Print JSON instead of a table."""


def main(arguments: list[str], prog: str) -> int:
    """Parse, load, evaluate, print."""
    command = parse(EvaluateCommand, arguments, prog)

    from neurorbit.engine.models.identification.fitted import load
    from neurorbit.engine.models.identification.fitting import trials_of
    from neurorbit.engine.models.identification.measures import evaluate_runs
    from neurorbit.engine.training.device import find_device
    from neurorbit.engine.training.diverged import check_any_survives

    fits = load(command.workdir, state=command.state, device=str(find_device(command.device)))
    check_any_survives(fits, command.workdir)
    found = evaluate_runs(fits, trials_of(command.workdir, command.data), steps=command.steps)
    if command.json:
        print(json.dumps(found, allow_nan=False))
        return 0

    from neurorbit.engine.cli.identify_table import print_identification

    print_identification(found)
    return 0
