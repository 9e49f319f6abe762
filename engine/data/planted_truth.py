"""The truth that a simulated recording's file holds beside the events."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from neurorbit.engine.data.hdf5_file import hdf5_arrays
from neurorbit.engine.data.numpy_file import npz_arrays

_READERS = {".npz": npz_arrays, ".h5": hdf5_arrays, ".hdf5": hdf5_arrays}


@dataclass(frozen=True, eq=False)
class PlantedTruth:
    """Middles of the planted occurrences in bins [G], the sequence of each [G], the neurons of each in order [K, L]."""

    times: np.ndarray
    sequence: np.ndarray
    order: np.ndarray  # -1 pads


def read_truth(path: str | os.PathLike[str]) -> PlantedTruth:
    """The truth in a .npz, .h5 or .hdf5 file of `neurorbit convseq simulate`; ValueError when it holds none."""
    found = find_truth(path)
    if found is None:
        raise ValueError(f"{path}: holds no truth_times: expected a file that `neurorbit convseq simulate` wrote")
    return found


def find_truth(path: str | os.PathLike[str]) -> PlantedTruth | None:
    """The truth in a file, or None when it holds none."""
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file; check the path")
    if path.suffix.lower() not in _READERS:
        return None
    arrays = _READERS[path.suffix.lower()](path)
    if "truth_times" not in arrays:
        return None
    times = arrays["truth_times"].load()
    if np.asarray(times).dtype.kind not in "iuf":
        raise ValueError(f"{path}: truth_times: expected bins, got {np.asarray(times).dtype}")
    times = np.asarray(times, np.float64)
    sequence = arrays["truth_sequence"].load() if "truth_sequence" in arrays else np.zeros(len(times), np.int64)
    order = arrays["truth_order"].load() if "truth_order" in arrays else np.zeros((0, 0), np.int64)
    whole = np.asarray(sequence).dtype.kind in "iu" and np.asarray(order).dtype.kind in "iu"
    if times.ndim != 1 or np.shape(sequence) != times.shape or np.ndim(order) != 2 or not whole:
        raise ValueError(f"{path}: truth_times, truth_sequence and truth_order do not belong together: it was edited")
    if not np.isfinite(times).all() or np.min(sequence, initial=0) < 0:
        raise ValueError(f"{path}: truth_times or truth_sequence: expected bins and numbers from 0: it was edited")
    return PlantedTruth(times, np.asarray(sequence), np.asarray(order))
