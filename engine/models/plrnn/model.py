"""E PLRNNs as one nn.Module: parameters stacked along the first axis, rolled out together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from neurorbit.bindings.rollout_plrnn import generate_plrnn, jacobian_plrnn, rollout_plrnn
from neurorbit.engine.models.plrnn.config import ModelConfig
from neurorbit.engine.models.plrnn.initialise import OFF_DIAGONAL_CELLS, initial_parameters
from neurorbit.engine.models.plrnn.observation import AffineObservation, IdentityObservation

_CELL_PARAMETERS = ("A", "W1", "h1", "W2", "h2", "alpha", "thresholds", "C")


class Plrnn(nn.Module):
    """z' = A z + W1 phi(z) + h1 + C u, observed as x = B z or as its first N states.

    Args:
        config: cell, sizes and observation model.
        n_observed: observed variables N.
        n_inputs: external inputs U.
        seeds: one seed per model; their number is E.
        data_range: smallest and largest value of the data, for the thresholds of the dendritic cells.
        backend: kernel; None chooses by device.

    Sources: Durstewitz et al. 2023; Brenner et al. 2022, 2024; Hess et al. 2023.
    """

    A: nn.Parameter
    off_diagonal: Tensor

    def __init__(
        self,
        config: ModelConfig,
        n_observed: int,
        *,
        n_inputs: int = 0,
        seeds: Sequence[int] = (0,),
        data_range: tuple[float, float] = (-2.0, 2.0),
        backend: str | None = None,
    ) -> None:
        super().__init__()
        config.check()
        if not seeds:
            raise ValueError("seeds: expected at least one")
        if config.observation == "identity" and config.latent_dim < n_observed:
            raise ValueError(
                f"model.latent_dim: expected at least N={n_observed} with the identity observation model, got "
                f"{config.latent_dim}: raise it, or use model.observation affine"
            )
        self.config, self.n_observed, self.n_inputs, self.backend = config, n_observed, n_inputs, backend
        found = initial_parameters(config, n_observed, n_inputs, seeds, data_range)
        for name in _CELL_PARAMETERS:
            value = found.get(name)
            self.register_parameter(name, None if value is None else nn.Parameter(value))
        self.observation: IdentityObservation | AffineObservation
        if config.observation == "identity":
            self.observation = IdentityObservation(n_observed, found.get("L"))
        else:
            self.observation = AffineObservation(found["B"], found.get("b"))
        self._masked = config.cell in OFF_DIAGONAL_CELLS
        self.register_buffer("off_diagonal", 1 - torch.eye(config.latent_dim), persistent=False)

    @property
    def n_models(self) -> int:
        """E."""
        return self.A.shape[0]

    @property
    def latent_dim(self) -> int:
        """M."""
        return self.A.shape[1]

    def n_parameters(self) -> int:
        """Free parameters of one model: those of a diagonal that is kept at zero do not count."""
        total = sum(p[0].numel() for p in self.parameters())
        return total - (self.latent_dim if self._masked else 0)

    def cell_arguments(self) -> dict[str, Any]:
        """The cell's tensors and options, as rollout_plrnn takes them."""
        found: dict[str, Any] = {name: getattr(self, name) for name in _CELL_PARAMETERS}
        if self._masked:
            found["W1"] = found["W1"] * self.off_diagonal
        found["cell"] = self.config.cell
        found["n_relu"] = self.config.n_relu if self.config.cell == "alrnn" else 0
        return found

    def initial_state(self, x0: Tensor) -> Tensor:
        """States [E, B, M] for observations [E or 1, B, N]; a missing value counts as the mean."""
        return self.observation.initial_state(self._per_model(x0))

    def observe(self, z: Tensor) -> Tensor:
        """Observations [E, ..., N] of the states [E, ..., M]."""
        return self.observation(z)

    def jacobian(self, z: Tensor) -> Tensor:
        """dz'/dz at the states [E, ..., M]: [E, ..., M, M]."""
        arguments = self.cell_arguments()
        del arguments["C"]
        return jacobian_plrnn(z, **arguments)

    def free_run(self, z0: Tensor, steps: int, keep_every: int = 1, u: Tensor | None = None) -> Tensor:
        """States [E, B, steps // keep_every, M] without forcing and without gradients."""
        arguments = dict(self.cell_arguments(), u=self._inputs(u))
        return generate_plrnn(z0, steps=steps, keep_every=keep_every, backend=self.backend, **arguments).z

    def rollout(
        self,
        x: Tensor,
        u: Tensor | None = None,
        *,
        forcing_alpha: Tensor | float = 0.0,
        forcing_interval: Tensor | int = 1,
        partial: bool = True,
        lengths: Tensor | None = None,
    ) -> Tensor:
        """Teacher-forced states [E, B, T, M], emitted before forcing, for x [E or 1, B, T + 1, N].

        Row k predicts row k + 1 of x; u [E or 1, B, T + 1, U] acts in the step towards its own row. `partial` forces
        the first N states only. `lengths` counts the predicted steps of each sequence.
        """
        if x.ndim != 4 or x.shape[-1] != self.n_observed or x.shape[2] < 2:
            raise ValueError(f"x: expected [E or 1, B, T + 1, N={self.n_observed}], got {list(x.shape)}")
        inputs = self._inputs(u)
        arguments = self.cell_arguments()
        if isinstance(forcing_alpha, Tensor) or forcing_alpha != 0:
            z0, signal = self.observation.forcing_signals(self._per_model(x), partial)
            arguments.update(z_hat=signal, forcing_alpha=forcing_alpha, forcing_interval=forcing_interval)
        else:
            z0 = self.initial_state(x[:, :, 0])
            arguments["steps"] = x.shape[2] - 1
        if inputs is not None:
            inputs = inputs[:, :, 1:]
        return rollout_plrnn(z0, u=inputs, lengths=lengths, backend=self.backend, **arguments).z

    def forward(self, x: Tensor, u: Tensor | None = None, **forcing: Any) -> Tensor:
        """Predictions [E, B, T, N] of x[:, :, 1:]; arguments as for `rollout`."""
        return self.observe(self.rollout(x, u, **forcing))

    def loss(self, x: Tensor, u: Tensor | None = None, *, lengths: Tensor | None = None, **forcing: Any) -> Tensor:
        """Mean squared error of each model's predictions over the values that are there, [E]."""
        return mean_squared_error(self(x, u, lengths=lengths, **forcing), x[:, :, 1:], lengths)

    def _per_model(self, x: Tensor) -> Tensor:
        return x.expand(self.n_models, *x.shape[1:]) if x.shape[0] == 1 else x

    def _inputs(self, u: Tensor | None) -> Tensor | None:
        if (u is None) != (self.n_inputs == 0):
            raise ValueError(f"u: expected {self.n_inputs} inputs, got {'none' if u is None else u.shape[-1]}")
        return u


def mean_squared_error(
    predicted: Tensor, x: Tensor, lengths: Tensor | None = None, missing: bool | None = None
) -> Tensor:
    """[E], over the entries of x that are not NaN and before `lengths`; `missing=False` says that x has no NaN."""
    if lengths is None and not (bool(x.isnan().any()) if missing is None else missing):
        return (predicted - x).square().mean((1, 2, 3))
    there = ~x.isnan()
    if lengths is not None:
        there = there & (torch.arange(x.shape[2], device=x.device) < lengths[..., None])[..., None]
    there = there.expand_as(predicted)
    error = torch.where(there, predicted - x.nan_to_num(), 0).square()
    return error.sum((1, 2, 3)) / there.sum((1, 2, 3)).clamp_min(1)
