"""Reading time series from files."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from neurorbit.engine.data.csv_file import Table, read_table
from neurorbit.engine.data.hdf5_file import hdf5_arrays
from neurorbit.engine.data.matlab_file import matlab_arrays
from neurorbit.engine.data.numpy_file import npy_array, npz_arrays
from neurorbit.engine.data.readable import check_readable
from neurorbit.engine.data.stored_array import StoredArray, listing
from neurorbit.engine.data.time_series import TimeSeries

SUFFIXES = (".npy", ".npz", ".mat", ".h5", ".hdf5", ".csv")
_ARRAYS = {".npz": npz_arrays, ".mat": matlab_arrays, ".h5": hdf5_arrays, ".hdf5": hdf5_arrays}


def read_time_series(
    path: str | os.PathLike[str], key: str | None = None, inputs_key: str | None = None, *, transpose: bool = False
) -> TimeSeries:
    """The time series in a .npy, .npz, .mat (v5, v7.3), .h5, .hdf5 or .csv file.

    Args:
        key: the array [T, N], or [S, T, N] for S sequences; several keys with commas between them name one sequence
            each. Needed when the file holds more than one array that could be meant. In a .csv file: the columns, by
            name or, without a header, by number from 1; all of them that are not inputs when None.
        inputs_key: likewise for the external inputs [T, U].
        transpose: the arrays are [N, T].
    Raises:
        OSError, ValueError, TypeError: one line that names the file, what is wrong and the mend.
    """
    path = check_readable(path, SUFFIXES)
    suffix = path.suffix.lower()
    if suffix == ".csv":
        table = read_table(path)
        u = None if inputs_key is None else _columns(path, table, "inputs_key", inputs_key)
        if key is None:
            inputs = () if inputs_key is None else _names(path, table, "inputs_key", inputs_key)
            x = _all_columns(path, table, inputs)
        else:
            x = _columns(path, table, "key", key)
    elif suffix == ".npy":
        for argument, given in (("key", key), ("inputs_key", inputs_key)):
            if given is not None:
                raise ValueError(f"{argument}: {path} holds a single array without a name; leave {argument} out")
        x, u = npy_array(path).load(), None
    else:
        arrays = _ARRAYS[suffix](path)
        inputs = () if inputs_key is None else _keys(path, arrays, "inputs_key", inputs_key)
        u = None if inputs_key is None else _load(arrays, inputs)
        keys = (_only_candidate(path, arrays, inputs),) if key is None else _keys(path, arrays, "key", key)
        key = ",".join(keys)
        x = _load(arrays, keys)
    if transpose:
        x, u = _transposed(x), None if u is None else _transposed(u)
    name = f"{path}" if key is None else f"{path}[{key}]"
    return TimeSeries.from_arrays(x, u, name=name, inputs_name=f"{path}[{inputs_key}]")


def read_one_row(path: str | os.PathLike[str], key: str | None = None) -> np.ndarray:
    """One number per bin, such as a position: an array [T], [T, 1] or [1, T] in a file as `read_time_series` reads."""
    path = Path(path)
    if path.suffix.lower() in _ARRAYS and path.is_file():
        arrays = _ARRAYS[path.suffix.lower()](path)
        chosen = _only_candidate(path, arrays, ()) if key is None else _keys(path, arrays, "key", key)[0]
        values = arrays[chosen].load()
    elif path.suffix.lower() == ".npy" and path.is_file():
        values = npy_array(path).load()
    else:
        values = read_time_series(path, key).values[0].double().numpy()
    row = np.squeeze(np.asarray(values))
    if row.ndim != 1 or row.dtype.kind not in "fiub":
        raise ValueError(f"{path}: expected one number per bin, [T], got {list(np.shape(values))} {row.dtype}")
    return row.astype(np.float64)


def _keys(path: Path, arrays: dict[str, StoredArray], argument: str, key: str) -> tuple[str, ...]:
    """The arrays that `key` names; a key that itself holds a comma comes first."""
    keys = (key,) if key in arrays else tuple(word.strip().strip("/") for word in key.split(","))
    for word in keys:
        if word not in arrays:
            raise ValueError(f"{argument}: {path} has no array '{word}'; it has {listing(arrays) or 'none at all'}")
    return keys


def _only_candidate(path: Path, arrays: dict[str, StoredArray], inputs: tuple[str, ...]) -> str:
    others = {key: a for key, a in arrays.items() if key not in inputs}
    series = {key: a for key, a in others.items() if a.may_be_series}
    cells = {key: a for key, a in others.items() if a.dtype == object}
    for candidates in (series, cells, others):
        if len(candidates) == 1:
            return next(iter(candidates))
        if candidates and candidates is not others:
            raise ValueError(f"key: {path} has several arrays, name the one that is meant: {listing(candidates)}")
    raise ValueError(f"{path}: expected an array [T, N], found {listing(others) or 'no array'}")


def _load(arrays: dict[str, StoredArray], keys: tuple[str, ...]) -> Any:
    return arrays[keys[0]].load() if len(keys) == 1 else [arrays[key].load() for key in keys]


def _transposed(x: Any) -> Any:
    if isinstance(x, list):
        return [_transposed(s) for s in x]
    return x if np.ndim(x) < 2 else np.swapaxes(x, -1, -2)


def _names(path: Path, table: Table, argument: str, key: str) -> tuple[str, ...]:
    names = tuple(word.strip() for word in key.split(","))
    for name in names:
        if name not in table.names:
            known = ", ".join(table.names[:12]) + (", .." if len(table.names) > 12 else "")
            raise ValueError(f"{argument}: {path} has no column '{name}'; it has {known}")
        if table.names.count(name) > 1:
            raise ValueError(f"{argument}: {path} has several columns '{name}'; give them different names")
    return names


def _columns(path: Path, table: Table, argument: str, key: str) -> np.ndarray:
    return table.values[:, [table.names.index(name) for name in _names(path, table, argument, key)]]


def _all_columns(path: Path, table: Table, inputs: tuple[str, ...]) -> np.ndarray:
    """Every column that is not an input; a nameless first column of row numbers is refused, it is no observation."""
    T = len(table.values)
    first = table.values[:, 0]
    nameless_row_numbers = table.names[0] == "" and np.array_equal(first, np.arange(T))
    numbered_header = (
        table.names[0] == "1" and T > 2 and np.isnan(first[0]) and np.array_equal(first[1:], np.arange(T - 1))
    )
    if nameless_row_numbers or numbered_header:
        raise ValueError(
            f"{path}: the first column counts the rows and is no observation; "
            "write the table without it (pandas: index=False)"
        )
    return table.values[:, [i for i, name in enumerate(table.names) if name not in inputs]]
