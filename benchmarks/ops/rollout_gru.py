"""rollout_gru: FINDR's bidirectional encoder from spike counts on; the others take them as a dense matrix."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from benchmarks.competitors.rollout_gru.jax_scan import JaxScan
from benchmarks.competitors.rollout_gru.torch_gru import PARAMETERS, EagerGru, PackedGru, leaves_of
from benchmarks.torch_phases import training_phases
from benchmarks.workload import OURS, Implementation, Inputs, Prepared, Workload
from neurorbit.bindings.rollout_gru import rollout_gru
from neurorbit.kernels.rollout_gru.spec import SPEC

__all__ = ["SPEC", "SWEEPS", "call", "implementations", "inputs_of", "truth", "workloads"]

ENCODER = Workload(
    "FINDR encoder, H 50, both directions, B 25, T 60..100",
    {"E": 1, "B": 25, "T": 100, "D": 2, "H": 50, "U": 62},
    {},
)

# The axes along which the cost of a step is followed, from ENCODER.
SWEEPS: Mapping[str, tuple[int, ...]] = {
    "H": (1, 16, 50, 100, 200, 512),
    "B": (1, 5, 25, 100, 400),
    "T": (10, 100, 1000),
    "E": (1, 2, 5, 25),
}
CUDA_SWEEPS: Mapping[str, tuple[int, ...]] = {**SWEEPS, "E": (1, 5, 25, 225)}


def workloads(device: str) -> tuple[Workload, ...]:
    """What is timed beside the competitors; the targets are ratios to them."""
    one = replace(ENCODER, targets={PackedGru.name: 3 if device == "cpu" else 1})
    wide = replace(ENCODER.resized(H=200), name="the same, H 200", phases=("step",))
    models = replace(ENCODER.resized(E=25), name="the same, H 50, 25 models at once", phases=("step",))
    return one, wide, models


def memory_workload(device: str) -> Workload:
    """Long enough for everything that an unrolled loop keeps."""
    return replace(ENCODER.resized(T=1000), name="peak memory of a step, T 1000", phases=("step",))


def inputs_of(workload: Workload, device: str, dtype: torch.dtype = torch.float32) -> Inputs:
    """Counts x as inputs, weights of torch's size; the same for every device."""
    s, generator = workload.sizes, torch.Generator().manual_seed(0)
    E, B, T, D, H, U = (s[letter] for letter in "EBTDHU")

    def uniform(*shape: int) -> Tensor:
        return (torch.rand(*shape, generator=generator) * 2 - 1) / H**0.5

    values = {
        "x": torch.poisson(torch.full((B, T, U), 0.1), generator=generator),
        "W_in": uniform(E, U, D * 3 * H), "b_in": uniform(E, D * 3 * H),
        "W": uniform(E, D, H, 3 * H), "b": uniform(E, D, 3 * H),
        "target": torch.rand(E, B, T, D * H, generator=generator),
    }  # fmt: skip
    found = {name: value.to(device=device, dtype=dtype) for name, value in values.items()}
    lengths = torch.randint(max(1, T * 6 // 10), T + 1, (1, B), generator=generator)
    lengths[0, 0] = T
    return found | {"lengths": lengths.to(device)}


def call(values: dict[str, Tensor | None], options: Mapping[str, Any], backend: str | None) -> dict[str, Tensor]:
    """The public function on the arguments of SPEC."""
    arguments: dict[str, Any] = dict(values)
    return rollout_gru(**arguments, backend=backend)._asdict()


def _phases(inputs: Inputs, leaves: dict[str, Tensor], backend: str | None = None) -> Prepared:
    y, gates = inputs["x"][None].to(torch.uint8), leaves["W"].shape[1::2]  # as FINDR has them: [1, B, T, U], (D, 3 H)

    def rollout() -> Tensor:
        W_in, b_in = leaves["W_in"].unflatten(2, gates), leaves["b_in"].unflatten(1, gates)
        return rollout_gru(
            None, leaves["W"], leaves["b"], y=y, W_in=W_in, b_in=b_in, lengths=inputs["lengths"], backend=backend
        ).h.flatten(3)

    return training_phases(rollout, leaves, inputs["target"])


def truth(workload: Workload, inputs: Inputs, dtype: torch.dtype) -> dict[str, dict[str, Tensor]]:
    """What every implementation must find, by phase: the definition in the given precision."""
    values = {n: v if n == "lengths" else v.detach().to(dtype, copy=True) for n, v in inputs.items()}
    prepared = _phases(values, {name: values[name].requires_grad_() for name in PARAMETERS}, "reference")
    return {phase: prepared.results(phase) for phase in workload.phases}


class Ours:
    """The public function as it stands."""

    name = OURS

    def missing(self, workload: Workload, device: str) -> str | None:
        return None

    def prepare(self, workload: Workload, inputs: Inputs) -> Prepared:
        return _phases(inputs, leaves_of(inputs))


def implementations(*, compiling: bool = False) -> tuple[Implementation, ...]:
    """Ours first, then everyone it is measured against."""
    return (Ours(), PackedGru(), EagerGru(), JaxScan())
