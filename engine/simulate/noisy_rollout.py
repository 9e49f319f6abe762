"""Rates of an attractor network under noise of a given length."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from neurorbit.bindings.rollout_leaky_rnn import rollout_leaky_rnn
from neurorbit.engine.simulate.arguments import number
from neurorbit.engine.simulate.random_walks import headings_of, turning

MOST_UNITS = 4096  # of rollout_leaky_rnn
_AT_ONCE = 2**24  # numbers of noise that are held at a time


def noisy_rates(
    u0: np.ndarray,
    W: np.ndarray,
    steps: int,
    generator: np.random.Generator,
    *,
    noise: float,
    alpha: float,
    b: np.ndarray | None = None,
    v: np.ndarray | None = None,
    Wv: np.ndarray | None = None,
    W_in: np.ndarray | None = None,
) -> tuple[Tensor, np.ndarray]:
    """Rates r [B, T, n] and last states [B, n] of u <- (1 - alpha) u + alpha r + noise eps / |eps|.

    r = relu(tanh(u W + sum_d v_d u Wv_d + v W_in + b)); eps is standard normal in n dimensions, drawn for each step and
    trial; v [B, T, U].
    """
    B, n = u0.shape
    rates = torch.empty(B, steps, n)
    state = _one(u0)
    weights, bias = _one(W), None if b is None else _one(b)
    modulation = None if v is None or Wv is None else _one(Wv)
    chunk = max(1, _AT_ONCE // (B * n))
    for t in range(0, steps, chunk):
        now = slice(t, min(t + chunk, steps))
        eps = generator.standard_normal((now.stop - t, B, n), dtype=np.float32).swapaxes(0, 1)
        eps *= noise / np.linalg.norm(eps, axis=2, keepdims=True)
        found = rollout_leaky_rnn(
            state, weights, None if v is None or W_in is None else _one(v[:, now] @ W_in), bias, alpha=alpha,
            v=None if modulation is None or v is None else _one(v[:, now]), Wv=modulation, noise=_one(eps),
        )  # fmt: skip
        rates[:, now] = found.r[0]
        state = found.u_final
    return rates, state[0].numpy()


def turned_compass(
    compass: np.ndarray,
    W: np.ndarray,
    *,
    n_trials: int,
    steps: int,
    silent_steps: int,
    noise: float,
    alpha: float,
    sigma: float,
    mu: float,
    dt_s: float,
    generator: np.random.Generator,
    Wv: np.ndarray | None = None,
    W_in: np.ndarray | None = None,
) -> tuple[Tensor, np.ndarray, np.ndarray, np.ndarray]:
    """Rates [B, T, n], angular velocity [B, T, 1], true heading [B, T] and first state [B, n] of a turning compass.

    The first units are the compass and prefer the headings `compass`. Every trial begins with the same bump at heading
    0, is left alone for silent_steps and then turned. The true heading begins where the bump stands after the silence.
    """
    number("noise", noise, 0.0, 1e3, "a length of 0 or more")
    number("alpha", alpha, 1e-6, 1.0, "a leak above 0, at most 1")
    number("sigma", sigma, 0.0, 1e6, "a standard deviation in rad/s, 0 or more")
    number("mu", mu, 0.0, 1.0, "a memory from 0 to 1")
    number("dt_s", dt_s, 1e-9, 1e9, "a width in seconds above 0")
    u0 = np.zeros((n_trials, len(W)), np.float32)
    u0[:, : len(compass)] = np.maximum(np.cos(compass), 0.0)
    if silent_steps:
        _, u0 = noisy_rates(u0, W, silent_steps, generator, noise=noise, alpha=alpha)
    v = turning(n_trials, steps, sigma, mu, generator)
    rates, _ = noisy_rates(u0, W, steps, generator, noise=noise, alpha=alpha, v=v[..., None], Wv=Wv, W_in=W_in)
    start = np.angle(u0[:, : len(compass)] @ np.exp(1j * compass))
    return rates, v[..., None], headings_of(start, v, dt_s), u0


def _one(x: np.ndarray) -> Tensor:
    """As the only model of a stack, float32."""
    return torch.from_numpy(np.ascontiguousarray(x, np.float32))[None]
