"""rollout_plrnn: training steps of shallow PLRNNs with teacher forcing, and free runs of many initial states."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from benchmarks.competitors.rollout_plrnn.compiled import CompiledLoop
from benchmarks.competitors.rollout_plrnn.cuda_graph import GraphReplay, captured_step
from benchmarks.competitors.rollout_plrnn.eager import PARAMETERS, EagerLoop
from benchmarks.competitors.rollout_plrnn.jax_scan import JaxScan
from benchmarks.torch_phases import single_phase, training_phases
from benchmarks.workload import OURS, Implementation, Inputs, Prepared, Workload
from neurorbit.bindings.rollout_plrnn import generate_plrnn, rollout_plrnn
from neurorbit.kernels.rollout_plrnn.spec import SPEC

__all__ = ["SPEC", "SWEEPS", "call", "implementations", "inputs_of", "truth", "workloads"]

TRAINING = Workload(
    "training step, M 3, H 50, batch 16 x 200",
    {"E": 1, "B": 16, "T": 200, "M": 3, "H": 50, "N": 3},
    {"cell": "shallow", "forcing_alpha": 0.15},
)
CHECKED_STATES = 1024

# The axes along which the cost of a step is followed, from TRAINING.
SWEEPS: Mapping[str, tuple[int, ...]] = {
    "T": (25, 50, 100, 200, 400, 800),
    "B": (1, 4, 16, 64, 256),
    "E": (1, 2, 4, 8, 16, 32),
    "H": (16, 50, 100, 250, 512),
}
CUDA_SWEEPS: Mapping[str, tuple[int, ...]] = {**SWEEPS, "E": (1, 2, 5, 10, 20, 50, 100, 200)}


def workloads(device: str) -> tuple[Workload, ...]:
    """What is timed beside the competitors; the targets are ratios to them."""
    states, steps = (10**5, 100) if device == "cpu" else (10**6, 1000)
    generate = Workload(
        f"free run, {states} initial states x {steps} steps, M 3, H 100",
        {"E": 1, "B": states, "T": steps, "M": 3, "H": 100},
        {"cell": "shallow"},
        ("generate",),
    )
    named = {"E": 20, "M": 5, "H": 250, "N": 5}
    if device == "cpu":
        one = Workload(
            TRAINING.name, TRAINING.sizes, TRAINING.options, targets={"eager torch loop": 60, JaxScan.name: 5}
        )
        many = Workload(
            "training step of 5 models, M 5, H 250", {**TRAINING.sizes, **named, "E": 5}, TRAINING.options, ("step",)
        )
        return one, many, generate
    peers = {"eager torch loop": 100, GraphReplay.name: 5, JaxScan.name: 5}
    one = Workload(TRAINING.name, TRAINING.sizes, TRAINING.options, targets=peers)
    twenty = Workload("the same, 20 models at once", {**TRAINING.sizes, "E": 20}, TRAINING.options, ("step",))
    ecg = Workload("training step of 20 models, M 5, H 250", {**TRAINING.sizes, **named}, TRAINING.options, ("step",))
    return one, twenty, ecg, generate


def memory_workload(device: str) -> Workload:
    """Long and wide enough for anything of size E B T H to stand out."""
    sizes = {**TRAINING.sizes, "B": 32, "T": 1000, "H": 512}
    return Workload("peak memory of a training step, H 512, batch 32 x 1000", sizes, TRAINING.options, ("step",))


def inputs_of(workload: Workload, device: str, dtype: torch.dtype = torch.float32) -> Inputs:
    """Parameters as initialised for training, a standard normal signal; the same for every device."""
    s, generator = workload.sizes, torch.Generator().manual_seed(0)

    def uniform(*shape: int) -> Tensor:
        return (2 * torch.rand(*shape, generator=generator, dtype=torch.float64) - 1) / shape[-1] ** 0.5

    E, B, M, H = s["E"], s["B"], s["M"], s["H"]
    values = {
        "A": torch.rand(E, M, generator=generator, dtype=torch.float64) * 0.5 + 0.3,
        "W1": uniform(E, M, H),
        "h1": torch.zeros(E, M, dtype=torch.float64),
        "W2": uniform(E, H, M),
        "h2": torch.zeros(E, H, dtype=torch.float64),
        "z0": torch.randn(E, B, M, generator=generator, dtype=torch.float64),
    }
    if "forcing_alpha" in workload.options:
        values["z_hat"] = torch.randn(E, B, s["T"], M, generator=generator, dtype=torch.float64)
    return {name: value.float().to(device=device, dtype=dtype) for name, value in values.items()}


def call(values: dict[str, Tensor | None], options: Mapping[str, Any], backend: str | None) -> dict[str, Tensor]:
    """The public function on the arguments of SPEC: the drive goes in as inputs with unit weights."""
    arguments: dict[str, Any] = dict(values)
    drive, z0 = arguments.pop("drive"), arguments["z0"]
    if drive is not None and z0 is not None:
        E, M = z0.shape[0], z0.shape[2]
        arguments["u"] = drive
        arguments["C"] = torch.eye(M, dtype=z0.dtype, device=z0.device).expand(E, M, M)
    known = {name: options[name] for name in ("cell", "n_relu", "steps")}
    if arguments["forcing_interval"] is None:
        del arguments["forcing_interval"]
    return rollout_plrnn(**arguments, **known, backend=backend)._asdict()


def truth(workload: Workload, inputs: Inputs, dtype: torch.dtype) -> dict[str, dict[str, Tensor]]:
    """What every implementation must find, by phase: the definition in the given precision."""
    values = {name: value.detach().to(dtype, copy=True) for name, value in inputs.items()}
    if "generate" in workload.phases:
        values["z0"] = values["z0"][:, :CHECKED_STATES]
        return {"generate": {"z_final": _generate(workload, values, "reference")}}
    leaves = {name: values[name].requires_grad_() for name in PARAMETERS}
    prepared = training_phases(lambda: _rollout(workload, values, leaves, "reference"), leaves, values["z_hat"])
    return {phase: prepared.results(phase) for phase in workload.phases}


def _rollout(workload: Workload, inputs: Inputs, parameters: dict[str, Tensor], backend: str | None = None) -> Tensor:
    options, weights = workload.options, dict[str, Any](parameters)
    return rollout_plrnn(
        inputs["z0"], **weights, cell=options["cell"], z_hat=inputs["z_hat"],
        forcing_alpha=options["forcing_alpha"], backend=backend,
    ).z  # fmt: skip


def _generate(workload: Workload, inputs: Inputs, backend: str | None = None) -> Tensor:
    parameters: dict[str, Any] = {name: inputs[name] for name in PARAMETERS}
    cell, steps = workload.options["cell"], workload.sizes["T"]
    return generate_plrnn(inputs["z0"], **parameters, cell=cell, steps=steps, keep_every=0, backend=backend).z_final


class Ours:
    """The public function as it stands."""

    name = OURS

    def missing(self, workload: Workload, device: str) -> str | None:
        return None

    def prepare(self, workload: Workload, inputs: Inputs) -> Prepared:
        if "generate" in workload.phases:
            return single_phase("generate", lambda: _generate(workload, inputs), inputs["z0"].device)
        leaves = {name: inputs[name].detach().clone().requires_grad_() for name in PARAMETERS}
        return training_phases(lambda: _rollout(workload, inputs, leaves), leaves, inputs["z_hat"])


class OursCaptured:
    """The public function inside a CUDA graph, as the training loop runs it on a GPU."""

    name = f"{OURS}, captured"

    def missing(self, workload: Workload, device: str) -> str | None:
        if device != "cuda":
            return "needs a CUDA device"
        return "trains only" if "generate" in workload.phases else None

    def prepare(self, workload: Workload, inputs: Inputs) -> Prepared:
        leaves = {name: inputs[name].detach().clone().requires_grad_() for name in PARAMETERS}
        return captured_step(lambda: _rollout(workload, inputs, leaves), leaves, inputs["z_hat"])


def implementations(*, compiling: bool = False) -> tuple[Implementation, ...]:
    """Ours first, then everyone it is measured against."""
    found: tuple[Implementation, ...] = (Ours(), OursCaptured(), EagerLoop(), GraphReplay(), JaxScan())
    return (*found, CompiledLoop()) if compiling else found
