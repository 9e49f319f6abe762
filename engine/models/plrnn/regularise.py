"""Penalties on the parameters, with one factor per model."""

from __future__ import annotations

import torch
from torch import Tensor

from neurorbit.engine.models.plrnn.config import RegularisationConfig
from neurorbit.engine.models.plrnn.model import Plrnn
from neurorbit.engine.models.plrnn.observation import AffineObservation

_PENALISED = ("A", "W1", "h1", "W2", "h2", "alpha", "C")  # the thresholds lie where the data lie
FACTORS = ("latent", "observation", "manifold", "stability")


class Regulariser:
    """Penalties of a model; `factors` holds one value per model under the names of FACTORS."""

    def __init__(self, model: Plrnn, config: RegularisationConfig, factors: dict[str, Tensor]) -> None:
        self.model, self.norm = model, config.norm
        used = {name: bool((factors[name] != 0).any()) for name in FACTORS}
        self.observation = factors["observation"] if used["observation"] else None
        self.stability = factors["stability"] if used["stability"] else None
        self.names = tuple(n for n in _PENALISED if getattr(model, n) is not None)
        values = {n: getattr(model, n).detach() for n in self.names}
        self.target = _flat({n: torch.full_like(v, float(n == "A")) for n, v in values.items()})[:1]  # [1, P]
        attractor = range(model.latent_dim)[model.latent_dim - round(config.manifold_fraction * model.latent_dim) :]
        on_rows = {n: torch.zeros_like(v) for n, v in values.items()}
        for name in ("A", "W1", "h1"):
            on_rows[name][:, list(attractor)] = 1
        rows = _flat(on_rows)[:1]
        self.factor: Tensor | None = None  # [E, P]
        if used["latent"] or used["manifold"]:
            self.factor = factors["latent"][:, None] + factors["manifold"][:, None] * rows

    def terms(self) -> dict[str, Tensor]:
        """The penalties in use, each [E]."""
        found = {}
        if self.factor is not None:
            distance = _flat({n: getattr(self.model, n) for n in self.names}) - self.target
            size = distance.square() if self.norm == "l2" else distance.abs()
            found["regularisation"] = (size * self.factor).sum(1)
        if self.stability is not None:
            found["stability"] = self.stability * (self.model.A.abs() - 1).relu().square().sum(1)
        if self.observation is not None and isinstance(self.model.observation, AffineObservation):
            found["condition"] = self.observation * self.model.observation.condition_penalty()
        return found


def _flat(tensors: dict[str, Tensor]) -> Tensor:
    return torch.cat([t.flatten(1) for t in tensors.values()], 1)
