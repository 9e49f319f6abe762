"""Observed time series: one or several sequences of the same variables, with inputs, NaN where nothing was observed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class TimeSeries:
    """Sequences [T_i, N] of observations and, optionally, [T_i, U] of external inputs, float32; NaN = not observed.

    Build it with `from_arrays`, which checks everything.
    """

    values: tuple[Tensor, ...]
    inputs: tuple[Tensor, ...] | None = None

    @classmethod
    def from_arrays(cls, x: Any, inputs: Any = None, *, name: str = "x", inputs_name: str = "inputs") -> TimeSeries:
        """Checked copy of x, as float32 on the CPU.

        Args:
            x: [T, N], [S, T, N] (S sequences), or a list of [T_i, N];
                arrays or tensors of floats, integers or booleans.
            inputs: as x, [.., U] in place of [.., N]; no NaN.
            name, inputs_name: what the messages call the two.
        Raises:
            TypeError for types other than those; ValueError for shapes and values.
        """
        values = _sequences(name, x, "N")
        for i in range(values[0].shape[1]):
            if all(bool(v[:, i].isnan().all()) for v in values):
                raise ValueError(f"{name}: variable {i} is NaN throughout; leave that column out")
        if inputs is None:
            return cls(values)
        u = _sequences(inputs_name, inputs, "U")
        if len(u) != len(values):
            raise ValueError(f"{inputs_name}: expected {len(values)} sequences as in {name}, got {len(u)}")
        for i, (xi, ui) in enumerate(zip(values, u, strict=True)):
            if len(xi) != len(ui):
                which = inputs_name if len(u) == 1 else f"{inputs_name}[{i}]"
                raise ValueError(
                    f"{which}: expected [T={len(xi)}, U={ui.shape[1]}], got {list(ui.shape)}: T differs from {name}"
                )
            if ui.isnan().any():
                raise ValueError(
                    f"{inputs_name}: NaN in sequence {i}; inputs must be known at every step, fill the gaps"
                )
        return cls(values, u)

    @property
    def n_observed(self) -> int:
        """N, the number of observed variables."""
        return self.values[0].shape[1]

    @property
    def n_inputs(self) -> int:
        """U, 0 without inputs."""
        return 0 if self.inputs is None else self.inputs[0].shape[1]

    @property
    def lengths(self) -> tuple[int, ...]:
        """T_i of each sequence."""
        return tuple(len(v) for v in self.values)

    @property
    def total_steps(self) -> int:
        return sum(self.lengths)

    def longest(self) -> Tensor:
        """Observations [T, N] of the longest sequence, the first of them when several are as long."""
        return max(self.values, key=len)


def to_float32(name: str, x: Any, letter: str = "N") -> np.ndarray:
    """A float32 copy of x in C order, or an error that says what x should have been."""
    if isinstance(x, Tensor):
        if x.dtype == torch.bfloat16:
            raise TypeError(f"{name}: expected float32, float64 or integers, got bfloat16; {_HALF}")
        x = x.detach().cpu().numpy()
    elif isinstance(x, np.ma.MaskedArray):
        real = x.dtype.kind in "fiub" and x.dtype != np.float16
        x = np.where(np.ma.getmaskarray(x), np.nan, x.data) if real else x.data
    try:
        x = np.asarray(x)
    except ValueError:
        raise ValueError(
            f"{name}: rows differ in length; pass a list of arrays [T_i, N] for several sequences"
        ) from None
    kind = x.dtype.kind
    if kind == "c":
        raise TypeError(f"{name}: expected real numbers, got {x.dtype}; pass real and imaginary part as two variables")
    if x.dtype == np.float16:
        raise TypeError(f"{name}: expected float32, float64 or integers, got float16; {_HALF}")
    if kind not in "fiub":
        raise TypeError(f"{name}: expected an array of numbers, got {_dtype_word(x)}; convert it to float32")
    with np.errstate(over="ignore"):
        y = x.astype(np.float32, order="C", copy=True)
    if kind != "b" and not (finite := np.isfinite(y) | np.isnan(y)).all():
        where = tuple(int(i) for i in np.argwhere(~finite)[0])
        if np.isinf(x[where]):
            mend = "mark missing observations with NaN" if letter == "N" else "inputs must be finite at every step"
            raise ValueError(f"{name}: infinite at {list(where)}; {mend}")
        raise ValueError(f"{name}: {x[where]:.3g} at {list(where)} is too large for float32; rescale the data")
    return y


_HALF = "it holds three digits only; convert it with .astype('float32') if that is enough"


def _dtype_word(x: np.ndarray) -> str:
    return {"O": "objects", "U": "text", "S": "text", "M": "dates", "m": "time spans", "V": "records"}.get(
        x.dtype.kind, str(x.dtype)
    )


def _sequences(name: str, x: Any, letter: str) -> tuple[Tensor, ...]:
    """x as checked sequences [T_i, letter]."""
    if isinstance(x, list | tuple):
        if not x:
            raise ValueError(f"{name}: expected at least one sequence [T, {letter}], got an empty list")
        if not all(hasattr(s, "shape") for s in x):
            raise TypeError(f"{name}: expected an array or a list of arrays [T, {letter}], got a list of "
                            f"{type(x[0]).__name__}; wrap it in numpy.asarray")  # fmt: skip
        arrays = [_matrix(f"{name}[{i}]", s, letter, f"[T, {letter}]") for i, s in enumerate(x)]
    else:
        ndim = np.ndim(x) if not isinstance(x, Tensor) else x.ndim
        if ndim == 3:
            if 0 in np.shape(x):
                raise ValueError(f"{name}: expected [S, T, {letter}], got {list(np.shape(x))}: it is empty")
            arrays = list(to_float32(name, x, letter))
        else:
            arrays = [_matrix(name, x, letter, f"[T, {letter}] or [S, T, {letter}]")]
    widths = [a.shape[1] for a in arrays]
    for i, width in enumerate(widths):
        if width != widths[0]:
            raise ValueError(f"{name}[{i}]: expected {letter}={widths[0]} as in the first sequence, got {width}")
    return tuple(torch.from_numpy(a) for a in arrays)


def _matrix(name: str, x: Any, letter: str, expected: str) -> np.ndarray:
    y = to_float32(name, x, letter)
    shape = list(y.shape)
    if y.ndim == 1:
        raise ValueError(
            f"{name}: expected [T, {letter}], got {shape}; a single variable has the shape [T, 1], x[:, None]"
        )
    if y.ndim != 2:
        raise ValueError(f"{name}: expected {expected}, got {shape}")
    if y.size == 0:
        raise ValueError(f"{name}: expected [T, {letter}], got {shape}: it is empty")
    return y


def sequence_array(x: Sequence[Tensor]) -> Tensor:
    """All sequences one after the other, [sum T_i, N]."""
    return x[0] if len(x) == 1 else torch.cat(tuple(x))
