"""One form for the error about a setting out of its range."""

from __future__ import annotations

import math


def require(holds: bool, name: str, expected: str, got: object) -> None:
    """ValueError `name: expected ..., got ...` unless it holds; NaN and inf never do."""
    if not holds or (isinstance(got, float) and not math.isfinite(got)):
        raise ValueError(f"{name}: expected {expected}, got {got!r}")
