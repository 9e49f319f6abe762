"""Basins of attraction: where a grid of initial states ends up."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from neurorbit.engine.analysis.orbits import require_positive

DIVERGED = -1
UNRESOLVED = -2


@dataclass(frozen=True)
class Basins:
    """labels [E, B]: number of the attractor that each initial state reaches, DIVERGED (-1) or UNRESOLVED (-2).

    attractors: for each model, one orbit [window, M] on each of its attractors, in the order of the labels.
    """

    labels: Tensor
    attractors: tuple[tuple[Tensor, ...], ...]


@torch.no_grad()
def label_basins(
    free_run: Callable[[Tensor, int, int], Tensor],
    z0: Tensor,
    *,
    transient: int = 1000,
    window: int = 200,
    tolerance: float = 0.05,
    max_attractors: int = 32,
    chunk: int = 16384,
) -> Basins:
    """Labels initial states by the attractor they reach.

    Every state runs free for `transient` steps and `window` more. Two orbits are on the same attractor when mean and
    standard deviation over the window differ by less than `tolerance` in every dimension, in units of the standard
    deviation of the initial states; chaotic attractors need a window over which these settle.

    Args:
        free_run: (z0 [E, b, M], steps, keep_every) -> states [E, b, steps // keep_every, M], as in `Dynamics`.
        z0: initial states [E, B, M]; B may be millions.
        transient: steps before the window. window: steps looked at.
        tolerance: see above.
        max_attractors: further ones are labelled UNRESOLVED.
        chunk: initial states rolled out at once; memory grows with chunk * window.
    """
    if not isinstance(z0, Tensor) or z0.dim() != 3 or 0 in z0.shape:
        got = list(z0.shape) if isinstance(z0, Tensor) else type(z0).__name__
        raise ValueError(f"z0: expected a tensor [E, B, M], got {got}")
    for value, name in ((window, "window"), (tolerance, "tolerance"), (max_attractors, "max_attractors")):
        require_positive(value, name)
    if transient < 0 or chunk < 1:
        raise ValueError(f"transient, chunk: expected at least 0 and 1, got {transient} and {chunk}")
    spread = z0.double().std(1, correction=0)  # [E, M]
    spread = torch.where(spread > 0, spread, spread.amax(1, keepdim=True).clamp(min=1e-12)).repeat(1, 2)
    models = [_Attractors(s * tolerance, max_attractors) for s in spread]
    labels = []
    for part in z0.split(chunk, 1):
        z = free_run(part, transient, transient)[:, :, -1] if transient else part
        orbits = free_run(z, window, 1).detach()  # [E, b, window, M]
        labels.append(torch.stack([model.label(o) for model, o in zip(models, orbits, strict=True)]))
    return Basins(torch.cat(labels, 1), tuple(tuple(model.orbits) for model in models))


class _Attractors:
    """The attractors of one model met so far: features [2 M] and an orbit each."""

    def __init__(self, tolerance: Tensor, max_attractors: int) -> None:
        self.tolerance, self.max_attractors = tolerance, max_attractors
        self.features: list[Tensor] = []
        self.orbits: list[Tensor] = []

    def label(self, orbits: Tensor) -> Tensor:
        """Labels [b] of orbits [b, window, M]; new attractors are added."""
        features = torch.cat([orbits.mean(1), orbits.std(1, correction=0)], -1).double()  # [b, 2 M]
        finite = torch.isfinite(orbits).flatten(1).all(1) & torch.isfinite(features).all(1)
        labels = torch.where(finite, UNRESOLVED, DIVERGED)
        for number, feature in enumerate(self.features):
            labels = self._mark(labels, features, feature, number)
        while len(self.features) < self.max_attractors:
            open_ = (labels == UNRESOLVED).nonzero().flatten()
            if len(open_) == 0:
                break
            self.features.append(features[open_[0]])
            self.orbits.append(orbits[open_[0]].clone())
            labels = self._mark(labels, features, self.features[-1], len(self.features) - 1)
        return labels

    def _mark(self, labels: Tensor, features: Tensor, feature: Tensor, number: int) -> Tensor:
        near = ((features - feature).abs() <= self.tolerance).all(1)
        return torch.where(near & (labels == UNRESOLVED), number, labels)
