"""Arrays in MATLAB files: v4 and v5 (through scipy) and v7.3, which is HDF5."""

from __future__ import annotations

import math
import struct
from pathlib import Path
from typing import IO, Any

import h5py
import numpy as np
import scipy.io

from neurorbit.engine.data.stored_array import StoredArray, reading

_MATLAB_DTYPE = {"double": "f8", "single": "f4", "logical": "b1", "sparse": "f8", "cell": "O", "char": "U1"}
_ELEMENT_TYPES = frozenset((1, 2, 3, 4, 5, 6, 7, 9, 12, 13, 14, 15, 16, 17, 18))
_INT32, _UINT32, _MATRIX, _COMPRESSED = 5, 6, 14, 15
_CELL, _SPARSE, _NUMBERS = 1, 5, range(4, 16)  # classes of matrices


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
        _check_v5(path)
        variables = scipy.io.whosmat(path)
    return {
        key: StoredArray(tuple(shape), _matlab_dtype(word), lambda key=key: load(key))  # type: ignore[misc]
        for key, shape, word in variables
    }


def _check_v5(path: Path) -> None:
    """Refuses damage on which scipy's v5 reader ends the process; compressed variables carry a checksum instead."""
    with path.open("rb") as stream:
        head = stream.read(128)
        if 0 not in head[:4]:  # a zero means v4
            _check_elements(stream, path.stat().st_size, "<" if head[126:128] == b"IM" else ">")


def _check_elements(stream: IO[bytes], end: int, order: str) -> None:
    """Element types that exist, sizes that nest, matrices of numbers that hold what their flags promise."""
    elements: list[int] = []
    matrix_class = complex_parts = n_cells = 0
    while (at := stream.tell()) + 8 <= end:
        element, n_bytes = struct.unpack(order + "II", stream.read(8))
        small = element >> 16 != 0  # type and size in one word, up to four bytes of data in the other
        element &= 0xFFFF
        if element not in _ELEMENT_TYPES:
            raise ValueError(f"no element type {element}")
        stop = at + 8 if small else at + 8 + n_bytes
        if stop > end:
            raise ValueError(f"an element of {n_bytes} bytes where {end - at - 8} are left")
        if not elements and element == _UINT32:
            (flags,) = struct.unpack(order + "I", stream.read(4))
            matrix_class, complex_parts = flags & 0xFF, flags >> 11 & 1
        elif len(elements) == 1 and matrix_class == _CELL and not small:
            n_cells = math.prod(struct.unpack(f"{order}{n_bytes // 4}i", stream.read(n_bytes & ~3)))
        elif len(elements) == 4 and matrix_class == _SPARSE:
            columns = np.frombuffer(stream.read(0 if small else n_bytes & ~3), order + "i4")
            if element != _INT32 or (np.diff(columns) < 0).any():
                raise ValueError("a sparse matrix whose columns are out of order")
        elements.append(element)
        stream.seek(at + 8)
        if element == _MATRIX:
            _check_elements(stream, stop, order)
        stream.seek(stop if small or element in (_MATRIX, _COMPRESSED) else stop + -n_bytes % 8)
    if matrix_class == _CELL and n_cells != len(elements) - 3:
        raise ValueError(f"a cell array of {n_cells} cells that holds {len(elements) - 3}")
    if matrix_class in _NUMBERS:
        expected = 4 + complex_parts + 2 * (matrix_class == _SPARSE)
        if len(elements) < expected or {_MATRIX, _COMPRESSED} & set(elements):
            raise ValueError("a matrix that does not hold the numbers it should")


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
