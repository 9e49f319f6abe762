"""JAX: lax.scan under jit, gradients by reverse mode, models by vmap."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from benchmarks.competitors.jax_device import JaxDevice, missing_jax
from benchmarks.competitors.rollout_gated_sde.eager import names_of, parameters_of
from benchmarks.workload import Inputs, Prepared, Workload


class JaxScan:
    """float32 products in full precision, as torch computes them."""

    name = "JAX lax.scan"

    def missing(self, workload: Workload, device: str) -> str | None:
        return missing_jax(device)

    def prepare(self, workload: Workload, inputs: Inputs) -> Prepared:
        import jax
        from jax import lax
        from jax import numpy as jnp

        device = JaxDevice(inputs["z0"].device)
        a, M, names = workload.options["a"], workload.sizes["M"], parameters_of(workload)

        parameters = {name: device.put(inputs[name]) for name in names}
        z0, noise, target = device.put(inputs["z0"]), device.put(inputs["noise"]), device.put(inputs["target"])

        def product(x: Any, W: Any) -> Any:
            return jnp.matmul(x, W, precision="highest")

        def drift(z: Any, p: Any, network: str, drive: Any) -> Any:
            parts = [p[name] for name in names_of(workload.options, network)]
            gate = jax.nn.sigmoid(product(z, parts[0]) + parts[1] + drive[..., :M])
            x = product(z, parts[2]) + parts[3] + drive[..., M:]
            for W, b in zip(parts[4::2], parts[5::2], strict=True):
                x = product(jax.nn.silu(x), W) + b
            return gate * (jnp.tanh(x) - z)

        def one_model(p: Any, z: Any, noise: Any) -> Any:
            scaled = a**0.5 * p["sigma"] * noise

            def step(z: Any, now: Any) -> Any:
                drive, eps = now
                mu = drift(z, p, "posterior", drive)
                new = z + a * mu + eps
                return new, (z, new, mu)

            along = jnp.swapaxes(p["drive_posterior"], 0, 1), jnp.swapaxes(scaled, 0, 1)
            before, states, drifts = (jnp.swapaxes(x, 0, 1) for x in lax.scan(step, z, along)[1])
            return jnp.concatenate((states, drifts, drift(before, p, "prior", p["drive_prior"])), -1)

        def models(p: Any) -> Any:
            return jax.vmap(one_model)(p, z0, noise)

        def loss(p: Any) -> Any:
            return jnp.mean((models(p) - target) ** 2)

        forward, gradient = jax.jit(models), jax.jit(jax.grad(loss))
        pullback, apply = jax.jit(lambda p: jax.vjp(loss, p)[1]), jax.jit(lambda pull, one: pull(one)[0])
        kept: list[Any] = []

        def backward() -> Any:
            if not kept:
                kept.append(jax.block_until_ready(pullback(parameters)))
            return apply(kept[0], jnp.float32(1))

        calls = {"forward": lambda: forward(parameters), "backward": backward, "step": lambda: gradient(parameters)}

        def results(phase: str) -> dict[str, Tensor]:
            found = calls[phase]()
            if phase == "forward":
                return {"z": device.back(found)}
            return {f"d{name}": device.back(found[name]) for name in names}

        def wait(handle: Any) -> None:
            jax.block_until_ready(handle)

        return Prepared(calls, results, wait)
