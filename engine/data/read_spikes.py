"""Reading spikes from files: matrices, lists of events, spike times in seconds."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from neurorbit.engine.data.dense_recording import DenseRecording
from neurorbit.engine.data.event_checks import bin_width, finite_matrix, whole_numbers
from neurorbit.engine.data.hdf5_file import hdf5_arrays
from neurorbit.engine.data.matlab_file import matlab_arrays
from neurorbit.engine.data.numpy_file import npy_array, npz_arrays
from neurorbit.engine.data.pickled_file import holds_pickle, pickled_arrays
from neurorbit.engine.data.readable import check_readable
from neurorbit.engine.data.spike_events import SpikeEvents
from neurorbit.engine.data.stored_array import StoredArray, listing

SPIKE_SUFFIXES = (".npy", ".npz", ".mat", ".h5", ".hdf5", ".nwb")
_ARRAYS = {".npz": npz_arrays, ".mat": matlab_arrays, ".h5": hdf5_arrays, ".hdf5": hdf5_arrays, ".nwb": hdf5_arrays}
_ONLY = ""  # the array of a .npy file, which has no name


def read_spike_events(
    path: str | os.PathLike[str],
    key: str | None = None,
    *,
    bin_s: float | None = None,
    transpose: bool = False,
    trust_pickle: bool = False,
) -> SpikeEvents | DenseRecording:
    """The recording in a .npy, .npz, .mat (v5, v7.3), .h5, .hdf5 or .nwb file.

    Found are, in this order: events in the arrays `neurons`, `times` and, if there, `counts`, `n_neurons`, `n_bins`,
    `bin_s`; the sorted units of an NWB file; the only matrix; the only MATLAB cell, of spike times in seconds.
    A matrix is [N, T]: whole numbers are counts, of 0 or more; other values make a DenseRecording. A matrix of two or
    three columns is a list of events (neuron, time, count), unless transposed. Neurons and bins count from 0; times as
    integers are bins, as floats seconds.

    Args:
        key: the matrix or cell; or the group (in .npz and .mat: what stands before a slash) that holds `neurons` and
            `times`; or the NWB table of units. Needed when several could be meant.
        bin_s: width of a bin in seconds; needed for times in seconds.
        transpose: the matrix is [T, N].
        trust_pickle: a pickled .npy file may run the code that it holds.
    Raises:
        OSError, ValueError, TypeError: one line that names the file, what is wrong and the mend.
    """
    path = check_readable(path, SPIKE_SUFFIXES)
    width = bin_width("bin_s", bin_s)
    if path.suffix.lower() == ".npy" and holds_pickle(path):
        arrays = pickled_arrays(path, trust_pickle)
    elif path.suffix.lower() == ".npy":
        if key is not None:
            raise ValueError(f"key: {path} holds a single array without a name; leave key out")
        arrays = {_ONLY: npy_array(path)}
    else:
        arrays = _ARRAYS[path.suffix.lower()](path)
    return recording_in(path, arrays, key, width, transpose)


def recording_in(
    path: Path, arrays: Mapping[str, StoredArray], key: str | None, bin_s: float | None, transpose: bool
) -> SpikeEvents | DenseRecording:
    """The recording among the arrays of a file."""
    name = f"{path}" if key is None else f"{path}[{key}]"
    prefix = event_list_prefix(arrays, key)
    width = stated_bin_width(path, arrays, prefix or "", bin_s)
    if prefix is not None:
        _refuse_transpose(transpose, name)
        parts = {k: arrays[prefix + k].load() for k in ("counts", "n_neurons", "n_bins") if prefix + k in arrays}
        neurons, times = (_flat(arrays[prefix + k].load()) for k in ("neurons", "times"))
        counts = _flat(parts.pop("counts")) if "counts" in parts else None
        return SpikeEvents.from_events(neurons, times, counts, bin_s=width, name=name, **parts)
    if (units := _units_prefix(arrays, key)) is not None:
        _refuse_transpose(transpose, name)
        return _of_units(name, arrays[f"{units}spike_times"].load(), arrays[f"{units}spike_times_index"].load(), width)
    chosen = matrix_key(path, arrays, key)
    name = f"{path}[{chosen}]" if chosen else f"{path}"
    x = arrays[chosen].load()
    if isinstance(x, list):
        _refuse_transpose(transpose, name)
        return SpikeEvents.from_timestamps([_flat(t) for t in x], _needed(width, name), name=name)
    if np.ndim(x) == 2 and np.shape(x)[1] in (2, 3) and not transpose:
        return _of_columns(name, np.asarray(x), width)
    return recording_of(np.transpose(x) if transpose else x, bin_s=width, name=name)


def recording_of(x: Any, *, bin_s: float | None = None, name: str = "recording") -> SpikeEvents | DenseRecording:
    """x [N, T] as events when its values are counts, as a DenseRecording when any is a fraction."""
    values = finite_matrix(name, x)
    if values.dtype.kind == "f" and (values != np.rint(values)).any():
        return DenseRecording.from_array(values, bin_s=bin_s, name=name)
    return SpikeEvents.from_dense(values, bin_s=bin_s, name=name)


def event_list_prefix(arrays: Mapping[str, StoredArray], key: str | None) -> str | None:
    """What stands before `neurons` and `times`, None when the arrays are no list of events."""
    prefix = "" if key is None else f"{key.strip('/')}/"
    return prefix if f"{prefix}neurons" in arrays and f"{prefix}times" in arrays else None


def stated_bin_width(path: Path, arrays: Mapping[str, StoredArray], prefix: str, bin_s: float | None) -> float | None:
    """The bin width that is asked for or the file's own; two different ones are an error."""
    if f"{prefix}bin_s" not in arrays:
        return bin_s
    stated = bin_width(f"{path}[{prefix}bin_s]", arrays[f"{prefix}bin_s"].load())
    if bin_s is not None and stated is not None and not np.isclose(bin_s, stated, rtol=1e-6):
        raise ValueError(f"bin_s: {path} says {stated:g} s, {bin_s:g} s asked for; leave bin_s out")
    return stated


def matrix_key(path: Path, arrays: Mapping[str, StoredArray], key: str | None) -> str:
    """The name of the array that is meant, or an error that lists those there are."""
    if key is not None:
        found = key if key in arrays else key.strip("/")
        if found not in arrays:
            raise ValueError(f"key: {path} has no array '{key}'; it has {listing(arrays) or 'none at all'}")
        return found
    matrices = {k: a for k, a in arrays.items() if a.dtype.kind in "fiubc" and len(a.shape) == 2 and min(a.shape) > 1}
    cells = {k: a for k, a in arrays.items() if a.dtype == object}
    for candidates in (matrices, cells, arrays):
        if len(candidates) == 1:
            return next(iter(candidates))
        if candidates and candidates is not arrays:
            raise ValueError(f"key: {path} has several arrays, name the one that is meant: {listing(candidates)}")
    raise ValueError(
        f"{path}: expected a matrix [N, T] or the events neurons and times, found {listing(arrays) or 'no array'}"
    )


def _units_prefix(arrays: Mapping[str, StoredArray], key: str | None) -> str | None:
    prefix = f"{(key or 'units').strip('/')}/"
    return prefix if f"{prefix}spike_times" in arrays and f"{prefix}spike_times_index" in arrays else None


def _of_units(name: str, times: Any, ends: Any, bin_s: float | None) -> SpikeEvents:
    """NWB's ragged column: unit i has times[ends[i - 1] : ends[i]] in seconds."""
    stops = whole_numbers(f"{name}[spike_times_index]", ends, "ends of units")
    if len(stops) == 0 or (np.diff(stops, prepend=0) < 0).any() or stops[-1] != len(times):
        raise ValueError(
            f"{name}: spike_times_index does not end the units of {len(times)} spike_times; write it again"
        )
    return SpikeEvents.from_timestamps(np.split(times, stops[:-1]), _needed(bin_s, name), name=name)


def _of_columns(name: str, x: np.ndarray, bin_s: float | None) -> SpikeEvents:
    """A list of events, [J, 2] or [J, 3]."""
    return SpikeEvents.from_events(x[:, 0], x[:, 1], x[:, 2] if x.shape[1] == 3 else None, bin_s=bin_s, name=name)


def _needed(bin_s: float | None, name: str) -> float:
    if bin_s is None:
        raise ValueError(f"{name}: holds times in seconds, which need a bin width; give bin_s")
    return bin_s


def _refuse_transpose(transpose: bool, name: str) -> None:
    if transpose:
        raise ValueError(f"transpose: {name} is no matrix, there is nothing to transpose; leave it out")


def _flat(x: Any) -> Any:
    """[J] from MATLAB's [1, J] or [J, 1]; other shapes stay and are refused later."""
    return np.ravel(x) if np.ndim(x) == 2 and min(np.shape(x)) <= 1 else x
