"""Shapes, dtypes and devices of an op's arguments, checked once against its KernelSpec."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

import torch
from torch import Tensor

from neurorbit.kernels.spec import Argument, KernelSpec

FLOATS = (torch.float32, torch.float64)
COUNTS = (torch.uint8, torch.int16, torch.int32)
MOST_KNOWN = 1024

T = TypeVar("T")


def _expectation(argument: Argument, value: Tensor, sizes: Mapping[str, int]) -> str:
    def one(dim: str) -> str:
        letter = dim[0]
        return f"{letter}={sizes[letter]}{' or 1' if len(dim) > 1 else ''}" if letter in sizes else letter

    return f"{argument.name}: expected [{', '.join(one(d) for d in argument.dims)}], got {list(value.shape)}"


def bind_sizes(spec: KernelSpec, values: Mapping[str, Tensor | None], known: Mapping[str, int]) -> dict[str, int]:
    """The size of every named dim; ValueError names the argument and the dim that differs and from what."""
    sizes = dict(known)
    origin = dict.fromkeys(known, "the options")
    for argument in spec.arguments:
        value = values[argument.name]
        if value is None:
            continue
        if value.ndim != len(argument.dims):
            raise ValueError(
                f"{_expectation(argument, value, sizes)}: {value.ndim} dims instead of {len(argument.dims)}"
            )
        for dim, size in zip(argument.dims, value.shape, strict=True):
            letter = dim[0]
            if size == 1 and len(dim) > 1:
                continue
            if letter not in sizes:
                sizes[letter], origin[letter] = size, argument.name
            elif sizes[letter] != size:
                raise ValueError(f"{_expectation(argument, value, sizes)}: {letter} differs from {origin[letter]}")
    for letter, limit in spec.limits.items():
        if sizes.get(letter, 0) > limit:
            raise ValueError(f"{origin[letter]}: {letter}={sizes[letter]} is above this op's limit of {limit}")
    return sizes


def check_tensors(spec: KernelSpec, values: Mapping[str, Tensor | None]) -> None:
    """One floating dtype and one device for all; integers where integers belong; no gradient that is not there."""
    first = spec.arguments[0].name
    lead = values[first]
    if not isinstance(lead, Tensor):
        raise TypeError(f"{first}: expected a tensor, got {type(lead).__name__}")
    if lead.dtype not in FLOATS:
        raise TypeError(f"{first}: expected float32 or float64, got {lead.dtype}: convert it with .float()")
    for argument in spec.arguments:
        value = values[argument.name]
        if value is None:
            if not argument.optional:
                raise TypeError(f"{argument.name}: is required")
            continue
        if not isinstance(value, Tensor):
            raise TypeError(f"{argument.name}: expected a tensor, got {type(value).__name__}")
        if value.device != lead.device:
            raise ValueError(f"{argument.name}: expected device {lead.device} as {first}, got {value.device}")
        if argument.integer:
            if value.dtype not in (torch.int64, torch.int32, torch.int16, torch.uint8):
                raise TypeError(f"{argument.name}: expected an integer dtype, got {value.dtype}")
        elif value.dtype != lead.dtype:
            raise TypeError(f"{argument.name}: expected {lead.dtype} as {first}, got {value.dtype}")
        if not argument.gradient and value.requires_grad:
            raise ValueError(f"{argument.name}: requires grad, but its gradient is not implemented: detach it")


def check_lengths(lengths: Tensor | None, steps: int, least: int = 0) -> None:
    """ValueError for a length out of range; they are few enough to be read where nothing waits for a device."""
    if lengths is not None:
        low, high = (x.item() for x in lengths.aminmax())
        if not (least <= low and high <= steps):
            raise ValueError(f"lengths: expected {least} to T={steps}, got {low} to {high}")


def check_count_type(y: Any) -> None:
    """TypeError for counts in a type that the kernels do not read."""
    if isinstance(y, Tensor) and y.dtype not in COUNTS:
        names = ", ".join(str(t).removeprefix("torch.") for t in COUNTS)
        raise TypeError(f"y: expected {names}, got {y.dtype}: convert whole counts with .to(torch.int32)")


def check_counts(y: Tensor, lengths: Tensor | None, mask: Tensor | None = None) -> None:
    """ValueError for a negative count in a valid bin; y [E or 1, B, T, N]."""
    if y.dtype == torch.uint8 or y.min().item() >= 0:
        return
    found = (y < 0).any(-1)  # [E or 1, B, T]
    if lengths is not None:
        found = found & (torch.arange(y.shape[2]) < lengths[..., None])
    if mask is not None:
        found = found & (mask != 0)
    if found.any():
        e, b, t = (int(i) for i in found.nonzero()[0])
        raise ValueError(
            f"y: expected counts >= 0, got a negative one in bin {t} of trial {b} (data {e}): mask the missing bins"
        )


def per_model(value: Tensor | float, E: int, like: Tensor, dtype: torch.dtype) -> Tensor:
    """A number for all models as [E]; a tensor [] or [E] with one per model."""
    if isinstance(value, Tensor):
        return value.expand(E) if value.ndim == 0 else value
    return torch.full((E,), value, dtype=dtype, device=like.device)


def likeness(tensors: Iterable[Tensor | None]) -> tuple[Any, ...]:
    """What the checks of tensors look at."""
    return tuple(x if x is None else (x.shape, x.dtype, x.device, x.requires_grad) for x in tensors)


def checked_once(known: dict[Any, T], key: Any, check: Callable[[], T]) -> T:
    """What `check` returns; arguments like earlier ones, by their key in `known`, are not checked again."""
    found = known.get(key)
    if found is None:
        found = check()
        if len(known) >= MOST_KNOWN:
            known.clear()
        known[key] = found
    return found
