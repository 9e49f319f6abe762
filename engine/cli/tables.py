"""Measures as tables in the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from neurorbit.engine.analysis.detections import Detections
    from neurorbit.engine.analysis.sequence_scores import SequenceScore

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
    groups = found.get("by_settings", ())
    for k, group in enumerate(groups):
        cells = (f"{_text(group['median'][n])} ± {_text(group['mad'][n])}" for n in names)
        table.add_row(
            f"{group['runs']} run{'s' * (group['runs'] > 1)}{_settings(group)}",
            *cells,
            end_section=k + 1 == len(groups),
        )
    for run in found["runs"][:SHOWN]:
        lost = " diverged" * (run["run"] in found["diverged"])
        table.add_row(f"run {run['run']}{_settings(run)}{lost}", *(_text(run[n]) for n in names))
    console = Console()
    console.print(table)
    if len(found["runs"]) > SHOWN:
        console.print(f"the first {SHOWN} of {len(found['runs'])} runs; --json prints all")
    if found["diverged"]:
        console.print(f"left out of the medians, diverged in training: run {', '.join(map(str, found['diverged']))}")
    if "dropped_rows" in found:
        console.print(f"{found['dropped_rows']} rows with a missing value are left out of d_stsp and d_h")
    console.print("; ".join(f"{n}: {v}" for n, v in found["variants"].items()), style="dim", highlight=False)


def print_known(found: Mapping[str, float], truth: Mapping[str, float], title: str | None = None) -> None:
    """Each measure beside the value that is known."""
    table = Table(title=title)
    for name in ("", *(n.replace("_", " ") for n in found)):
        table.add_column(name, justify="right")
    table.add_row("found", *(_text(v) for v in found.values()), style="bold")
    table.add_row("truth", *(_text(truth[n]) for n in found))
    Console().print(table)


def print_score(score: SequenceScore, found: Detections, title: str | None = None) -> None:
    """Detections against planted sequences, and what other significances would have detected."""
    table = Table(title=title)
    for name in ("", "planted", "detected", "matched", "precision", "recall", "F1", "timing error"):
        table.add_column(name, justify="right")
    unit = 1.0 if found.bin_s is None else found.bin_s
    error = score.timing_error_bins
    timing = "-" if error is None else f"{error * unit:.3g} {'bins' if found.bin_s is None else 's'}"
    counts = (str(n) for n in (score.n_true, score.n_detected, score.matched))
    ratios = (_text(v) for v in (score.precision, score.recall, score.f1))
    table.add_row(found.significance, *counts, *ratios, timing, style="bold")
    for name, count in found.other_counts.items():
        table.add_row(name, str(score.n_true), str(count), *["-"] * 5)
    Console().print(table)


def _settings(of: Mapping[str, Any]) -> str:
    return "".join(f" {n} {v:g}" for n, v in of.get("settings", {}).items())


def _text(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}"
