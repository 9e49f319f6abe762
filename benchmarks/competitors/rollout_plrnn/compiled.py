"""torch.compile of the eager loop: the loop is unrolled, so compiling takes minutes; asked for with --compile."""

from __future__ import annotations

import torch

from benchmarks.competitors.rollout_plrnn.eager import PARAMETERS, rollout
from benchmarks.torch_phases import training_phases
from benchmarks.workload import Inputs, Prepared, Workload


class CompiledLoop:
    """The unrolled loop through inductor."""

    name = "torch.compile"

    def missing(self, workload: Workload, device: str) -> str | None:
        return "trains only" if "generate" in workload.phases else None

    def prepare(self, workload: Workload, inputs: Inputs) -> Prepared:
        leaves = {name: inputs[name].detach().clone().requires_grad_() for name in PARAMETERS}
        alpha = workload.options["forcing_alpha"]
        compiled = torch.compile(lambda: rollout(inputs, leaves, alpha), fullgraph=True)
        return training_phases(compiled, leaves, inputs["z_hat"])
