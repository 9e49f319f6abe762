"""JAX: lax.scan under jit, gradients by reverse mode, models by vmap."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from benchmarks.competitors.jax_device import JaxDevice, missing_jax
from benchmarks.competitors.rollout_leaky_rnn.eager import PARAMETERS, observed
from benchmarks.workload import Inputs, Prepared, Workload


class JaxScan:
    """float32 products in full precision, as torch computes them."""

    name = "JAX lax.scan"

    def missing(self, workload: Workload, device: str) -> str | None:
        if workload.options.get("products"):
            return "has its products timed apart"
        return missing_jax(device)

    def prepare(self, workload: Workload, inputs: Inputs) -> Prepared:
        import jax
        from jax import lax
        from jax import numpy as jnp

        device = JaxDevice(inputs["u0"].device)
        alpha, n = workload.options["alpha"], observed(workload)

        parameters = tuple(device.put(inputs[name]) for name in PARAMETERS)
        u0, target = device.put(inputs["u0"]), device.put(inputs["target"])
        signals = {name: device.put(inputs[name]) for name in ("drive", "v", "noise") if name in inputs}
        Wv = device.put(inputs["Wv"][:, 0]) if "Wv" in inputs else None

        def one_model(p: Any, u: Any, Wv: Any, signals: Any) -> Any:
            W, b = p

            def step(u: Any, now: Any) -> Any:
                q = jnp.matmul(u, W, precision="highest") + b
                if "drive" in now:
                    q = q + now["drive"]
                if "v" in now:
                    q = q + now["v"] * jnp.matmul(u, Wv, precision="highest")
                r = jax.nn.relu(jnp.tanh(q))
                u = (1 - alpha) * u + alpha * r
                if "noise" in now:
                    u = u + now["noise"]
                return u, r[:, :n]

            along = {name: jnp.swapaxes(value, 0, 1) for name, value in signals.items()}
            return jnp.swapaxes(lax.scan(step, u, along, length=workload.sizes["T"])[1], 0, 1)

        def models(p: Any) -> Any:
            return jax.vmap(one_model, in_axes=(0, 0, None if Wv is None else 0, 0))(p, u0, Wv, signals)

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
            return {f"d{name}": device.back(grad) for name, grad in zip(PARAMETERS, found, strict=True)}

        def wait(handle: Any) -> None:
            jax.block_until_ready(handle)

        return Prepared(calls, results, wait)
