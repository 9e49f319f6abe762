"""neurorbit identify fit"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal

import tyro

from neurorbit.engine.cli.parsing import UsageError, parse, preset_of
from neurorbit.engine.models.identification.config import IdentificationConfig
from neurorbit.engine.models.identification.presets import PRESETS


@dataclass(frozen=True)
class FitCommand:
    """Identify the network behind recorded activity and its inputs: runs x grid networks, trained side by side."""

    data: str
    """Data file (.npz .h5 .hdf5 .mat): rates or spikes [B, T, N] under rs, inputs [B, T, U] or [B, T] under vs."""
    workdir: str
    """Folder to make for config, metrics, checkpoints, figures and the report."""
    preset: Literal["published", "control", "modulated"] | None = None
    """Settings to start from; every single setting below overrides them."""
    rates_key: str | None = None
    """Name of the activity inside the file, when it is not rs."""
    inputs_key: str | None = None
    """Name of the inputs inside the file, when it is not vs."""
    headings_key: str | None = None
    """Name of the true headings [B, T] in rad inside the file, when it is not xs; for the measures alone."""
    spikes: bool | None = None
    """The activity is counts of spikes; what the file says when not given."""
    dt_s: float | None = None
    """Width of a step in seconds; the file's own when not given."""
    overwrite: bool = False
    """Replace a run that the folder holds."""
    report: bool = True
    """Write figures and report.html at the end."""
    config: Annotated[IdentificationConfig, tyro.conf.arg(name="")] = field(default_factory=IdentificationConfig)


def main(arguments: list[str], prog: str) -> int:
    """Parse, load, fit, say where it is."""
    preset = preset_of(arguments)
    if preset is not None and preset not in PRESETS:
        raise UsageError(f"--preset: expected one of {', '.join(PRESETS)}, got {preset!r}")
    config = PRESETS[preset] if preset else IdentificationConfig()
    default = FitCommand(data=tyro.MISSING, workdir=tyro.MISSING, config=config)
    command = parse(FitCommand, arguments, prog, default)
    command.config.check()

    from neurorbit.engine.cli.identify_ending import end
    from neurorbit.engine.cli.progress import ConsoleReporter
    from neurorbit.engine.models.identification.fitting import RateSource, fit

    source = RateSource(
        command.data, command.rates_key, command.inputs_key, command.headings_key, command.spikes, command.dt_s
    )
    trials = source.read()
    with ConsoleReporter() as reporter:
        found = fit(
            command.config, trials, command.workdir, source=source, overwrite=command.overwrite, reporter=reporter
        )
    return end(found, command.workdir, report=command.report)
