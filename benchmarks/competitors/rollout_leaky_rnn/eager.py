"""The eager torch loop of published training code, its replay as a CUDA graph, and its matrix products alone."""

from __future__ import annotations

import torch
from torch import Tensor

from benchmarks.competitors.rollout_plrnn.cuda_graph import captured_step
from benchmarks.torch_phases import training_phases, wait_for
from benchmarks.workload import Inputs, Prepared, Workload

PARAMETERS = ("W", "b")


def observed(workload: Workload) -> int:
    """Units whose rates are compared with data: half of them; a simulation keeps all."""
    return workload.sizes["N"] if "step" not in workload.phases else max(1, workload.sizes["N"] // 2)


def states_and_rates(inputs: Inputs, parameters: dict[str, Tensor], alpha: float) -> tuple[list[Tensor], list[Tensor]]:
    """Every step's state and rates [E, B, N]; one model in plain, several in batched products."""
    u, W, b = inputs["u0"], parameters["W"], parameters["b"][:, None]
    drive, v = inputs.get("drive"), inputs.get("v")
    one = u.shape[0] == 1
    states, rates = [], []
    for t in range(inputs["steps"].numel()):
        q = torch.addmm(b[0], u[0], W[0])[None] if one else torch.baddbmm(b, u, W)
        if drive is not None:
            q = q + drive[:, :, t]
        if v is not None:
            q = q + v[:, :, t] * (u @ inputs["Wv"][:, 0])
        r = torch.relu(torch.tanh(q))
        u = (1 - alpha) * u + alpha * r
        if "noise" in inputs:
            u = u + inputs["noise"][:, :, t]
        states.append(u)
        rates.append(r)
    return states, rates


def rollout(workload: Workload, inputs: Inputs, parameters: dict[str, Tensor]) -> Tensor:
    """The observed rates, [E, B, T, n]."""
    _, rates = states_and_rates(inputs, parameters, workload.options["alpha"])
    return torch.stack(rates, 2)[..., : observed(workload)]


def leaves_of(inputs: Inputs) -> dict[str, Tensor]:
    return {name: inputs[name].detach().clone().requires_grad_() for name in PARAMETERS}


class EagerLoop:
    """Plain torch, one small operation after another."""

    name = "eager torch loop"

    def missing(self, workload: Workload, device: str) -> str | None:
        return "has its products timed apart" if workload.options.get("products") else None

    def prepare(self, workload: Workload, inputs: Inputs) -> Prepared:
        leaves = leaves_of(inputs)
        return training_phases(lambda: rollout(workload, inputs, leaves), leaves, inputs["target"])


class GraphReplay:
    """The whole eager step, recorded once."""

    name = "CUDA-graph replay"

    def missing(self, workload: Workload, device: str) -> str | None:
        if device != "cuda":
            return "needs a CUDA device"
        return None if "step" in workload.phases and not workload.options.get("products") else "trains only"

    def prepare(self, workload: Workload, inputs: Inputs) -> Prepared:
        leaves = leaves_of(inputs)
        return captured_step(lambda: rollout(workload, inputs, leaves), leaves, inputs["target"])


class ProductsAlone:
    """What no rollout can do without: every step's product forth and back, and one for the weights' gradient."""

    name = "its matrix products alone (torch.mm)"

    def missing(self, workload: Workload, device: str) -> str | None:
        return None if workload.options.get("products") else "only beside the products"

    def prepare(self, workload: Workload, inputs: Inputs) -> Prepared:
        W, before, delta = inputs["W"][0], inputs["before"][0], inputs["delta"][0]
        columns = [(before[:, t].contiguous(), delta[:, t].contiguous()) for t in range(before.shape[1])]
        out = torch.empty_like(columns[0][0])
        flat_before, flat_delta = before.flatten(0, 1), delta.flatten(0, 1)

        def step() -> Tensor:
            for u, _ in columns:
                torch.mm(u, W, out=out)
            for _, d in columns:
                torch.mm(d, W.T, out=out)
            return torch.mm(flat_before.T, flat_delta)

        return Prepared({"step": step}, lambda _: {"dW": step()[None]}, wait_for(W.device))
