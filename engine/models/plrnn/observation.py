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

    def forcing_signals(self, x: Tensor, partial: bool) -> tuple[Tensor, Tensor]:
        """Initial states [E, B, M], and the signals of rows 1.. of x [E, B, T + 1, N].

        The signals are x as it is, filled up with zeros to M states when all are to be forced.
        """
        z0, signal = self.initial_state(x[:, :, 0]), x[:, :, 1:]
        if partial or self.L is None:
            return z0, signal
        return z0, torch.cat([signal, signal.new_zeros(*signal.shape[:-1], self.L.shape[1])], -1)


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

    def forcing_signals(self, x: Tensor, partial: bool) -> tuple[Tensor, Tensor]:
        """Initial states [E, B, M], and the signals of rows 1.. of x [E, B, T + 1, N].

        The signals are [E, B, T, M] (N when partial); a row with a missing value does not force.
        """
        z = self._states(x)
        z0, signal = z[:, :, 0], z[:, :, 1:]
        if partial and x.shape[-1] < z.shape[-1]:
            signal = signal[..., : x.shape[-1]]
        return z0, torch.where(x[:, :, 1:].isnan().any(-1, keepdim=True), torch.nan, signal)

    def condition_penalty(self) -> Tensor:
        """(1 - smax / (smin + 1e-8))^2 of each model's B, [E]."""
        s = torch.linalg.svdvals(self.B)  # [E, min(N, M)], descending
        return (1 - s[:, 0] / (s[:, -1] + 1e-8)).square()
