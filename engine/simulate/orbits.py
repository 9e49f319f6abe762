"""Orbits of systems with a known answer, with observation noise, reproducible from a seed."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np

from neurorbit.bindings.rollout_ode import FIELDS
from neurorbit.engine.simulate.bursting import BurstingNeuron
from neurorbit.engine.simulate.chaotic import Array, Lorenz63, Lorenz96, Rossler, System
from neurorbit.engine.simulate.runge_kutta import integrate, integrate_field

SYSTEMS: Mapping[str, Callable[[], System]] = MappingProxyType(
    {"lorenz63": Lorenz63, "lorenz96": Lorenz96, "rossler": Rossler, "bursting": BurstingNeuron}
)


def simulate(
    system: System,
    steps: int,
    *,
    dt: float | None = None,
    noise: float = 0.0,
    seed: int = 0,
    transient: int | None = None,
    n_orbits: int = 1,
    substeps: int | None = None,
) -> Array:
    """Orbit on the attractor of `system` by fourth-order Runge-Kutta, sampled every dt, in float64.

    Args:
        steps: samples to return. dt: sampling interval in the system's units of time.
        noise: standard deviation of Gaussian observation noise as a fraction of each variable's standard deviation.
        seed: fixes initial states and noise; the same seed without noise gives the same orbit underneath.
        transient: samples dropped before the first one returned. n_orbits: orbits from independent initial states.
        substeps: integration steps per sample. None anywhere takes the system's own value.
    Returns:
        [steps, N], or [n_orbits, steps, N] when n_orbits > 1.
    """
    dt = system.dt if dt is None else dt
    if not (math.isfinite(dt) and dt > 0.0):
        raise ValueError(f"dt: expected a positive time, got {dt}")
    if not (math.isfinite(noise) and noise >= 0.0):
        raise ValueError(f"noise: expected a fraction of each variable's standard deviation, 0 or more, got {noise}")
    transient = math.ceil(system.transient_time / dt) if transient is None else transient
    substeps = math.ceil(dt / system.max_step * (1.0 - 1e-9)) if substeps is None else substeps
    for name, value, least in (("steps", steps, 1), ("n_orbits", n_orbits, 1), ("substeps", substeps, 1),
                               ("transient", transient, 0), ("seed", seed, 0)):  # fmt: skip
        if isinstance(value, bool) or not isinstance(value, int | np.integer):
            raise TypeError(f"{name}: expected an integer, got {value!r}")
        if value < least:
            raise ValueError(f"{name}: expected {least} or more, got {value}")

    generator = np.random.default_rng(seed)
    x0 = system.initial_state(generator, n_orbits)
    field = _kernel_field(system)
    if field is None:
        x = integrate(system.vector_field, x0, steps, dt, substeps=substeps, transient=transient)
    else:
        parameters = {p.name: getattr(system, p.name) for p in FIELDS[field].parameters}
        x = integrate_field(field, parameters, x0, steps, dt, substeps=substeps, transient=transient)
    if not np.isfinite(x).all():
        raise ValueError(f"dt: the orbit diverged with dt={dt} in {substeps} substeps; choose more substeps or less dt")
    if noise > 0.0:
        x += noise * x.reshape(-1, system.n_variables).std(axis=0) * generator.standard_normal(x.shape)
    return x[:, 0] if n_orbits == 1 else np.ascontiguousarray(np.moveaxis(x, 1, 0))


def _kernel_field(system: System) -> str | None:
    """The field of rollout_ode that computes the system's vector field; None where a subclass has changed it."""
    owner = next((c for c in type(system).__mro__ if "field" in vars(c)), None)
    if owner is None or type(system).vector_field is not owner.vector_field:  # type: ignore[attr-defined]
        return None
    name: str = owner.field  # type: ignore[attr-defined]
    return name


def lorenz63(
    steps: int,
    *,
    dt: float = Lorenz63.dt,
    noise: float = 0.0,
    seed: int = 0,
    transient: int | None = None,
    n_orbits: int = 1,
    substeps: int | None = None,
    sigma: float = 10.0,
    rho: float = 28.0,
    beta: float = 8.0 / 3.0,
) -> Array:
    """Orbit [steps, 3] or [n_orbits, steps, 3] of Lorenz-63; arguments as in `simulate`."""
    return simulate(Lorenz63(sigma, rho, beta), steps, dt=dt, noise=noise, seed=seed, transient=transient,
                    n_orbits=n_orbits, substeps=substeps)  # fmt: skip


def lorenz96(
    steps: int,
    *,
    n: int = 20,
    forcing: float = 8.0,
    dt: float = Lorenz96.dt,
    noise: float = 0.0,
    seed: int = 0,
    transient: int | None = None,
    n_orbits: int = 1,
    substeps: int | None = None,
) -> Array:
    """Orbit [steps, n] or [n_orbits, steps, n] of Lorenz-96 on a ring of n variables; arguments as in `simulate`."""
    return simulate(Lorenz96(n, forcing), steps, dt=dt, noise=noise, seed=seed, transient=transient,
                    n_orbits=n_orbits, substeps=substeps)  # fmt: skip


def rossler(
    steps: int,
    *,
    dt: float = Rossler.dt,
    noise: float = 0.0,
    seed: int = 0,
    transient: int | None = None,
    n_orbits: int = 1,
    substeps: int | None = None,
    a: float = 0.2,
    b: float = 0.2,
    c: float = 5.7,
) -> Array:
    """Orbit [steps, 3] or [n_orbits, steps, 3] of the Rossler system; arguments as in `simulate`."""
    return simulate(Rossler(a, b, c), steps, dt=dt, noise=noise, seed=seed, transient=transient,
                    n_orbits=n_orbits, substeps=substeps)  # fmt: skip


def bursting(
    steps: int,
    *,
    dt: float = BurstingNeuron.dt,
    noise: float = 0.0,
    seed: int = 0,
    transient: int | None = None,
    n_orbits: int = 1,
    substeps: int | None = None,
    g_NMDA: float = 10.2,
) -> Array:
    """Orbit [steps, 3] or [n_orbits, steps, 3] of the bursting neuron, dt in ms; arguments as in `simulate`."""
    return simulate(BurstingNeuron(g_NMDA=g_NMDA), steps, dt=dt, noise=noise, seed=seed, transient=transient,
                    n_orbits=n_orbits, substeps=substeps)  # fmt: skip
