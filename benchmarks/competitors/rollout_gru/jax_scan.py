"""JAX: lax.scan under jit over both directions of all models at once, gradients by reverse mode."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import Tensor

from benchmarks.competitors.jax_device import JaxDevice, missing_jax
from benchmarks.competitors.rollout_gru.torch_gru import PARAMETERS
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

        device = JaxDevice(inputs["x"].device)
        E, B, T, D, H = (workload.sizes[letter] for letter in "EBTDH")

        parameters = tuple(device.put(inputs[name]) for name in PARAMETERS)
        x, target = device.put(inputs["x"]), device.put(inputs["target"])
        t, ends = np.arange(T), inputs["lengths"][0].cpu().numpy()[:, None]
        order = np.stack([np.broadcast_to(t, (B, T)), np.where(t < ends, ends - 1 - t, t)][:D], -1)[None, ..., None]
        valid = device.put((t < ends)[None, :, :, None, None])
        order = device.put(order)

        def states(p: Any) -> Any:
            W_in, b_in, W, b = p
            drive = jnp.einsum("btu,eug->ebtg", x, W_in, precision="highest") + b_in[:, None, None]
            drive = jnp.take_along_axis(drive.reshape(E, B, T, D, 3 * H), order, 2)

            def step(h: Any, now: Any) -> Any:  # [E, B, D, H]
                y = jnp.einsum("ebdh,edhg->ebdg", h, W, precision="highest") + b[:, None]
                gates = jax.nn.sigmoid(now[..., : 2 * H] + y[..., : 2 * H])
                n = jnp.tanh(now[..., 2 * H :] + gates[..., :H] * y[..., 2 * H :])
                z = gates[..., H:]
                h = (1 - z) * n + z * h
                return h, h

            h = jnp.moveaxis(lax.scan(step, jnp.zeros((E, B, D, H), x.dtype), jnp.moveaxis(drive, 2, 0))[1], 0, 2)
            return (jnp.take_along_axis(h, order, 2) * valid).reshape(E, B, T, D * H)

        def loss(p: Any) -> Any:
            return jnp.mean((states(p) - target) ** 2)

        forward, gradient = jax.jit(states), jax.jit(jax.grad(loss))
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
