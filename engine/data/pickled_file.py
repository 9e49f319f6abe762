"""Pickled .npy files: loading one runs whatever code it holds."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from neurorbit.engine.data.stored_array import StoredArray, UnreadableFileError


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
        except (ValueError, OSError):
            return False  # no .npy file, which its reader says


def pickled_arrays(path: Path, trust_pickle: bool) -> dict[str, StoredArray]:
    """The arrays of a pickled file; refused."""
    if not trust_pickle:
        raise UnreadableFileError(
            f"{path}: holds pickled Python objects, which can run code and are not loaded; save plain arrays, or give "
            "--trust-pickle if you trust where the file comes from"
        )
    raise UnreadableFileError(f"{path}: holds pickled Python objects, which cannot be read yet; save plain arrays")
