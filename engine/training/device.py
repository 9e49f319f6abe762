"""Where models live."""

from __future__ import annotations

import torch

from neurorbit.bindings.dispatch import backend_for


def find_device(name: str, op: str | None = None, backend: str | None = None) -> torch.device:
    """cpu or cuda; auto is cuda when there is one; RuntimeError when cuda is asked for and missing.

    With an op, its backend is checked too: ValueError or RuntimeError when it does not run there.
    """
    if name == "cuda" and not torch.cuda.is_available():
        raise RuntimeError("device: cuda was asked for, but torch finds no CUDA device: use --device cpu")
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if op is not None:
        backend_for(op, name, backend)
    return torch.device(name)
