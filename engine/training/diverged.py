"""Runs that left the finite numbers in training: who is left, which of those is best, how the lost are named."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Protocol

from torch import Tensor


class Trained(Protocol):
    """A fitted ensemble; diverged [E] tells of which runs a last good state was kept, no more."""

    @property
    def members(self) -> Sequence[Any]:
        """The runs, each with its `label`."""

    @property
    def diverged(self) -> Tensor:
        """[E], bool."""


def surviving(fitted: Trained) -> list[int]:
    """The runs that did not diverge."""
    found: list[int] = (~fitted.diverged).nonzero().flatten().tolist()
    return found


def best_surviving(fitted: Trained, values: Tensor) -> int:
    """The run with the lowest of the values [E] among those that did not diverge; ValueError when none is left."""
    check_any_survives([fitted])
    numbers = values.nan_to_num(nan=math.inf).tolist()
    return min(surviving(fitted), key=lambda e: numbers[e])


def check_any_survives(fits: Sequence[Trained], name: str = "") -> None:
    """ValueError when every run diverged; name: of what was fitted, for the message."""
    if not any(surviving(fitted) for fitted in fits):
        raise ValueError(
            f"{name and f'{name}: '}every run diverged in training, so there is nothing to measure: fit again with a "
            "lower training.learning_rate or with training.gradient_clip"
        )


def lost_runs(fits: Sequence[Trained]) -> list[int]:
    """The numbers of the runs that diverged, counted through all the fits."""
    flags = [gone for fitted in fits for gone in fitted.diverged.tolist()]
    return [run for run, gone in enumerate(flags) if gone]


def lost_sentence(fits: Sequence[Trained], left_out_of: str) -> str:
    """Names the runs that diverged, "" when there are none; left_out_of: where they take no part."""
    labels = [m.label for fitted in fits for m in fitted.members]
    lost = [labels[run] for run in lost_runs(fits)]
    if not lost:
        return ""
    return f"{len(lost)} of {len(labels)} runs diverged, left out of {left_out_of}: {'; '.join(lost)}"
