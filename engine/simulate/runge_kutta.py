"""The classical fourth-order Runge-Kutta method with a fixed step: for any function, and for fields of rollout_ode."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import torch
from numpy.typing import NDArray

from neurorbit.bindings.rollout_ode import rollout_ode

VectorField = Callable[[NDArray[np.float64]], NDArray[np.float64]]


def runge_kutta_step(vector_field: VectorField, x: NDArray[np.float64], dt: float) -> NDArray[np.float64]:
    """One step of length dt of dx/dt = vector_field(x), x [..., N]."""
    k1 = vector_field(x)
    k2 = vector_field(x + (0.5 * dt) * k1)
    k3 = vector_field(x + (0.5 * dt) * k2)
    k4 = vector_field(x + dt * k3)
    return x + (dt / 6.0) * (k1 + 2.0 * (k2 + k3) + k4)


def integrate(
    vector_field: VectorField, x0: NDArray[np.float64], steps: int, dt: float, *, substeps: int = 1, transient: int = 0
) -> NDArray[np.float64]:
    """Orbit [steps, ..., N] sampled every dt; row 0 is the state `transient` samples after x0 [..., N]."""
    x = np.array(x0, dtype=np.float64)
    h = dt / substeps
    orbit = np.empty((steps, *x.shape))
    with np.errstate(over="ignore", invalid="ignore"):
        for i in range(-transient, steps):
            if i >= 0:
                orbit[i] = x
            if i + 1 < steps:
                for _ in range(substeps):
                    x = runge_kutta_step(vector_field, x, h)
    return orbit


def integrate_field(
    field: str,
    parameters: Mapping[str, float],
    x0: NDArray[np.float64],
    steps: int,
    dt: float,
    *,
    substeps: int = 1,
    transient: int = 0,
) -> NDArray[np.float64]:
    """Orbits [steps, B, N] of a field of rollout_ode from x0 [B, N]; otherwise as `integrate`, all orbits at once."""
    x = torch.from_numpy(np.ascontiguousarray(x0, dtype=np.float64))[None]
    numbers = {name: torch.tensor([value], dtype=torch.float64) for name, value in parameters.items()}
    h = dt / substeps

    def run(start: torch.Tensor, n: int, keep_every: int) -> tuple[torch.Tensor, torch.Tensor]:
        with torch.no_grad():
            return rollout_ode(start, numbers, field=field, dt=h, steps=n * substeps, keep_every=keep_every)

    if transient:
        x = run(x, transient, 0)[1]
    orbit = x.new_empty(steps, *x.shape[1:])
    orbit[0] = x[0]
    if steps > 1:
        orbit[1:] = run(x, steps - 1, substeps)[0][0].transpose(0, 1)
    return orbit.numpy()
