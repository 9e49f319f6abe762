"""JAX: lax.scan under jit, gradients by reverse mode, models by vmap."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from benchmarks.competitors.jax_device import JaxDevice, missing_jax
from benchmarks.competitors.rollout_plrnn.eager import PARAMETERS
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

        def cell(p: Any, z: Any) -> Any:
            A, W1, h1, W2, h2 = p
            hidden = jax.nn.relu(jnp.matmul(z, W2.T, precision="highest") + h2)
            return A * z + jnp.matmul(hidden, W1.T, precision="highest") + h1

        parameters, z0 = tuple(device.put(inputs[name]) for name in PARAMETERS), device.put(inputs["z0"])

        def wait(handle: Any) -> None:
            jax.block_until_ready(handle)

        if "generate" in workload.phases:
            steps = workload.sizes["T"]
            free = jax.jit(jax.vmap(lambda p, z: lax.scan(lambda s, _: (cell(p, s), None), z, None, length=steps)[0]))
            return Prepared(
                {"generate": lambda: free(parameters, z0)},
                lambda _: {"z_final": device.back(free(parameters, z0))},
                wait,
            )

        alpha = workload.options["forcing_alpha"]
        shared = inputs["z_hat"].shape[0] == 1
        z_hat = device.put(inputs["z_hat"][0] if shared else inputs["z_hat"])

        def one_model(p: Any, z: Any, x: Any) -> Any:
            def step(state: Any, x_t: Any) -> Any:
                new = cell(p, state)
                return alpha * x_t + (1 - alpha) * new, new

            return jnp.swapaxes(lax.scan(step, z, jnp.swapaxes(x, 0, 1))[1], 0, 1)  # [B, T, M]

        models = jax.vmap(one_model, in_axes=(0, 0, None if shared else 0))

        def loss(p: Any, z: Any, x: Any) -> Any:
            return jnp.mean((models(p, z, x) - x) ** 2)

        forward = jax.jit(models)
        gradient = jax.jit(jax.grad(loss))
        pullback = jax.jit(lambda p: jax.vjp(lambda q: loss(q, z0, z_hat), p)[1])
        apply = jax.jit(lambda pull, one: pull(one)[0])
        kept: list[Any] = []

        def backward() -> Any:
            if not kept:
                kept.append(jax.block_until_ready(pullback(parameters)))
            return apply(kept[0], jnp.float32(1))

        calls = {
            "forward": lambda: forward(parameters, z0, z_hat),
            "backward": backward,
            "step": lambda: gradient(parameters, z0, z_hat),
        }

        def results(phase: str) -> dict[str, Tensor]:
            found = calls[phase]()
            if phase == "forward":
                return {"z": device.back(found)}
            return {f"d{name}": device.back(grad) for name, grad in zip(PARAMETERS, found, strict=True)}

        return Prepared(calls, results, wait)
