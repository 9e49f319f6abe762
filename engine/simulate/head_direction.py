"""A compass and two populations of shifters that move it (Skaggs et al. 1995; Turner-Evans et al. 2017)."""

from __future__ import annotations

import numpy as np

from neurorbit.engine.data.network_truth import COMPASS, MINUS, PLUS, NetworkTruth
from neurorbit.engine.data.rate_trials import RateTrials
from neurorbit.engine.simulate.arguments import number, whole
from neurorbit.engine.simulate.noisy_rollout import MOST_UNITS, turned_compass
from neurorbit.engine.simulate.random_walks import TURN

# Weights per 100 units of the sending population. The bump then peaks at 0.97 in the compass, at 0.79 in the shifters.
C, H0 = 0.065, -0.025  # compass to compass: C cos(d) + H0
C_IN, H_IN = 0.06, -0.015  # compass to shifters: C_IN cos(d) + H_IN
C_OUT = 0.045  # shifters to compass: C_OUT cos(d - offset)
GAIN = 0.095  # input of a shifter per rad/s; at the offset pi / 4 it moves the bump by v dt_s


def head_direction(
    n_compass: int = 100,
    n_shifter: int = 50,
    *,
    n_trials: int = 100,
    steps: int = 1000,
    silent_steps: int = 500,
    seed: int = 0,
    noise: float = 0.1,
    alpha: float = 1.0,
    offset_rad: float = np.pi / 4,
    gain: float = GAIN,
    sigma: float = 1.2,
    mu: float = 0.8,
    dt_s: float = 0.025,
    observe_shifters: bool = False,
) -> RateTrials:
    """Rates of a compass whose bump is moved by two populations of shifters, of which all weights are known.

    u <- (1 - alpha) u + alpha r + noise eps / |eps|, r = relu(tanh(u W + v W_in)). The units of each population lie
    evenly on a ring. The compass excites near compass units and inhibits far ones, and drives the shifters of both
    populations at the same heading; a shifter excites compass units around its own heading plus offset_rad (population
    1) or minus offset_rad (population 2). The angular velocity v reaches shifters alone: gain v in population 1,
    -gain v in population 2. At rest the two populations hold the bump in place; in a turn one outweighs the other.

    Motion, silence and true heading are those of `ring_attractor`. What v does in a step reaches the compass in the
    next one; the shifters' view of the heading is a step old, so that the bump answers a kick by 1.4 and comes back to
    1.0 within a few steps. At the constants it moves by 1.00 v dt_s up to 4 rad/s, by 0.98 at 6 and 0.80 at 12, where
    the shifters that are driven down fall silent.

    Args:
        n_compass, n_shifter: units of the compass and of each population of shifters, 8 or more; 4096 in all.
        n_trials, steps: B and T of the result. noise: length of the noise vector of each step, over all units.
        offset_rad: above 0, below pi / 2. gain: input of a shifter per rad/s.
        sigma, mu: rad/s, and memory per step; sigma 0 is silence.
        observe_shifters: the activity has the shifters too, after the compass.
    Returns:
        RateTrials: activity [B, T, N], N = n_compass (+ 2 n_shifter), inputs v [B, T, 1] in rad/s, headings [B, T] in
        0 .. 2 pi, truth with W and W_in of all units: compass, population 1, population 2.
    """
    whole("n_compass", n_compass, 8)
    whole("n_shifter", n_shifter, 8)
    if n_compass + 2 * n_shifter > MOST_UNITS:
        raise ValueError(
            f"n_compass: expected at most {MOST_UNITS} units with two populations of shifters, got {n_compass} and "
            f"{n_shifter} each"
        )
    B, T, silence = whole("n_trials", n_trials, 1), whole("steps", steps, 1), whole("silent_steps", silent_steps, 0)
    number("offset_rad", offset_rad, 1e-6, np.pi / 2, "an angle in rad above 0, at most pi / 2")
    number("gain", gain, -1e6, 1e6, "a number")
    generator = np.random.default_rng(whole("seed", seed, 0))
    W, W_in, preferred, population = head_direction_weights(n_compass, n_shifter, offset_rad, gain)
    rates, v, headings, start = turned_compass(
        preferred[:n_compass], W, n_trials=B, steps=T, silent_steps=silence, noise=noise, alpha=alpha, sigma=sigma,
        mu=mu, dt_s=dt_s, generator=generator, W_in=W_in,
    )  # fmt: skip
    observed = np.arange(len(W) if observe_shifters else n_compass)
    settings = {
        "system": "headdirection", "n_compass": n_compass, "n_shifter": n_shifter, "n_trials": B, "steps": T,
        "silent_steps": silence, "seed": int(seed), "noise": noise, "alpha": alpha, "offset_rad": float(offset_rad),
        "gain": gain, "sigma": sigma, "mu": mu, "dt_s": dt_s, "observe_shifters": bool(observe_shifters),
        "c": C, "h0": H0, "c_in": C_IN, "h_in": H_IN, "c_out": C_OUT,
    }  # fmt: skip
    truth = NetworkTruth("headdirection", W, None, W_in, observed, preferred, population, settings)
    return RateTrials.from_arrays(
        rates[..., : len(observed)], v, headings=headings, start=start, dt_s=dt_s, truth=truth, still=sigma == 0.0,
        name="headdirection",
    )  # fmt: skip


def head_direction_weights(
    n_compass: int, n_shifter: int, offset_rad: float = np.pi / 4, gain: float = GAIN
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """W [n, n], W_in [1, n], preferred heading [n] and population [n] of `head_direction`."""
    population = np.repeat([COMPASS, PLUS, MINUS], [n_compass, n_shifter, n_shifter])
    compass, shifter = TURN * np.arange(n_compass) / n_compass, TURN * np.arange(n_shifter) / n_shifter
    preferred = np.concatenate((compass, shifter, shifter))
    W = np.zeros((len(preferred), len(preferred)))
    W_in = np.zeros((1, len(preferred)))
    is_compass = population == COMPASS
    W[np.ix_(is_compass, is_compass)] = 100.0 / n_compass * (C * np.cos(compass - compass[:, None]) + H0)
    for which, sign in ((PLUS, 1.0), (MINUS, -1.0)):
        here = population == which
        W[np.ix_(is_compass, here)] = 100.0 / n_compass * (C_IN * np.cos(shifter - compass[:, None]) + H_IN)
        W[np.ix_(here, is_compass)] = 100.0 / n_shifter * C_OUT * np.cos(compass - shifter[:, None] - sign * offset_rad)
        W_in[:, here] = sign * gain
    return W.astype(np.float32), W_in.astype(np.float32), preferred, population
