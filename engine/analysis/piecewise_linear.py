"""The PLRNN family as one piecewise-linear map z' = L z + V relu(G z + c) + h, linear where no unit changes sign."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from neurorbit.bindings.rollout_plrnn import CELLS


@dataclass(frozen=True)
class PiecewiseLinearMap:
    """One model: L [M, M], V [M, K], G [K, M], c [K], h [M] in float64; K units cut the state space into regions."""

    L: Tensor
    V: Tensor
    G: Tensor
    c: Tensor
    h: Tensor

    @classmethod
    def from_cell(cls, parameters: Mapping[str, Any], u: Tensor | None = None) -> "PiecewiseLinearMap":
        """From the cell arguments of one model (E = 1), with a constant input u [U] if the model has inputs."""
        p = {name: one_model(value, name) for name, value in parameters.items()}
        cell = p["cell"]
        if cell not in CELLS:
            raise ValueError(f"cell: expected one of {', '.join(CELLS)}, got {cell!r}")
        W, h = p["W1"], p["h1"]
        if u is not None:
            if p.get("C") is None or tuple(u.shape) != (p["C"].shape[1],):
                expected = "no input: the model has none" if p.get("C") is None else f"[U={p['C'].shape[1]}]"
                raise ValueError(f"u: expected {expected}, got {list(u.shape)}")
            h = h + p["C"] @ u.to(h)
        M = len(h)
        eye, zero = torch.eye(M).to(h), torch.zeros(M).to(h)
        L = torch.diag(p["A"])
        if cell == "shallow":
            return cls(L, W, p["W2"], p["h2"], h)
        if cell == "shallow-clipped":
            c = torch.cat([p["h2"], torch.zeros_like(p["h2"])])
            return cls(L, torch.cat([W, -W], 1), p["W2"].repeat(2, 1), c, h)
        if cell == "plrnn":
            return cls(L, W, eye, zero, h)
        if cell == "plrnn-mc":
            return cls(L, W, eye - 1 / M, zero, h)
        if cell == "alrnn":
            n_linear = M - p["n_relu"]
            L[:, :n_linear] += W[:, :n_linear]
            return cls(L, W[:, n_linear:], eye[n_linear:], zero[n_linear:], h)
        D = len(p["alpha"])
        V = (W.unsqueeze(-1) * p["alpha"]).flatten(1)  # [M, M D]
        G, c = eye.repeat_interleave(D, 0), -p["thresholds"].flatten()
        if cell == "dendritic-clipped":
            V, G, c = torch.cat([V, -W * p["alpha"].sum()], 1), torch.cat([G, eye]), torch.cat([c, zero])
        return cls(L, V, G, c, h)

    def regions(self, z: Tensor) -> Tensor:
        """Which units are on at the states z [..., M]: [..., K] bool."""
        return z @ self.G.T + self.c > 0

    def affine(self, on: Tensor) -> tuple[Tensor, Tensor]:
        """The linear map of regions [..., K]: z' = J z + b, J [..., M, M], b [..., M]."""
        J = self.L + (self.V * on.unsqueeze(-2)) @ self.G
        return J, self.h + (on * self.c) @ self.V.T


def one_model(value: Any, name: str) -> Any:
    """The slice of the only model of an ensemble, in float64; what is not a tensor passes."""
    if not isinstance(value, Tensor):
        return value
    if value.dim() == 0 or len(value) != 1:
        raise ValueError(f"{name}: expected the parameters of one model [1, ...], got {list(value.shape)}")
    if not bool(torch.isfinite(value).all()):
        raise ValueError(f"{name}: contains NaN or inf")
    return value[0].detach().double()


def linear_regions(parameters: Mapping[str, Any], z: Tensor) -> tuple[Tensor, Tensor]:
    """Symbolic code of an orbit: number of the linear region at each state z [..., M], and the regions [R, K] bool."""
    on = PiecewiseLinearMap.from_cell(parameters).regions(z.detach().double())
    regions, code = on.flatten(0, -2).unique(dim=0, return_inverse=True)
    return code.view(z.shape[:-1]), regions
