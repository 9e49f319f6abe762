"""What rollout_gated_sde takes and returns, how its weights are packed, its test cases and its cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from neurorbit.kernels.spec import Argument, Arguments, Case, KernelSpec, Sizes, Work

MOST_HIDDEN = 512
ARGUMENTS = (
    Argument("weights", ("E", "P"), "all weights and biases of a model, layer after layer (see `layers_of`)"),
    Argument("z0", ("E", "B", "M"), "state before the first step", optional=True),
    Argument("path", ("E", "B", "T", "M"), "known states at which the drift is taken; nothing is rolled out",
             optional=True),
    Argument("drive", ("E|1", "B", "T", "D"), "added before the gate and the first hidden layer, D = M + H_1",
             optional=True),
    Argument("x", ("E|1", "B", "T", "U"), "inputs that drive it through V", gradient=False, optional=True),
    Argument("e", ("E", "B", "T", "S"), "states, as of an encoder, that drive it through V", optional=True),
    Argument("V", ("E", "R", "D"), "weights of x and then e before the gate and the first hidden layer, R = U + S",
             optional=True),
    Argument("a", ("E",), "step over time constant", gradient=False),
    Argument("sigma", ("E", "M"), "scale of the noise", optional=True),
    Argument("noise", ("E|1", "B", "T", "M"), "standard normal eps", gradient=False, optional=True),
    Argument("noise_seed", ("E",), "seed of eps drawn here", integer=True, gradient=False, optional=True),
    Argument("noise_stream", ("E", "B"), "stream of each sequence", integer=True, gradient=False, optional=True),
    Argument("lengths", ("E|1", "B"), "steps of each sequence", integer=True, gradient=False, optional=True),
)  # fmt: skip


def layers_of(M: int, hidden: Sequence[int]) -> list[tuple[int, int]]:
    """(inputs, outputs) of each layer; `weights` holds W [inputs, outputs] and b [outputs] of one after the other.

    The first one makes the gate's M values and then the first hidden layer's; the last one makes h.
    """
    return list(zip((M, *hidden), (M + hidden[0], *hidden[1:], M), strict=True))


def weight_count(M: int, hidden: Sequence[int]) -> int:
    """P, the numbers in `weights` of one model."""
    return sum((inputs + 1) * outputs for inputs, outputs in layers_of(M, hidden))


def sample(case: Case, generator: torch.Generator, dtype: torch.dtype) -> Arguments:
    """Weights of the size that training starts with, states and drives of order one."""
    s, present, hidden = case.sizes, case.present, case.options["hidden"]
    E, B, T, M = (s[letter] for letter in "EBTM")

    def normal(*shape: int, scale: float = 1.0) -> torch.Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64).mul(scale).to(dtype)

    rows = 1 if case.options["shared_data"] else E
    values: Arguments = {a.name: None for a in ARGUMENTS}
    parts = []
    for inputs, outputs in layers_of(M, hidden):
        parts += [normal(E, inputs * outputs, scale=0.9 / inputs**0.5), normal(E, outputs, scale=0.3)]
    values["weights"] = torch.cat(parts, 1)
    if "path" in present:
        values["path"] = normal(E, B, T, M)
    if "path" not in present or "z0" in present:
        values["z0"] = normal(E, B, M)
    if "drive" in present:
        values["drive"] = normal(rows, B, T, M + hidden[0], scale=0.6)
    U, S = (s[letter] if name in present else 0 for name, letter in (("x", "U"), ("e", "S")))
    if U:
        values["x"] = normal(rows, B, T, U)
    if S:
        values["e"] = normal(E, B, T, S)
    if U + S:
        values["V"] = normal(E, U + S, M + hidden[0], scale=0.6 / (U + S) ** 0.5)
    values["a"] = torch.linspace(0.1, 0.4, E, dtype=torch.float64).to(dtype)
    if "noise" in present:
        values["noise"] = normal(rows, B, T, M)
    if "seed" in present:
        values["noise_seed"] = torch.randint(-(2**62), 2**62, (E,), generator=generator)
        values["noise_stream"] = torch.randint(-(2**62), 2**62, (E, B), generator=generator)
    if "noise" in present or "seed" in present:
        values["sigma"] = normal(E, M, scale=0.3).abs() + 0.1
    if "lengths" in present:
        lengths = torch.randint(0, T + 1, (rows, B), generator=generator)
        lengths[0, 0] = T
        values["lengths"] = lengths
    return values


def work(sizes: Sizes, options: Mapping[str, Any], itemsize: int = 4) -> Work:
    """Multiply-adds of the layers (2 flops each) and 20 flops per sigmoid or tanh; every tensor moved once.

    It is the work behind a drive; that of signals x, e times V comes on top.
    Sizes: E, B, T, M. Options: hidden; drive and noise unless they are False.
    """
    E, B, T, M = sizes["E"], sizes["B"], sizes["T"], sizes["M"]
    layers = layers_of(M, options["hidden"])
    products = 2 * sum(inputs * outputs for inputs, outputs in layers)
    functions = 20 * sum(outputs for _, outputs in layers)
    signals = (layers[0][1] if options.get("drive", True) else 0) + (M if options.get("noise", True) else 0)
    P = weight_count(M, options["hidden"])
    rows = E * B * T
    return Work(
        forward_flops=rows * (products + functions),
        backward_flops=rows * (3 * products + functions),
        forward_bytes=(rows * (2 * M + signals) + E * P) * itemsize,
        backward_bytes=(rows * (3 * M + 2 * signals) + 2 * E * P) * itemsize,
    )


def _case(name: str, present: str = "", hidden: tuple[int, ...] = (7,), **numbers: Any) -> Case:
    sizes = {"E": 2, "B": 3, "T": 5, "M": 2, "U": 3, "S": 4}
    sizes.update({k: numbers.pop(k) for k in list(numbers) if k in sizes})
    options = {"hidden": hidden, "shared_data": False, "steps": sizes["T"], **numbers}
    return Case(name, sizes, options, frozenset(present.split()))


CASES = (
    _case("free"),
    _case("driven", "drive"),
    _case("noise", "drive noise"),
    _case("noise-shared", "drive noise lengths", shared_data=True, M=3),
    _case("noise-drawn-here", "drive seed"),
    _case("noise-drawn-wide", "seed lengths", M=21, B=2, T=4),
    _case("two-layers", "drive noise lengths", (6, 5)),
    _case("four-layers", "drive seed", (5, 3, 17, 4), T=4, M=3),
    _case("path", "path drive"),
    _case("path-lengths", "path drive lengths", (5, 6), shared_data=True),
    _case("path-before", "path z0 drive lengths", M=4),
    _case("path-before-deep", "path z0", (4, 5, 6), B=18, T=19),
    _case("odd-sizes", "drive noise lengths", (33,), B=19, T=18, M=5),
    _case("several-blocks", "drive seed lengths", (9,), E=3, B=35, T=5, M=1),
    _case("one-of-each", "drive seed", (1,), E=1, B=1, T=1, M=1),
    _case("wide", "drive noise", (130, 67), E=1, B=3, T=3, M=6),
    _case("most-states", "drive noise", (20,), E=1, B=2, T=3, M=32),
    _case("inputs", "x"),
    _case("inputs-shared", "x drive noise lengths", shared_data=True, U=1),
    _case("states", "e seed", M=3),
    _case("signals", "x e noise lengths", (6, 5)),
    _case("signals-and-drive", "x e drive seed lengths", (5, 3, 7), T=4, S=2),
    _case("signals-odd", "x e drive noise lengths", (33,), B=19, T=18, M=5, U=3, S=21),
    _case("signals-blocks", "x e seed lengths", (30,), E=3, B=35, T=6, U=2, S=17),
    _case("signals-wide", "x e noise", (70,), E=1, B=2, T=3, S=40),
    _case("path-inputs", "path z0 x lengths", shared_data=True),
    _case("path-signals", "path x e drive lengths", (5, 6), B=17),
)

SPEC = KernelSpec(
    name="rollout_gated_sde",
    arguments=ARGUMENTS,
    outputs={"z": ("E", "B", "T", "M"), "mu": ("E", "B", "T", "M"), "z_final": ("E", "B", "M")},
    saved=("z",),
    cases=CASES,
    sample=sample,
    work=work,
    time_arguments={"path": 2, "drive": 2, "x": 2, "e": 2, "noise": 2},
    limits={"M": 32},
)
