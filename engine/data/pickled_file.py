"""Pickled .npy files: loading one runs whatever code it holds, so it is done for those who ask for it alone."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from neurorbit.engine.data.stored_array import StoredArray, UnreadableFileError, reading


def holds_pickle(path: Path) -> bool:
    """Whether a .npy file holds Python objects; asks its header alone."""
    with path.open("rb") as stream:
        if stream.read(1) == b"\x80":
            return True
        stream.seek(0)
        try:
            version = np.lib.format.read_magic(stream)
            read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            return read(stream)[2].hasobject
        except Exception:  # numpy reads a damaged header as Python's words, with any of the errors of that
            return False  # no .npy file, which its reader says


def pickled_arrays(path: Path, trust_pickle: bool) -> dict[str, StoredArray]:
    """What a pickled file holds: the arrays of a dictionary by key, those of a list by number, or the only one.

    A list of vectors of different lengths, or an object array of such, is a set of spike trains.
    """
    if not trust_pickle:
        raise UnreadableFileError(
            f"{path}: holds pickled Python objects, which can run code and are not loaded; save plain arrays, or give "
            "--trust-pickle if you trust where the file comes from"
        )
    with reading(path):
        value = np.load(path, allow_pickle=True)
        if isinstance(value, np.ndarray) and value.dtype == object:
            value = value.item() if value.ndim == 0 else value.tolist()
        if isinstance(value, Mapping):
            return {str(key): _stored(member) for key, member in value.items()}
        if isinstance(value, list | tuple) and any(np.ndim(member) >= 2 for member in value if _is_array(member)):
            return {str(i): _stored(member) for i, member in enumerate(value)}
        return {"x": _stored(value)}


def _is_array(value: Any) -> bool:
    return isinstance(value, np.ndarray) or hasattr(value, "toarray")


def _stored(value: Any) -> StoredArray:
    if hasattr(value, "toarray"):  # scipy's sparse matrices
        value = value.toarray()
    if isinstance(value, list | tuple) and len({np.shape(member) for member in value}) > 1:
        return StoredArray((len(value),), np.dtype(object), lambda: list(value))
    x = np.asarray(value)
    return StoredArray(x.shape, x.dtype, lambda: x)
