"""All parameters of E stacked models in one buffer [E, P], so that an update is a handful of elementwise operations."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn


class ParameterStack:
    """Moves parameters [E, ...] into one buffer `values` [E, P], of which they become views."""

    def __init__(self, named_parameters: Iterable[tuple[str, nn.Parameter]]) -> None:
        self.parameters = dict(named_parameters)
        leading = {name: p.shape[0] for name, p in self.parameters.items()}
        if len(set(leading.values())) != 1:
            raise ValueError(f"parameters: expected one leading model axis, got {leading}")
        with torch.no_grad():
            self.values = torch.cat([p.flatten(1) for p in self.parameters.values()], 1)
        self.gradients = torch.zeros_like(self.values)
        for name, view in self.named(self.values).items():
            self.parameters[name].data = view

    def differentiate(self, loss: Tensor) -> None:
        """Fill `gradients` [E, P] with those of a scalar loss, that is a sum over models."""
        found = torch.autograd.grad(loss, tuple(self.parameters.values()), materialize_grads=True)
        torch.cat([g.flatten(1) for g in found], 1, out=self.gradients)

    def named(self, buffer: Tensor) -> dict[str, Tensor]:
        """Views of a buffer like `values`, under the parameters' names and shapes."""
        sizes = [p[0].numel() for p in self.parameters.values()]
        parts = buffer.split(sizes, 1)
        return {n: part.unflatten(1, p.shape[1:]) for (n, p), part in zip(self.parameters.items(), parts, strict=True)}
