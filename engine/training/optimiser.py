"""RAdam and Adam over a stack of models, with a learning rate and a gradient norm per model."""

from __future__ import annotations

from math import sqrt

import torch
from torch import Tensor

from neurorbit.engine.training.stack import ParameterStack

LARGEST_CHANGE = 1e6  # of a parameter in one step: a model with an absurd rate diverges in its loss, not in a later SVD


class StackedAdam:
    """Adam (Kingma & Ba 2015) or rectified Adam (Liu et al. 2020) as torch.optim.Adam and RAdam, for models that may
    stop one by one."""

    def __init__(
        self,
        stack: ParameterStack,
        *,
        rectified: bool = True,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        clip: float = 0.0,
    ) -> None:
        self.stack, self.rectified, self.betas, self.eps, self.clip = stack, rectified, betas, eps, clip
        self.mean = torch.zeros_like(stack.values)  # [E, P]
        self.square = torch.zeros_like(stack.values)  # [E, P]

    def gradient_norm(self) -> Tensor:
        """Euclidean norm of each model's gradient, [E]."""
        return torch.linalg.vector_norm(self.stack.gradients, dim=1)

    @torch.no_grad()
    def update(self, step: int, learning_rate: Tensor, norm: Tensor, alive: Tensor) -> None:
        """Update number `step` (from 0): learning_rate, norm and alive are [E]; a model not alive stays as it is."""
        beta1, beta2 = self.betas
        gradients = self.stack.gradients
        if self.clip:
            gradients = gradients * (self.clip / (norm + 1e-6)).clamp(max=1.0)[:, None]
        gradients = torch.where(alive[:, None], gradients, 0)
        self.mean.lerp_(gradients, 1 - beta1)
        self.square.mul_(beta2).addcmul_(gradients, gradients, value=1 - beta2)
        factor, divided, eps = 1 / (1 - beta1 ** (step + 1)), True, self.eps
        if self.rectified:
            factor, divided = rectification(step + 1, beta1, beta2)
        else:
            correction = sqrt(1 - beta2 ** (step + 1))
            factor, eps = factor * correction, eps * correction
        change = self.mean * (learning_rate * alive * factor).clamp(max=LARGEST_CHANGE)[:, None]
        if divided:
            change.div_(self.square.sqrt().add_(eps))
        self.stack.values.sub_(change.clamp_(-LARGEST_CHANGE, LARGEST_CHANGE))

    def state(self) -> dict[str, Tensor]:
        """What a checkpoint holds."""
        return {"mean": self.mean, "square": self.square}


def rectification(t: int, beta1: float, beta2: float) -> tuple[float, bool]:
    """Factor of the step at update t (from 1), and whether it is divided by the root of the mean square."""
    longest = 2 / (1 - beta2) - 1
    length = longest - 2 * t * beta2**t / (1 - beta2**t)
    if length <= 5:
        return 1 / (1 - beta1**t), False
    rectify = sqrt((length - 4) * (length - 2) * longest / ((longest - 4) * (longest - 2) * length))
    return rectify * sqrt(1 - beta2**t) / (1 - beta1**t), True


def exponential_decay(start: Tensor, final: float, epoch: int, n_epochs: int) -> Tensor:
    """Learning rate of an epoch: from `start` [E] at the first to `final` at the last."""
    if n_epochs <= 1:
        return start.clone()
    return start * (final / start) ** (epoch / (n_epochs - 1))
