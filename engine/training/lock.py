"""One process per run folder: the operating system's file lock, gone with the process that held it."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from types import TracebackType


class FolderLock:
    """Held from entering to leaving; the file `lock` says who holds it."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "lock"
        self._handle: int | None = None

    def __enter__(self) -> FolderLock:
        handle = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            _lock(handle)
        except OSError:
            holder = os.read(handle, 64).decode(errors="replace").strip() or "another process"
            os.close(handle)
            raise RuntimeError(
                f"{self.path.parent}: in use by {holder}: wait for it, stop it, or choose another workdir"
            ) from None
        os.ftruncate(handle, 0)
        os.write(handle, f"process {os.getpid()}\n".encode())
        self._handle = handle
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._handle is not None:
            os.ftruncate(self._handle, 0)
            os.close(self._handle)
            self._handle = None


if sys.platform == "win32":
    import msvcrt

    def _lock(handle: int) -> None:
        os.lseek(handle, 1 << 20, os.SEEK_SET)  # a byte nobody reads, so that the text stays readable
        msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        os.lseek(handle, 0, os.SEEK_SET)

else:
    import fcntl

    def _lock(handle: int) -> None:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
