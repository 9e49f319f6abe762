"""Arrays in HDF5 files and in MATLAB files of both kinds (v5, and v7.3 which is HDF5)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import scipy.io

from neurorbit.engine.data.stored_array import StoredArray, UnreadableFileError, reading

_MATLAB_DTYPE = {"double": "f8", "single": "f4", "logical": "b1", "sparse": "f8", "cell": "O", "char": "U1"}


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


def matlab_arrays(path: Path) -> dict[str, StoredArray]:
    """The variables of a .mat file, as MATLAB shows them: [T, N] there is [T, N] here."""
    with reading(path):
        v73 = h5py.is_hdf5(path)
    return _matlab_v73(path) if v73 else _matlab_v5(path)


def _matlab_v5(path: Path) -> dict[str, StoredArray]:
    def load(key: str) -> Any:
        with reading(path):
            x = scipy.io.loadmat(path, variable_names=[key])[key]
            if scipy.sparse.issparse(x):
                return x.toarray()
            return list(x.ravel(order="F")) if x.dtype == object else x

    with reading(path):
        variables = scipy.io.whosmat(path)
    return {
        key: StoredArray(tuple(shape), _matlab_dtype(word), lambda key=key: load(key))  # type: ignore[misc]
        for key, shape, word in variables
    }


def _matlab_v73(path: Path) -> dict[str, StoredArray]:
    def load(key: str) -> Any:
        with reading(path), h5py.File(path, "r") as file:
            item = file[key]
            if _matlab_class(item) == "cell":
                return [_matrix(file[reference]) for reference in item[()].T.ravel(order="F")]
            return _matrix(item)

    arrays = {}
    with reading(path), h5py.File(path, "r") as file:
        for key, item in file.items():
            if isinstance(item, h5py.Dataset) and item.shape is not None:
                dtype = _matlab_dtype(_matlab_class(item)) if "MATLAB_class" in item.attrs else item.dtype
                arrays[key] = StoredArray(item.shape[::-1], dtype, lambda key=key: load(key))  # type: ignore[misc]
    return arrays


def _matrix(item: h5py.Dataset) -> np.ndarray:
    """MATLAB stores columns first, so the axes come reversed; an empty array comes as its shape."""
    return np.zeros(tuple(item[()])) if "MATLAB_empty" in item.attrs else item[()].T


def _matlab_class(item: h5py.Dataset) -> str:
    word = item.attrs.get("MATLAB_class", b"")
    return word.decode() if isinstance(word, bytes) else str(word)


def _matlab_dtype(word: str) -> np.dtype[Any]:
    if word.startswith(("int", "uint")):
        return np.dtype(word)
    return np.dtype(_MATLAB_DTYPE.get(word, "V1"))
