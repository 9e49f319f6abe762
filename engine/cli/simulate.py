"""neurorbit simulate"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import tyro

from neurorbit.engine.cli.parsing import parse


@dataclass(frozen=True)
class SimulateCommand:
    """Write an orbit of a system with a known answer. Networks and spikes are commands of their own: simulate ring,
    torus, headdirection, decision, flipflop, ou."""

    system: Annotated[Literal["lorenz63", "lorenz96", "rossler", "bursting"], tyro.conf.Positional]
    """The system."""
    steps: int
    """Rows."""
    out: str
    """File to write (.npy .npz .h5 .hdf5 .csv): [steps, N]; with several orbits [orbits, steps, N]."""
    noise: float = 0.0
    """Observation noise as a fraction of each variable's standard deviation."""
    seed: int = 0
    """Seed of the initial state and of the noise."""
    dt: float | None = None
    """Time between two rows; the system's usual one when not given."""
    orbits: int = 1
    """Orbits from independent initial states."""


def main(arguments: list[str], prog: str) -> int:
    """Parse, simulate, write."""
    command = parse(SimulateCommand, arguments, prog)

    from neurorbit.engine.data import check_orbit_path, write_orbits
    from neurorbit.engine.simulate import SYSTEMS, simulate

    check_orbit_path(command.out, command.orbits)
    x = simulate(
        SYSTEMS[command.system](),
        command.steps,
        dt=command.dt,
        noise=command.noise,
        seed=command.seed,
        n_orbits=command.orbits,
    )
    print(f"{list(x.shape)} written to {write_orbits(command.out, x)}")
    return 0
