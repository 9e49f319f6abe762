"""RAdam and Adam over a stack of models, with a learning rate and a gradient norm per model."""

from __future__ import annotations

from math import sqrt

import torch
from torch import Tensor

from neurorbit.bindings.stacked_adam import adam_update, penalty_and_norm
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

    def gradient_norm(self, penalty: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Sum of the squared parameters times factors `penalty` [P], and the Euclidean norm of each model's gradient
        with that sum's, which is added here; [E] each."""
        return penalty_and_norm(self.stack.values, self.stack.gradients, penalty)

    @torch.no_grad()
    def update(self, step: int, learning_rate: Tensor, norm: Tensor, alive: Tensor) -> None:
        """Update number `step` (from 0): learning_rate, norm and alive are [E]; a model not alive stays as it is."""
        beta1, beta2 = self.betas
        factor, divided, eps = 1 / (1 - beta1 ** (step + 1)), True, self.eps
        if self.rectified:
            factor, divided = rectification(step + 1, beta1, beta2)
        else:
            correction = sqrt(1 - beta2 ** (step + 1))
            factor, eps = factor * correction, eps * correction
        rate = (learning_rate * factor).clamp(max=LARGEST_CHANGE)
        adam_update(
            self.stack.values, self.stack.gradients, self.mean, self.square, norm, rate, alive, betas=self.betas,
            eps=eps, clip=self.clip, divided=divided, largest=LARGEST_CHANGE,
        )  # fmt: skip

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
