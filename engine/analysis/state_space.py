"""Distance between two attractors in state space: Kullback-Leibler divergence of their invariant densities."""

import math
from typing import Any

import torch
from torch import Tensor

from neurorbit.engine.analysis.orbits import generated_orbits, require_positive, true_orbit

SMOOTHING = 1e-5
MARGIN_SD = 0.1
BINNED_UP_TO_N = 5
MAX_CENTRES = 10_000
LOG_TINY = math.log(torch.finfo(torch.float64).smallest_normal)


def d_stsp(x_true: Any, x_gen: Any, *, generator: torch.Generator | None = None) -> Tensor:
    """KL divergence in state space [E]: histograms up to N = 5 observed variables, Gaussian mixtures above."""
    if d_stsp_kind(x_true.shape[-1]) == "binned":
        return d_stsp_binned(x_true, x_gen)
    return d_stsp_gmm(x_true, x_gen, generator=generator)


def d_stsp_kind(n_observed: int) -> str:
    """Which of the two estimators d_stsp uses for N observed variables."""
    return "binned" if n_observed <= BINNED_UP_TO_N else "gmm"


def d_stsp_binned(x_true: Any, x_gen: Any, bins: int = 30) -> Tensor:
    """KL(p_true || p_gen) [E] of histograms with `bins` bins per dimension over the box of the true data.

    Box [min - 0.1 sd, max + 0.1 sd]; counts smoothed by 1e-5 over all bins^N bins, which are never allocated. Rows of
    x_true with a NaN are left out. NaN where an orbit is not finite or never enters the box.
    """
    true = true_orbit(x_true)
    gen, finite = generated_orbits(x_gen, true)
    n_bins = bins ** true.shape[-1]
    if bins < 1 or n_bins >= 2**63:
        raise ValueError(f"bins: expected 1 <= bins and bins^N < 2^63, got bins={bins}, N={true.shape[-1]}")
    margin = MARGIN_SD * true.std(0)
    low, high = true.amin(0) - margin, true.amax(0) + margin
    cells, counts = _bin_numbers(true, low, high, bins).unique(return_counts=True)
    result = torch.full((len(gen),), torch.nan, dtype=torch.float64, device=gen.device)
    for e in finite.nonzero().flatten().tolist():
        gen_cells, gen_counts = _bin_numbers(gen[e], low, high, bins).unique(return_counts=True)
        result[e] = _kl_of_counts(cells, counts, gen_cells, gen_counts, n_bins)
    return result


def _bin_numbers(x: Tensor, low: Tensor, high: Tensor, bins: int) -> Tensor:
    """Number of the bin of every row inside the box, int64."""
    x = x[((x >= low) & (x <= high)).all(-1)]
    per_axis = ((x - low) * (bins / (high - low))).long().clamp_(0, bins - 1)  # [T, N]
    strides = torch.tensor([bins**n for n in range(x.shape[-1])], device=x.device)
    return (per_axis * strides).sum(-1)


def _kl_of_counts(p_cells: Tensor, p_counts: Tensor, q_cells: Tensor, q_counts: Tensor, n_bins: int) -> float:
    """KL of two smoothed histograms given by their occupied bins (sorted, unique)."""
    if len(q_cells) == 0:
        return math.nan
    p_counts, q_counts = p_counts.double(), q_counts.double()  # float32 would lose the smoothing
    p_total = float(p_counts.sum()) + SMOOTHING * n_bins
    q_total = float(q_counts.sum()) + SMOOTHING * n_bins
    at = torch.searchsorted(q_cells, p_cells).clamp_(max=len(q_cells) - 1)
    shared = q_cells[at] == p_cells
    q_at_p = torch.where(shared, q_counts[at], 0.0)
    p = (p_counts + SMOOTHING) / p_total
    divergence = (p * (p.log() - ((q_at_p + SMOOTHING) / q_total).log())).sum()
    only_q = q_counts[~torch.isin(q_cells, p_cells, assume_unique=True)]
    empty_p = SMOOTHING / p_total
    divergence += (empty_p * (math.log(empty_p) - ((only_q + SMOOTHING) / q_total).log())).sum()
    empty_both = n_bins - len(p_cells) - len(only_q)
    return float(divergence) + empty_both * empty_p * math.log(q_total / p_total)


def d_stsp_gmm(
    x_true: Any,
    x_gen: Any,
    *,
    variance: float = 1.0,
    n_samples: int = 1000,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Monte-Carlo KL(p || q) [E] of Gaussian mixtures with one centre per point (the first 10 000).

    Mean of log p - log q over samples of p where both densities are above 0 in float64; every model sees the same
    samples. `generator`: a CPU torch.Generator; seeded with 0 when None. NaN where an orbit is not finite or q is 0 at
    all samples.
    """
    require_positive(variance, "variance")
    require_positive(n_samples, "n_samples")
    true = true_orbit(x_true)
    gen, finite = generated_orbits(x_gen, true)
    true, gen = true[:MAX_CENTRES], gen[:, :MAX_CENTRES]
    generator = generator or torch.Generator().manual_seed(0)
    chosen = torch.randint(len(true), (n_samples,), generator=generator).to(true.device)
    noise = torch.randn(n_samples, true.shape[-1], generator=generator, dtype=torch.float64).to(true.device)
    samples = true[chosen] + math.sqrt(variance) * noise
    log_p = _log_density(samples, true, variance)
    result = torch.full((len(gen),), torch.nan, dtype=torch.float64, device=gen.device)
    for e in finite.nonzero().flatten().tolist():
        log_q = _log_density(samples, gen[e], variance)
        both = (log_p > LOG_TINY) & (log_q > LOG_TINY)
        result[e] = (log_p - log_q)[both].mean()
    return result


def _log_density(samples: Tensor, centres: Tensor, variance: float) -> Tensor:
    """Log density [S] of an isotropic mixture, without the constant that p and q share."""
    squared = torch.cdist(samples, centres).square_()  # [S, T]
    return torch.logsumexp(squared.mul_(-0.5 / variance), -1) - math.log(len(centres))
