"""neurorbit simulate"""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches
from typing import Annotated, Literal, get_args

import tyro

from neurorbit.engine.cli.parsing import UsageError, parse

Orbit = Literal["lorenz63", "lorenz96", "rossler", "bursting"]


@dataclass(frozen=True)
class SimulateCommand:
    """Write an orbit of a system with a known answer. Networks and spikes are commands of their own: simulate ring,
    torus, headdirection, decision, flipflop, ou."""

    system: Annotated[Orbit, tyro.conf.Positional]
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
    """Parse, simulate, write; without a system that it knows, name them all."""
    if not any(word in get_args(Orbit) for word in arguments):
        asked = "-h" in arguments or "--help" in arguments
        if arguments and not asked:
            raise UsageError(_unknown(arguments, prog))
        print(_overview(prog))
        return 0 if asked else 2
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


def _others() -> dict[str, str]:
    """The systems with options of their own, and what their commands do."""
    from neurorbit.engine.cli.main import COMMANDS

    return {n.split()[1]: words for n, (_, words) in COMMANDS.items() if n.startswith("simulate ")}


def _overview(prog: str) -> str:
    """Every system, by the kind of what is written."""
    known = [(" ".join(get_args(Orbit)), "write an orbit of a chaotic system to a file"), *_others().items()]
    width = max(len(names) for names, _ in known)
    lines = [f"  {names:<{width}}  {words}" for names, words in known]
    after = f"{prog} SYSTEM --help lists a system's options; spike sequences: neurorbit convseq simulate"
    return "\n".join([f"usage: {prog} SYSTEM [options]", "", *lines, "", after])


def _unknown(arguments: list[str], prog: str) -> str:
    """One line: what came in the system's place, and what could."""
    known = [*get_args(Orbit), *_others()]
    named = next((w for w in arguments if w in known), None)
    if named is not None:
        return f"system: expected before the options: {prog} {named} ..."
    near = get_close_matches(arguments[0], known, 1)
    meant = f"; did you mean {near[0]}?" if near else ""
    return f"system: expected one of {', '.join(known)}, got {arguments[0]!r}{meant}"
