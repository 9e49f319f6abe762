"""neurorbit plrnn evaluate"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Literal

from neurorbit.engine.cli.parsing import parse


@dataclass(frozen=True)
class EvaluateCommand:
    """Measures of every run of a fit on test data, with their median and median absolute deviation."""

    workdir: str
    """Folder of the fit."""
    data: str
    """File with the test data; the longest sequence in it counts."""
    key: str | None = None
    """Name of the data inside the file."""
    inputs_key: str | None = None
    """Name of the external inputs inside the file."""
    transpose: bool = False
    """The arrays in the file are [N, T]."""
    state: Literal["best", "last"] = "best"
    """Each run's best state during training, or its last."""
    dt: float | None = None
    """Time between two rows, for the exponents; that of the fit when not given."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where to compute."""
    json: bool = False
    """Print JSON instead of a table."""


def main(arguments: list[str], prog: str) -> int:
    """Parse, load, evaluate, print."""
    command = parse(EvaluateCommand, arguments, prog)

    from neurorbit.engine.models.plrnn.fitted import evaluate_runs, load
    from neurorbit.engine.models.plrnn.fitting import DataSource
    from neurorbit.engine.training.device import find_device
    from neurorbit.engine.training.diverged import check_any_survives

    fits = load(command.workdir, state=command.state, device=str(find_device(command.device)))
    check_any_survives(fits, command.workdir)
    series = DataSource(command.data, command.key, command.inputs_key, command.transpose).read()
    options = {} if command.dt is None else {"dt": command.dt}
    found = evaluate_runs(fits, series, **options)
    if command.json:
        print(json.dumps(found, allow_nan=False))
        return 0

    from neurorbit.engine.cli.tables import print_measures

    print_measures(found)
    return 0
