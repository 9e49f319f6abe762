"""Measures as tables in the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table

SHOWN = 20


def print_measures(found: Mapping[str, Any], truth: Mapping[str, Any] | None = None, title: str | None = None) -> None:
    """Median, median absolute deviation and every run of the result of evaluate_runs, beside known values."""
    names = list(found["median"])
    table = Table(title=title)
    table.add_column("")
    for name in names:
        table.add_column(name, justify="right")
    table.add_row("median", *(_text(found["median"][n]) for n in names), style="bold")
    table.add_row("MAD", *(_text(found["mad"][n]) for n in names), end_section=truth is None)
    if truth:
        table.add_row("truth", *(_text(truth.get(n)) for n in names), end_section=True)
    for run in found["runs"][:SHOWN]:
        settings = "".join(f" {n} {v:g}" for n, v in run.get("settings", {}).items())
        table.add_row(f"run {run['run']}{settings}", *(_text(run[n]) for n in names))
    console = Console()
    console.print(table)
    if len(found["runs"]) > SHOWN:
        console.print(f"the first {SHOWN} of {len(found['runs'])} runs; --json prints all")
    console.print("; ".join(f"{n}: {v}" for n, v in found["variants"].items()), style="dim", highlight=False)


def _text(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}"
