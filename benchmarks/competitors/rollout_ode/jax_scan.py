"""JAX: lax.scan of Runge-Kutta steps under jit, gradients by reverse mode."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from benchmarks.competitors.jax_device import JaxDevice, missing_jax
from benchmarks.workload import Inputs, Prepared, Workload


class JaxScan:
    """One model, float32; state variables of Lorenz-63 in arrays of their own, which XLA fuses best."""

    name = "JAX lax.scan"

    def missing(self, workload: Workload, device: str) -> str | None:
        return missing_jax(device) or ("one model at a time" if workload.sizes["E"] > 1 else None)

    def prepare(self, workload: Workload, inputs: Inputs) -> Prepared:
        import jax
        from jax import lax
        from jax import numpy as jnp

        dt, steps = workload.options["dt"], workload.sizes["T"]
        three = workload.options["field"] == "lorenz63"
        device = JaxDevice(inputs["z0"].device)

        def lorenz63(p: Any, z: Any) -> Any:
            x, y, w = z
            return p[0] * (y - x), x * (p[1] - w) - y, x * y - p[2] * w

        def lorenz96(p: Any, z: Any) -> Any:
            (x,) = z
            return ((jnp.roll(x, -1, 1) - jnp.roll(x, 2, 1)) * jnp.roll(x, 1, 1) - x + p[0],)

        field = lorenz63 if three else lorenz96

        def moved(z: Any, h: float, k: Any) -> Any:
            return tuple(a + h * b for a, b in zip(z, k, strict=True))

        def step(p: Any, z: Any) -> Any:
            k1 = field(p, z)
            k2 = field(p, moved(z, 0.5 * dt, k1))
            k3 = field(p, moved(z, 0.5 * dt, k2))
            k4 = field(p, moved(z, dt, k3))
            parts = zip(k1, k2, k3, k4, strict=True)
            return moved(z, dt / 6, tuple(a + 2 * (b + c) + d for a, b, c, d in parts))

        def split(z: Any) -> Any:
            return tuple(z[:, i] for i in range(3)) if three else (z,)

        def joined(z: Any) -> Any:
            return jnp.stack(z, -1) if three else z[0]

        parameters, z0 = device.put(inputs["parameters"])[0], device.put(inputs["z0"])[0]
        if "generate" in workload.phases:
            run = jax.jit(
                lambda p, z: joined(lax.scan(lambda s, _: (step(p, s), None), split(z), None, length=steps)[0])
            )
            found = lambda: run(parameters, z0)  # noqa: E731
            return Prepared(
                {"generate": found}, lambda _: {"z_final": device.back(found())[None]}, jax.block_until_ready
            )

        def states(p: Any, z: Any) -> Any:
            def one(s: Any, _: Any) -> Any:
                new = step(p, s)
                return new, new

            return jnp.moveaxis(joined(lax.scan(one, split(z), None, length=steps)[1]), 0, 1)  # [B, T, M]

        target = device.put(inputs["target"])[0]

        def loss(z: Any, p: Any) -> Any:
            return jnp.mean((states(p, z) - target) ** 2)

        forward, gradient = jax.jit(states), jax.jit(jax.grad(loss, argnums=(0, 1)))
        calls = {"forward": lambda: forward(parameters, z0), "step": lambda: gradient(z0, parameters)}

        def results(phase: str) -> dict[str, Tensor]:
            found = calls[phase]()
            if phase == "forward":
                return {"z": device.back(found)[None]}
            return {f"d{name}": device.back(one)[None] for name, one in zip(("z0", "parameters"), found, strict=True)}

        return Prepared(calls, results, jax.block_until_ready)
