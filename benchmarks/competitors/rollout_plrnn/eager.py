"""The eager torch loop that the published training code runs: one small operation after another, step by step."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import relu

from benchmarks.torch_phases import single_phase, training_phases
from benchmarks.workload import Inputs, Prepared, Workload

PARAMETERS = ("A", "W1", "h1", "W2", "h2")


def shallow_step(z: Tensor, A: Tensor, W1: Tensor, h1: Tensor, W2: Tensor, h2: Tensor) -> Tensor:
    """One step of one model, z [B, M]."""
    return A * z + relu(z @ W2.T + h2) @ W1.T + h1


def stacked_step(z: Tensor, A: Tensor, W1: Tensor, h1: Tensor, W2: Tensor, h2: Tensor) -> Tensor:
    """One step of E models at once, z [E, B, M], with batched products."""
    hidden = relu(torch.baddbmm(h2[:, None], z, W2.mT))
    return torch.baddbmm(h1[:, None], hidden, W1.mT) + A[:, None] * z


def forced_rollout(step, z: Tensor, parameters: list[Tensor], z_hat: Tensor, alpha: float) -> Tensor:
    """Generalized teacher forcing of all states; time is the second last axis."""
    emitted = []
    for t in range(z_hat.shape[-2]):
        z = step(z, *parameters)
        emitted.append(z)
        z = alpha * z_hat[..., t, :] + (1 - alpha) * z
    return torch.stack(emitted, -2)


def rollout(inputs: Inputs, parameters: dict[str, Tensor], alpha: float, *, stacked: bool = False) -> Tensor:
    """[E, B, T, M]: one model after another, or all at once."""
    if stacked:
        z_hat = inputs["z_hat"].expand(inputs["z0"].shape[0], -1, -1, -1)
        return forced_rollout(stacked_step, inputs["z0"], list(parameters.values()), z_hat, alpha)
    models = []
    for e in range(inputs["z0"].shape[0]):
        own = [parameters[name][e] for name in PARAMETERS]
        z_hat = inputs["z_hat"][e % inputs["z_hat"].shape[0]]
        models.append(forced_rollout(shallow_step, inputs["z0"][e], own, z_hat, alpha))
    return torch.stack(models)


def free_rollout(inputs: Inputs, steps: int) -> Tensor:
    """The last state of one model's free run, [1, B, M]."""
    z, parameters = inputs["z0"][0], [inputs[name][0] for name in PARAMETERS]
    for _ in range(steps):
        z = shallow_step(z, *parameters)
    return z[None]


class EagerLoop:
    """Plain torch, one model after another."""

    name = "eager torch loop"

    def missing(self, workload: Workload, device: str) -> str | None:
        return None

    def prepare(self, workload: Workload, inputs: Inputs) -> Prepared:
        if "generate" in workload.phases:
            steps = workload.sizes["T"]
            return single_phase("generate", lambda: free_rollout(inputs, steps), inputs["z0"].device)
        leaves = {name: inputs[name].detach().clone().requires_grad_() for name in PARAMETERS}
        alpha = workload.options["forcing_alpha"]
        return training_phases(lambda: rollout(inputs, leaves, alpha), leaves, inputs["z_hat"])
