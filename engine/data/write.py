"""Writing orbits to files, whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import ArrayLike
from torch import Tensor


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
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        _WRITERS[path.suffix.lower()](part, values)
        with part.open("rb+") as stream:
            os.fsync(stream.fileno())
        os.replace(part, path)
    except (OSError, RuntimeError) as error:
        number = getattr(error, "errno", None)
        reason = os.strerror(number) if number else " ".join(str(error).split())
        raise OSError(f"{path}: could not be written ({reason}); free space or choose another place") from error
    finally:
        part.unlink(missing_ok=True)
    return path


def check_orbit_path(path: str | os.PathLike[str], n_orbits: int = 1) -> Path:
    """The path, or an error that says why `write_orbits` could not write there; asks before the work is done."""
    path = Path(path)
    if path.suffix.lower() not in _WRITERS:
        raise ValueError(f"{path}: expected a name that ends in one of {', '.join(_WRITERS)}")
    if path.suffix.lower() == ".csv" and n_orbits > 1:
        raise ValueError(f"{path}: a .csv file holds one orbit, got {n_orbits}; write .npy, .npz or .h5")
    if path.is_dir():
        raise IsADirectoryError(f"{path}: is a folder; name a file in it")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"{path}: the folder {path.parent} does not exist; create it first")
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise PermissionError(f"{path}: the folder {path.parent} may not be written; choose another place")
    return path


def _write_npy(path: Path, x: np.ndarray) -> None:
    with path.open("wb") as stream:
        np.save(stream, x, allow_pickle=False)


def _write_npz(path: Path, x: np.ndarray) -> None:
    with path.open("wb") as stream:
        np.savez(stream, x=x)


def _write_hdf5(path: Path, x: np.ndarray) -> None:
    with h5py.File(path, "w") as file:
        file["x"] = x


def _write_csv(path: Path, x: np.ndarray) -> None:
    digits = "%.9g" if x.dtype == np.float32 else "%.17g"  # enough to read the same number back
    header = ",".join(f"x{i + 1}" for i in range(x.shape[1]))
    with path.open("w", encoding="utf-8") as stream:
        np.savetxt(stream, x, fmt=digits, delimiter=",", header=header, comments="")


_WRITERS: dict[str, Callable[[Path, np.ndarray], None]] = {
    ".npy": _write_npy,
    ".npz": _write_npz,
    ".h5": _write_hdf5,
    ".hdf5": _write_hdf5,
    ".csv": _write_csv,
}
