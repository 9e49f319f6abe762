"""neurorbit demo"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from neurorbit.engine.cli.parsing import parse


@dataclass(frozen=True)
class DemoCommand:
    """Reconstruct the Lorenz attractor from noisy data and compare with the known truth."""

    workdir: str = "demo"
    """Folder for the run, its figures and report.html; an earlier demo in it is replaced."""
    minutes: float = 2.0
    """About how long to train."""
    runs: int = 8
    """Independent runs, trained side by side."""
    seed: int = 0
    """Seed of the data and of the first run."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where to train."""
    backend: Literal["numba", "triton", "reference"] | None = None
    """Kernel to use; chosen by device when not given."""


def main(arguments: list[str], prog: str) -> int:
    """Parse, run the demonstration, print its table."""
    command = parse(DemoCommand, arguments, prog)

    from neurorbit.engine.cli.progress import ConsoleReporter
    from neurorbit.engine.cli.tables import print_measures
    from neurorbit.engine.cli.threads import leave_the_cores_to_the_kernels
    from neurorbit.engine.models.plrnn.demonstration import demonstrate

    leave_the_cores_to_the_kernels()
    with ConsoleReporter() as reporter:
        found = demonstrate(
            command.workdir,
            minutes=command.minutes,
            runs=command.runs,
            seed=command.seed,
            device=command.device,
            backend=command.backend,
            reporter=reporter,
        )
    print_measures(found.measures, found.truth, title="Lorenz-63 from noisy observations")
    print(f"report: {found.report}")
    return 0
