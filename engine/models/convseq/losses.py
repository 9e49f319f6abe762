"""Terms of the convSeq loss, each [E]: sums over filters, or means over pairs of filters."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import torch
from torch import Tensor

LAGS = 100  # largest lag of the cross-correlations of responses
SMOOTHING = 10  # sd in bins of the Gaussian under which responses are compared


class _Peakedness(torch.autograd.Function):
    """Variance and mean squared difference of each response with their closed-form gradient."""

    @staticmethod
    def forward(ctx: Any, o: Tensor, weight: Tensor | None) -> tuple[Tensor, Tensor]:
        if weight is None:
            n = pairs = None
            mean = o.mean(-1, keepdim=True)
            centred = o - mean
            variance = centred.square().mean(-1)
            difference = o[..., 1:] - o[..., :-1]
            variation = difference.square().mean(-1)
        else:
            weight = weight[:, None]  # [1|E, 1, T']
            n = weight.sum(-1, keepdim=True)
            centred = (o - (o * weight).sum(-1, keepdim=True) / n) * weight
            variance = centred.square().sum(-1) / n[..., 0]
            both = weight[..., 1:] * weight[..., :-1]
            pairs = both.sum(-1, keepdim=True)
            difference = (o[..., 1:] - o[..., :-1]) * both
            variation = difference.square().sum(-1) / pairs[..., 0]
        ctx.save_for_backward(centred, difference, n, pairs)
        return variance, variation

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        centred, difference, n, pairs = ctx.saved_tensors
        dvariance, dvariation = grads
        do = centred * (2 * dvariance[..., None] / (centred.shape[-1] if n is None else n))
        slope = difference * (2 * dvariation[..., None] / (difference.shape[-1] if pairs is None else pairs))
        do[..., 1:] += slope
        do[..., :-1] -= slope
        return do, None


def peakedness(o: Tensor, weight: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Variance and mean squared difference of neighbouring bins of o [E, K, T'], each [E, K].

    weight [1|E, T'] of zeros and ones leaves bins out: a difference counts when both of its bins do.
    """
    variance, variation = _Peakedness.apply(o, weight)
    return variance, variation


def filter_variation(w: Tensor) -> Tensor:
    """Mean squared difference of neighbouring lags of w [E, K, N, W], summed over filters, [E]."""
    return w.diff(dim=-1).square().mean((-2, -1)).sum(1)


def cross_correlation(o: Tensor) -> Tensor:
    """Mean over pairs and lags up to 100 of the eighth power of the cross-correlation of o [E, K, T'], [E]."""
    n = o.shape[-1]
    lags = min(LAGS, n - 1)
    centred = o - o.mean(-1, keepdim=True)
    standard = centred / centred.square().mean(-1, keepdim=True).clamp_min(1e-24).sqrt()
    spectrum = torch.fft.rfft(standard, n=n + lags)
    i, j = _pairs(o.shape[1], o.device)
    correlation = torch.fft.irfft(spectrum[:, i] * spectrum[:, j].conj(), n=n + lags) / n
    near = torch.cat([correlation[..., : lags + 1], correlation[..., n:]], -1)  # lags 0..100 and -100..-1
    return near.pow(8).mean((1, 2))


def response_similarity(o: Tensor) -> Tensor:
    """Mean over pairs of the cosine similarity of the smoothed responses o [E, K, T'], [E]."""
    n, K = o.shape[-1], o.shape[1]
    half = min(3 * SMOOTHING, n - 1)
    bins = torch.arange(-half, half + 1, device=o.device, dtype=o.dtype)
    kernel = torch.exp(-0.5 * (bins / SMOOTHING).square())
    o = o - o.mean(-1, keepdim=True)  # so that nothing is outside the recording
    smooth = torch.nn.functional.conv1d(o.reshape(-1, 1, n), (kernel / kernel.sum())[None, None], padding=half)
    centred = smooth.reshape(o.shape) - smooth.reshape(o.shape).mean(-1, keepdim=True)
    i, j = _pairs(K, o.device)
    return torch.nn.functional.cosine_similarity(centred[:, i], centred[:, j], dim=-1).mean(1)


def filter_similarity(w: Tensor) -> Tensor:
    """Mean over pairs and lags of the squared cross-correlation of filters w [E, K, N, W] of unit norm, [E]."""
    W = w.shape[-1]
    unit = w / w.square().sum((-2, -1), keepdim=True).clamp_min(1e-24).sqrt()
    spectrum = torch.fft.rfft(unit, n=2 * W)
    i, j = _pairs(w.shape[1], w.device)
    found = torch.fft.irfft((spectrum[:, i] * spectrum[:, j].conj()).sum(-2), n=2 * W)  # [E, pairs, 2 W]
    return found.square().sum(-1).mean(1) / (2 * W - 1)


def loading_similarity(loadings: Tensor) -> Tensor:
    """Mean over pairs of the correlation of loadings [E, K, N], [E]."""
    centred = loadings - loadings.mean(-1, keepdim=True)
    i, j = _pairs(loadings.shape[1], loadings.device)
    return torch.nn.functional.cosine_similarity(centred[:, i], centred[:, j], dim=-1).mean(1)


def power_entropy(variance: Tensor) -> Tensor:
    """Minus the entropy of the share of each filter in the variance [E, K] of the responses, [E]."""
    share = variance / variance.sum(-1, keepdim=True).clamp_min(1e-12)
    return (share * share.clamp_min(1e-12).log()).sum(-1)


def _pairs(K: int, device: torch.device) -> tuple[Tensor, Tensor]:
    both = torch.tensor(list(combinations(range(K), 2)), device=device)
    return both[:, 0], both[:, 1]
