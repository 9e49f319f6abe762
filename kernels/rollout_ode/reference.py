"""Definition of rollout_ode in plain torch: the law that the numba and Triton twins are held to."""

from collections.abc import Callable

import torch
from torch import Tensor

from neurorbit.kernels.rollout_ode.fields import field_named


def step(f: Callable[[Tensor], Tensor], z: Tensor, dt: float, method: str) -> Tensor:
    """One step of length dt: euler, heun (the explicit trapezoidal rule) or rk4 (the classical one)."""
    k1 = f(z)
    if method == "euler":
        return z + dt * k1
    if method == "heun":
        return z + (0.5 * dt) * (k1 + f(z + dt * k1))
    k2 = f(z + (0.5 * dt) * k1)
    k3 = f(z + (0.5 * dt) * k2)
    k4 = f(z + dt * k3)
    return z + (dt / 6.0) * (k1 + 2.0 * (k2 + k3) + k4)


def forward(z0, parameters, drive, *, field, method, dt, steps, keep_every=1):
    """The rollout: (z [E, B, steps // keep_every, M], z_final [E, B, M]); inputs are held over a step."""
    law = field_named(field)
    E, B, M = z0.shape
    U = 0 if drive is None else drive.shape[3]
    named = law.unpack(parameters, M, 0 if law.inputs == "added" else U)
    p = {n: v.unsqueeze(-1) if v.ndim == 1 else v for n, v in named.items()}  # numbers: [E, 1] beside [E, B]
    kept, z = [], z0
    for t in range(steps):
        u = None if drive is None else drive[:, :, t]

        def f(y, u=u):
            return law.torch(y, p, None) + u if u is not None and law.inputs == "added" else law.torch(y, p, u)

        z = step(f, z, dt, method)
        if keep_every and (t + 1) % keep_every == 0:
            kept.append(z)
    return (torch.stack(kept, 2) if kept else z0.new_empty(E, B, 0, M)), z
