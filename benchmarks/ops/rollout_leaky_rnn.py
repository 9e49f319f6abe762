"""rollout_leaky_rnn: training windows of system identification, and the simulation of a ring attractor."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from benchmarks.competitors.rollout_leaky_rnn.eager import (
    PARAMETERS,
    EagerLoop,
    GraphReplay,
    ProductsAlone,
    leaves_of,
    observed,
)
from benchmarks.competitors.rollout_leaky_rnn.jax_scan import JaxScan
from benchmarks.torch_phases import training_phases, wait_for
from benchmarks.workload import OURS, Implementation, Inputs, Prepared, Workload
from neurorbit.bindings.rollout_leaky_rnn import rollout_leaky_rnn
from neurorbit.kernels.rollout_leaky_rnn.spec import SPEC

__all__ = ["SPEC", "SWEEPS", "call", "implementations", "inputs_of", "truth", "workloads"]

WINDOW = Workload("identification window, N 200, batch 100 x 50", {"E": 1, "B": 100, "T": 50, "N": 200}, {"alpha": 0.2})

# The axes along which the cost of a step is followed, from WINDOW.
SWEEPS: Mapping[str, tuple[int, ...]] = {
    "N": (1, 16, 50, 100, 200, 400, 800, 1600),
    "B": (1, 4, 16, 50, 100, 400),
    "T": (10, 50, 200, 1000),
    "E": (1, 2, 4, 8, 16),
}
CUDA_SWEEPS: Mapping[str, tuple[int, ...]] = {**SWEEPS, "N": (16, 50, 100, 200, 1000, 4096), "E": (1, 4, 16, 64, 200)}


def workloads(device: str) -> tuple[Workload, ...]:
    """What is timed beside the competitors; the targets are ratios to them."""
    one = replace(WINDOW, targets={EagerLoop.name: 2.5} if device == "cpu" else {EagerLoop.name: 10})
    products = replace(
        WINDOW, name="the same beside its matrix products", options={**WINDOW.options, "products": True},
        phases=("step",), targets={ProductsAlone.name: 0.65},
    )  # fmt: skip
    several = replace(WINDOW.resized(E=5), name="the same, 5 models at once", phases=("step",))
    wide = replace(WINDOW.resized(N=1024, T=20), name="identification window, N 1024, batch 100 x 20", phases=("step",))
    ring = Workload(
        "ring attractor, N 100, 100 walks x 1000 steps, velocity and noise",
        {"E": 1, "B": 100, "T": 1000, "N": 100, "D": 1},
        {"alpha": 1.0, "noise": True},
        ("forward",),
    )
    return one, products, several, wide, ring


def memory_workload(device: str) -> Workload:
    """Long enough for everything that an unrolled loop keeps."""
    return replace(WINDOW.resized(T=500), name="peak memory of a step, N 200, batch 100 x 500", phases=("step",))


def inputs_of(workload: Workload, device: str, dtype: torch.dtype = torch.float32) -> Inputs:
    """Weights near the edge of stability, random drive and targets; the same for every device."""
    s, options, generator = workload.sizes, workload.options, torch.Generator().manual_seed(0)
    E, B, T, N = s["E"], s["B"], s["T"], s["N"]

    def normal(*shape: int, scale: float = 1.0) -> Tensor:
        return torch.randn(*shape, generator=generator) * scale

    values = {
        "u0": normal(E, B, N).abs() * 0.3,
        "W": normal(E, N, N, scale=0.9 / N**0.5),
        "b": normal(E, N, scale=0.1),
        "steps": torch.empty(T),
        "target": torch.rand(E, B, T, observed(workload), generator=generator),
    }
    if "D" in s:
        values["v"] = normal(E, B, T, 1, scale=0.5)
        values["Wv"] = normal(E, 1, N, N, scale=0.3 / N**0.5)
    else:
        values["drive"] = normal(E, B, T, N, scale=0.3)
    if options.get("noise"):
        noise = normal(E, B, T, N)
        values["noise"] = 0.1 * noise / noise.norm(dim=-1, keepdim=True)
    found = {name: value.to(device=device, dtype=dtype) for name, value in values.items()}
    if options.get("products"):
        u = rollout_leaky_rnn(found["u0"], found["W"], found["drive"], found["b"], alpha=options["alpha"]).u
        found["before"] = torch.cat([found["u0"][:, :, None], u[:, :, :-1]], 2)
        found["delta"] = normal(E, B, T, N).to(found["u0"])
    return found


def call(values: dict[str, Tensor | None], options: Mapping[str, Any], backend: str | None) -> dict[str, Tensor]:
    """The public function on the arguments of SPEC."""
    arguments: dict[str, Any] = dict(values)
    L, Q = arguments.pop("L"), arguments.pop("Q")
    arguments["low_rank"] = None if L is None else (L, Q)
    known = {name: options[name] for name in ("phi", "unit_norm", "steps")}
    return rollout_leaky_rnn(**arguments, **known, backend=backend)._asdict()


def _rates(workload: Workload, inputs: Inputs, parameters: dict[str, Tensor], backend: str | None = None) -> Tensor:
    signals: dict[str, Any] = {name: inputs.get(name) for name in ("drive", "v", "Wv", "noise")}
    out = rollout_leaky_rnn(
        inputs["u0"], parameters["W"], b=parameters["b"], alpha=workload.options["alpha"], backend=backend, **signals
    )
    return out.r[..., : observed(workload)]


def _phases(workload: Workload, inputs: Inputs, leaves: dict[str, Tensor], backend: str | None = None) -> Prepared:
    return training_phases(lambda: _rates(workload, inputs, leaves, backend), leaves, inputs["target"])


def truth(workload: Workload, inputs: Inputs, dtype: torch.dtype) -> dict[str, dict[str, Tensor]]:
    """What every implementation must find, by phase: the definition in the given precision."""
    values = {name: value.detach().to(dtype, copy=True) for name, value in inputs.items()}
    if workload.options.get("products"):
        return {"step": {"dW": values["before"].flatten(1, 2).mT @ values["delta"].flatten(1, 2)}}
    prepared = _phases(workload, values, {name: values[name].requires_grad_() for name in PARAMETERS}, "reference")
    return {phase: prepared.results(phase) for phase in workload.phases}


class Ours:
    """The public function as it stands."""

    name = OURS

    def missing(self, workload: Workload, device: str) -> str | None:
        return None

    def prepare(self, workload: Workload, inputs: Inputs) -> Prepared:
        if workload.options.get("products"):
            return self._beside_products(workload, inputs)
        return _phases(workload, inputs, leaves_of(inputs))

    def _beside_products(self, workload: Workload, inputs: Inputs) -> Prepared:
        """Forward and backward for a given gradient of the rates: everything but the loss."""
        W = inputs["W"].detach().clone().requires_grad_()

        def step() -> Tensor:
            u0, drive, b = inputs["u0"], inputs["drive"], inputs["b"]
            r = rollout_leaky_rnn(u0, W, drive, b, alpha=workload.options["alpha"]).r
            return torch.autograd.grad(r, W, inputs["delta"])[0]

        def results(_: str) -> dict[str, Tensor]:
            """The product of given states and adjoints, by way of a rollout of one step that has them."""
            E, B, T, N = inputs["before"].shape
            states, asked = (inputs[n].reshape(E, B * T, N) for n in ("before", "delta"))
            weight = W.detach().clone().requires_grad_()
            lifted = 1e3 + torch.zeros(E, N).to(weight)  # relu is the identity there
            r = rollout_leaky_rnn(states, weight, b=lifted, phi="relu", steps=1).r
            return {"dW": torch.autograd.grad(r, weight, asked[:, :, None])[0]}

        return Prepared({"step": step}, results, wait_for(W.device))


def implementations(*, compiling: bool = False) -> tuple[Implementation, ...]:
    """Ours first, then everyone it is measured against."""
    return (Ours(), EagerLoop(), ProductsAlone(), GraphReplay(), JaxScan())
