"""What a step of Adam does to the flat parameters of a stack of models: in one pass on the CPU, in torch elsewhere."""

from __future__ import annotations

import importlib
from functools import cache
from typing import Any

import torch
from torch import Tensor

from neurorbit.bindings.dispatch import available_backends

__all__ = ["adam_update", "penalty_and_norm"]


def penalty_and_norm(values: Tensor, gradients: Tensor, factors: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """The penalty ``sum over p of factors_p values_p^2`` [E], whose gradient is added to `gradients`, and then the
    Euclidean norm of the gradients [E].

    Args:
        values, gradients: [E, P], contiguous, one floating dtype. factors: [P]; None is no penalty.
    """
    if kernel := _compiled(values):
        found: tuple[Tensor, Tensor] = kernel.penalty_and_norm(values, gradients, factors)
        return found
    penalty = values.new_zeros(len(values))
    if factors is not None:
        gradients.addcmul_(values, factors, value=2)
        penalty = values.square() @ factors
    return penalty, torch.linalg.vector_norm(gradients, dim=1)


def adam_update(
    values: Tensor,
    gradients: Tensor,
    mean: Tensor,
    square: Tensor,
    norm: Tensor,
    rate: Tensor,
    alive: Tensor,
    *,
    betas: tuple[float, float],
    eps: float,
    clip: float,
    divided: bool,
    largest: float,
) -> None:
    """In place, with g the gradients, scaled down to a norm of `clip` (0: as they are):
    ``mean = b1 mean + (1 - b1) g``, ``square = b2 square + (1 - b2) g^2``,
    ``values -= clamp(rate mean / (sqrt(square) + eps), +-largest)``, without the division unless `divided`.

    Args:
        values, gradients, mean, square: [E, P], contiguous, one floating dtype.
        norm, rate, alive: [E]: norm of the gradients; rate with all corrections; models that are not alive stay as
            they are, whatever their gradients.

    Source: Kingma & Ba 2015 (Adam).
    """
    if kernel := _compiled(values):
        kernel.update(values, gradients, mean, square, norm, rate, alive, betas=betas, eps=eps, clip=clip,
                      divided=divided, largest=largest)  # fmt: skip
        return
    if clip:
        gradients = gradients * (clip / (norm + 1e-6)).clamp(max=1.0)[:, None]
    there = alive[:, None]
    gradients, moving = torch.where(there, gradients, 0), there.to(values.dtype)
    mean.lerp_(gradients, (1 - betas[0]) * moving)
    square.mul_(1 - (1 - betas[1]) * moving).addcmul_(gradients, gradients, value=1 - betas[1])
    change = mean * (rate * alive)[:, None]
    if divided:
        change.div_(square.sqrt().add_(eps))
    values.sub_(change.clamp_(-largest, largest))


def _compiled(values: Tensor) -> Any:
    """The compiled passes, where they are for these tensors."""
    ordinary = values.device.type == "cpu" and values.dtype in (torch.float32, torch.float64)
    return _kernel() if ordinary and values.is_contiguous() else None


@cache
def _kernel() -> Any:
    if available_backends()["numba"] is not True:
        return None
    return importlib.import_module("neurorbit.kernels.numba_adam_common")
