"""neurorbit demo"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from neurorbit.engine.cli.parsing import parse


@dataclass(frozen=True)
class DemoCommand:
    """Run every system on data with a known answer: the Lorenz attractor reconstructed from noisy observations, the
    flow behind the spikes of a decision, spike sequences found among random spikes, the connectivity of a ring
    attractor recovered from its activity."""

    workdir: str = "demo"
    """Folder for the runs, their figures and report.html; an earlier demo in it is replaced."""
    systems: tuple[Literal["plrnn", "findr", "convseq", "identification"], ...] = (
        "plrnn",
        "findr",
        "convseq",
        "identification",
    )
    """Which systems to show."""
    minutes: float = 2.0
    """About how long to train the reconstruction."""
    runs: int = 8
    """Independent reconstructions, trained side by side."""
    seed: int = 0
    """Seed of the data and of the first run."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where to train."""
    backend: Literal["numba", "triton", "reference"] | None = None
    """Kernel to use; chosen by device when not given."""


def main(arguments: list[str], prog: str) -> int:
    """Parse, run the demonstration, print its table."""
    command = parse(DemoCommand, arguments, prog)

    from neurorbit.engine.cli.identify_table import print_identification
    from neurorbit.engine.cli.progress import ConsoleReporter
    from neurorbit.engine.cli.tables import print_known, print_measures, print_score
    from neurorbit.engine.models.demonstration import demonstrate

    with ConsoleReporter() as reporter:
        found = demonstrate(
            command.workdir,
            systems=command.systems,
            minutes=command.minutes,
            runs=command.runs,
            seed=command.seed,
            device=command.device,
            backend=command.backend,
            reporter=reporter,
        )
    if found.plrnn is not None:
        print_measures(found.plrnn.measures, found.plrnn.truth, title="Lorenz-63 from noisy observations")
    if found.findr is not None:
        print_known(found.findr.measures, found.findr.truth, title="The flow behind the spikes of a decision")
    if found.convseq is not None:
        print_score(found.convseq.score, found.convseq.found.detections, title="Planted spike sequences")
    if found.identification is not None:
        print_identification(found.identification.measures, title="A ring attractor, identified from its activity")
        print_identification(found.identification.control, title="The control: inputs reach the observed units")
    print(f"report: {found.report}")
    return 0
