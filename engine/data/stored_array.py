"""What every file format offers: named arrays whose shape and type are known before they are loaded."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np


@dataclass(frozen=True)
class StoredArray:
    """An array in a file; `load` returns it, or a list of arrays for a MATLAB cell."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    load: Callable[[], Any]

    @property
    def may_be_series(self) -> bool:
        """Whether it looks like [T, N] or [S, T, N]."""
        return self.dtype.kind in "fiubc" and len(self.shape) in (2, 3) and int(np.prod(self.shape)) > 1


class UnreadableFileError(ValueError):
    """The file is not what its name says, or it is damaged."""


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turns whatever a library raises on a damaged file into one line that says so."""
    try:
        yield
    except UnreadableFileError:
        raise
    except MemoryError as error:
        raise UnreadableFileError(f"{path}: needs more memory than there is; it is damaged or too large") from error
    except Exception as error:
        reason = " ".join(str(error).split())[:160] or type(error).__name__
        raise UnreadableFileError(
            f"{path}: not a readable {path.suffix.lower()} file ({reason}); it is truncated, damaged or of another "
            "kind, copy or write it again"
        ) from error


def listing(arrays: Mapping[str, StoredArray]) -> str:
    """The keys with their shapes, at most twelve of them."""
    words = [f"'{key}' {list(a.shape)}" for key, a in arrays.items()]
    return ", ".join(words[:12]) + (f" and {len(words) - 12} more" if len(words) > 12 else "")
