"""Prediction error after a few free steps from every true point."""

from typing import Any

import torch
from torch import Tensor

from neurorbit.engine.analysis.orbits import Dynamics, as_real


@torch.no_grad()
def pe_n(dynamics: Dynamics, x_true: Any, n: int = 20, u: Any | None = None, chunk: int = 8192) -> Tensor:
    """Mean squared error [E] of predicting x_{t+n} from x_t, over all t and all N observed variables.

    The model starts at every row of x_true [T, N] that holds no NaN and runs n steps free; u [T, U], row t belongs to
    x_t. Missing targets are skipped. At most `chunk` orbits run at once per model. A model that leaves the finite
    numbers gets NaN.
    """
    x = as_real(x_true, "x_true", (2,), "[T, N]")
    if not 1 <= n < len(x):
        raise ValueError(f"n: expected 1 <= n < T={len(x)} steps, got {n}")
    if chunk < 1:
        raise ValueError(f"chunk: expected at least 1, got {chunk}")
    inputs = None if u is None else input_rows(u, len(x))
    starts = (~x[:-n].isnan().any(-1)).nonzero().flatten()
    if len(starts) == 0:
        raise ValueError("x_true: no row without NaN to start from")
    total = torch.zeros(dynamics.n_models, dtype=torch.float64, device=x.device)
    count = 0
    for at in starts.split(chunk):
        x0 = x[at].float().expand(dynamics.n_models, -1, -1)  # [E, b, N]
        driven = None if inputs is None else _windows(inputs, at, n)
        z = dynamics.free_run(dynamics.initial_state(x0), n, keep_every=n, u=driven)
        predicted = dynamics.observe(z[:, :, -1]).detach().double()
        known = ~x[at + n].isnan()
        squared = (predicted - x[at + n].nan_to_num()).square()
        total = total + torch.where(known, squared, 0.0).sum((1, 2))
        count += int(known.sum())
    if count == 0:
        raise ValueError(f"x_true: no observed value {n} steps after a row without NaN")
    error = total / count
    return torch.where(torch.isfinite(error), error, torch.nan)


def input_rows(u: Any, n_rows: int) -> Tensor:
    """Inputs [T, U] in float32; another number of rows or a value that is not finite raise ValueError."""
    inputs = as_real(u, "u", (2,), "[T, U]").float()
    if len(inputs) != n_rows:
        raise ValueError(f"u: expected [T={n_rows}, U], got {list(inputs.shape)}: T differs from x_true")
    if not bool(torch.isfinite(inputs).all()):
        raise ValueError("u: contains NaN or inf; inputs have to be known at every step")
    return inputs


def _windows(u: Tensor, at: Tensor, n: int) -> Tensor:
    """Inputs of the n steps after each start, [1, b, n, U]."""
    return u[at[:, None] + torch.arange(1, n + 1, device=u.device)].unsqueeze(0)
