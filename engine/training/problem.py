"""What a system gives to the training loop."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor, nn

from neurorbit.engine.training.stack import ParameterStack


class Problem(Protocol):
    """E models trained side by side; every per-model value is a tensor [E]."""

    labels: tuple[str, ...]  # one name per model, for messages
    term_names: tuple[str, ...]  # terms of the loss, the data term first
    penalty: Tensor | None  # factors [P] of the parameters' squares, the loss's last term; the loop adds it
    measure_names: tuple[str, ...]  # what evaluate returns; the first decides which state is best (lowest)

    @property
    def module(self) -> nn.Module:
        """The models; every parameter is [E, ...]."""

    def terms(self, step: int) -> list[Tensor]:
        """The differentiable terms of the loss at a step but for the penalty, a function of the parameters, `state` and
        the step alone."""

    def gradients(self, step: int, stack: ParameterStack) -> list[Tensor] | None:
        """The terms, with the stack's gradients filled with that of their sum, from a problem that knows it without a
        graph; None from any other."""

    def where(self, step: int, model: int) -> str:
        """Words for a message: where in the data of a step a model's terms are not finite, with the parameters as they
        are; empty when nothing is to be said. Called only when a model has stopped."""

    def after_update(self, step: int) -> None:
        """Adapts `state` after the update of a step."""

    def finished(self) -> Tensor | None:
        """Models [E] that need no further step and stay as they are; None when that never happens before the end."""

    def evaluate(self) -> dict[str, Tensor]:
        """The measures, with the parameters as they are."""

    def logged(self) -> dict[str, Tensor]:
        """Per-model values for the metrics besides the loss."""

    def state(self) -> dict[str, Tensor]:
        """Tensors beside the parameters that training changes; they are overwritten in place on resuming."""

    def constants(self) -> dict[str, Tensor]:
        """Tensors stored with the parameters and needed to use the models."""
