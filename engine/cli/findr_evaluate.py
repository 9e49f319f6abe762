"""neurorbit findr evaluate"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from neurorbit.engine.cli.parsing import parse

SHOWN = 10


@dataclass(frozen=True)
class FindrEvaluateCommand:
    """Measures of every fold, with their mean, on its validation and test trials: likelihood, bits per spike, the same
    for neurons that the encoder does not see, and what the model explains of the PSTHs."""

    workdir: str
    """Folder of the fit or grid."""
    samples: int = 8
    """Samples of the posterior for its mean (>= 1)."""
    all_models: bool = False
    """Show all models, not each fold's best on its validation trials."""
    state: Literal["best", "last"] = "best"
    """Each model's best state during training, or its last."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where to compute."""
    json: bool = False
    """Print JSON instead of a table."""


def main(arguments: list[str], prog: str) -> int:
    """Parse, load, evaluate, print."""
    command = parse(FindrEvaluateCommand, arguments, prog)
    if command.samples < 1:
        raise ValueError(f"--samples: expected >= 1, got {command.samples}")

    from neurorbit.engine.models.findr.fitted import load
    from neurorbit.engine.models.findr.fitting import sessions_of
    from neurorbit.engine.models.findr.measures import evaluate_fits
    from neurorbit.engine.training.device import find_device

    fits = load(command.workdir, state=command.state, device=str(find_device(command.device)))
    found = evaluate_fits(fits, sessions_of(command.workdir), n_samples=command.samples, all_models=command.all_models)
    if command.json:
        print(json.dumps(found, allow_nan=False))
    else:
        print_folds(found)
    return 0


def print_folds(found: Mapping[str, Any], title: str | None = None) -> None:
    """A row per fold and for the mean: each measure on validation and test trials."""
    from rich.console import Console
    from rich.table import Table

    rows = found["folds"][:SHOWN]
    table = Table(title=title)
    table.add_column("")
    for name in ("mean", *(f"fold {row['fold']}" for row in rows)):
        table.add_column(name, justify="right")
    for part in ("validation", "test"):
        for name in found["mean"][part]:
            values = (found["mean"][part][name], *(row[part][name] for row in rows))
            last = part == "validation" and name == list(found["mean"][part])[-1]
            table.add_row(f"{name.replace('_', ' ')}, {part}", *map(_text, values), end_section=last)
    for word, of in (
        ("rate", lambda row: f"{row['rate']:.3g}"),
        ("features", lambda row: " ".join(map(str, row["features"]))),
        ("encoder size", lambda row: str(row["encoder_size"])),
        ("latents", lambda row: str(row["latent_dim"])),
    ):
        table.add_row(word, "", *map(of, rows), style="dim")
    console = Console()
    console.print(table)
    if len(found["folds"]) > SHOWN:
        console.print(f"the first {SHOWN} of {len(found['folds'])} models; --json prints all")
    console.print("; ".join(f"{n}: {v}" for n, v in found["variants"].items()), style="dim", highlight=False)


def _text(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"
