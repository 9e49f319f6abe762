"""What rollout_ode takes and returns, its test cases and its cost."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from neurorbit.kernels.rollout_ode.fields import field_named
from neurorbit.kernels.spec import Argument, Arguments, Case, KernelSpec, Sizes, Work

METHODS = {"euler": 1, "heun": 2, "rk4": 4}  # evaluations of the field per step, and the order of convergence

ARGUMENTS = (
    Argument("z0", ("E", "B", "M"), "initial states"),
    Argument("parameters", ("E", "P"), "the field's parameters, tensors packed one after another"),
    Argument("drive", ("E|1", "B", "T", "U"), "inputs, held over a step", optional=True),
)
STARTS = {  # mean and spread of the initial states
    "lorenz63": ((0.0, 0.0, 25.0), (8.0, 8.0, 8.0)),
    "rossler": ((0.0, 0.0, 1.0), (4.0, 4.0, 0.5)),
    "bursting": ((-50.0, 0.3, 0.1), (15.0, 0.1, 0.05)),
    "lorenz96": ((3.0,), (2.0,)),
    "gated_mlp": ((0.0,), (1.0,)),
}
DRIVES = {"bursting": (0.5, 1e-3, 1e-4)}


def sample(case: Case, generator: torch.Generator, dtype: torch.dtype) -> Arguments:
    """States on and about the attractors, parameters about the usual ones, a different one for every model."""
    s, law = case.sizes, field_named(case.options["field"])
    E, B, T, M, U = s["E"], s["B"], s["T"], s["M"], s["U"]

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    mean, spread = (torch.tensor(v, dtype=torch.float64) for v in STARTS[law.name])
    own = law.inputs == "own"
    P = law.count(M=M, H=s["H"], U=U if own and "drive" in case.present else 0)
    if own:
        parameters = normal(E, P) / max(M, s["H"]) ** 0.5
    else:
        parameters = torch.tensor(law.defaults(), dtype=torch.float64) * (1 + 0.02 * normal(E, P))
    values: Arguments = {"z0": (mean + spread * normal(E, B, M)).to(dtype), "parameters": parameters.to(dtype)}
    values["drive"] = None
    if "drive" in case.present:
        scale = torch.tensor(DRIVES.get(law.name, (1.0,)), dtype=torch.float64)
        values["drive"] = (scale * normal(1 if case.options.get("shared_data") else E, B, T, U)).to(dtype)
    return values


def work(sizes: Sizes, options: Mapping[str, Any], itemsize: int = 4) -> Work:
    """The field's flops and those of the stages' sums; the adjoint costs three evaluations and two sums per stage.

    Bytes: initial, kept and final states, inputs and parameters, each once; their gradients on the way back.
    """
    law, stages = field_named(options["field"]), METHODS[options["method"]]
    E, B, T, M, U = sizes["E"], sizes["B"], sizes["T"], sizes["M"], sizes.get("U", 0)
    P = law.count(M=M, H=sizes.get("H", 0), U=U if law.inputs == "own" else 0)
    one = law.flops({"M": M, "H": sizes.get("H", 0), "U": U})
    every = options["keep_every"]
    again = 0 if every == 1 else 1  # states that were not kept are computed once more
    states = E * B * M * ((T // every if every else 0) + 2)
    inputs = E * B * T * U + E * P
    return Work(
        forward_flops=E * B * T * stages * (one + 4 * M),
        backward_flops=E * B * T * stages * ((3 + again) * one + (8 + 4 * again) * M),
        forward_bytes=(states + inputs) * itemsize,
        backward_bytes=2 * (states + inputs) * itemsize,
    )


def _case(name: str, field: str, present: str = "", **numbers: Any) -> Case:
    law = field_named(field)
    sizes = {"E": 2, "B": 3, "T": 7, "M": law.states or 5, "H": 6, "U": 2}
    sizes.update({k: numbers.pop(k) for k in list(numbers) if k in sizes})
    if law.inputs == "added":
        sizes["U"] = sizes["M"]
    options = {"field": field, "method": "rk4", "dt": 0.01, "steps": sizes["T"], "keep_every": 1, **numbers}
    return Case(name, sizes, options, frozenset(present.split()))


CASES = (
    _case("lorenz63", "lorenz63"),
    _case("lorenz63-driven", "lorenz63", "drive"),
    _case("lorenz63-heun", "lorenz63", "drive", method="heun"),
    _case("lorenz63-euler", "lorenz63", method="euler"),
    _case("lorenz63-every-third", "lorenz63", "drive", T=11, keep_every=3),
    _case("lorenz63-last", "lorenz63", T=20, keep_every=0),
    _case("rossler", "rossler", dt=0.05),
    _case("rossler-shared-drive", "rossler", "drive", dt=0.05, shared_data=True),
    _case("bursting", "bursting", "drive", dt=0.05),
    _case("bursting-every-other", "bursting", dt=0.05, T=6, keep_every=2),
    _case("lorenz96", "lorenz96"),
    _case("lorenz96-four", "lorenz96", "drive", M=4, method="heun", T=9, keep_every=2),
    _case("lorenz96-wide", "lorenz96", E=1, B=18, M=40, T=3),
    _case("gated-mlp", "gated_mlp", "drive", M=2, H=9, dt=0.1),
    _case("gated-mlp-free", "gated_mlp", M=4, H=3, dt=0.1, method="euler", T=9, keep_every=4),
    _case("gated-mlp-wide", "gated_mlp", "drive", E=1, B=17, M=17, H=37, U=3, T=3, dt=0.1),
    _case("one-of-each", "lorenz63", "drive", E=1, B=1, T=1),
    _case("one-state", "gated_mlp", "drive", E=1, B=5, T=4, M=1, H=1, U=1, dt=0.1),
    _case("odd-sizes", "lorenz63", "drive", E=3, B=37, T=41),
    _case("several-chunks", "rossler", "drive", E=1, B=19, T=24, dt=0.02, keep_every=10),
)

SPEC = KernelSpec(
    name="rollout_ode",
    arguments=ARGUMENTS,
    outputs={"z": ("E", "B", "T", "M"), "z_final": ("E", "B", "M")},
    saved=("z",),
    cases=CASES,
    sample=sample,
    work=work,
    time_arguments={"drive": 2},
)
