"""All measures of a fitted ensemble against one true trajectory."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from neurorbit.engine.analysis.lyapunov import LyapunovSum
from neurorbit.engine.analysis.orbits import VARIANT, Dynamics, as_real, require_positive
from neurorbit.engine.analysis.prediction import input_rows, pe_n
from neurorbit.engine.analysis.spectra import d_h
from neurorbit.engine.analysis.state_space import d_stsp, d_stsp_kind

MEASURES = ("d_stsp", "d_h", "pe", "lyapunov")
TRANSIENT_SHARE = 0.25
ALIGNING_STEPS = 500
ORBIT_ELEMENTS = 1 << 22
JACOBIAN_ELEMENTS = 1 << 18  # small enough for the cache


@torch.no_grad()
def generate_orbit(dynamics: Dynamics, x_true: Any, u: Any | None = None) -> Tensor:
    """Free orbit of every model [E, T, N] from the first whole row of x_true [T, N], after a transient of 0.25 T steps.

    With inputs u [T, U] no transient is dropped: the T steps follow the inputs from the second row on, the last twice.
    """
    x = as_real(x_true, "x_true", (2,), "[T, N]")
    transient, inputs = _transient_and_inputs(len(x), u)
    z = _first_state(dynamics, x)
    kept = []
    for first, last in _blocks(transient + len(x), dynamics.n_models * z.shape[-1], ORBIT_ELEMENTS):
        states = dynamics.free_run(z, last - first, u=None if inputs is None else inputs[None, None, first:last])
        z = states[:, :, -1].detach()
        kept.append(dynamics.observe(states[:, :, max(0, transient - first) :]).detach().squeeze(1))
    return torch.cat(kept, 1)


@torch.no_grad()
def ensemble_lyapunov(
    dynamics: Dynamics,
    x_true: Any,
    *,
    u: Any | None = None,
    dt: float = 1.0,
    steps: int = 10_000,
    n_orbits: int | None = None,
    n_exponents: int | None = None,
) -> Tensor:
    """Lyapunov exponents per unit of time [E, n] of every model, the mean over n_orbits orbits of `steps` steps.

    n_orbits: 50 / M, between 1 and 10, when None. The orbits start at evenly spaced rows of x_true and run free for
    0.25 `steps` steps first. With inputs u [T, U] one orbit follows the inputs from the first row on, its first fifth
    uncounted. NaN for a model that leaves the finite numbers.
    """
    x = as_real(x_true, "x_true", (2,), "[T, N]")
    require_positive(dt, "dt")
    require_positive(steps, "steps")
    if n_orbits is None:
        n_orbits = default_orbits(_first_state(dynamics, x).shape[-1])
    require_positive(n_orbits, "n_orbits")
    inputs = None if u is None else input_rows(u, len(x))[1:]
    if inputs is None:
        transient, z = max(1, round(TRANSIENT_SHARE * steps)), _spread_states(dynamics, x, n_orbits)
    else:
        total_steps = min(len(inputs), steps + round(TRANSIENT_SHARE * steps))
        transient, z = total_steps // 5, _first_state(dynamics, x)
        steps = total_steps - transient
    unaligned = max(0, transient - ALIGNING_STEPS)  # the frame needs less time than the orbit
    sums = LyapunovSum(n_exponents)
    finite = torch.ones(dynamics.n_models, dtype=torch.bool, device=z.device)
    for begin, end in ((0, unaligned), (unaligned, transient), (transient, transient + steps)):
        if begin == transient:
            sums.restart()
        for first, last in _blocks(end - begin, z.numel() * z.shape[-1], JACOBIAN_ELEMENTS):
            driven = None if inputs is None else inputs[None, None, begin + first : begin + last]
            states = dynamics.free_run(z, last - first, u=driven)
            if end > unaligned:
                sums.add(dynamics.jacobian(states))
            finite = finite & torch.isfinite(states).flatten(1).all(1)
            z = states[:, :, -1].detach()
    return torch.where(finite[:, None], sums.spectrum(dt).mean(1), torch.nan)


def evaluate(
    dynamics: Dynamics,
    x_true: Any,
    *,
    u: Any | None = None,
    n_ahead: int = 20,
    dt: float = 1.0,
    measures: Sequence[str] = MEASURES,
    lyapunov_steps: int = 10_000,
    lyapunov_orbits: int | None = None,
    generator: torch.Generator | None = None,
) -> dict[str, Any]:
    """Measures of every model of the ensemble on a test trajectory, in the model's units.

    Args:
        dynamics: the ensemble of E models.
        x_true: test trajectory [T, N] on the device of the models; NaN marks missing values.
        u: inputs [T, U], row t belongs to x_t. See generate_orbit for the transient.
        n_ahead: steps of the prediction error.
        dt: time of one step; exponents are per unit of that time.
        measures: which of "d_stsp", "d_h", "pe", "lyapunov".
        lyapunov_steps, lyapunov_orbits: length and number of orbits behind the exponents; see ensemble_lyapunov.
        generator: CPU torch.Generator of the Monte-Carlo samples of d_stsp for N >= 6.

    Returns a dict of float64 tensors [E]: "d_stsp", "d_h", f"pe_{n_ahead}", "lyapunov_max", and "lyapunov" [E, M];
    "variants": how each was computed; "dropped_rows": rows of x_true with a NaN, left out of d_stsp and d_h. A model
    that leaves the finite numbers gets NaN.
    """
    x = as_real(x_true, "x_true", (2,), "[T, N]")
    unknown = sorted(set(measures) - set(MEASURES))
    if unknown:
        raise ValueError(f"measures: expected some of {list(MEASURES)}, got {unknown}")
    result: dict[str, Any] = {}
    variants: dict[str, str] = {}
    if {"d_stsp", "d_h"} & set(measures):
        x_gen = generate_orbit(dynamics, x, u)
        variants["transient"] = f"{_transient_and_inputs(len(x), u)[0]} of {len(x)} steps"
    if "d_stsp" in measures:
        result["d_stsp"] = d_stsp(x, x_gen, generator=generator)
        variants["d_stsp"] = f"{VARIANT}-{d_stsp_kind(x.shape[-1])}"
    if "d_h" in measures:
        result["d_h"] = d_h(x, x_gen)
        variants["d_h"] = VARIANT
    if "pe" in measures:
        result[f"pe_{n_ahead}"] = pe_n(dynamics, x, n_ahead, u)
        variants[f"pe_{n_ahead}"] = f"{VARIANT}: squared error at step {n_ahead}"
    if "lyapunov" in measures:
        spectrum = ensemble_lyapunov(dynamics, x, u=u, dt=dt, steps=lyapunov_steps, n_orbits=lyapunov_orbits)
        result["lyapunov"], result["lyapunov_max"] = spectrum, spectrum[:, 0]
        n_orbits = lyapunov_orbits or default_orbits(spectrum.shape[1])
        orbits = f"{n_orbits} orbits" if u is None else "one driven orbit"
        variants["lyapunov"] = f"QR of analytic Jacobians, {lyapunov_steps} steps, {orbits}"
    return result | {"variants": variants, "dropped_rows": int(x.isnan().any(-1).sum())}


def default_orbits(latent_dim: int) -> int:
    """How many orbits of 10 000 steps are averaged: 10 for small M, fewer where each is dear."""
    return min(10, max(1, 50 // latent_dim))


def _transient_and_inputs(n_rows: int, u: Any | None) -> tuple[int, Tensor | None]:
    """Steps before the counted ones, and the inputs of all steps after the first observation."""
    if u is None:
        return math.ceil(TRANSIENT_SHARE * n_rows), None
    inputs = input_rows(u, n_rows)
    return 0, torch.cat([inputs[1:], inputs[-1:]])


def _first_state(dynamics: Dynamics, x: Tensor) -> Tensor:
    """Latent state [E, 1, M] of the first row without NaN."""
    return _spread_states(dynamics, x, 1)


def _spread_states(dynamics: Dynamics, x: Tensor, n_orbits: int) -> Tensor:
    """Latent states [E, B, M] at evenly spaced rows without NaN."""
    whole = (~x.isnan().any(-1)).nonzero().flatten()
    if len(whole) == 0:
        raise ValueError("x_true: no row without NaN to start from")
    at = whole[torch.arange(n_orbits, device=x.device) * len(whole) // n_orbits]
    return dynamics.initial_state(x[at].float().expand(dynamics.n_models, -1, -1)).detach()


def _blocks(n_steps: int, elements_per_step: int, elements: int) -> list[tuple[int, int]]:
    """(first, last) of consecutive blocks of time that hold a bounded number of elements."""
    length = max(16, elements // elements_per_step // 16 * 16)
    return [(a, min(a + length, n_steps)) for a in range(0, n_steps, length)]
