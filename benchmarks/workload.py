"""What is measured: a workload, and an implementation that gets it ready as plain calls."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from torch import Tensor

Inputs = dict[str, Tensor]
OURS = "neurorbit"


@dataclass(frozen=True)
class Workload:
    """One size of one piece of work, the phases that are timed, and the ratios that it is meant to reach."""

    name: str
    sizes: Mapping[str, int]
    options: Mapping[str, Any]
    phases: tuple[str, ...] = ("forward", "backward", "step")
    targets: Mapping[str, float] = field(default_factory=dict)

    def resized(self, **sizes: int) -> Workload:
        return replace(self, sizes={**self.sizes, **sizes})


@dataclass(frozen=True)
class Prepared:
    """Calls without arguments: one per phase, what each phase computes as tensors, and the wait for its end."""

    phases: Mapping[str, Callable[[], Any]]
    results: Callable[[str], dict[str, Tensor]]
    wait: Callable[[Any], None]


class Implementation(Protocol):
    """Someone who can do the work."""

    name: str

    def missing(self, workload: Workload, device: str) -> str | None:
        """Why it cannot take part here, or None."""

    def prepare(self, workload: Workload, inputs: Inputs) -> Prepared:
        """Everything that is done once: conversion, compilation, capture."""
