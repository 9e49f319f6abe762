"""Public function of gated recurrent units: rollout_gru."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from neurorbit.bindings.dispatch import plain
from neurorbit.bindings.operator import Arguments, Operator
from neurorbit.bindings.validation import (
    bind_sizes,
    check_count_type,
    check_counts,
    check_lengths,
    check_tensors,
    checked_once,
    likeness,
)
from neurorbit.kernels.rollout_gru.spec import SPEC

__all__ = ["GruRollout", "rollout_gru"]


class GruRollout(NamedTuple):
    """States h [E, B, T, D, H] of every step, and h_final [E, B, D, H] after the last one of each direction."""

    h: Tensor
    h_final: Tensor


def _fake(arguments: Arguments, options: Arguments) -> tuple[Tensor, ...]:
    W = arguments["W"]
    E, D, H, _ = W.shape
    B, T = _of_sequences(arguments).shape[1:3]
    return W.new_empty(E, B, T, D, H), W.new_empty(E, B, D, H), W.new_empty(E, B, T, D, 4, H)


def _of_sequences(arguments: Arguments) -> Tensor:
    """One of the arguments [., B, T, ...] that there are."""
    found: Tensor = next(arguments[n] for n in ("drive", "y", "x") if arguments[n] is not None)
    return found


def _check(arguments: Arguments, options: Arguments) -> None:
    check_lengths(arguments["lengths"], _of_sequences(arguments).shape[2])
    if arguments["y"] is not None:
        check_counts(arguments["y"], arguments["lengths"])


_OPERATOR = Operator(SPEC, {}, _fake, check=_check)


def _check_inputs(values: dict[str, Any]) -> None:
    """ValueError for inputs that do not belong together."""
    drive, y, x, W_in = (values[n] for n in ("drive", "y", "x", "W_in"))
    if drive is None and y is None and x is None:
        raise ValueError("drive, y, x: give at least one of them")
    if W_in is None and (y is not None or x is not None):
        raise ValueError("W_in: is required with y or x")
    if y is None and x is None and (W_in is not None or values["b_in"] is not None):
        raise ValueError("W_in, b_in: have no effect without y or x: leave them out")
    check_count_type(y)
    lead = _of_sequences(values)
    if not isinstance(lead, Tensor):
        raise TypeError(f"drive, y, x: expected tensors, got {type(lead).__name__}")
    if drive is not None and (drive.ndim != 5 or 0 in drive.shape):
        raise ValueError(f"drive: expected a tensor [E, B, T, D, 3 H], none of them 0, got {list(drive.shape)}")
    if 0 in lead.shape:
        raise ValueError(f"y, x: expected [E or 1, B, T, ..], none of them 0, got {list(lead.shape)}")


def rollout_gru(
    drive: Tensor | None,
    W: Tensor,
    b: Tensor | None = None,
    *,
    y: Tensor | None = None,
    x: Tensor | None = None,
    W_in: Tensor | None = None,
    b_in: Tensor | None = None,
    h0: Tensor | None = None,
    lengths: Tensor | None = None,
    backend: str | None = None,
) -> GruRollout:
    """Roll out E gated recurrent units over B sequences, in one direction or in both at once, in one fused launch.

    With the drive split into x_r, x_z, x_n and h_{t-1} W + b into y_r, y_z, y_n, the gates of `torch.nn.GRU`:
    ``r = sigmoid(x_r + y_r)``, ``z = sigmoid(x_z + y_z)``, ``n = tanh(x_n + r y_n)``, ``h_t = (1 - z) n + z h_{t-1}``.
    Direction 0 runs onward; direction 1 runs backward from each sequence's own end.

    Inputs enter in one of two ways, or in both, and then add up: as a drive, W_ih input + b_ih made by the caller, or
    as counts and signals, ``(y, x) W_in + b_in``. On a CPU counts are then events: a bin costs as much as it has
    neurons that fired and signals that are not 0, and no drive is stored. On a GPU it is one matrix product.

    Args:
        drive: [E, B, T, D, 3 H], D = 1 or 2 directions; 1 <= H <= 1024, float32 or float64; or None.
        W: weights from the state to the gates, [E, D, H, 3 H] (`weight_hh` transposed).
        b: bias beside them, [E, D, 3 H] (`bias_hh`).
        y: counts, [E or 1, B, T, N], uint8, int16 or int32, >= 0 (checked on the CPU alone).
        x: signals, [E or 1, B, T, U], of the dtype of W.
        W_in: weights from y's and then x's columns to the gates, [E, N + U, D, 3 H] (`weight_ih` transposed).
        b_in: bias beside them, [E, D, 3 H] (`bias_ih`).
        h0: state before each direction's first step, [E, B, D, H]; zeros when None.
        lengths: steps of each sequence, integer [E or 1, B]; later rows of h are 0, and what stands there in drive, y
            and x takes no part. Checked on the CPU; on a GPU the caller answers for the range.
        backend: None (numba on cpu, triton on cuda), "numba", "triton" or "reference".

    Returns:
        GruRollout(h [E, B, T, D, H], h_final [E, B, D, H]); `h.flatten(3)` is what `torch.nn.GRU` returns.

    Raises:
        ValueError: shapes, ranges. TypeError: types and dtypes. RuntimeError: the named backend is not installed.

    Differentiable once in drive, W, b, W_in, b_in and h0.
    Source: Cho et al. 2014 (gated recurrent units), in the form of cuDNN: the reset gate acts after the product.
    """
    values: dict[str, Any] = dict(W=W, drive=drive, b=b, y=y, x=x, W_in=W_in, b_in=b_in, h0=h0, lengths=lengths)
    ordinary = isinstance(W, Tensor) and plain(tuple(values.values()))
    if ordinary:
        checked_once(_KNOWN, likeness(values.values()), lambda: _sizes_fit(values))
    else:
        _sizes_fit(values)
    if lengths is not None:
        values["lengths"] = lengths.to(torch.int64)
    return GruRollout(*_OPERATOR(values, backend, ordinary))


_KNOWN: dict[Any, Any] = {}


def _sizes_fit(values: dict[str, Any]) -> bool:
    """True; an error says what does not fit."""
    _check_inputs(values)
    check_tensors(SPEC, values)
    sizes = bind_sizes(SPEC, values, {})
    if sizes["G"] != 3 * sizes["H"]:
        raise ValueError(f"W: expected three gates of H={sizes['H']}, got {sizes['G']} columns")
    rows = sizes.get("N", 0) + sizes.get("U", 0)
    if sizes.get("R", rows) != rows:
        raise ValueError(f"W_in: expected N + U = {rows} rows as y and x have columns, got R={sizes['R']}")
    return True
