"""Writing orbits to files, whole or not at all."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterable
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import ArrayLike
from torch import Tensor

from neurorbit.engine.whole_files import write_atomically


def write_orbits(path: str | os.PathLike[str], x: ArrayLike | Tensor) -> Path:
    """Writes x, [T, N] or [S, T, N], as .npy, .npz, .h5, .hdf5 (key x) or .csv (columns x1..xN; [T, N] only).

    The file appears under its name when it is complete; on failure nothing new is left and an older file of that name
    stays as it was.
    """
    values = x.detach().cpu().numpy() if isinstance(x, Tensor) else np.asarray(x)
    if values.dtype.kind not in "fiub":
        raise TypeError(f"x: expected real numbers, got {values.dtype}")
    if values.ndim not in (2, 3):
        raise ValueError(f"x: expected [T, N] or [S, T, N], got {list(values.shape)}")
    path = check_orbit_path(path, n_orbits=len(values) if values.ndim == 3 else 1)
    if values.ndim == 3 and path.suffix.lower() == ".csv":
        values = values[0]
    return write_atomically(path, _WRITERS[path.suffix.lower()](values))


def check_orbit_path(path: str | os.PathLike[str], n_orbits: int = 1) -> Path:
    """The path, or an error that says why `write_orbits` could not write there; asks before the work is done."""
    path = check_writable(path, _WRITERS)
    if path.suffix.lower() == ".csv" and n_orbits > 1:
        raise ValueError(f"{path}: a .csv file holds one orbit, got {n_orbits}; write .npy, .npz or .h5")
    return path


def check_writable(path: str | os.PathLike[str], suffixes: Iterable[str]) -> Path:
    """The path of a file that can be written and has one of the endings."""
    path = Path(path)
    if path.suffix.lower() not in suffixes:
        raise ValueError(f"{path}: expected a name that ends in one of {', '.join(suffixes)}")
    if path.is_dir():
        raise IsADirectoryError(f"{path}: is a folder; name a file in it")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"{path}: the folder {path.parent} does not exist; create it first")
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise PermissionError(f"{path}: the folder {path.parent} may not be written; choose another place")
    return path


def _npy(x: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, x, allow_pickle=False)
    return stream.getvalue()


def npz_bytes(arrays: dict[str, np.ndarray]) -> bytes:
    """A .npz file of these arrays."""
    stream = io.BytesIO()
    np.savez(stream, **arrays)  # type: ignore[arg-type]
    return stream.getvalue()


def hdf5_bytes(arrays: dict[str, np.ndarray]) -> bytes:
    """An HDF5 file of these arrays, texts as texts."""
    stream = io.BytesIO()
    with h5py.File(stream, "w") as file:
        for key, x in arrays.items():
            file[key] = str(x) if x.dtype.kind == "U" else x
    return stream.getvalue()


def _csv(x: np.ndarray) -> bytes:
    digits = "%.9g" if x.dtype == np.float32 else "%.17g"  # enough to read the same number back
    header = ",".join(f"x{i + 1}" for i in range(x.shape[1]))
    stream = io.StringIO()
    np.savetxt(stream, x, fmt=digits, delimiter=",", header=header, comments="")
    return stream.getvalue().encode("utf-8")


_WRITERS: dict[str, Callable[[np.ndarray], bytes]] = {
    ".npy": _npy,
    ".npz": lambda x: npz_bytes({"x": x}),
    ".h5": lambda x: hdf5_bytes({"x": x}),
    ".hdf5": lambda x: hdf5_bytes({"x": x}),
    ".csv": _csv,
}
