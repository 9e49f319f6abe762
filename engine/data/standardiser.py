"""Standardisation: every variable to mean 0 and standard deviation 1, and back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor

from neurorbit.engine.data.time_series import TimeSeries

Observations = TypeVar("Observations", Tensor, TimeSeries)


@dataclass(frozen=True)
class Standardiser:
    """x -> (x - mean) / sd, variable by variable; mean [N], sd [N], float32."""

    mean: Tensor
    sd: Tensor

    @classmethod
    def fit(cls, series: TimeSeries) -> Standardiser:
        """Mean and (population) standard deviation of each variable over all sequences, NaN left out."""
        n = torch.zeros(series.n_observed, dtype=torch.float64)
        total = torch.zeros_like(n)
        for x in series.values:
            n += (~x.isnan()).sum(0)
            total += x.double().nansum(0)
        mean = total / n
        squares = torch.zeros_like(n)
        low, high = torch.full_like(n, torch.inf), torch.full_like(n, -torch.inf)
        for x in series.values:
            squares += (x.double() - mean).square().nansum(0)
            low = torch.minimum(low, x.nan_to_num(nan=torch.inf, posinf=torch.inf).amin(0).double())
            high = torch.maximum(high, x.nan_to_num(nan=-torch.inf, neginf=-torch.inf).amax(0).double())
        sd = (squares / n).sqrt().float()
        for i in range(series.n_observed):
            if low[i] >= high[i] or sd[i] < torch.finfo(torch.float32).tiny:
                raise ValueError(
                    f"x: variable {i} is constant ({float(mean[i]):.6g}) and cannot be standardised; "
                    "leave that column out"
                )
        return cls(mean.float(), sd)

    @classmethod
    def identity(cls, n_observed: int) -> Standardiser:
        """The standardiser that changes nothing."""
        return cls(torch.zeros(n_observed), torch.ones(n_observed))

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor]) -> Standardiser:
        """The inverse of `tensors`."""
        for name in ("mean", "sd"):
            if name not in tensors:
                raise ValueError(f"standardiser: expected the tensors mean and sd, got {sorted(tensors)}")
        mean, sd = tensors["mean"].float(), tensors["sd"].float()
        if mean.ndim != 1 or sd.shape != mean.shape:
            raise ValueError(f"standardiser: expected mean [N] and sd [N], got {list(mean.shape)} and {list(sd.shape)}")
        if not (mean.isfinite().all() and sd.isfinite().all() and (sd > 0).all()):
            raise ValueError(
                "standardiser: expected a finite mean and a finite, positive sd; the file has been altered"
            )
        return cls(mean, sd)

    def tensors(self) -> dict[str, Tensor]:
        """What to store."""
        return {"mean": self.mean, "sd": self.sd}

    @property
    def n_observed(self) -> int:
        return self.mean.shape[0]

    def apply(self, x: Observations) -> Observations:
        """Standardised copy of x [..., N]; inputs of a TimeSeries stay as they are."""
        if isinstance(x, TimeSeries):
            return TimeSeries(tuple(self.apply(v) for v in x.values), x.inputs)
        self._check(x)
        return (x - self.mean.to(x)) / self.sd.to(x)

    def undo(self, x: Observations) -> Observations:
        """The inverse of `apply`."""
        if isinstance(x, TimeSeries):
            return TimeSeries(tuple(self.undo(v) for v in x.values), x.inputs)
        self._check(x)
        return x * self.sd.to(x) + self.mean.to(x)

    def _check(self, x: Tensor) -> None:
        if x.ndim == 0 or x.shape[-1] != self.n_observed:
            raise ValueError(
                f"x: expected [..., N={self.n_observed}], got {list(x.shape)}: N differs from the data the "
                "standardiser was fitted to"
            )
