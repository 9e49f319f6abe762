"""Files that are either whole or not there."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any


def write_atomically(path: Path, content: bytes) -> Path:
    """Write to a temporary name, flush to the disk, rename; on failure the old file stays and no part is left."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        raise OSError(
            f"{path}: could not be written ({error.strerror or error}); free space or choose another place"
        ) from error
    finally:
        temporary.unlink(missing_ok=True)
    _flush_folder(path.parent)
    return path


def write_json(path: Path, value: Any) -> None:
    """Indented JSON, atomically."""
    write_atomically(path, (json.dumps(value, indent=2) + "\n").encode())


def read_json(path: Path) -> Any:
    """ValueError names a file that is not JSON."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise FileNotFoundError(f"{path}: there is no such file") from None
    except ValueError as error:
        raise ValueError(f"{path}: is not JSON ({error}): it was cut or edited") from None


def _flush_folder(folder: Path) -> None:
    """Make a rename last through a power cut, where folders can be opened."""
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError:
        pass  # some network file systems have no fsync for folders
    finally:
        os.close(handle)
