"""The phases of any differentiable torch rollout: forward, backward, and the whole training step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import mse_loss

from benchmarks.workload import Prepared


def wait_for(device: torch.device) -> Callable[[Any], None]:
    """How to wait for a device: not at all where torch returns finished results."""
    return (lambda _: torch.cuda.synchronize()) if device.type == "cuda" else (lambda _: None)


def training_phases(rollout: Callable[[], Tensor], parameters: dict[str, Tensor], target: Tensor) -> Prepared:
    """forward without a graph; backward through a kept graph; step = forward, mean squared error, backward."""
    leaves = list(parameters.values())
    kept: list[Tensor] = []

    def loss() -> Tensor:
        z = rollout()
        return mse_loss(z, target.expand_as(z))

    def forward() -> Tensor:
        with torch.no_grad():
            return rollout()

    def backward() -> tuple[Tensor, ...]:
        if not kept:
            kept.append(loss())
        return torch.autograd.grad(kept[0], leaves, retain_graph=True)

    def step() -> tuple[Tensor, ...]:
        return torch.autograd.grad(loss(), leaves)

    calls: dict[str, Callable[[], Any]] = {"forward": forward, "backward": backward, "step": step}

    def results(phase: str) -> dict[str, Tensor]:
        if phase == "forward":
            return {"z": forward()}
        return {f"d{name}": grad for name, grad in zip(parameters, calls[phase](), strict=True)}

    return Prepared(calls, results, wait_for(target.device))


def single_phase(phase: str, call: Callable[[], Tensor], device: torch.device) -> Prepared:
    """One phase without gradients."""

    def quietly() -> Tensor:
        with torch.no_grad():
            return call()

    return Prepared({phase: quietly}, lambda _: {"z_final": quietly()}, wait_for(device))
