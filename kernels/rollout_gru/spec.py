"""What rollout_gru takes and returns, its test cases and its cost."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from neurorbit.kernels.spec import Argument, Arguments, Case, KernelSpec, Sizes, Work

ARGUMENTS = (
    Argument("W", ("E", "D", "H", "G"), "weights from the state to the gates, G = 3 H: reset, update, new"),
    Argument("drive", ("E", "B", "T", "D", "G"), "what reaches the gates from outside", optional=True),
    Argument("b", ("E", "D", "G"), "bias beside the state's weights", optional=True),
    Argument("y", ("E|1", "B", "T", "N"), "counts", integer=True, gradient=False, optional=True),
    Argument("x", ("E|1", "B", "T", "U"), "signals", gradient=False, optional=True),
    Argument(
        "W_in", ("E", "R", "D", "G"), "weights from counts and then signals to the gates, R = N + U", optional=True
    ),
    Argument("b_in", ("E", "D", "G"), "bias beside them", optional=True),
    Argument("h0", ("E", "B", "D", "H"), "state before the first step", optional=True),
    Argument("lengths", ("E|1", "B"), "steps of each sequence", integer=True, gradient=False, optional=True),
)


def sample(case: Case, generator: torch.Generator, dtype: torch.dtype) -> Arguments:
    """Weights small enough for contractive dynamics."""
    s, present = case.sizes, case.present
    E, B, T, D, H = (s[letter] for letter in "EBTDH")

    def normal(*shape: int, scale: float = 1.0) -> torch.Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64).mul(scale).to(dtype)

    values: Arguments = {a.name: None for a in ARGUMENTS}
    if "drive" in present:
        values["drive"] = normal(E, B, T, D, 3 * H)
    values["W"] = normal(E, D, H, 3 * H, scale=0.7 / H**0.5)
    if "b" in present:
        values["b"] = normal(E, D, 3 * H, scale=0.5)
    rows = 1 if case.options["shared_data"] else E
    if "y" in present:
        mean = torch.full((rows, B, T, s["N"]), case.options["mean"], dtype=torch.float64)
        counts = torch.poisson(mean, generator=generator)
        values["y"] = counts.to(getattr(torch, case.options["counts"]))
    if "x" in present:
        values["x"] = normal(rows, B, T, s["U"]).where(torch.rand(rows, B, T, 1, generator=generator) < 0.5, 0)
    if "y" in present or "x" in present:
        R = sum(s[size] for name, size in (("y", "N"), ("x", "U")) if name in present)
        values["W_in"] = normal(E, R, D, 3 * H, scale=0.7)
    if "b_in" in present:
        values["b_in"] = normal(E, D, 3 * H, scale=0.5)
    if "h0" in present:
        values["h0"] = normal(E, B, D, H)
    if "lengths" in present:
        lengths = torch.randint(0, T + 1, (rows, B), generator=generator)
        lengths[0, 0] = T
        values["lengths"] = lengths
    return values


def work(sizes: Sizes, options: Mapping[str, Any], itemsize: int = 4) -> Work:
    """Multiply-adds of the products (2 flops each); drive read, states written and the gates kept.

    Sizes: E, B, T, D, H. Inputs come besides: 6 H flops for each event and direction, twice as many in all backward.
    """
    E, B, T, D, H = (sizes[letter] for letter in "EBTDH")
    steps, weights = E * B * T * D, E * D * 3 * H * H
    return Work(
        forward_flops=steps * 6 * H * H,
        backward_flops=steps * 12 * H * H,
        forward_bytes=(steps * 8 * H + weights) * itemsize,
        backward_bytes=(steps * 10 * H + 2 * weights) * itemsize,
    )


def _case(name: str, present: str = "drive", **numbers: Any) -> Case:
    sizes = {"E": 2, "B": 3, "T": 6, "D": 2, "H": 5, "N": 7, "U": 2}
    sizes.update({k: numbers.pop(k) for k in list(numbers) if k in sizes})
    options = {"shared_data": False, "counts": "uint8", "mean": 0.3, **numbers}
    return Case(name, sizes | {"G": 3 * sizes["H"]}, options, frozenset(present.split()))


CASES = (
    _case("plain"),
    _case("one-direction", "drive b h0", D=1),
    _case("everything", "drive b y x b_in h0 lengths"),
    _case("shared-lengths", "drive b lengths", shared_data=True),
    _case("one-direction-lengths", "drive h0 lengths", D=1, H=8),
    _case("one-of-each", "drive b h0", E=1, B=1, T=1, D=1, H=1),
    _case("odd-sizes", "drive b h0 lengths", B=19, T=5, H=21),
    _case("wide", "drive b", E=1, B=4, T=3, H=70),
    _case("counts", "y"),
    _case("counts-shared", "b y x b_in lengths", shared_data=True, counts="int16", B=10),
    _case("signals", "x b_in h0", D=1, U=3),
    _case("many-neurons", "b y b_in lengths", counts="int32", N=150, H=22, mean=0.1),
    _case("dense-counts", "y x lengths", E=1, N=65, mean=40.0, counts="int32", H=6, T=3),
    _case("one-neuron", "y", E=1, B=1, T=1, N=1, D=1, H=1, mean=2.0),
)

SPEC = KernelSpec(
    name="rollout_gru",
    arguments=ARGUMENTS,
    outputs={"h": ("E", "B", "T", "D", "H"), "h_final": ("E", "B", "D", "H")},
    saved=("h", "gates"),
    cases=CASES,
    sample=sample,
    work=work,
    time_arguments={"drive": 2, "y": 2, "x": 2},
    limits={"D": 2, "H": 1024},
)
