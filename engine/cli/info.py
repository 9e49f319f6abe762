"""neurorbit info"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

from neurorbit.engine.cli.parsing import parse

PACKAGES = ("neurorbit", "torch", "triton", "numba", "numpy", "scipy", "h5py", "safetensors", "matplotlib")


@dataclass(frozen=True)
class InfoCommand:
    """Versions, device, and which backend runs each op."""


def main(arguments: list[str], prog: str) -> int:
    """Print two tables."""
    parse(InfoCommand, arguments, prog)

    import torch
    from rich.console import Console
    from rich.table import Table

    from neurorbit.bindings.dispatch import ops

    console = Console()
    versions = Table("package", "version", title="Versions")
    for name in PACKAGES:
        versions.add_row(name, _version(name))
    console.print(versions)
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "no CUDA device"
    console.print(f"device: {device}; CPU with {torch.get_num_threads()} threads", highlight=False)
    backends = Table("op", "on cpu", "on cuda", title="Backends")
    for op in ops():
        backends.add_row(op, _backend(op, "cpu"), _backend(op, "cuda"))
    console.print(backends)
    return 0


def _backend(op: str, device: str) -> str:
    import torch

    from neurorbit.bindings.dispatch import backend_for

    try:
        name = backend_for(op, device)
    except RuntimeError as error:
        return str(error)
    return f"{name} (no CUDA device here)" if device == "cuda" and not torch.cuda.is_available() else name


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"
