"""What a file must be before a reader opens it."""

from __future__ import annotations

import os
from pathlib import Path


def check_readable(path: str | os.PathLike[str], suffixes: tuple[str, ...]) -> Path:
    """The path of a file that is there, not empty, may be read and has one of the endings."""
    path = Path(path)
    if path.is_dir():
        raise ValueError(f"{path}: is a folder; name a file in it ({', '.join(suffixes)})")
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file; check the path")
    if path.suffix.lower() not in suffixes:
        raise ValueError(f"{path}: expected a file that ends in one of {', '.join(suffixes)}")
    if not os.access(path, os.R_OK):
        raise PermissionError(f"{path}: may not be read; check its permissions")
    if path.stat().st_size == 0:
        raise ValueError(f"{path}: is empty (0 bytes); write it again")
    return path
