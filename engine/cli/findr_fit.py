"""neurorbit findr fit and findr grid"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Annotated, Literal

import tyro

from neurorbit.engine.cli.parsing import UsageError, parse, preset_of
from neurorbit.engine.models.findr.config import (
    PUBLISHED_ENCODERS,
    PUBLISHED_FEATURES,
    PUBLISHED_RATES,
    FindrConfig,
    GridConfig,
)
from neurorbit.engine.models.findr.presets import PRESETS


@dataclass(frozen=True)
class FindrFitCommand:
    """Infer the flow behind the spikes of trials: folds x rates x runs models, trained side by side."""

    datapath: tyro.conf.UseAppendAction[tuple[str, ...]]
    """Data file (.npz .h5 .hdf5): spikes [B, T, N], lengths, externalinputs, times. Given several times, the sessions
    share one flow."""
    workdir: str
    """Folder to make for config, metrics, checkpoints, figures and the report."""
    preset: Literal["fast", "published"] = "fast"
    """Settings to start from; every single setting below overrides them. fast: about ten minutes on two cores
    for five folds of 500 trials of 60 neurons; published: the paper's 3000 epochs, about an hour."""
    bin_s: float = 0.01
    """Width of a bin in seconds, where the file does not say it."""
    overwrite: bool = False
    """Replace a run that the folder holds."""
    report: bool = True
    """Write figures and report.html at the end."""
    config: Annotated[FindrConfig, tyro.conf.arg(name="")] = field(default_factory=FindrConfig)


@dataclass(frozen=True)
class FindrGridCommand(FindrFitCommand):
    """Fit every shape of a grid, one ensemble of folds x rates after the other; by default the published nine of 25
    models, which take days on two cores. A grid that was stopped goes on with `findr resume`."""

    preset: Literal["fast", "published"] = "published"
    """Settings to start from; every single setting below overrides them."""
    config: Annotated[FindrConfig, tyro.conf.arg(name="")] = field(default_factory=FindrConfig)


def grid_of(preset: str) -> FindrConfig:
    """A preset with the published widths of flow and encoder; the published preset with its five rates, too."""
    grid = GridConfig(features=PUBLISHED_FEATURES, encoder_size=PUBLISHED_ENCODERS)
    config = dataclasses.replace(PRESETS[preset], grid=grid)
    return dataclasses.replace(config, rates=PUBLISHED_RATES) if preset == "published" else config


def main(arguments: list[str], prog: str) -> int:
    """Parse, load, fit, say where it is."""
    kind = FindrGridCommand if prog.endswith(" grid") else FindrFitCommand
    preset = preset_of(arguments) or kind.preset
    if preset not in PRESETS:
        raise UsageError(f"--preset: expected one of {', '.join(PRESETS)}, got {preset!r}")
    default = grid_of(preset) if kind is FindrGridCommand else PRESETS[preset]
    command = parse(kind, arguments, prog, kind(datapath=(), workdir=tyro.MISSING, config=default))
    command.config.check()
    if not command.datapath:
        raise ValueError(f"--datapath: expected at least one file (see {prog} --help)")

    from neurorbit.engine.cli.findr_ending import end
    from neurorbit.engine.cli.progress import ConsoleReporter
    from neurorbit.engine.models.findr.fitting import TrialSource, fit

    source = TrialSource(tuple(command.datapath), command.bin_s)
    sessions = source.read()
    with ConsoleReporter() as reporter:
        found = fit(
            command.config, sessions, command.workdir, source=source, overwrite=command.overwrite, reporter=reporter
        )
    return end(found, command.workdir, report=command.report)
