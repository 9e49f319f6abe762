"""JAX: lax.scan for both directions of the encoder and for the flow, the whole step with Adam under one jit."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from benchmarks.competitors.jax_device import JaxDevice
from neurorbit.bindings.poisson_readout import FLOOR_HZ

Parameters = dict[str, Tensor]


class JaxFindr:
    """One model with the parameters of ours: `terms` of a batch, and `step`, which updates them with Adam."""

    def __init__(
        self, parameters: Parameters, bin_s: float, tau_s: float, noise_level: float, rate: float, clip: float,
        beta: float, device: str,
    ) -> None:  # fmt: skip
        import jax
        from jax import lax
        from jax import numpy as jnp

        self.put = JaxDevice(torch.device(device)).put
        self.wait = jax.block_until_ready
        self.p = {n: self.put(v) for n, v in parameters.items()}
        a = bin_s / tau_s

        def dot(x: Any, y: Any) -> Any:
            return jnp.matmul(x, y, precision="highest")

        def gru(driven: Any, W: Any, b: Any, inside: Any) -> Any:
            K = W.shape[0]

            def cell(h: Any, now: Any) -> Any:
                x, here = now
                y = dot(h, W) + b
                r, k = jnp.split(jax.nn.sigmoid(x[:, : 2 * K] + y[:, : 2 * K]), 2, 1)
                n = jnp.tanh(x[:, 2 * K :] + r * y[:, 2 * K :])
                new = jnp.where(here[:, None], n + k * (h - n), h)
                return new, new

            h0 = jnp.zeros((driven.shape[1], K), driven.dtype)
            return lax.scan(cell, h0, (driven, inside))[1]

        def drift(p: Any, part: str, z: Any, drive: Any) -> Any:
            M = z.shape[-1]
            g = jax.nn.sigmoid(dot(z, p[f"{part}.own.Wg"]) + p[f"{part}.own.bg"] + drive[..., :M])
            h = jax.nn.silu(dot(z, p[f"{part}.own.W1"]) + p[f"{part}.own.b1"] + drive[..., M:])
            return g * (jnp.tanh(dot(h, p[f"{part}.own.Wo"]) + p[f"{part}.own.bo"]) - z)

        def terms(p: Any, y: Any, u: Any, lengths: Any, by_trial: Any, by_bin: Any, eps: Any) -> Any:
            T = y.shape[1]
            inside = jnp.arange(T)[:, None] < lengths  # [T, B]
            x = jnp.concatenate((y.astype(jnp.float32), u), -1)
            driven = jnp.swapaxes(dot(x, p["encoder.W_in.0.W"]) + p["encoder.own.b_in"], 0, 1)
            W, b = p["encoder.own.W"], p["encoder.own.b"]
            half = W.shape[2]
            ahead = gru(driven[..., :half], W[0], b[0], inside)
            back = gru(driven[::-1, :, half:], W[1], b[1], inside[::-1])[::-1]
            e = jnp.concatenate((jnp.swapaxes(u, 0, 1), ahead, back), -1)
            drive, prior = dot(e, p["posterior.own.V"]), dot(u, p["flow.own.V"])
            sigma = noise_level * jax.nn.sigmoid(p["s"])

            def move(z: Any, now: Any) -> Any:
                d, noise = now
                mu = drift(p, "posterior", z, d)
                new = z + a * mu + a**0.5 * sigma * noise
                return new, (new, mu, z)

            z0 = jnp.zeros((y.shape[0], sigma.shape[0]), jnp.float32)
            path, mu, before = (jnp.swapaxes(v, 0, 1) for v in lax.scan(move, z0, (drive, jnp.swapaxes(eps, 0, 1)))[1])
            kl = (a / 2 * ((drift(p, "flow", before, prior) - mu) / sigma) ** 2).sum(-1)
            link = dot(path, p["readout.0.C"].T) + by_trial[:, None] + by_bin
            expected = bin_s * (jax.nn.softplus(link) + FLOOR_HZ)
            cost = (expected - y * jnp.log(expected) + jax.lax.lgamma(y + 1.0)).sum(-1)
            valid = inside.T.astype(jnp.float32)
            return jnp.stack(((cost * valid).sum(), (kl * valid).sum())) / valid.sum()

        def loss(p: Any, *batch: Any) -> Any:
            nll, kl = terms(p, *batch)
            return nll + beta * kl + 1e-7 * sum((v**2).mean() for v in p.values())

        def step(p: Any, m: Any, v: Any, count: Any, key: Any, trials: Any, data: Any) -> Any:
            y, u, lengths, by_trial, by_bin = data
            eps = jax.random.normal(key, (len(trials), y.shape[1], p["s"].shape[0]))
            batch = (y[trials], u[trials], lengths[trials], by_trial[trials], by_bin, eps)
            g = jax.grad(loss)(p, *batch)
            norm = jnp.sqrt(sum((x**2).sum() for x in g.values()))
            g = {n: x * jnp.minimum(1.0, clip / (norm + 1e-6)) for n, x in g.items()}
            m = {n: 0.9 * m[n] + 0.1 * x for n, x in g.items()}
            v = {n: 0.999 * v[n] + 0.001 * x**2 for n, x in g.items()}
            first, second = 1 - 0.9**count, 1 - 0.999**count
            p = {n: x - rate * (m[n] / first) / (jnp.sqrt(v[n] / second) + 1e-8) for n, x in p.items()}
            return p, m, v

        self._terms, self._step = jax.jit(terms), jax.jit(step)
        self._key = lambda k: jax.random.key(k)
        self.m = {n: jnp.zeros_like(x) for n, x in self.p.items()}
        self.v = {n: jnp.zeros_like(x) for n, x in self.p.items()}
        self.count = 0

    def terms(self, *batch: Tensor) -> Any:
        """(negative log-likelihood, KL) per bin."""
        return self._terms(self.p, *map(self.put, batch))

    def step(self, trials: Any, data: Any) -> Any:
        """One update with a batch of the data."""
        self.count += 1
        found = self._step(self.p, self.m, self.v, float(self.count), self._key(self.count), trials, data)
        self.p, self.m, self.v = found
        return self.p
