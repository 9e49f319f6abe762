"""Plain torch: an eager loop over Runge-Kutta steps, and torchdiffeq on its fixed grid."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable

import torch
from torch import Tensor

from benchmarks.torch_phases import single_phase, training_phases
from benchmarks.workload import Inputs, Prepared, Workload

Field = Callable[[Tensor], Tensor]


def lorenz63(p: Tensor) -> Field:
    """p [1, 3]; z [B, 3]."""
    sigma, rho, beta = p[0].unbind()

    def f(z: Tensor) -> Tensor:
        x, y, w = z.unbind(-1)
        return torch.stack((sigma * (y - x), x * (rho - w) - y, x * y - beta * w), -1)

    return f


def lorenz96(p: Tensor) -> Field:
    """p [1, 1]; z [B, M]."""
    return lambda z: (z.roll(-1, -1) - z.roll(2, -1)) * z.roll(1, -1) - z + p[0]


FIELDS = {"lorenz63": lorenz63, "lorenz96": lorenz96}


def rk4_step(f: Field, z: Tensor, dt: float) -> Tensor:
    k1 = f(z)
    k2 = f(z + 0.5 * dt * k1)
    k3 = f(z + 0.5 * dt * k2)
    k4 = f(z + dt * k3)
    return z + dt / 6 * (k1 + 2 * (k2 + k3) + k4)


def loop(f: Field, z: Tensor, dt: float, steps: int, *, keep: bool) -> Tensor:
    """[B, T, M], or the last state [B, M]."""
    kept = []
    for _ in range(steps):
        z = rk4_step(f, z, dt)
        if keep:
            kept.append(z)
    return torch.stack(kept, 1) if keep else z


def fixed_grid(f: Field, z: Tensor, dt: float, steps: int, *, keep: bool) -> Tensor:
    """The same by torchdiffeq: its rk4 (the 3/8 rule), of the same order and as many evaluations."""
    from torchdiffeq import odeint

    end = dt * steps
    times = torch.linspace(0.0, end, steps + 1 if keep else 2, dtype=torch.float64, device=z.device)
    options = {} if keep else {"step_size": dt * (1 + 1e-9)}  # a hair more: no step of length 0 at the end
    z = odeint(lambda t, y: f(y), z, times, method="rk4", options=options)
    return z[1:].transpose(0, 1) if keep else z[-1]


class TorchSteps:
    """One of the two, for one model."""

    def __init__(self, name: str, integrate: Callable[..., Tensor], package: str = "torch") -> None:
        self.name, self.integrate, self.package = name, integrate, package

    def missing(self, workload: Workload, device: str) -> str | None:
        if importlib.util.find_spec(self.package) is None:
            return f"{self.package} is not installed"
        return "one model at a time" if workload.sizes["E"] > 1 else None

    def prepare(self, workload: Workload, inputs: Inputs) -> Prepared:
        make, dt, steps = FIELDS[workload.options["field"]], workload.options["dt"], workload.sizes["T"]
        if "generate" in workload.phases:
            z0, f = inputs["z0"][0], make(inputs["parameters"])
            return single_phase("generate", lambda: self.integrate(f, z0, dt, steps, keep=False)[None], z0.device)
        leaves = {name: inputs[name].detach().clone().requires_grad_() for name in ("z0", "parameters")}

        def rollout() -> Tensor:
            return self.integrate(make(leaves["parameters"]), leaves["z0"][0], dt, steps, keep=True)[None]

        return training_phases(rollout, leaves, inputs["target"])


EAGER = TorchSteps("eager torch loop", loop)
TORCHDIFFEQ = TorchSteps("torchdiffeq", fixed_grid, "torchdiffeq")
