"""Detections and the neurons of each sequence as CSV files."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from neurorbit.engine.models.convseq.detecting import Found
from neurorbit.engine.whole_files import write_atomically

DETECTION_COLUMNS = ("run", "sequence", "time_bin", "time_s", "height_sd", "p_value", "recording")
DIGITS = 12  # of a recording's fingerprint
LARGEST = 10_000  # runs or sequences in a file
NEURON_COLUMNS = ("run", "sequence", "neuron", "rank", "lag_bins", "share", "p_value", "takes_part")


class DetectionTable(NamedTuple):
    """Columns of a detections file, [D] each; time_s is NaN without a bin width, recording empty when unknown."""

    run: np.ndarray
    sequence: np.ndarray
    time_bin: np.ndarray
    time_s: np.ndarray
    height_sd: np.ndarray
    p_value: np.ndarray
    recording: np.ndarray  # of str: first digits of the fingerprint


def write_detections(path: str | os.PathLike[str], found: Found) -> Path:
    """One row per detection, by time; recording: the first digits of its fingerprint."""
    d = found.detections
    seconds = [""] * len(d) if d.time_s is None else list(d.time_s)
    rows = zip(d.sequence, d.time_bin, seconds, d.height_sd, d.p_value, strict=True)
    return _write(path, DETECTION_COLUMNS, ([found.run, *row, found.recording[:DIGITS]] for row in rows))


def write_neurons(path: str | os.PathLike[str], found: Found) -> Path:
    """One row per neuron and sequence: those that take part (at a false discovery rate as the level of the detections,
    0.05 without one) by lag, ranked from 0; then the others, without rank. Who never fires in it has no lag."""
    rows: list[list[Any]] = []
    for k, p in enumerate(found.participation):
        part = p.significant(0.05 if found.detections.level is None else found.detections.level)
        for rank, i in enumerate(np.argsort(~part, kind="stable")):
            own = rank if part[i] else ""
            lag = "" if np.isnan(p.lag_bins[i]) else p.lag_bins[i]
            rows.append([found.run, k, p.neuron[i], own, lag, p.share[i], p.p_value[i], int(part[i])])
    return _write(path, NEURON_COLUMNS, rows)


def read_detections(path: str | os.PathLike[str]) -> DetectionTable:
    """A file of write_detections; ValueError names the line that is none of its rows."""
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file; check the path")
    try:
        rows = list(csv.reader(path.read_text(encoding="utf-8").splitlines()))
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{path}: is not a CSV file ({error})") from None
    if not rows or tuple(rows[0]) != DETECTION_COLUMNS:
        raise ValueError(f"{path}: expected the columns {','.join(DETECTION_COLUMNS)} of `neurorbit convseq detect`")
    n = len(DETECTION_COLUMNS) - 1
    values = np.empty((len(rows) - 1, n))
    for i, row in enumerate(rows[1:]):
        try:
            values[i] = [float(cell) if cell else np.nan for cell in _of_length(row, n + 1)[:n]]
        except ValueError:
            raise ValueError(f"{path}: line {i + 2}: expected {n} numbers and a recording, got {row}") from None
    numbers = values[:, :2]
    wrong = ~np.isfinite(values[:, 2]) | ~((numbers >= 0) & (numbers < LARGEST) & (numbers == np.rint(numbers))).all(1)
    if wrong.any():
        raise ValueError(
            f"{path}: line {int(wrong.argmax()) + 2}: expected run and sequence as numbers from 0 and a finite time_bin"
        )
    run, sequence = values[:, 0].astype(np.int64), values[:, 1].astype(np.int64)
    times, seconds, height, p = values[:, 2:].T
    recording = np.array([row[n] for row in rows[1:]], str)
    return DetectionTable(run, sequence, times, seconds, height, p, recording)


def _of_length(row: list[str], length: int) -> list[str]:
    if len(row) != length:
        raise ValueError
    return row


def _write(path: str | os.PathLike[str], columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> Path:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    for row in rows:
        writer.writerow([f"{v:.9g}" if isinstance(v, float | np.floating) else v for v in row])
    return write_atomically(Path(path), text.getvalue().encode())
