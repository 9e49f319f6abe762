"""Observation models: states to observations, and back to forcing signals."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def _rows(x: Tensor, matrix: Tensor) -> Tensor:
    """x [E, ..., K] times matrix [E, K, J], as one batched product: [E, ..., J]."""
    E, K, J = matrix.shape
    return torch.bmm(x.reshape(E, -1, K), matrix).reshape(*x.shape[:-1], J)


class IdentityObservation(nn.Module):
    """x = the first N of M states; the other M - N initial states are L x_1 with L learned."""

    def __init__(self, n_observed: int, L: Tensor | None) -> None:
        super().__init__()
        self.n_observed = n_observed
        self.L = None if L is None else nn.Parameter(L)  # [E, M - N, N]

    def forward(self, z: Tensor) -> Tensor:
        """States [E, ..., M] to observations [E, ..., N]."""
        return z if z.shape[-1] == self.n_observed else z[..., : self.n_observed]

    def initial_state(self, x: Tensor) -> Tensor:
        """Observations [E, B, N] to states [E, B, M]; a missing value counts as 0."""
        x = x.nan_to_num()
        return x if self.L is None else torch.cat([x, _rows(x, self.L.transpose(1, 2))], -1)

    def forcing_signal(self, x: Tensor, partial: bool) -> Tensor:
        """[E, B, T, N] as it is, or filled up with zeros to M states when all are to be forced."""
        if partial or self.L is None:
            return x
        return torch.cat([x, x.new_zeros(*x.shape[:-1], self.L.shape[1])], -1)


class AffineObservation(nn.Module):
    """x = B z (+ b); forcing signals pinv(B) (x - b), differentiable in B and b."""

    def __init__(self, B: Tensor, b: Tensor | None) -> None:
        super().__init__()
        self.B = nn.Parameter(B)  # [E, N, M]
        self.b = None if b is None else nn.Parameter(b)  # [E, N]

    def _offset(self, like: Tensor) -> Tensor:
        assert self.b is not None
        return self.b.reshape(self.b.shape[0], *[1] * (like.ndim - 2), -1)

    def forward(self, z: Tensor) -> Tensor:
        """States [E, ..., M] to observations [E, ..., N]."""
        x = _rows(z, self.B.transpose(1, 2))
        return x if self.b is None else x + self._offset(x)

    def _states(self, x: Tensor) -> Tensor:
        if self.b is not None:
            x = x - self._offset(x)
        return _rows(x.nan_to_num(), torch.linalg.pinv(self.B).transpose(1, 2))

    def initial_state(self, x: Tensor) -> Tensor:
        """Observations [E, B, N] to states [E, B, M]; a missing value counts as the offset b."""
        return self._states(x)

    def forcing_signal(self, x: Tensor, partial: bool) -> Tensor:
        """[E, B, T, N] to [E, B, T, M] (N when partial); a row with a missing value does not force."""
        z = self._states(x)
        if partial and x.shape[-1] < z.shape[-1]:
            z = z[..., : x.shape[-1]]
        return torch.where(x.isnan().any(-1, keepdim=True), torch.nan, z)

    def condition_penalty(self) -> Tensor:
        """(1 - smax / (smin + 1e-8))^2 of each model's B, [E]."""
        s = torch.linalg.svdvals(self.B)  # [E, min(N, M)], descending
        return (1 - s[:, 0] / (s[:, -1] + 1e-8)).square()
