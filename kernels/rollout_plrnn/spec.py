"""What rollout_plrnn takes and returns, its test cases and its cost."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from neurorbit.kernels.spec import Argument, Arguments, Case, KernelSpec, Sizes, Work

CELLS = ("plrnn", "plrnn-mc", "dendritic", "dendritic-clipped", "shallow", "shallow-clipped", "alrnn")
HIDDEN_CELLS = ("shallow", "shallow-clipped")
DENDRITIC_CELLS = ("dendritic", "dendritic-clipped")

ARGUMENTS = (
    Argument("z0", ("E", "B", "M"), "state before the first step"),
    Argument("A", ("E", "M"), "diagonal of the linear part"),
    Argument("W1", ("E", "M", "K"), "weights from the basis functions to the state; K = H or M"),
    Argument("h1", ("E", "M"), "bias of the state"),
    Argument("W2", ("E", "H", "M"), "weights into the hidden layer (shallow cells)", optional=True),
    Argument("h2", ("E", "H"), "bias of the hidden layer (shallow cells)", optional=True),
    Argument("alpha", ("E", "D"), "slopes of the dendritic bases", optional=True),
    Argument("thresholds", ("E", "M", "D"), "thresholds of the dendritic bases", optional=True),
    Argument("drive", ("E", "B", "T", "M"), "input term C u, added to each step", optional=True),
    Argument("z_hat", ("E|1", "B", "T", "N"), "forcing signal of the first N states; NaN: not forced", optional=True),
    Argument("forcing_alpha", ("E",), "share of the forcing signal in a forced state", gradient=False, optional=True),
    Argument("forcing_interval", ("E",), "force every this many steps", integer=True, gradient=False, optional=True),
    Argument("lengths", ("E|1", "B"), "steps of each sequence", integer=True, gradient=False, optional=True),
)


def sample(case: Case, generator: torch.Generator, dtype: torch.dtype) -> Arguments:
    """Contractive dynamics whose units switch often, with a forcing signal of the states' size."""
    s, cell = case.sizes, case.options["cell"]
    E, B, T, M = s["E"], s["B"], s["T"], s["M"]
    K = s["H"] if cell in HIDDEN_CELLS else M

    def normal(*shape: int, scale: float = 1.0) -> torch.Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64).mul(scale).to(dtype)

    values: Arguments = {a.name: None for a in ARGUMENTS}
    values["z0"] = normal(E, B, M)
    values["A"] = torch.rand(E, M, generator=generator, dtype=torch.float64).mul(0.6).add(0.2).to(dtype)
    values["W1"] = normal(E, M, K, scale=0.4 / K**0.5)
    values["h1"] = normal(E, M, scale=0.3)
    if cell in HIDDEN_CELLS:
        values["W2"] = normal(E, K, M, scale=1 / M**0.5)
        values["h2"] = normal(E, K, scale=0.5)
    if cell in DENDRITIC_CELLS:
        values["alpha"] = normal(E, s["D"], scale=0.5 / s["D"] ** 0.5)
        values["thresholds"] = normal(E, M, s["D"])
    if "drive" in case.present:
        values["drive"] = normal(E, B, T, M, scale=0.5)
    if "z_hat" in case.present:
        shared = case.options.get("shared_data", False)
        z_hat = normal(1 if shared else E, B, T, s["N"])
        if case.options.get("missing", False):
            gone = torch.rand(z_hat.shape, generator=generator) < 0.3
            z_hat = z_hat.masked_fill(gone, float("nan"))
        values["z_hat"] = z_hat
        full = torch.linspace(1.0, 0.1, E, dtype=torch.float64)
        values["forcing_alpha"] = (torch.ones_like(full) if case.options.get("sparse") else full).to(dtype)
        interval = torch.arange(E) % 3 + 2 if case.options.get("sparse") else torch.ones(E)
        values["forcing_interval"] = interval.to(torch.int64)
    if "lengths" in case.present:
        rows = 1 if case.options.get("shared_data", False) else E
        lengths = torch.randint(1, T + 1, (rows, B), generator=generator)
        lengths[0, 0] = T
        values["lengths"] = lengths
    return values


def work(sizes: Sizes, options: Mapping[str, Any], itemsize: int = 4) -> Work:
    """Multiply-adds of the matrix products (2 flops each); every tensor read once and written once."""
    E, B, T, M = sizes["E"], sizes["B"], sizes["T"], sizes["M"]
    hidden = options["cell"] in HIDDEN_CELLS
    K = sizes["H"] if hidden else M
    products = 2 if hidden else 1
    per_step = products * 2 * M * K + 4 * M
    states = E * B * T * M
    weights = E * (products * M * K + 2 * M + (K if hidden else 0))
    signals = sizes.get("N", 0) * E * B * T
    return Work(
        forward_flops=E * B * T * per_step,
        backward_flops=E * B * T * (2 * per_step + (per_step if hidden else 0)),
        forward_bytes=(states + signals + weights) * itemsize,
        backward_bytes=(2 * states + signals + 2 * weights) * itemsize,
    )


def _case(name: str, cell: str, present: str = "", **numbers: Any) -> Case:
    sizes = {"E": 2, "B": 3, "T": 7, "M": 3, "H": 5, "D": 4, "N": 2, "U": 2}
    sizes.update({k: numbers.pop(k) for k in list(numbers) if k in sizes})
    n_relu = numbers.pop("n_relu", min(2, sizes["M"]) if cell == "alrnn" else 0)
    options = {"cell": cell, "n_relu": n_relu, "steps": sizes["T"], **numbers}
    return Case(name, sizes, options, frozenset(present.split()))


CASES = (
    *(_case(f"{cell}-forced", cell, "z_hat drive", M=5, N=5) for cell in CELLS),
    *(_case(f"{cell}-free", cell) for cell in CELLS),
    _case("partial-missing", "shallow-clipped", "z_hat lengths", M=4, N=2, H=9, missing=True),
    _case("sparse-shared", "alrnn", "z_hat drive lengths", M=6, N=3, E=3, sparse=True, shared_data=True),
    _case("sparse-missing", "dendritic-clipped", "z_hat lengths", M=4, N=4, sparse=True, missing=True, D=7),
    _case("one-of-each", "shallow", "z_hat", E=1, B=1, T=1, M=1, H=1, N=1),
    _case("one-state", "plrnn-mc", "z_hat", E=1, B=2, T=3, M=1, N=1),
    _case("odd-sizes", "shallow-clipped", "z_hat drive lengths", E=3, B=17, T=11, M=7, H=37, N=5),
    _case("wide", "shallow", "z_hat", E=1, B=18, T=3, M=17, H=130, N=17),
    _case("wide-direct", "plrnn", "z_hat", E=1, B=5, T=3, M=40, N=20),
)

SPEC = KernelSpec(
    name="rollout_plrnn",
    arguments=ARGUMENTS,
    outputs={"z": ("E", "B", "T", "M"), "z_final": ("E", "B", "M")},
    saved=("z",),
    cases=CASES,
    sample=sample,
    work=work,
    time_arguments={"drive": 2, "z_hat": 2},
    limits={"M": 256, "H": 1024},
)
