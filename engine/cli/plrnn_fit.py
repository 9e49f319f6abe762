"""neurorbit plrnn fit"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal

import tyro

from neurorbit.engine.cli.parsing import UsageError, parse, preset_of
from neurorbit.engine.models.plrnn.config import PlrnnConfig
from neurorbit.engine.models.plrnn.presets import PRESETS


@dataclass(frozen=True)
class FitCommand:
    """Reconstruct the dynamics behind a time series: runs x grid models, trained side by side."""

    data: str
    """Data file (.npy .npz .mat .h5 .hdf5 .csv): [T, N], or several sequences."""
    workdir: str
    """Folder to make for config, metrics, checkpoints, figures and the report."""
    preset: Literal["lorenz63", "ecg", "eeg", "fmri"] | None = None
    """Published settings to start from; every single setting below overrides them."""
    key: str | None = None
    """Name of the data inside the file."""
    inputs_key: str | None = None
    """Name of the external inputs [T, U] inside the file; they are not standardised, scale them to about 1."""
    transpose: bool = False
    """The arrays in the file are [N, T]."""
    validation: str | None = None
    """File with data for the measures during training; the last rows of the training data otherwise."""
    overwrite: bool = False
    """Replace a run that the folder holds."""
    report: bool = True
    """Write figures and report.html at the end."""
    config: Annotated[PlrnnConfig, tyro.conf.arg(name="")] = field(default_factory=PlrnnConfig)


def main(arguments: list[str], prog: str) -> int:
    """Parse, load, fit, say where it is."""
    preset = preset_of(arguments)
    if preset is not None and preset not in PRESETS:
        raise UsageError(f"--preset: expected one of {', '.join(PRESETS)}, got {preset!r}")
    config = PRESETS[preset] if preset else PlrnnConfig()
    default = FitCommand(data=tyro.MISSING, workdir=tyro.MISSING, config=config)
    command = parse(FitCommand, arguments, prog, default)
    command.config.check()

    from neurorbit.engine.cli.plrnn_ending import end
    from neurorbit.engine.cli.progress import ConsoleReporter
    from neurorbit.engine.models.plrnn.fitting import DataSource, fit

    where = (command.key, command.inputs_key, command.transpose)
    source = DataSource(command.data, *where)
    series = source.read()
    held_out = None if command.validation is None else DataSource(command.validation, *where)
    with ConsoleReporter() as reporter:
        found = fit(
            command.config,
            series,
            command.workdir,
            validation=None if held_out is None else held_out.read(),
            source=source,
            validation_source=held_out,
            overwrite=command.overwrite,
            reporter=reporter,
        )
    return end(found, command.workdir, report=command.report)
