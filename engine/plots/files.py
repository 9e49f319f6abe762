"""Files that are either whole or not there."""

import os
from pathlib import Path


def write_whole(path: Path, content: bytes) -> Path:
    """Write under a temporary name in the same folder, then rename; on failure nothing is left behind."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    return path
