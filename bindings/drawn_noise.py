"""Noise that a rollout draws inside: its seed and its streams, the same words for every op."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def check_noise(noise: Tensor | None, noise_seed: Any, noise_stream: Tensor | None) -> None:
    """ValueError for arguments that contradict one another or a seed beyond 64 bits, TypeError for no whole number."""
    if noise is not None and noise_seed is not None:
        raise ValueError("noise, noise_seed: give the noise or the seed of the noise, not both")
    if noise_stream is not None and noise_seed is None:
        raise ValueError("noise_stream: has no effect without noise_seed: give it, or leave both out")
    if noise_seed is not None and not isinstance(noise_seed, Tensor):
        if isinstance(noise_seed, bool) or not isinstance(noise_seed, (int, torch.SymInt)):
            raise TypeError(f"noise_seed: expected a whole number or a tensor, got {type(noise_seed).__name__}")
        if not -(2**63) <= noise_seed < 2**63:
            raise ValueError(f"noise_seed: expected a number of 64 bits, got {noise_seed}")


def usual_streams(E: int, B: int, like: Tensor) -> Tensor:
    """A stream of its own for each sequence of each model: 2^32 model + sequence, [E, B] int64."""
    models, sequences = (torch.arange(n, device=like.device) for n in (E, B))
    return models[:, None] * 2**32 + sequences
