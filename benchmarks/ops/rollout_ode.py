"""rollout_ode: orbits of many initial states, and training steps through the rollout."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from benchmarks.competitors.rollout_ode.jax_scan import JaxScan
from benchmarks.competitors.rollout_ode.torch_steps import EAGER, TORCHDIFFEQ
from benchmarks.torch_phases import single_phase, training_phases
from benchmarks.workload import OURS, Implementation, Inputs, Prepared, Workload
from neurorbit.bindings.rollout_ode import FIELDS, rollout_ode
from neurorbit.kernels.rollout_ode.spec import SPEC, STARTS

__all__ = ["SPEC", "SWEEPS", "call", "implementations", "inputs_of", "truth", "workloads"]

CHECKED_STATES = 256
TRAINING = Workload(
    "gradients through Lorenz-96, M 40, 64 initial states x 100 steps",
    {"E": 1, "B": 64, "T": 100, "M": 40, "U": 0},
    {"field": "lorenz96", "method": "rk4", "dt": 0.01, "keep_every": 1},
)

# The axes along which the cost of a step is followed, from TRAINING.
SWEEPS: Mapping[str, tuple[int, ...]] = {
    "T": (25, 100, 400, 1600),
    "B": (1, 16, 64, 256, 4096),
    "M": (4, 10, 40, 100, 256),
    "E": (1, 4, 16),
}
CUDA_SWEEPS: Mapping[str, tuple[int, ...]] = {**SWEEPS, "B": (64, 4096, 65_536), "E": (1, 16, 128)}


def workloads(device: str) -> tuple[Workload, ...]:
    """What is timed beside the competitors; the targets are ratios to them."""
    states = 10**5 if device == "cpu" else 10**6
    options = {"field": "lorenz63", "method": "rk4", "dt": 0.001}  # short steps: no chaos between two methods
    orbits = Workload(
        f"Lorenz-63, {states} initial states x 1000 steps",
        {"E": 1, "B": states, "T": 1000, "M": 3, "U": 0}, options | {"keep_every": 0}, ("generate",),
        {TORCHDIFFEQ.name: 30, JaxScan.name: 3},
    )  # fmt: skip
    fit = Workload(
        "gradients through Lorenz-63, 1024 initial states x 100 steps",
        {"E": 1, "B": 1024, "T": 100, "M": 3, "U": 0}, options | {"keep_every": 1},
    )  # fmt: skip
    wide = Workload(
        "Lorenz-96, M 40, 10000 initial states x 100 steps",
        {**TRAINING.sizes, "B": 10_000}, {**TRAINING.options, "dt": 0.001, "keep_every": 0}, ("generate",),
    )  # fmt: skip
    return TRAINING, fit, orbits, wide


def memory_workload(device: str) -> Workload:
    """Long enough for a graph of all stages to stand out."""
    name = "peak memory of a step, Lorenz-96, M 40, 256 initial states x 400 steps"
    return replace(TRAINING.resized(B=256, T=400), name=name, phases=("step",))


def inputs_of(workload: Workload, device: str, dtype: torch.dtype = torch.float32) -> Inputs:
    """Initial states about the attractor and the usual parameters, the same for every device."""
    s, field, generator = workload.sizes, workload.options["field"], torch.Generator().manual_seed(0)
    mean, spread = (torch.tensor(v) for v in STARTS[field])
    values = {
        "z0": mean + spread * torch.randn(s["E"], s["B"], s["M"], generator=generator),
        "parameters": torch.tensor(FIELDS[field].defaults()).expand(s["E"], -1).contiguous(),
    }
    if "generate" not in workload.phases:
        values["target"] = torch.randn(1, s["B"], s["T"], s["M"], generator=generator)
    return {name: value.to(device=device, dtype=dtype) for name, value in values.items()}


def call(values: dict[str, Tensor | None], options: Mapping[str, Any], backend: str | None) -> dict[str, Tensor]:
    """The public function on the arguments of SPEC."""
    known = {name: options[name] for name in ("field", "method", "dt", "steps", "keep_every")}
    return rollout_ode(**values, **known, backend=backend)._asdict()  # type: ignore[arg-type]


def _rollout(workload: Workload, values: Mapping[str, Tensor], backend: str | None = None) -> tuple[Tensor, Tensor]:
    return rollout_ode(
        values["z0"], values["parameters"], steps=workload.sizes["T"], backend=backend, **workload.options
    )


def _leaves(inputs: Inputs) -> dict[str, Tensor]:
    return {name: inputs[name].detach().clone().requires_grad_() for name in ("z0", "parameters")}


def truth(workload: Workload, inputs: Inputs, dtype: torch.dtype) -> dict[str, dict[str, Tensor]]:
    """What every implementation must find, by phase: the definition in the given precision."""
    values = {name: value.detach().to(dtype, copy=True) for name, value in inputs.items()}
    if "generate" in workload.phases:
        values["z0"] = values["z0"][:, :CHECKED_STATES]
        return {"generate": {"z_final": _rollout(workload, values, "reference")[1]}}
    leaves = _leaves(values)
    prepared = training_phases(lambda: _rollout(workload, leaves, "reference")[0], leaves, values["target"])
    return {phase: prepared.results(phase) for phase in workload.phases}


class Ours:
    """The public function as it stands."""

    name = OURS

    def missing(self, workload: Workload, device: str) -> str | None:
        return None

    def prepare(self, workload: Workload, inputs: Inputs) -> Prepared:
        if "generate" in workload.phases:
            return single_phase("generate", lambda: _rollout(workload, inputs)[1], inputs["z0"].device)
        leaves = _leaves(inputs)
        return training_phases(lambda: _rollout(workload, leaves)[0], leaves, inputs["target"])


def implementations(*, compiling: bool = False) -> tuple[Implementation, ...]:
    """Ours first, then everyone it is measured against."""
    return Ours(), EAGER, TORCHDIFFEQ, JaxScan()
