"""Where models live."""

from __future__ import annotations

import torch


def find_device(name: str) -> torch.device:
    """cpu or cuda; auto is cuda when there is one; RuntimeError when cuda is asked for and missing."""
    if name == "cuda" and not torch.cuda.is_available():
        raise RuntimeError("device: cuda was asked for, but torch finds no CUDA device: use --device cpu")
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(name)
