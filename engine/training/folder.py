"""The run folder: config, versions, metrics, checkpoints, best state and the lock."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

import neurorbit
from neurorbit.engine.training.checkpoint import Checkpoint, digested_bytes, load_newest, save_checkpoint
from neurorbit.engine.training.lock import FolderLock
from neurorbit.engine.whole_files import read_json, write_atomically, write_json

OWN = ("config.json", "versions.json", "metrics.csv", "checkpoints", "best.safetensors", "figures", "report.html",
       "crossfit", "surrogate", "detections.csv", "neurons.csv")  # fmt: skip
LEFT_BEHIND = ("versions.json",)  # of a run that ended while its folder was made


class RunFolder:
    """Paths and files of one run; `create` begins one, `RunFolder(path)` opens one."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        if not (self.path / "config.json").is_file():
            raise FileNotFoundError(f"{self.path}: is not a run folder: config.json is missing")

    @classmethod
    def create(cls, path: str | os.PathLike[str], config: dict[str, Any], *, overwrite: bool = False) -> RunFolder:
        """Make the folder and write config.json and versions.json; an earlier run is an error unless overwritten."""
        folder = Path(path)
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OSError(
                f"workdir {folder}: could not be made: {error.strerror or error}; choose another place"
            ) from error
        if (folder / "config.json").exists() and not overwrite:
            raise ValueError(f"workdir {folder}: already holds a run: resume it, or choose another workdir")
        if not _is_run(folder):
            foreign = [name for name in _own(folder) if name not in LEFT_BEHIND]
            if foreign:
                raise ValueError(
                    f"workdir {folder}: is no run folder and holds {foreign[0]}, which a run would replace: choose "
                    "another workdir"
                )
        with FolderLock(folder):
            for name in _own(folder):
                _remove(folder / name)
            write_json(folder / "versions.json", versions())
            write_json(folder / "config.json", config)
        return cls(folder)

    def lock(self) -> FolderLock:
        """Context in which no other process may use the folder."""
        return FolderLock(self.path)

    @property
    def config(self) -> dict[str, Any]:
        """The content of config.json."""
        return read_json(self.path / "config.json")

    @property
    def metrics(self) -> Path:
        return self.path / "metrics.csv"

    def begin_metrics(self, columns: Sequence[str], size: int) -> None:
        """Cut metrics.csv to `size` bytes, what it held at the checkpoint; a new one gets its header."""
        there = self.metrics.stat().st_size if self.metrics.exists() else 0
        if size and there < size:
            raise ValueError(f"{self.metrics}: holds {there} bytes, {size} at the checkpoint: it was cut or edited")
        with open(self.metrics, "ab") as file:
            file.truncate(size)
        if size == 0:
            self.append_metrics([columns])

    def append_metrics(self, rows: Iterable[Sequence[Any]]) -> None:
        """Add rows to metrics.csv."""
        text = "".join(",".join(map(_cell, row)) + "\n" for row in rows)
        try:
            with open(self.metrics, "ab") as file:
                file.write(text.encode())
        except OSError as error:
            raise OSError(f"{self.metrics}: could not be written: {error.strerror or error}") from error

    def save(self, checkpoint: Checkpoint) -> None:
        """Write a checkpoint."""
        save_checkpoint(self.path / "checkpoints", checkpoint)

    def newest(self) -> tuple[Checkpoint | None, list[str]]:
        """The newest whole checkpoint and what was passed over."""
        return load_newest(self.path / "checkpoints")

    def save_best(self, tensors: dict[str, Tensor]) -> None:
        """Write best.safetensors."""
        write_atomically(self.path / "best.safetensors", digested_bytes(tensors))


def versions() -> dict[str, str]:
    """Versions of what decides the numbers."""
    return {
        "neurorbit": neurorbit.__version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        **{name: _version(name) for name in ("numba", "triton", "scipy")},
        "platform": platform.platform(),
    }


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def _is_run(folder: Path) -> bool:
    """Whether config.json is one that a fit wrote."""
    try:
        content = read_json(folder / "config.json")
    except (OSError, ValueError):
        return False
    return isinstance(content, dict) and "system" in content


def _own(folder: Path) -> list[str]:
    """What is in a folder under the names of a run's files."""
    return [name for name in (*OWN, *(p.name for p in folder.glob("shape_*"))) if (folder / name).exists()]


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.9g}" if isinstance(value, float) else str(value)
