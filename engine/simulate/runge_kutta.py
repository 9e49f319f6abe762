"""The classical fourth-order Runge-Kutta method with a fixed step."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

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
