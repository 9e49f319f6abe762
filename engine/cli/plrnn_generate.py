"""neurorbit plrnn generate"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from neurorbit.engine.cli.parsing import parse


@dataclass(frozen=True)
class GenerateCommand:
    """Write a free orbit of a fitted model, in the units of the data."""

    workdir: str
    """Folder of the fit."""
    steps: int
    """Rows to generate."""
    out: str
    """File to write (.npy .npz .h5 .hdf5 .csv): [steps, N]; with --all-runs [runs, steps, N]."""
    run: int | None = None
    """Run to use; the best one in training when not given."""
    all_runs: bool = False
    """Orbits of all runs, from the same observation."""
    data: str | None = None
    """File whose first whole row is the start and whose inputs drive the model; else a row of the training data."""
    key: str | None = None
    """Name of the data inside the file."""
    inputs_key: str | None = None
    """Name of the external inputs inside the file."""
    transpose: bool = False
    """The arrays in the file are [N, T]."""
    state: Literal["best", "last"] = "best"
    """Each run's best state during training, or its last."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where to compute."""


def main(arguments: list[str], prog: str) -> int:
    """Parse, load, generate, write."""
    command = parse(GenerateCommand, arguments, prog)

    from neurorbit.engine.data import check_orbit_path, write_orbits
    from neurorbit.engine.models.plrnn.fitted import generate_runs, load
    from neurorbit.engine.models.plrnn.fitting import DataSource
    from neurorbit.engine.training.device import find_device

    check_orbit_path(command.out)
    fits = load(command.workdir, state=command.state, device=str(find_device(command.device)))
    series = None
    if command.data is not None:
        series = DataSource(command.data, command.key, command.inputs_key, command.transpose).read()
    which: int | Literal["all"] | None = "all" if command.all_runs else command.run
    orbits = generate_runs(fits, command.steps, run=which, series=series)
    print(f"{list(orbits.shape)} written to {write_orbits(command.out, orbits)}")
    return 0
