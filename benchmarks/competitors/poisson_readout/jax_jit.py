"""JAX: the dense likelihood under jit, which fuses what follows the product."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from benchmarks.competitors.jax_device import JaxDevice, missing_jax
from benchmarks.competitors.poisson_readout.eager import PARAMETERS
from benchmarks.workload import Inputs, Prepared, Workload
from neurorbit.bindings.poisson_readout import FLOOR_HZ


class JaxJit:
    """float32 products in full precision, as torch computes them."""

    name = "JAX jit"

    def missing(self, workload: Workload, device: str) -> str | None:
        return missing_jax(device)

    def prepare(self, workload: Workload, inputs: Inputs) -> Prepared:
        import jax
        from jax import numpy as jnp

        bin_s = workload.options["bin_s"]
        device = JaxDevice(inputs["z"].device)

        parameters = tuple(device.put(inputs[name]) for name in PARAMETERS)
        data = tuple(device.put(inputs[name]) for name in ("y", "valid", "constant"))
        bins = float(inputs["valid"].sum())

        def nll(p: Any, d: Any) -> Any:
            (z, C, bias), (y, valid, constant) = p, d
            a = jnp.einsum("ebtm,enm->ebtn", z, C, precision="highest") + bias[:, None, None]
            expected = bin_s * (jax.nn.softplus(a) + FLOOR_HZ)
            cost = expected - y.astype(expected.dtype) * jnp.log(expected)
            return jnp.sum(cost * valid[..., None], (2, 3)) + constant

        def loss(p: Any, d: Any) -> Any:
            return nll(p, d).sum() / bins

        forward, gradient = jax.jit(nll), jax.jit(jax.grad(loss))
        pullback, apply = jax.jit(lambda p, d: jax.vjp(lambda q: loss(q, d), p)[1]), jax.jit(lambda f, one: f(one)[0])
        kept: list[Any] = []

        def backward() -> Any:
            if not kept:
                kept.append(jax.block_until_ready(pullback(parameters, data)))
            return apply(kept[0], jnp.float32(1))

        calls = {
            "forward": lambda: forward(parameters, data),
            "backward": backward,
            "step": lambda: gradient(parameters, data),
        }

        def results(phase: str) -> dict[str, Tensor]:
            found = calls[phase]()
            if phase == "forward":
                return {"nll": device.back(found)}
            return {f"d{name}": device.back(one) for name, one in zip(PARAMETERS, found, strict=True)}

        def wait(handle: Any) -> None:
            jax.block_until_ready(handle)

        return Prepared(calls, results, wait)
