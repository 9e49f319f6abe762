"""A ring attractor that integrates angular velocity (Zhang 1996)."""

from __future__ import annotations

import numpy as np

from neurorbit.engine.data.network_truth import NetworkTruth
from neurorbit.engine.data.rate_trials import RateTrials
from neurorbit.engine.simulate.arguments import number, whole
from neurorbit.engine.simulate.noisy_rollout import MOST_UNITS, turned_compass
from neurorbit.engine.simulate.random_walks import TURN


def ring_attractor(
    n: int = 100,
    *,
    n_trials: int = 100,
    steps: int = 1000,
    silent_steps: int = 500,
    seed: int = 0,
    noise: float = 0.1,
    alpha: float = 1.0,
    c: float = 0.1,
    k: float = 0.06,
    h0: float = -0.03,
    a: float = 0.02,
    sigma: float = 1.2,
    mu: float = 0.8,
    dt_s: float = 0.025,
) -> RateTrials:
    """Rates of n compass neurons on a ring whose bump of activity follows a turning head.

    u <- (1 - alpha) u + alpha r + noise eps / |eps|, r = relu(tanh(u W + v u Wv)), W_ij = c cos(k |d_ij|) + h0,
    Wv_ij = a c k sin(k |d_ij|) d_ij, where d_ij is the signed distance from neuron i to neuron j along the ring, in
    neurons (in Wv 0 between opposite ones, which has no sign), and eps is standard normal. v is the angular velocity,
    v_t = sigma xi_t + mu v_{t-1}; the heading is the sum of v dt_s. Neuron i prefers 2 pi i / n.

    Every trial begins with the same bump at heading 0, is left alone for silent_steps and then turned for steps, which
    are recorded. The true heading begins where the bump stands after the silence.

    Args:
        n: neurons, 8 to 4096. c, k and h0 are those of a ring of 100; another one has them times 100 / n, so that the
            bump has the same width in rad and the same height.
        n_trials, steps: B and T of the result.
        noise: length of the noise vector of each step.
        a: strength of the velocity coupling; with alpha 1, 0.02 moves the bump by 1.02 v dt_s.
        sigma, mu: rad/s, and memory per step; sigma 0 is silence.
    Returns:
        RateTrials: activity [B, T, n], inputs v [B, T, 1] in rad/s, headings [B, T] in 0 .. 2 pi, truth with W and Wv.
    """
    whole("n", n, 8, MOST_UNITS)
    B, T, silence = whole("n_trials", n_trials, 1), whole("steps", steps, 1), whole("silent_steps", silent_steps, 0)
    for name, value in (("c", c), ("k", k), ("h0", h0), ("a", a)):
        number(name, value, -1e6, 1e6, "a number")
    generator = np.random.default_rng(whole("seed", seed, 0))
    W, Wv = ring_weights(n, c=c, k=k, h0=h0, a=a)
    preferred = TURN * np.arange(n) / n
    rates, v, headings, start = turned_compass(
        preferred, W, n_trials=B, steps=T, silent_steps=silence, noise=noise, alpha=alpha, sigma=sigma, mu=mu,
        dt_s=dt_s, generator=generator, Wv=Wv[None],
    )  # fmt: skip
    settings = {
        "system": "ring", "n": n, "n_trials": B, "steps": T, "silent_steps": silence, "seed": int(seed), "noise": noise,
        "alpha": alpha, "c": c, "k": k, "h0": h0, "a": a, "sigma": sigma, "mu": mu, "dt_s": dt_s,
    }  # fmt: skip
    truth = NetworkTruth("ring", W, Wv[None], None, np.arange(n), preferred, np.zeros(n, np.int64), settings)
    return RateTrials.from_arrays(
        rates, v, headings=headings, start=start, dt_s=dt_s, truth=truth, still=sigma == 0.0, name="ring"
    )


def ring_weights(
    n: int, *, c: float = 0.1, k: float = 0.06, h0: float = -0.03, a: float = 0.02
) -> tuple[np.ndarray, np.ndarray]:
    """W and Wv [n, n] of `ring_attractor`, float32."""
    size = 100.0 / n
    place = np.arange(n)
    d = (place - place[:, None] + n // 2) % n - n // 2  # from row to column, -n/2 between opposite neurons
    near = size * np.abs(d)
    signed = size * np.where(2 * np.abs(d) == n, 0, d)
    W = size * (c * np.cos(k * near) + h0)
    Wv = size * a * c * k * np.sin(k * near) * signed
    return W.astype(np.float32), Wv.astype(np.float32)
