"""Initial parameters of the PLRNN family, one generator per model: a model of an ensemble starts as it would alone."""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt

import torch
from torch import Tensor

from neurorbit.bindings.rollout_plrnn import DENDRITIC_CELLS, HIDDEN_CELLS
from neurorbit.engine.models.plrnn.config import ModelConfig

OFF_DIAGONAL_CELLS = ("plrnn", "plrnn-mc", *DENDRITIC_CELLS)


def initial_parameters(
    config: ModelConfig, n_observed: int, n_inputs: int, seeds: Sequence[int], data_range: tuple[float, float]
) -> dict[str, Tensor]:
    """Parameters of len(seeds) models, stacked along the first axis; `data_range` bounds the dendritic thresholds."""
    models = [_one_model(config, n_observed, n_inputs, seed, data_range) for seed in seeds]
    return {name: torch.stack([m[name] for m in models]) for name in models[0]}


def _uniform(generator: torch.Generator, shape: Sequence[int], low: float, high: float) -> Tensor:
    return torch.rand(*shape, generator=generator) * (high - low) + low


def _scaled(generator: torch.Generator, *shape: int) -> Tensor:
    """Uniform in +-1/sqrt(last dim)."""
    return _uniform(generator, shape, -1 / sqrt(shape[-1]), 1 / sqrt(shape[-1]))


def _glorot(generator: torch.Generator, rows: int, columns: int) -> Tensor:
    bound = sqrt(6 / (rows + columns))
    return _uniform(generator, (rows, columns), -bound, bound)


def _normalised_positive_definite(generator: torch.Generator, M: int) -> Tensor:
    R = torch.randn(M, M, generator=generator, dtype=torch.float64)
    K = R.T @ R / M + torch.eye(M, dtype=torch.float64)
    return (K / torch.linalg.eigvalsh(K)[-1]).float()


def _one_model(config: ModelConfig, N: int, U: int, seed: int, data_range: tuple[float, float]) -> dict[str, Tensor]:
    g = torch.Generator().manual_seed(seed)
    M, H, D = config.latent_dim, config.hidden_dim, config.n_bases
    K = _normalised_positive_definite(g, M)
    found = {"A": K.diagonal().clone(), "h1": torch.zeros(M)}
    if config.cell in HIDDEN_CELLS:
        found["W1"] = _scaled(g, M, H)
        found["W2"] = _scaled(g, H, M)
        found["h2"] = _scaled(g, H) if config.cell == "shallow-clipped" else torch.zeros(H)
    else:
        found["W1"] = K - K.diagonal().diag()
    if config.cell in DENDRITIC_CELLS:
        found["alpha"] = _scaled(g, D)
        found["thresholds"] = _uniform(g, (M, D), *data_range)
    if U:
        found["C"] = _glorot(g, M, U)
    if config.observation == "identity" and M > N:
        found["L"] = _glorot(g, M - N, N)
    if config.observation == "affine":
        found["B"] = torch.randn(N, M, generator=g) * sqrt(2 / M)
        if config.observation_bias:
            found["b"] = torch.zeros(N)
    return found
