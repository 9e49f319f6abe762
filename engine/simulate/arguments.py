"""Checks of what the generators of spikes are asked for."""

from __future__ import annotations

import math
from typing import Any

import numpy as np


def whole(name: str, value: Any, least: int, most: int | None = None) -> int:
    """A whole number, `least` or more, `most` or less."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise TypeError(f"{name}: expected a whole number, got {value!r}")
    if value < least:
        raise ValueError(f"{name}: expected {least} or more, got {value}")
    if most is not None and value > most:
        raise ValueError(f"{name}: expected at most {most}, got {value}")
    return int(value)


def number(name: str, value: Any, least: float, most: float, what: str) -> float:
    """A finite number within the two limits."""
    if isinstance(value, bool) or not isinstance(value, int | float | np.integer | np.floating):
        raise TypeError(f"{name}: expected {what}, got {value!r}")
    if not (math.isfinite(value) and least <= value <= most):
        above = f", at most {most:g}" if value > most and what.endswith("or more") else ""
        raise ValueError(f"{name}: expected {what}{above}, got {value}")
    return float(value)


def rate(value: Any) -> float:
    return number("rate_hz", value, 0.0, 1e6, "a rate of 0 or more")


def bin_width_s(value: Any) -> float:
    return number("bin_s", value, 1e-9, 1e9, "a bin width in seconds above 0")
