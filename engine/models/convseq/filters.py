"""The filters of E models: free arrays with a softmax over lags, or Gaussian bumps; loadings per neuron."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from neurorbit.engine.models.convseq.config import ConvseqConfig


class SequenceFilters(nn.Module):
    """w [E, K, N, W]: softmax over the W lags of `values`, or exp(-(lag - mu)^2 / (2 sigma^2)) with lags 1 to W;
    with loadings times sigmoid(loadings) per neuron.

    Args:
        config: filters K, width W, formulation.
        n_neurons: N.
        seeds: one seed per model; their number is E.

    Source: Koshkin & Fukai, ICML 2024.
    """

    def __init__(self, config: ConvseqConfig, n_neurons: int, seeds: Sequence[int]) -> None:
        super().__init__()
        self.config = config
        K, W, free = config.filters, config.width, config.model.formulation == "free"
        drawn = [_draw(seed, (K, n_neurons, W) if free else (K, n_neurons), normal=free) for seed in seeds]
        start = torch.stack(drawn)
        if free:
            self.values = nn.Parameter(start)  # [E, K, N, W]
        else:
            self.mu = nn.Parameter(1 + (W - 1) * start)  # [E, K, N]
            sigma = torch.full((len(seeds), K), math.log(config.model.sigma))
            if config.model.learn_sigma:
                self.log_sigma = nn.Parameter(sigma)
            else:
                self.register_buffer("log_sigma", sigma, persistent=False)
        if config.model.loadings:
            self.loadings = nn.Parameter(torch.zeros(len(seeds), K, n_neurons))

    @property
    def n_neurons(self) -> int:
        """N."""
        return (self.values if self.config.model.formulation == "free" else self.mu).shape[2]

    def forward(self) -> Tensor:
        """w [E, K, N, W]."""
        if self.config.model.formulation == "free":
            w = self.values.softmax(-1)
        else:
            lag = torch.arange(1, self.config.width + 1, device=self.mu.device, dtype=self.mu.dtype)
            distance = (lag - self.mu[..., None]) / self.log_sigma.exp()[:, :, None, None]
            w = torch.exp(-0.5 * distance.square())
        return w * self.loadings.sigmoid()[..., None] if self.config.model.loadings else w

    @torch.no_grad()
    def constrain(self) -> None:
        """Put the middles of Gaussian filters back into the window."""
        if self.config.model.formulation == "gaussian":
            self.mu.clamp_(1, self.config.width)


def _draw(seed: int, shape: tuple[int, ...], *, normal: bool) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator) if normal else torch.rand(shape, generator=generator)
