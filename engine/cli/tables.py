"""Measures as tables in the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table


def print_measures(
    found: Mapping[str, Any], truth: Mapping[str, float] | None = None, title: str | None = None
) -> None:
    """Median, median absolute deviation and every run of the result of evaluate_runs, beside known values."""
    table = Table(title=title)
    table.add_column("measure")
    for heading in ("median", "MAD", *(["truth"] if truth else []), *(f"run {r['run']}" for r in found["runs"][:10])):
        table.add_column(heading, justify="right")
    for name, median in found["median"].items():
        cells = [_text(median), _text(found["mad"][name])]
        if truth:
            cells.append(_text(truth.get(name)))
        cells += [_text(run[name]) for run in found["runs"][:10]]
        table.add_row(name, *cells)
    console = Console()
    console.print(table)
    if len(found["runs"]) > 10:
        console.print(f"{len(found['runs'])} runs, the first 10 shown; --json prints all")
    console.print("; ".join(f"{n}: {v}" for n, v in found["variants"].items()), style="dim", highlight=False)


def _text(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}"
