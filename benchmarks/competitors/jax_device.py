"""JAX's device beside torch's, and the way of tensors to it and back."""

from __future__ import annotations

import importlib.util
import os
from typing import Any

import numpy as np
import torch
from torch import Tensor


def missing_jax(device: str) -> str | None:
    """Why JAX cannot compute on the device ("cpu" or "cuda"), or None; it leaves the GPU's memory to the others."""
    if importlib.util.find_spec("jax") is None:
        return "jax is not installed"
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    import jax

    platforms = {found.platform for found in jax.local_devices()}
    return None if device == "cpu" or "gpu" in platforms else "jax sees no GPU"


class JaxDevice:
    """JAX's device of the same kind as a torch device."""

    def __init__(self, device: torch.device) -> None:
        import jax

        self.torch = device
        self.jax = jax.local_devices(backend="gpu" if device.type == "cuda" else "cpu")[0]

    def put(self, value: Tensor | np.ndarray) -> Any:
        """A tensor or array as an array of JAX."""
        import jax

        return jax.device_put(value.detach().cpu().numpy() if isinstance(value, Tensor) else value, self.jax)

    def back(self, value: Any) -> Tensor:
        """A copy of an array of JAX as a tensor."""
        return torch.from_numpy(np.array(value)).to(self.torch)
