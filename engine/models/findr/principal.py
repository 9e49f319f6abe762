"""Readouts to start from: the principal axes of what baselines leave of the smoothed rates."""

from __future__ import annotations

import torch
from torch import Tensor

from neurorbit.bindings.poisson_readout import FLOOR_HZ
from neurorbit.engine.models.findr.config import FindrConfig
from neurorbit.engine.models.findr.prepared import Session

SMOOTHING_BINS = 6.0
_AT_ONCE = 2**22


@torch.no_grad()
def principal_readouts(config: FindrConfig, session: Session, bin_s: float) -> dict[int, Tensor]:
    """C [N, M] of each chosen fold, from its training trials.

    Columns are the leading principal axes of the rates, smoothed by a Gaussian of six bins, without the baseline; they
    are scaled alike, so that the latents of the first have the standard deviation config.model.principal_sd.
    """
    N, M = session.counts.shape[-1], config.latent_dim
    if M > N:
        raise ValueError(f"model.readout_start: principal axes need M={M} neurons or more, got N={N}: start at random")
    return {fold: _readout(config, session, fold, row, bin_s) for fold, row in session.rows.items()}


def _readout(config: FindrConfig, session: Session, fold: int, row: int, bin_s: float) -> Tensor:
    trials = session.folds[fold].train.to(session.lengths.device)
    T, N = session.counts.shape[1:]
    t = torch.arange(T, dtype=torch.float32, device=trials.device)
    kernel = torch.exp(-0.5 * ((t[:, None] - t) / SMOOTHING_BINS) ** 2)
    second, first, n = torch.zeros(N, N, dtype=torch.float64), torch.zeros(N, dtype=torch.float64), 0
    step = max(1, _AT_ONCE // (T * N))
    for i in range(0, len(trials), step):
        at = trials[i : i + step]
        inside = session.by_trial[row, at][:, None] + session.by_bin[row]
        expected = inside.exp() if config.model.link == "exp" else torch.nn.functional.softplus(inside) + FLOOR_HZ
        valid = (t < session.lengths[at, None]).float()  # [b, T]
        left = (session.counts[at].float() / bin_s - expected) * valid[..., None]
        smooth = (kernel @ left) / (kernel @ valid[..., None]).clamp(min=1e-6)
        rows = smooth[valid > 0].double().cpu()
        second += rows.T @ rows
        first += rows.sum(0)
        n += len(rows)
    mean = first / n
    values, axes = torch.linalg.eigh(second / n - torch.outer(mean, mean))
    M = config.latent_dim
    leading = axes.flip(1)[:, :M]
    leading = leading * torch.where(leading.sum(0) < 0, -1.0, 1.0)
    return (leading * (values[-1].clamp(min=1e-12).sqrt() / config.model.principal_sd)).float()
