"""What rollout_leaky_rnn takes and returns, its test cases and its cost."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from neurorbit.kernels.spec import Argument, Arguments, Case, KernelSpec, Sizes, Work

NONLINEARITIES = ("relu_tanh", "relu", "tanh", "softplus")

ARGUMENTS = (
    Argument("u0", ("E", "B", "N"), "state before the first step"),
    Argument("W", ("E", "N", "N"), "weights, from the first index to the second", optional=True),
    Argument("L", ("E", "N", "R"), "left factor of W = L Q'", optional=True),
    Argument("Q", ("E", "N", "R"), "right factor of W = L Q'", optional=True),
    Argument("drive", ("E|1", "B", "T", "N"), "input, added inside the nonlinearity", optional=True),
    Argument("b", ("E", "N"), "bias", optional=True),
    Argument("v", ("E|1", "B", "T", "D"), "signals that modulate the weights", optional=True),
    Argument("Wv", ("E", "D", "N", "N"), "weights that each of them scales", optional=True),
    Argument("alpha", ("E",), "share of the rate in the new state", gradient=False),
    Argument("noise", ("E|1", "B", "T", "N"), "process noise, added after the step", gradient=False, optional=True),
    Argument("noise_seed", ("E",), "seed of the noise drawn here", integer=True, gradient=False, optional=True),
    Argument("noise_stream", ("E", "B"), "stream of each sequence", integer=True, gradient=False, optional=True),
    Argument("noise_sd", ("E",), "standard deviation of that noise", gradient=False, optional=True),
    Argument("lengths", ("E|1", "B"), "steps of each sequence", integer=True, gradient=False, optional=True),
)


def sample(case: Case, generator: torch.Generator, dtype: torch.dtype) -> Arguments:
    """Contractive dynamics: every gain below one, rates on both sides of the kink."""
    s, present, options = case.sizes, case.present, case.options
    E, B, T, N, R, D = (s[letter] for letter in "EBTNRD")

    def normal(*shape: int, scale: float = 1.0) -> torch.Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64).mul(scale).to(dtype)

    rows = 1 if options["shared_data"] else E
    values: Arguments = {a.name: None for a in ARGUMENTS}
    values["u0"] = normal(E, B, N)
    if "low_rank" in present:
        values["L"], values["Q"] = normal(E, N, R, scale=0.6 / N**0.5), normal(E, N, R, scale=1 / R**0.5)
    else:
        values["W"] = normal(E, N, N, scale=0.6 / N**0.5)
    if "drive" in present:
        values["drive"] = normal(rows, B, T, N, scale=0.5)
    if "b" in present:
        values["b"] = normal(E, N, scale=0.5)
    if "v" in present:
        values["v"] = normal(rows, B, T, D, scale=0.5)
        values["Wv"] = normal(E, D, N, N, scale=0.3 / (N * D) ** 0.5)
    values["alpha"] = torch.linspace(1.0, 0.2, E, dtype=torch.float64).to(dtype)
    if "noise" in present:
        values["noise"] = normal(rows, B, T, N, scale=0.1)
    if "seed" in present:
        values["noise_seed"] = torch.randint(-(2**62), 2**62, (E,), generator=generator)
        values["noise_stream"] = torch.randint(-(2**62), 2**62, (E, B), generator=generator)
        values["noise_sd"] = torch.linspace(0.3, 0.1, E, dtype=torch.float64).to(dtype)
    if "lengths" in present:
        lengths = torch.randint(1, T + 1, (rows, B), generator=generator)
        lengths[0, 0] = T
        values["lengths"] = lengths
    return values


def work(sizes: Sizes, options: Mapping[str, Any], itemsize: int = 4) -> Work:
    """Multiply-adds of the matrix products (2 flops each); every tensor read once and written once.

    Sizes: E, B, T, N; R (absent or 0: dense weights), D (absent or 0: no modulation), U (0: no drive).
    """
    E, B, T, N = sizes["E"], sizes["B"], sizes["T"], sizes["N"]
    weights = 2 * N * sizes["R"] if sizes.get("R") else N * N
    weights += sizes.get("D", 0) * N * N
    states = E * B * T * N
    return Work(
        forward_flops=2 * E * B * T * weights,
        backward_flops=4 * E * B * T * weights,
        forward_bytes=(3 * states + E * weights) * itemsize,
        backward_bytes=(4 * states + 2 * E * weights) * itemsize,
    )


def _case(name: str, phi: str, present: str = "", **numbers: Any) -> Case:
    sizes = {"E": 2, "B": 3, "T": 7, "N": 5, "R": 2, "D": 2}
    sizes.update({k: numbers.pop(k) for k in list(numbers) if k in sizes})
    options = {"phi": phi, "unit_norm": False, "shared_data": False, "steps": sizes["T"], **numbers}
    return Case(name, sizes, options, frozenset(present.split()))


CASES = (
    *(_case(f"{phi}-driven", phi, "drive b") for phi in NONLINEARITIES),
    *(_case(f"{phi}-free", phi, "b", N=6) for phi in NONLINEARITIES),
    _case("nothing-but-weights", "relu_tanh"),
    _case("low-rank", "tanh", "low_rank drive b lengths"),
    _case("low-rank-modulated", "softplus", "low_rank drive b v", shared_data=True, R=3),
    _case("modulated", "relu_tanh", "drive b v lengths"),
    _case("one-signal", "tanh", "v", D=1, N=17, shared_data=True),
    _case("noise", "relu_tanh", "drive noise lengths", shared_data=True),
    _case("noise-drawn-here", "relu_tanh", "b seed", N=21),
    _case("noise-drawn-wide", "softplus", "b drive seed lengths", E=2, B=2, T=4, N=150),
    _case("unit-norm", "relu_tanh", "drive b", unit_norm=True, N=19),
    _case("unit-norm-noise", "softplus", "drive b seed lengths v", unit_norm=True),
    _case("one-of-each", "relu_tanh", "drive b", E=1, B=1, T=1, N=1),
    _case("one-of-each-low-rank", "softplus", "low_rank v seed", E=1, B=1, T=1, N=1, R=1, D=1, unit_norm=True),
    _case("odd-sizes", "relu_tanh", "drive b lengths", B=19, T=6, N=37),
    _case("wide", "relu_tanh", "drive b", E=1, B=5, T=3, N=270),
    _case("wide-low-rank", "tanh", "low_rank drive v", E=1, B=3, T=3, N=70, R=35),
)

SPEC = KernelSpec(
    name="rollout_leaky_rnn",
    arguments=ARGUMENTS,
    outputs={"u": ("E", "B", "T", "N"), "r": ("E", "B", "T", "N"), "u_final": ("E", "B", "N")},
    saved=("u", "r", "norm"),
    cases=CASES,
    sample=sample,
    work=work,
    time_arguments={"drive": 2, "v": 2, "noise": 2},
    limits={"N": 4096, "R": 128, "D": 16},
)
