"""Which backend runs an op: by device unless one is named; a named one is used or an error says what to install."""

from __future__ import annotations

import importlib
import importlib.util
import os
from collections.abc import Sequence
from functools import cache
from types import ModuleType
from typing import Any

import torch
from torch import Tensor
from torch.nn import Parameter

from neurorbit.kernels import KERNELS

BACKENDS = ("reference", "numba", "triton")
_MODULE = {"reference": "reference", "numba": "cpu_numba", "triton": "gpu_triton"}
_BY_DEVICE = {"cpu": "numba", "cuda": "triton"}
_MEND = {
    "numba": "pip install numba",
    "triton": "pip install triton (Linux with an NVIDIA GPU), or name backend='reference'",
}


def _missing(package: str) -> bool:
    try:
        return importlib.util.find_spec(package) is None
    except ValueError:  # sys.modules[package] is None: blocked
        return True


@cache
def available_backends() -> dict[str, bool | str]:
    """Each backend: True, or the reason why it cannot be used here."""
    return {
        name: True if name == "reference" or not _missing(name) else f"{name} is not installed: {_MEND[name]}"
        for name in BACKENDS
    }


def ops() -> tuple[str, ...]:
    """Names of the ops."""
    return KERNELS


def backend_for(op: str, device_type: str, backend: str | None = None) -> str:
    """Name of the backend that runs `op` on `device_type`; ValueError or RuntimeError when there is none."""
    if backend is None:
        if device_type not in _BY_DEVICE:
            raise ValueError(f"{op}: no backend for device {device_type!r}: move the tensors to cpu or cuda")
        backend = _BY_DEVICE[device_type]
    elif backend not in BACKENDS:
        raise ValueError(f"backend: expected one of {', '.join(BACKENDS)} or None, got {backend!r}")
    if backend == "numba" and device_type != "cpu":
        raise ValueError(f"{op}: backend 'numba' runs on cpu tensors, got {device_type}")
    if backend == "triton" and device_type != "cuda" and os.environ.get("TRITON_INTERPRET") != "1":
        raise ValueError(f"{op}: backend 'triton' runs on cuda tensors, got {device_type}")
    reason = available_backends()[backend]
    if reason is not True:
        raise RuntimeError(f"{op}: backend {backend!r} cannot be used: {reason}")
    return backend


@cache
def load(op: str, backend: str) -> ModuleType:
    """The module that implements `op` for `backend`."""
    return importlib.import_module(f"neurorbit.kernels.{op}.{_MODULE[backend]}")


_ORDINARY = {Tensor, Parameter, type(None)}


def plain(arguments: Sequence[Any]) -> bool:
    """Whether torch only computes here: ordinary tensors on a device of ours, nothing that traces or intercepts.

    Then an op's Python function may be called without the way through torch's dispatcher, which takes longer than a
    small kernel.
    """
    return (
        not torch.compiler.is_compiling()
        and not torch._C._len_torch_dispatch_stack()
        and not torch._C._are_functorch_transforms_active()
        and not torch._C._get_tracing_state()
        and _ORDINARY.issuperset(map(type, arguments))
        and arguments[0].device.type in _BY_DEVICE
    )
