"""Smoothed power spectra and the Hellinger distance between them."""

from typing import Any

import torch
from scipy.fft import next_fast_len
from torch import Tensor

from neurorbit.engine.analysis.orbits import as_real, generated_orbits, require_positive, true_orbit

RADIUS_SIGMAS = 4.0


def power_spectrum_smoothed(x: Any, sigma: float = 20.0) -> Tensor:
    """Normalised smoothed power spectrum [..., F, N] of x [..., T, N], F = T // 2 + 1; sums to one over F.

    Each dimension is z-scored, |rfft|^2 is convolved with a Gaussian (sigma in frequency bins, reflected at the ends,
    cut at 4 sigma). A dimension without variance has no spectrum and gives NaN.
    """
    x = as_real(x, "x", (2, 3, 4), "[..., T, N]")
    require_positive(sigma, "sigma")
    if x.shape[-2] < 4:
        raise ValueError(f"x: expected at least T=4 rows, got {list(x.shape)}")
    constant = (x.amax(-2) == x.amin(-2)).unsqueeze(-2)  # rounding of the mean would leave noise with a spectrum
    x = (x - x.mean(-2, keepdim=True)) / x.std(-2, keepdim=True)
    power = torch.fft.rfft(x, dim=-2).abs().square().transpose(-1, -2)  # [..., N, F]
    smooth = _gaussian_filter(power, sigma).transpose(-1, -2)
    return torch.where(constant, torch.nan, smooth / smooth.sum(-2, keepdim=True))


def _gaussian_filter(values: Tensor, sigma: float) -> Tensor:
    """Convolution of the last axis with a Gaussian, the axis mirrored at its ends (edge element repeated).

    By FFT: its rounding, 1e-16 of the largest value, is cut off where it falls below zero.
    """
    radius = int(RADIUS_SIGMAS * sigma + 0.5)
    offsets = torch.arange(-radius, radius + 1, dtype=values.dtype, device=values.device)
    weights = torch.exp(-0.5 * (offsets / sigma) ** 2)
    n = values.shape[-1]
    index = torch.arange(-radius, n + radius, device=values.device) % (2 * n)
    padded = values[..., torch.minimum(index, 2 * n - 1 - index)]
    length = next_fast_len(n + 4 * radius, real=True)
    product = torch.fft.rfft(padded, length) * torch.fft.rfft(weights / weights.sum(), length)
    return torch.fft.irfft(product, length)[..., 2 * radius : 2 * radius + n].clamp(min=0)


def d_h(x_true: Any, x_gen: Any, sigma: float = 20.0) -> Tensor:
    """Hellinger distance sqrt(1 - sum sqrt(F G)) of smoothed power spectra [E], mean over the N dimensions.

    Rows of x_true with a NaN are left out, and x_gen is cut to as many rows. An orbit that is not finite gives NaN; a
    dimension that stands still has no power at any frequency and counts as the largest distance, 1.
    """
    true = true_orbit(x_true, min_rows=4)
    gen, finite = generated_orbits(x_gen, true)
    if gen.shape[1] < len(true):
        raise ValueError(f"x_gen: expected at least T={len(true)} rows as in x_true, got {gen.shape[1]}")
    F, G = power_spectrum_smoothed(true, sigma), power_spectrum_smoothed(gen[:, : len(true)], sigma)
    overlap = (F * G).sqrt().sum(-2)
    distance = (1 - overlap).clamp(min=0).sqrt()  # [E, N]
    return torch.where(finite, distance.nan_to_num(nan=1.0).mean(-1), torch.nan)
