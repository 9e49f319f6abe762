"""Plain torch: a matrix product, softplus and torch's own Poisson loss over dense rates; compiled when asked for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import poisson_nll_loss, softplus

from benchmarks.torch_phases import wait_for
from benchmarks.workload import Inputs, Prepared, Workload
from neurorbit.bindings.poisson_readout import FLOOR_HZ

PARAMETERS = ("z", "C", "bias")


def leaves_of(inputs: Inputs) -> dict[str, Tensor]:
    return {name: inputs[name].detach().clone().requires_grad_() for name in PARAMETERS}


def likelihood_phases(nll: Callable[[], Tensor], leaves: dict[str, Tensor], bins: float) -> Prepared:
    """forward: nll [E, B] without a graph; backward through a kept graph; step = mean over bins, and its gradients."""
    tensors, kept = list(leaves.values()), list[Tensor]()

    def forward() -> Tensor:
        with torch.no_grad():
            return nll()

    def backward() -> tuple[Tensor, ...]:
        if not kept:
            kept.append(nll().sum() / bins)
        return torch.autograd.grad(kept[0], tensors, retain_graph=True)

    def step() -> tuple[Tensor, ...]:
        return torch.autograd.grad(nll().sum() / bins, tensors)

    calls: dict[str, Callable[[], Any]] = {"forward": forward, "backward": backward, "step": step}

    def results(phase: str) -> dict[str, Tensor]:
        if phase == "forward":
            return {"nll": forward()}
        return {f"d{name}": grad for name, grad in zip(leaves, calls[phase](), strict=True)}

    return Prepared(calls, results, wait_for(tensors[0].device))


def dense_nll(leaves: dict[str, Tensor], y: Tensor, valid: Tensor, constant: Tensor, bin_s: float) -> Tensor:
    """[E, B]; counts in floating point, masked after the fact; log y! comes ready as a number per trial."""
    rates = softplus(leaves["z"] @ leaves["C"].mT[:, None] + leaves["bias"][:, None, None]) + FLOOR_HZ
    cost = poisson_nll_loss(bin_s * rates, y.expand_as(rates), log_input=False, eps=0.0, reduction="none")
    return (cost * valid[..., None]).sum((2, 3)) + constant


class EagerReadout:
    """Rates of every bin and neuron stored, several times over for the gradient."""

    name = "eager torch"

    def __init__(self, *, compiled: bool = False) -> None:
        self.compiled = compiled
        if compiled:
            self.name = "torch.compile"

    def missing(self, workload: Workload, device: str) -> str | None:
        return None

    def prepare(self, workload: Workload, inputs: Inputs) -> Prepared:
        leaves, bin_s = leaves_of(inputs), workload.options["bin_s"]
        y, valid, constant = inputs["y"].to(inputs["z"].dtype), inputs["valid"], inputs["constant"]
        function = torch.compile(dense_nll, fullgraph=True) if self.compiled else dense_nll
        return likelihood_phases(
            lambda: function(leaves, y, valid, constant, bin_s), leaves, float(inputs["valid"].sum())
        )
