"""Public function of gated recurrent units: rollout_gru."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from neurorbit.bindings.operator import Arguments, Operator
from neurorbit.bindings.validation import bind_sizes, check_lengths, check_tensors
from neurorbit.kernels.rollout_gru.spec import SPEC

__all__ = ["GruRollout", "rollout_gru"]


class GruRollout(NamedTuple):
    """States h [E, B, T, D, H] of every step, and h_final [E, B, D, H] after the last one of each direction."""

    h: Tensor
    h_final: Tensor


def _fake(arguments: Arguments, options: Arguments) -> tuple[Tensor, ...]:
    drive, H = arguments["drive"], arguments["W"].shape[2]
    E, B, T, D, _ = drive.shape
    return drive.new_empty(E, B, T, D, H), drive.new_empty(E, B, D, H), drive.new_empty(E, B, T, D, 4, H)


def _check(arguments: Arguments, options: Arguments) -> None:
    check_lengths(arguments["lengths"], arguments["drive"].shape[2])


_OPERATOR = Operator(SPEC, {}, _fake, check=_check)


def rollout_gru(
    drive: Tensor,
    W: Tensor,
    b: Tensor | None = None,
    *,
    h0: Tensor | None = None,
    lengths: Tensor | None = None,
    backend: str | None = None,
) -> GruRollout:
    """Roll out E gated recurrent units over B sequences, in one direction or in both at once, in one fused launch.

    With the drive split into x_r, x_z, x_n and h_{t-1} W + b into y_r, y_z, y_n, the gates of `torch.nn.GRU`:
    ``r = sigmoid(x_r + y_r)``, ``z = sigmoid(x_z + y_z)``, ``n = tanh(x_n + r y_n)``, ``h_t = (1 - z) n + z h_{t-1}``.
    Direction 0 runs onward; direction 1 runs backward from each sequence's own end. Inputs enter through the drive:
    one matrix product for all steps, W_ih x + b_ih.

    Args:
        drive: [E, B, T, D, 3 H], D = 1 or 2 directions; 1 <= H <= 1024, float32 or float64.
        W: weights from the state to the gates, [E, D, H, 3 H] (`weight_hh` transposed).
        b: bias beside them, [E, D, 3 H] (`bias_hh`).
        h0: state before each direction's first step, [E, B, D, H]; zeros when None.
        lengths: steps of each sequence, integer [E or 1, B]; later rows of h are 0, and what stands there in the drive
            takes no part. Checked on the CPU; on a GPU the caller answers for the range.
        backend: None (numba on cpu, triton on cuda), "numba", "triton" or "reference".

    Returns:
        GruRollout(h [E, B, T, D, H], h_final [E, B, D, H]); `h.flatten(3)` is what `torch.nn.GRU` returns.

    Raises:
        ValueError: shapes, ranges. TypeError: types and dtypes. RuntimeError: the named backend is not installed.

    Differentiable once in drive, W, b and h0.
    Source: Cho et al. 2014 (gated recurrent units), in the form of cuDNN: the reset gate acts after the product.
    """
    if not isinstance(drive, Tensor):
        raise TypeError(f"drive: expected a tensor, got {type(drive).__name__}")
    if drive.ndim != 5 or 0 in drive.shape:
        raise ValueError(f"drive: expected a tensor [E, B, T, D, 3 H], none of them 0, got {list(drive.shape)}")
    values: dict[str, Any] = dict(drive=drive, W=W, b=b, h0=h0, lengths=lengths)
    check_tensors(SPEC, values)
    sizes = bind_sizes(SPEC, values, {})
    if sizes["G"] != 3 * sizes["H"]:
        raise ValueError(f"drive: expected three gates of H={sizes['H']} as in W, got {sizes['G']} columns")
    if lengths is not None:
        values["lengths"] = lengths.to(torch.int64)
    return GruRollout(*_OPERATOR(values, backend))
