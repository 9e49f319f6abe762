"""Vector fields as data: names, sizes and parameters of each, and its small functions in three dialects."""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

Function = Callable[..., Any]
_NUMBA = "neurorbit.kernels.rollout_ode.numba_fields"
_TRITON = "neurorbit.kernels.rollout_ode.triton_fields"


@dataclass(frozen=True)
class Parameter:
    """One parameter of a field: a number, or a tensor whose dims are letters of M states, H hidden units, U inputs."""

    name: str
    default: float | None = None
    dims: tuple[str, ...] = ()


@dataclass(frozen=True)
class VectorField:
    """dz/dt = f(z, parameters, inputs).

    name: how `rollout_ode` finds it. states: M, or None where any number will do. parameters: in the order in which
    the functions get them. inputs: "added" (U = M, added to dz/dt by the rollout itself) or "own" (the function takes
    them). form: "states" (the numba and Triton functions take tuples of M values; M is fixed) or "rows" (they take
    arrays). torch: f(z [..., M], p, u) -> dz/dt, the law; p maps names to tensors. numba, numba_vjp, triton,
    triton_vjp: the same function and its vector-Jacobian product in the other dialects, or "module:name" of them; a
    missing one is an error for that backend alone. work: flops of one evaluation, from the sizes. limits: of M, H, U.
    """

    name: str
    states: int | None
    parameters: tuple[Parameter, ...]
    torch: Function
    inputs: str = "added"
    form: str = "states"
    numba: Function | str | None = None
    numba_vjp: Function | str | None = None
    triton: Function | str | None = None
    triton_vjp: Function | str | None = None
    flops: Callable[[Mapping[str, int]], int] = lambda sizes: 0
    least_states: int = 1
    limits: Mapping[str, int] = field(default_factory=dict)

    def function(self, dialect: str) -> Function:
        """One of the four functions by the name of its field; RuntimeError says what to register."""
        found = getattr(self, dialect)
        if found is None:
            raise RuntimeError(
                f"field: {self.name!r} has no function {dialect!r}, which this backend needs: "
                f"give it to register_field, or name backend='reference'"
            )
        if isinstance(found, str):
            module, _, name = found.partition(":")
            return getattr(importlib.import_module(module), name)  # type: ignore[no-any-return]
        return found  # type: ignore[no-any-return]

    def count(self, **sizes: int) -> int:
        """P, the number of parameters of one model."""
        total = 0
        for p in self.parameters:
            total += math.prod([sizes[d] for d in p.dims])
        return total

    def hidden(self, P: int, M: int, U: int) -> int:
        """H, found from the number of parameters; ValueError where none fits."""
        fixed = self.count(M=M, U=U, H=0)
        each = self.count(M=M, U=U, H=1) - fixed
        H = (P - fixed) // each if each else 0
        if H < (1 if each else 0) or fixed + each * H != P:
            wanted = f"{fixed} + {each} H" if each else f"{fixed}"
            raise ValueError(f"parameters: expected P = {wanted} of field {self.name!r} with M={M}, U={U}, got {P}")
        return H

    def unpack(self, packed: Tensor, M: int, U: int) -> dict[str, Tensor]:
        """Named tensors [E, *dims] from the packed ones [E, P]."""
        sizes = {"M": M, "U": U, "H": self.hidden(packed.shape[1], M, U)}
        shapes = [[sizes[d] for d in p.dims] for p in self.parameters]
        parts = packed.split([math.prod(s) for s in shapes], dim=1)
        return {
            p.name: x.reshape(len(packed), *shape) for p, x, shape in zip(self.parameters, parts, shapes, strict=True)
        }

    def defaults(self) -> list[float]:
        """The parameters' usual values; ValueError where there are none."""
        missing = [p.name for p in self.parameters if p.default is None]
        if missing:
            raise ValueError(f"parameters: field {self.name!r} has no defaults for {', '.join(missing)}: give them")
        return [float(p.default) for p in self.parameters if p.default is not None]


FIELDS: dict[str, VectorField] = {}


def field_named(name: str) -> VectorField:
    """The registered field; ValueError lists the names."""
    if name not in FIELDS:
        raise ValueError(f"field: expected one of {', '.join(FIELDS)}, got {name!r}: see register_field")
    return FIELDS[name]


def lorenz63(z: Tensor, p: Mapping[str, Tensor], u: Tensor | None) -> Tensor:
    """x' = sigma (y - x), y' = x (rho - w) - y, w' = x y - beta w (Lorenz 1963)."""
    x, y, w = z.unbind(-1)
    return torch.stack((p["sigma"] * (y - x), x * (p["rho"] - w) - y, x * y - p["beta"] * w), -1)


def rossler(z: Tensor, p: Mapping[str, Tensor], u: Tensor | None) -> Tensor:
    """x' = -y - w, y' = x + a y, w' = b + w (x - c) (Rossler 1976)."""
    x, y, w = z.unbind(-1)
    return torch.stack((-y - w, x + p["a"] * y, p["b"] + w * (x - p["c"])), -1)


def lorenz96(z: Tensor, p: Mapping[str, Tensor], u: Tensor | None) -> Tensor:
    """z_i' = (z_{i+1} - z_{i-2}) z_{i-1} - z_i + forcing, on a ring (Lorenz 1996)."""
    return (z.roll(-1, -1) - z.roll(2, -1)) * z.roll(1, -1) - z + p["forcing"].unsqueeze(-1)


def bursting(z: Tensor, p: Mapping[str, Tensor], u: Tensor | None) -> Tensor:
    """Membrane potential V (mV), gates n and h of a bursting neuron; time in ms (Durstewitz 2009).

    C V' = -g_L (V - E_L) - g_Na m(V) (V - E_Na) - (g_K n + g_M h) (V - E_K) - g_NMDA s(V) V,
    n' = (n_inf(V) - n) / tau_n, h' = (h_inf(V) - h) / tau_h; m, n_inf, h_inf = sigmoid((V - V_) / k_),
    s = 1 / (1 + 0.33 exp(-V / 16)).
    """
    V, n, h = z.unbind(-1)
    m = torch.sigmoid((V - p["V_Na"]) / p["k_Na"])
    n_inf = torch.sigmoid((V - p["V_K"]) / p["k_K"])
    h_inf = torch.sigmoid((V - p["V_M"]) / p["k_M"])
    s = 1 / (1 + 0.33 * torch.exp(-0.0625 * V))
    out = p["g_L"] * (V - p["E_L"]) + p["g_Na"] * m * (V - p["E_Na"]) + p["g_NMDA"] * s * V
    out = out + (p["g_K"] * n + p["g_M"] * h) * (V - p["E_K"])
    return torch.stack((-out / p["C"], (n_inf - n) / p["tau_n"], (h_inf - h) / p["tau_h"]), -1)


def gated_mlp(z: Tensor, p: Mapping[str, Tensor], u: Tensor | None) -> Tensor:
    """z' = g (-z + h), g = sigmoid(Wg z + Vg u + bg), h = tanh(W2 silu(W1 z + V1 u + b1) + b2) (Kim et al. 2025)."""

    def affine(W: str, x: Tensor, b: str) -> Tensor:
        return torch.einsum("ekm,ebm->ebk", p[W], x) + p[b].unsqueeze(1)

    gate, hidden = affine("Wg", z, "bg"), affine("W1", z, "b1")
    if u is not None:
        inputs = u.expand(z.shape[0], -1, -1)
        gate = gate + torch.einsum("emu,ebu->ebm", p["Vg"], inputs)
        hidden = hidden + torch.einsum("ehu,ebu->ebh", p["V1"], inputs)
    target = torch.tanh(affine("W2", hidden * torch.sigmoid(hidden), "b2"))
    return torch.sigmoid(gate) * (target - z)


def _supplied(function: Function, states: int | None, parameters: tuple[Parameter, ...], **more: Any) -> None:
    name = function.__name__
    dialects = {"numba": f"{_NUMBA}:{name}", "numba_vjp": f"{_NUMBA}:{name}_vjp"}
    dialects |= {"triton": f"{_TRITON}:{name}", "triton_vjp": f"{_TRITON}:{name}_vjp"}
    FIELDS[name] = VectorField(name, states, parameters, function, **dialects, **more)  # type: ignore[arg-type]


def _numbers(**defaults: float) -> tuple[Parameter, ...]:
    return tuple(Parameter(name, value) for name, value in defaults.items())


_supplied(lorenz63, 3, _numbers(sigma=10.0, rho=28.0, beta=8.0 / 3.0), flops=lambda s: 9)
_supplied(
    lorenz96, None, _numbers(forcing=8.0), form="rows", flops=lambda s: 4 * s["M"], least_states=4, limits={"M": 256}
)
_supplied(rossler, 3, _numbers(a=0.2, b=0.2, c=5.7), flops=lambda s: 7)
_supplied(
    bursting,
    3,
    _numbers(C=6.0, g_L=8.0, E_L=-80.0, g_Na=20.0, E_Na=60.0, V_Na=-20.0, k_Na=15.0, g_K=10.0, E_K=-90.0, V_K=-25.0,
             k_K=5.0, tau_n=1.0, g_M=25.0, V_M=-15.0, k_M=5.0, tau_h=200.0, g_NMDA=10.2),
    flops=lambda s: 100,
)  # fmt: skip
_supplied(
    gated_mlp,
    None,
    tuple(
        Parameter(name, None, dims)
        for name, dims in (
            ("Wg", ("M", "M")), ("Vg", ("M", "U")), ("bg", ("M",)), ("W1", ("H", "M")), ("V1", ("H", "U")),
            ("b1", ("H",)), ("W2", ("M", "H")), ("b2", ("M",)),
        )
    ),
    inputs="own",
    form="rows",
    flops=lambda s: 2 * s["M"] * (s["M"] + s["U"]) + 2 * s["H"] * (2 * s["M"] + s["U"]) + 30 * (s["M"] + s["H"]),
    limits={"M": 32, "H": 256, "U": 32},
)  # fmt: skip
