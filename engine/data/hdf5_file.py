"""Arrays in HDF5 files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py

from neurorbit.engine.data.stored_array import StoredArray, UnreadableFileError, reading


def hdf5_arrays(path: Path) -> dict[str, StoredArray]:
    """The data sets of an HDF5 file, named by their path without the leading slash."""
    arrays: dict[str, StoredArray] = {}

    def load(key: str) -> Any:
        with reading(path), h5py.File(path, "r") as file:
            return file[key][()]

    def visit(key: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset) and item.shape is not None:
            arrays[key] = StoredArray(item.shape, item.dtype, lambda: load(key))

    with reading(path):
        if not h5py.is_hdf5(path):
            raise UnreadableFileError(f"{path}: is not an HDF5 file, or its first bytes are damaged; write it again")
        with h5py.File(path, "r") as file:
            file.visititems(visit)
    return arrays
