"""CUDA-graph replay: everything that a call launches, recorded once and sent off as one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import mse_loss

from benchmarks.competitors.rollout_plrnn.eager import PARAMETERS, free_rollout, rollout
from benchmarks.torch_phases import wait_for
from benchmarks.workload import Inputs, Prepared, Workload


def captured(call: Callable[[], Any]) -> tuple[Callable[[], Any], Any]:
    """(replay, what the recorded call returned): warmed up on a side stream first, as recording demands."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(2):
            call()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        static = call()
    return graph.replay, static


def captured_step(make_rollout: Callable[[], Tensor], leaves: dict[str, Tensor], target: Tensor) -> Prepared:
    """The whole training step as one graph."""

    def step() -> tuple[Tensor, ...]:
        z = make_rollout()
        return torch.autograd.grad(mse_loss(z, target.expand_as(z)), list(leaves.values()))

    replay, grads = captured(step)

    def results(_: str) -> dict[str, Tensor]:
        replay()
        return {f"d{name}": grad.clone() for name, grad in zip(leaves, grads, strict=True)}

    return Prepared({"step": replay}, results, wait_for(target.device))


class GraphReplay:
    """Replay of the eager loop, all models in batched products."""

    name = "CUDA-graph replay"

    def missing(self, workload: Workload, device: str) -> str | None:
        return None if device == "cuda" else "needs a CUDA device"

    def prepare(self, workload: Workload, inputs: Inputs) -> Prepared:
        if "generate" in workload.phases:
            with torch.no_grad():
                replay, last = captured(lambda: free_rollout(inputs, workload.sizes["T"]))

            def results(_: str) -> dict[str, Tensor]:
                replay()
                return {"z_final": last.clone()}

            return Prepared({"generate": replay}, results, wait_for(last.device))
        leaves = {name: inputs[name].detach().clone().requires_grad_() for name in PARAMETERS}
        alpha, stacked = workload.options["forcing_alpha"], workload.sizes["E"] > 1
        return captured_step(lambda: rollout(inputs, leaves, alpha, stacked=stacked), leaves, inputs["z_hat"])
