"""What the measures take: orbits as float64 tensors [E, T, N], and the protocol that a fitted model offers."""

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

VARIANT = "gtf2023"


class Dynamics(Protocol):
    """A fitted ensemble seen from outside: how the measures reach a model."""

    @property
    def n_models(self) -> int: ...

    def initial_state(self, x0: Tensor) -> Tensor:
        """Observation [E, B, N] -> latent state [E, B, M]."""
        ...

    def free_run(self, z0: Tensor, steps: int, keep_every: int = 1, u: Tensor | None = None) -> Tensor:
        """States [E, B, steps // keep_every, M] after z0 [E, B, M]; u [E or 1, B, steps, U]."""
        ...

    def observe(self, z: Tensor) -> Tensor:
        """States [E, ..., M] -> observations [E, ..., N]."""
        ...

    def jacobian(self, z: Tensor) -> Tensor:
        """States [E, ..., M] -> Jacobians of one step [E, ..., M, M]."""
        ...

    def cell_arguments(self) -> Mapping[str, Any]:
        """Parameters by name, each [E, ...], with the name of the cell."""
        ...


def as_real(values: Any, name: str, n_dims: tuple[int, ...], layout: str) -> Tensor:
    """Tensor or array of real numbers with one of n_dims axes, as a detached float64 tensor."""
    if isinstance(values, np.ndarray):
        if not (np.issubdtype(values.dtype, np.floating) or np.issubdtype(values.dtype, np.integer)):
            raise TypeError(f"{name}: expected real numbers, got dtype {values.dtype}")
        values = torch.tensor(values)
    if not isinstance(values, Tensor):
        raise TypeError(f"{name}: expected a tensor or an array {layout}, got {type(values).__name__}")
    if values.is_complex() or values.dtype == torch.bool:
        raise TypeError(f"{name}: expected real numbers, got dtype {values.dtype}")
    if values.dim() not in n_dims or 0 in values.shape:
        raise ValueError(f"{name}: expected {layout} with no empty dimension, got {list(values.shape)}")
    return values.detach().to(torch.float64)


def true_orbit(x_true: Any, *, min_rows: int = 2) -> Tensor:
    """The true trajectory [T, N] in float64 without the rows that hold a NaN; inf and too few rows raise ValueError."""
    x = as_real(x_true, "x_true", (2,), "[T, N]")
    if bool(torch.isinf(x).any()):
        raise ValueError("x_true: contains inf; mark missing values as NaN")
    whole = ~x.isnan().any(-1)
    if int(whole.sum()) < min_rows:
        raise ValueError(f"x_true: expected at least {min_rows} rows without NaN, got {int(whole.sum())} of {len(x)}")
    x = x[whole]
    flat = (x.amax(0) == x.amin(0)).nonzero().flatten().tolist()
    if flat:
        raise ValueError(f"x_true: columns {flat} are constant: no measure is defined on them; leave them out")
    return x


def generated_orbits(x_gen: Any, x_true: Tensor) -> tuple[Tensor, Tensor]:
    """Generated orbits [E, T, N] in float64 ([T, N] becomes E = 1) and which of them are finite throughout [E]."""
    x = as_real(x_gen, "x_gen", (2, 3), "[E, T, N] or [T, N]").to(x_true.device)
    x = x.unsqueeze(0) if x.dim() == 2 else x
    if x.shape[-1] != x_true.shape[-1]:
        raise ValueError(f"x_gen: expected [E, T, N={x_true.shape[-1]}], got {list(x.shape)}: N differs from x_true")
    return x, torch.isfinite(x).flatten(1).all(1)


def require_positive(value: float, name: str) -> None:
    """ValueError unless value > 0 and finite."""
    if not 0 < value < float("inf"):
        raise ValueError(f"{name}: expected a finite number above 0, got {value}")
