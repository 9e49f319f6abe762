"""Arrays in .npy and .npz files; pickled objects are refused."""

from __future__ import annotations

import math
import zipfile
from pathlib import Path
from typing import IO, Any

import numpy as np

from neurorbit.engine.data.stored_array import StoredArray, UnreadableFileError, reading

_HEADER = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


def npy_array(path: Path) -> StoredArray:
    """The one array of a .npy file."""
    with reading(path), path.open("rb") as stream:
        magic = stream.read(6)
        if magic[:1] == b"\x80":
            raise UnreadableFileError(_pickled(f"{path}"))
        if magic[:2] == b"PK":
            raise UnreadableFileError(f"{path}: is a .npz file under the name of a .npy file; rename it to .npz")
        if magic != np.lib.format.MAGIC_PREFIX:
            raise UnreadableFileError(f"{path}: is not a .npy file; write it with numpy.save")
        stream.seek(0)
        shape, dtype = _read_header(stream)
        there = path.stat().st_size - stream.tell()
    promised = math.prod(shape) * dtype.itemsize
    if dtype.hasobject:
        raise UnreadableFileError(_pickled(f"{path}"))
    if there < promised:
        raise UnreadableFileError(
            f"{path}: is truncated: {list(shape)} {dtype} takes {promised} bytes, {there} are there; "
            "copy or write it again"
        )

    def load() -> Any:
        with reading(path):
            return np.load(path, allow_pickle=False)

    return StoredArray(shape, dtype, load)


def npz_arrays(path: Path) -> dict[str, StoredArray]:
    """The arrays of a .npz file by name."""
    arrays = {}
    with reading(path), zipfile.ZipFile(path) as archive:
        for member in archive.namelist():
            if member.endswith(".npy"):
                with archive.open(member) as stream:
                    shape, dtype = _read_header(stream)
                key = member.removesuffix(".npy")
                arrays[key] = StoredArray(shape, dtype, _member(path, key, dtype))
    return arrays


def _member(path: Path, key: str, dtype: np.dtype[Any]) -> Any:
    def load() -> Any:
        if dtype.hasobject:
            raise UnreadableFileError(_pickled(f"{path}['{key}']"))
        with reading(path), np.load(path, allow_pickle=False) as archive:
            return archive[key]

    return load


def _read_header(stream: IO[bytes]) -> tuple[tuple[int, ...], np.dtype[Any]]:
    version = np.lib.format.read_magic(stream)
    if version not in _HEADER:
        raise ValueError(f"array format {version[0]}.{version[1]}")
    shape, _, dtype = _HEADER[version](stream)
    if any(n < 0 for n in shape):
        raise ValueError(f"shape {shape}")
    return shape, dtype


def _pickled(name: str) -> str:
    return (
        f"{name}: holds pickled Python objects, which can run code and are not loaded; save plain float32 arrays, "
        "several sequences with numpy.savez(file, a=..., b=...) and key='a,b'"
    )
