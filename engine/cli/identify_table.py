"""Measures of an identification as a table in the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table

_ROWS = (
    ("loss", "error in training"),
    ("kernel_correlation", "kernel correlation"),
    ("kernel_correlation_modes", "the same, seen modes"),
    ("circulant_share", "circulant share"),
    ("heading_error_rad", "free run, rad"),
    ("network_error_rad", "free run to network, rad"),
    ("bump_drift_rad", "drift in silence, rad"),
    ("shifter_offsets_rad", "shifter offset {}, rad"),
    ("shifter_agreement", "shifters of right sign"),
    ("shifter_share", "shifters among units"),
    ("observed_shifter_share", "shifters among observed"),
    ("grid_score", "grid score"),
    ("grid_share", "grid score above 0.3"),
    ("activity_correlation", "free run, correlation"),
)
_WAYS = ("v > 0", "v < 0")
_FRAME = 3  # characters that a column needs beside its text


def print_identification(found: Mapping[str, Any], title: str | None = None) -> None:
    """One row per measure of evaluate_runs: median, median absolute deviation, and as many runs as fit beside them; of
    a grid each setting's median."""
    console = Console()
    labels = [label for name, label in _rows(found["median"])]
    columns = [("median", _cells(found["median"])), ("MAD", _cells(found["mad"], sign=""))]
    groups = found.get("by_settings")
    if groups:
        more = [(f"{_settings(g)}\n{_runs(g['runs'])}", _cells(g["median"])) for g in groups]
    else:
        more = [(f"run {r['run']}" + "\ndiverged" * (r["run"] in found["diverged"]), _cells(r)) for r in found["runs"]]
    left = console.width - max(map(len, labels)) - _FRAME - 1
    shown = 0
    for column in columns + more:
        left -= _FRAME + max(map(len, [*column[0].split("\n"), *column[1]]))
        shown += left >= 0
    shown = max(shown, 3)
    table = Table(title=title)
    table.add_column("", no_wrap=True)
    for name, _ in (columns + more)[:shown]:
        table.add_column(name, justify="right", no_wrap=True)
    for label, *cells in zip(labels, *(cells for _, cells in (columns + more)[:shown]), strict=True):
        table.add_row(label, *cells)
    console.print(table)
    if shown < len(columns + more):
        what = "settings" if groups else "runs"
        console.print(f"the first {shown - len(columns)} of {len(more)} {what}; --json prints all")
    if found["diverged"]:
        console.print(f"left out of the medians, diverged in training: run {', '.join(map(str, found['diverged']))}")
    if any(None in (v if isinstance(v, list) else [v]) for v in found["median"].values()):
        console.print(
            "-: no headings, no known connectivity, or too little to measure",
            style="dim",
            highlight=False,
        )
    console.print("; ".join(f"{n}: {v}" for n, v in found["variants"].items()), style="dim", highlight=False)


def _rows(values: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Name and label of each row; a pair has two."""
    found = []
    for name, label in _ROWS:
        if name in values:
            ways = _WAYS if isinstance(values[name], list) else ("",)
            found += [(name, label.format(way)) for way in ways]
    return found


def _cells(values: Mapping[str, Any], sign: str = "+") -> list[str]:
    """A column's text, in the order of _rows."""
    found = []
    for name, _ in _ROWS:
        if name in values:
            value = values[name]
            found += [_text(v, f"{sign}.2f") for v in value] if isinstance(value, list) else [_text(value, ".3g")]
    return found


def _settings(of: Mapping[str, Any]) -> str:
    return "\n".join(f"{n.replace('_', ' ')}\n{v:g}" for n, v in of["settings"].items())


def _runs(n: int) -> str:
    return f"{n} run" + "s" * (n > 1)


def _text(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)
