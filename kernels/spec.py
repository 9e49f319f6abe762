"""KernelSpec: data that describes one op. Validation, tests and benchmarks read it; nothing here computes a result."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

Sizes = Mapping[str, int]
Arguments = dict[str, Any]


@dataclass(frozen=True)
class Argument:
    """One tensor argument: its named dims ("E|1" may also be 1, shared by all models), dtype and gradient."""

    name: str
    dims: tuple[str, ...]
    meaning: str
    integer: bool = False
    gradient: bool = True
    optional: bool = False


@dataclass(frozen=True)
class Case:
    """One test case: sizes of the dims, the options, and which optional arguments are present."""

    name: str
    sizes: Sizes
    options: Mapping[str, Any]
    present: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Work:
    """Floating-point operations and the fewest bytes moved, of one call."""

    forward_flops: int
    backward_flops: int
    forward_bytes: int
    backward_bytes: int


@dataclass(frozen=True)
class KernelSpec:
    """Everything about an op that is not arithmetic."""

    name: str
    arguments: tuple[Argument, ...]
    outputs: Mapping[str, tuple[str, ...]]
    saved: tuple[str, ...]
    cases: tuple[Case, ...]
    sample: Callable[[Case, torch.Generator, torch.dtype], Arguments]
    work: Callable[[Sizes, Mapping[str, Any], int], Work]
    time_arguments: Mapping[str, int] = field(default_factory=dict)
    limits: Mapping[str, int] = field(default_factory=dict)

    @property
    def argument_names(self) -> tuple[str, ...]:
        return tuple(a.name for a in self.arguments)

    @property
    def differentiable(self) -> tuple[str, ...]:
        return tuple(a.name for a in self.arguments if a.gradient)
