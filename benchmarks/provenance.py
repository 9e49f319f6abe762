"""Where a row comes from: commit, device, library versions, date."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import subprocess
from datetime import datetime, timezone
from functools import cache
from pathlib import Path
from typing import Any

import torch

ROOT = Path(__file__).resolve().parents[1]
LIBRARIES = ("torch", "triton", "numba", "numpy", "jax", "torchdiffeq")
LOAD_AT_START = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
SOURCES = ("kernels", "bindings", "engine", "src", "benchmarks/*.py")


def _git(*arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()


def _version(library: str) -> str | None:
    try:
        return importlib.metadata.version(library)
    except importlib.metadata.PackageNotFoundError:
        return None


def device_name(device: str) -> str:
    """The GPU's name, or the processor's with the number of threads that torch uses."""
    if device == "cuda":
        return torch.cuda.get_device_name()
    cpuinfo = Path("/proc/cpuinfo")
    found = re.search(r"model name\s*:\s*(.+)", cpuinfo.read_text()) if cpuinfo.is_file() else None
    name = found.group(1).strip() if found else platform.processor() or platform.machine()
    return f"{name}, {torch.get_num_threads()} threads"


def device_folder(device: str) -> str:
    """Name of the folder under results/."""
    if device == "cpu":
        return "cpu"
    return re.sub(r"[^a-z0-9]+", "-", device_name(device).lower()).strip("-")


@cache
def provenance(device: str) -> dict[str, Any]:
    """The fields that every row carries. Without git, NEURORBIT_COMMIT names the commit."""
    commit = _git("rev-parse", "HEAD") or os.environ.get("NEURORBIT_COMMIT", "unknown")
    changed = _git("status", "--porcelain", "--", *SOURCES)
    return {
        "device": device,
        "device_name": device_name(device),
        "commit": commit,
        "dirty": None if changed is None else bool(changed),
        "versions": {name: version for name in LIBRARIES if (version := _version(name))},
        "python": platform.python_version(),
        "load_at_start": LOAD_AT_START,
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
    }
