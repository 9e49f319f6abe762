"""Tables in .csv files: numbers with or without a header row, empty cells where nothing was observed."""

from __future__ import annotations

import csv
from array import array
from pathlib import Path
from typing import NamedTuple, TextIO

import numpy as np

from neurorbit.engine.data.stored_array import UnreadableFileError

_MISSING = frozenset(("", "nan", "na", "n/a", "null", "none"))
_BLANK = " \r\n"  # not the tab, which may separate empty cells


class Table(NamedTuple):
    """values [T, N] float64 and the names of the columns, which are "1".."N" without a header."""

    values: np.ndarray
    names: tuple[str, ...]


def read_table(path: Path) -> Table:
    """The numbers of a .csv file separated by tab, semicolon or comma; lines that start with # are left out."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            return _parse(path, stream)
    except UnicodeDecodeError:
        raise UnreadableFileError(f"{path}: is not a text file in UTF-8; save it as CSV (UTF-8)") from None
    except csv.Error as error:
        raise UnreadableFileError(f"{path}: is not a CSV file ({error}); write it again") from None


def _parse(path: Path, stream: TextIO) -> Table:
    lines = ((i, line) for i, line in enumerate(stream, 1) if not line.startswith("#"))
    first_number, first_line = next(((i, line) for i, line in lines if line.strip(_BLANK)), (0, ""))
    if not first_line:
        raise UnreadableFileError(f"{path}: holds no numbers; write the table again")
    delimiter = next((d for d in "\t;," if d in first_line), ",")
    first = _cells(first_line, delimiter)
    n = len(first)
    has_header = any(_number(cell) is None for cell in first)
    names = tuple(cell.strip() for cell in first) if has_header else tuple(str(i + 1) for i in range(n))
    values = array("d", [] if has_header else _row(path, first_number, first))
    blank: list[int] = []
    for number, line in lines:
        if not line.strip(_BLANK):
            blank.append(number)  # dropped at the end of the file
            continue
        if blank and n > 1:
            raise UnreadableFileError(
                f"{path}: line {blank[0]} is blank; remove it, or write {n} empty cells for a gap"
            )
        values.extend([float("nan")] * len(blank))
        blank.clear()
        cells = _cells(line, delimiter)
        if len(cells) != n:
            raise UnreadableFileError(
                f"{path}: line {number} has {len(cells)} cells, line {first_number} has {n}; "
                "the file is cut short or no table"
            )
        values.extend(_row(path, number, cells))
    return Table(np.array(values).reshape(-1, n), names)


def _cells(line: str, delimiter: str) -> list[str]:
    if '"' in line:
        return next(csv.reader([line], delimiter=delimiter, strict=True))
    return line.rstrip("\r\n").split(delimiter)


def _row(path: Path, number: int, cells: list[str]) -> list[float]:
    try:
        if not any("_" in cell for cell in cells):  # float("1_0") is 10
            return list(map(float, cells))
    except ValueError:
        pass
    row = []
    for i, cell in enumerate(cells):
        value = _number(cell)
        if value is None:
            hint = "; write decimals with a point" if "," in cell else ""
            raise UnreadableFileError(
                f"{path}: line {number}, column {i + 1}: expected a number or an empty cell, got {cell[:40]!r}{hint}"
            )
        row.append(value)
    return row


def _number(cell: str) -> float | None:
    """The value of a cell, NaN when it is missing, None when it is text."""
    word = cell.strip()
    if word.lower() in _MISSING:
        return float("nan")
    try:
        return None if "_" in word else float(word)
    except ValueError:
        return None
