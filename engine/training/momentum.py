"""Stochastic gradient descent with momentum over a stack of models."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from neurorbit.bindings.stacked_adam import penalty_and_norm
from neurorbit.engine.training.stack import ParameterStack


class StackedOptimiser(Protocol):
    """What the training loop needs of an optimiser."""

    def gradient_norm(self, penalty: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Sum of the squared parameters times factors `penalty` [P], and the Euclidean norm of each model's gradient
        with that sum's, which is added here; [E] each."""

    def update(self, step: int, learning_rate: Tensor, norm: Tensor, alive: Tensor) -> None:
        """Update number `step` (from 0); a model not alive stays as it is."""

    def state(self) -> dict[str, Tensor]:
        """What a checkpoint holds."""


class StackedSgd:
    """v <- momentum v + gradient, parameters <- parameters - rate v, as torch.optim.SGD, for models that may stop one
    by one. clip: largest norm of a model's gradient, 0 for none."""

    def __init__(self, stack: ParameterStack, *, momentum: float = 0.9, clip: float = 0.0) -> None:
        if not 0 <= momentum < 1:
            raise ValueError(f"momentum: expected 0 to below 1, got {momentum}")
        self.stack, self.momentum, self.clip = stack, momentum, clip
        self.velocity = torch.zeros_like(stack.values)  # [E, P]

    def gradient_norm(self, penalty: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """As StackedOptimiser says."""
        return penalty_and_norm(self.stack.values, self.stack.gradients, penalty)

    @torch.no_grad()
    def update(self, step: int, learning_rate: Tensor, norm: Tensor, alive: Tensor) -> None:
        """Update number `step`: learning_rate, norm and alive are [E]; a model not alive stays as it is."""
        gradients = self.stack.gradients
        if self.clip:
            gradients = gradients * (self.clip / (norm + 1e-6)).clamp(max=1.0)[:, None]
        moved = self.velocity * self.momentum + gradients
        self.velocity.copy_(torch.where(alive[:, None], moved, self.velocity))
        change = self.velocity * learning_rate[:, None]
        self.stack.values.sub_(torch.where(alive[:, None], change, 0))

    def state(self) -> dict[str, Tensor]:
        """What a checkpoint holds."""
        return {"velocity": self.velocity}
