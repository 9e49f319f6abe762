"""What events must be: whole numbers within the recording; seconds turned into bins."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import Tensor

LARGEST = 2**31 - 1
NEAR = 1e-6  # bins: a time stamp this close to a bin's edge lies on it


def plain_array(name: str, x: Any) -> np.ndarray:
    """x as an array of real numbers; TypeError for anything else."""
    x = x.detach().cpu().numpy() if isinstance(x, Tensor) else x
    if hasattr(x, "toarray"):  # scipy's sparse matrices
        x = x.toarray()
    if isinstance(x, np.ma.MaskedArray):
        if np.ma.getmaskarray(x).any():
            raise ValueError(f"{name}: is masked in places; events have no missing values, fill or cut the gaps")
        x = x.data
    try:
        x = np.asarray(x)
    except ValueError:
        raise ValueError(f"{name}: rows differ in length; expected one array") from None
    if x.dtype.kind == "c":
        raise TypeError(f"{name}: expected real numbers, got {x.dtype}; pass the real part")
    if x.dtype.kind not in "fiub":
        raise TypeError(f"{name}: expected an array of numbers, got {x.dtype}; convert it to integers or float32")
    return x


def finite_matrix(name: str, x: Any, first_bin: int = 0) -> np.ndarray:
    """x [N, T], finite real numbers; ValueError says where they are not."""
    values = plain_array(name, x)
    if values.ndim != 2:
        raise ValueError(f"{name}: expected [N, T], got {list(values.shape)}")
    if values.size == 0:
        raise ValueError(f"{name}: expected [N, T], got {list(values.shape)}: it is empty")
    if values.dtype.kind == "f":
        bad = ~np.isfinite(values)
        if bad.any():
            neuron, t = np.unravel_index(int(bad.argmax()), values.shape)
            raise ValueError(
                f"{name}: {values[neuron, t]} at neuron {neuron}, bin {first_bin + t}; "
                "fill gaps with 0 or cut those bins out"
            )
    return values


def whole_numbers(name: str, x: Any, what: str, offset: int = 0) -> np.ndarray:
    """x [J] as int64; floats are taken when they are whole. `offset` is the number of x[0], for the messages."""
    x = plain_array(name, x)
    if x.ndim != 1:
        raise ValueError(f"{name}: expected {what} [J], got {list(x.shape)}")
    if x.dtype.kind == "f":
        bad = ~np.isfinite(x) | (x != np.rint(x))
        if bad.any():
            at = int(bad.argmax())
            raise ValueError(f"{name}: expected whole {what}, got {x[at]:g} at event {offset + at}")
    far = np.abs(x.astype(np.float64)) > LARGEST
    if far.any():
        at = int(far.argmax())
        raise ValueError(f"{name}: expected {what} below 2**31, got {x[at]} at event {offset + at}")
    return x.astype(np.int64)


def size_of(name: str, value: Any, found: int) -> int:
    """A number of neurons or bins; one more than the largest index found when None."""
    if value is None:
        return found + 1
    number = np.asarray(value)
    if number.size != 1 or number.dtype.kind not in "iuf" or not np.isfinite(number).all():
        raise ValueError(f"{name}: expected one whole number, got {value!r}")
    size = int(number.reshape(-1)[0])
    if size != number.reshape(-1)[0] or not 1 <= size <= LARGEST:
        raise ValueError(f"{name}: expected a whole number from 1 to 2**31 - 1, got {number.reshape(-1)[0]}")
    return size


def within(name: str, x: np.ndarray, size: int, letter: str, mend: str, offset: int = 0) -> None:
    """Every index of x is one of 0 .. size - 1."""
    outside = (x < 0) | (x >= size)
    if outside.any():
        at = int(outside.argmax())
        raise ValueError(f"{name}: expected 0 to {letter} - 1 = {size - 1}, got {x[at]} at event {offset + at}; {mend}")


def bin_width(name: str, bin_s: Any) -> float | None:
    """A bin width in seconds, or None."""
    if bin_s is None:
        return None
    number = np.asarray(bin_s)
    if number.size != 1 or number.dtype.kind not in "iuf" or not (0.0 < number.reshape(-1)[0] < np.inf):
        raise ValueError(f"{name}: expected a width in seconds above 0, got {bin_s!r}")
    return float(number.reshape(-1)[0])


def bins_of(name: str, seconds: np.ndarray, bin_s: float, start_s: float = 0.0, offset: int = 0) -> np.ndarray:
    """floor((seconds - start_s) / bin_s) as int64; a stamp within 1e-6 bins of an edge opens the bin above it."""
    bad = ~np.isfinite(seconds)
    if bad.any():
        at = int(bad.argmax())
        raise ValueError(
            f"{name}: expected finite seconds, got {seconds[at]} at event {offset + at}; leave such spikes out"
        )
    position = (seconds.astype(np.float64) - start_s) / bin_s
    if np.abs(position).max(initial=0.0) > LARGEST:
        raise ValueError(f"{name}: more than 2**31 bins of {bin_s:g} s; are the times in seconds, is bin_s right?")
    nearest = np.rint(position)
    return np.where(np.abs(position - nearest) < NEAR, nearest, np.floor(position)).astype(np.int64)


def time_bins(name: str, times: Any, bin_s: float | None, offset: int = 0) -> np.ndarray:
    """Times [J] as bins: integers are bins already, floats are seconds."""
    values = plain_array(name, times)
    if values.dtype.kind != "f" or values.size == 0:
        return whole_numbers(name, values, "bins", offset)
    if bin_s is None:
        raise ValueError(f"{name}: floats are seconds and need a bin width; give bin_s, or integers for bins")
    return bins_of(name, seconds_of(name, values), bin_s, offset=offset)


def seconds_of(name: str, times: Any) -> np.ndarray:
    """Times [J] in seconds as float64."""
    values = np.atleast_1d(plain_array(name, times))
    if values.ndim != 1:
        raise ValueError(f"{name}: expected times [J], got {list(values.shape)}")
    return values.astype(np.float64)
