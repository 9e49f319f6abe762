"""rollout_gated_sde: a posterior's path with its drifts, and the prior's drifts at the same states."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from benchmarks.competitors.rollout_gated_sde.eager import (
    EagerLoop,
    GraphReplay,
    leaves_of,
    names_of,
    parameters_of,
)
from benchmarks.competitors.rollout_gated_sde.jax_scan import JaxScan
from benchmarks.torch_phases import training_phases
from benchmarks.workload import OURS, Implementation, Inputs, Prepared, Workload
from neurorbit.bindings.rollout_gated_sde import GatedWeights, gated_drift, rollout_gated_sde
from neurorbit.kernels.rollout_gated_sde.reference import unpack
from neurorbit.kernels.rollout_gated_sde.spec import SPEC

__all__ = ["SPEC", "SWEEPS", "call", "implementations", "inputs_of", "truth", "workloads"]

DEMO = Workload("FINDR, M 2, H 30, batch 25 x 100", {"E": 1, "B": 25, "T": 100, "M": 2}, {"a": 0.1, "hidden": (30,)})

# The axes along which the cost of a step is followed, from DEMO.
SWEEPS: Mapping[str, tuple[int, ...]] = {
    "B": (1, 16, 25, 100, 400),
    "T": (10, 100, 1000),
    "M": (1, 2, 4, 8, 16, 32),
    "E": (1, 2, 5, 25),
}
CUDA_SWEEPS: Mapping[str, tuple[int, ...]] = {**SWEEPS, "E": (1, 5, 25, 225)}


def workloads(device: str) -> tuple[Workload, ...]:
    """What is timed beside the competitors; the targets are ratios to them."""
    targets = {EagerLoop.name: 20, JaxScan.name: 4} if device == "cpu" else {EagerLoop.name: 20}
    one = replace(DEMO, targets=targets)
    several = replace(DEMO.resized(E=25), name="the same, 25 models at once", phases=("step",))
    deep = replace(
        DEMO, name="FINDR, M 2, H 30 30, batch 25 x 100", phases=("step",), options={**DEMO.options, "hidden": (30, 30)}
    )
    wide = replace(
        DEMO.resized(E=25, M=4), name="FINDR, M 4, H 100, batch 25 x 100, 25 models", phases=("step",),
        options={**DEMO.options, "hidden": (100,)},
    )  # fmt: skip
    return one, several, deep, wide


def memory_workload(device: str) -> Workload:
    """Long enough for everything that an unrolled loop keeps."""
    return replace(DEMO.resized(T=1000), name="peak memory of a step, M 2, H 30, batch 25 x 1000", phases=("step",))


def inputs_of(workload: Workload, device: str, dtype: torch.dtype = torch.float32) -> Inputs:
    """Random networks, drives and noise of the size that training starts with; the same for every device."""
    s, hidden, generator = workload.sizes, workload.options["hidden"], torch.Generator().manual_seed(0)
    E, B, T, M = s["E"], s["B"], s["T"], s["M"]

    def normal(*shape: int, scale: float = 1.0) -> Tensor:
        return torch.randn(*shape, generator=generator) * scale

    values = {"z0": normal(E, B, M, scale=0.1), "noise": normal(E, B, T, M), "sigma": normal(E, M).abs() * 0.2 + 0.1}
    sizes = [(M, M), *zip((M, *hidden), (*hidden, M), strict=True)]
    for network in ("posterior", "prior"):
        names = names_of(workload.options, network)
        for (n_in, n_out), W, b in zip(sizes, names[::2], names[1::2], strict=True):
            values[W], values[b] = normal(E, n_in, n_out, scale=1 / n_in**0.5), normal(E, n_out, scale=0.1)
        values[f"drive_{network}"] = normal(E, B, T, M + hidden[0], scale=0.5)
    values["target"] = normal(E, B, T, 3 * M, scale=0.5)
    return {name: value.to(device=device, dtype=dtype) for name, value in values.items()}


def call(values: dict[str, Tensor | None], options: Mapping[str, Any], backend: str | None) -> dict[str, Tensor]:
    """The public functions on the arguments of SPEC."""
    arguments: dict[str, Any] = dict(values)
    path, packed = arguments.pop("path"), arguments.pop("weights")
    hidden = options["hidden"]
    M = (arguments["z0"] if path is None else path).shape[-1]
    (W, b), *further, (Wo, bo) = [(W, b[:, 0]) for W, b in unpack(packed, M, hidden)]
    weights = GatedWeights(W[..., :M], b[:, :M], W[..., M:], b[:, M:], Wo, bo, tuple(further))
    if path is None:
        return rollout_gated_sde(weights=weights, steps=options["steps"], backend=backend, **arguments)._asdict()
    known = {name: arguments[name] for name in ("drive", "x", "e", "V", "z0", "lengths")}
    return {"mu": gated_drift(path, weights, backend=backend, **known)}


def _weights(workload: Workload, p: Mapping[str, Tensor], network: str) -> GatedWeights:
    parts = [p[name] for name in names_of(workload.options, network)]
    further = tuple(zip(parts[4:-2:2], parts[5:-2:2], strict=True))
    Wg, bg, W1, b1 = parts[:4]
    return GatedWeights(Wg, bg, W1, b1, parts[-2], parts[-1], further)


def _rollout(workload: Workload, inputs: Inputs, p: Mapping[str, Tensor], backend: str | None = None) -> Tensor:
    z0, sigma = inputs["z0"], p["sigma"]
    out = rollout_gated_sde(
        z0, _weights(workload, p, "posterior"), p["drive_posterior"], a=workload.options["a"], sigma=sigma,
        noise=inputs["noise"], backend=backend,
    )  # fmt: skip
    other = gated_drift(out.z, _weights(workload, p, "prior"), p["drive_prior"], z0=z0, backend=backend)
    return torch.cat((out.z, out.mu, other), -1)


def _phases(workload: Workload, inputs: Inputs, leaves: dict[str, Tensor], backend: str | None = None) -> Prepared:
    return training_phases(lambda: _rollout(workload, inputs, leaves, backend), leaves, inputs["target"])


def truth(workload: Workload, inputs: Inputs, dtype: torch.dtype) -> dict[str, dict[str, Tensor]]:
    """What every implementation must find, by phase: the definition in the given precision."""
    values = {name: value.detach().to(dtype, copy=True) for name, value in inputs.items()}
    leaves = {name: values[name].requires_grad_() for name in parameters_of(workload)}
    prepared = _phases(workload, values, leaves, "reference")
    return {phase: prepared.results(phase) for phase in workload.phases}


class Ours:
    """The public functions as they stand."""

    name = OURS

    def missing(self, workload: Workload, device: str) -> str | None:
        return None

    def prepare(self, workload: Workload, inputs: Inputs) -> Prepared:
        return _phases(workload, inputs, leaves_of(workload, inputs))


def implementations(*, compiling: bool = False) -> tuple[Implementation, ...]:
    """Ours first, then everyone it is measured against."""
    return (Ours(), EagerLoop(), GraphReplay(), JaxScan())
