"""What the numba kernels share: compile flags, the lane count as a type, and small dense products."""

import numba
import numpy as np
from numba import types
from numba.extending import overload

FASTMATH = {"reassoc", "contract", "nsz", "arcp"}  # without nnan, ninf: NaN carries meaning
JIT = {"nogil": True, "cache": True, "fastmath": FASTMATH, "error_model": "numpy"}


def width(lanes):
    """Lane count: a constant for a tuple (its type carries it), the value itself for an integer."""
    return len(lanes) if isinstance(lanes, tuple) else lanes


@overload(width, inline="always")
def _width(lanes):
    if isinstance(lanes, types.BaseTuple):
        return lambda lanes: len(lanes)
    return lambda lanes: lanes


@numba.njit(**JIT)
def multiply_add(y, w, x, rows, inner, lanes):
    """y[rows, lanes] += w[rows, inner] x[inner, lanes]; y must not overlap x."""
    n = width(lanes)
    quads = inner // 4 * 4
    pairs = rows // 2 * 2
    for r in range(0, pairs, 2):
        for k in range(0, quads, 4):
            a0, a1, a2, a3 = w[r, k], w[r, k + 1], w[r, k + 2], w[r, k + 3]
            b0, b1, b2, b3 = w[r + 1, k], w[r + 1, k + 1], w[r + 1, k + 2], w[r + 1, k + 3]
            for i in range(n):
                x0, x1, x2, x3 = x[k, i], x[k + 1, i], x[k + 2, i], x[k + 3, i]
                y[r, i] += (a0 * x0 + a1 * x1) + (a2 * x2 + a3 * x3)
                y[r + 1, i] += (b0 * x0 + b1 * x1) + (b2 * x2 + b3 * x3)
        k = quads
        if inner - quads == 3:
            a0, a1, a2 = w[r, k], w[r, k + 1], w[r, k + 2]
            b0, b1, b2 = w[r + 1, k], w[r + 1, k + 1], w[r + 1, k + 2]
            for i in range(n):
                x0, x1, x2 = x[k, i], x[k + 1, i], x[k + 2, i]
                y[r, i] += a0 * x0 + a1 * x1 + a2 * x2
                y[r + 1, i] += b0 * x0 + b1 * x1 + b2 * x2
        else:
            for k in range(quads, inner):
                a0, b0 = w[r, k], w[r + 1, k]
                for i in range(n):
                    y[r, i] += a0 * x[k, i]
                    y[r + 1, i] += b0 * x[k, i]
    for r in range(pairs, rows):
        for k in range(0, quads, 4):
            a0, a1, a2, a3 = w[r, k], w[r, k + 1], w[r, k + 2], w[r, k + 3]
            for i in range(n):
                y[r, i] += (a0 * x[k, i] + a1 * x[k + 1, i]) + (a2 * x[k + 2, i] + a3 * x[k + 3, i])
        for k in range(quads, inner):
            a0 = w[r, k]
            for i in range(n):
                y[r, i] += a0 * x[k, i]


@numba.njit(**JIT)
def outer_add(g, row, x, rows, n):
    """g[k] += sum_i row[i] x[k, i] for k < rows: one row against many, over n contiguous values."""
    quads = rows // 4 * 4
    zero = row.dtype.type(0)
    for k in range(0, quads, 4):
        s0, s1, s2, s3 = zero, zero, zero, zero
        for i in range(n):
            v = row[i]
            s0 += v * x[k, i]
            s1 += v * x[k + 1, i]
            s2 += v * x[k + 2, i]
            s3 += v * x[k + 3, i]
        g[k] += s0
        g[k + 1] += s1
        g[k + 2] += s2
        g[k + 3] += s3
    for k in range(quads, rows):
        s0 = zero
        for i in range(n):
            s0 += row[i] * x[k, i]
        g[k] += s0


def array(tensor, dtype, missing: tuple[int, ...]) -> np.ndarray:
    """C-contiguous numpy view of a tensor, or an empty array of shape `missing` in its place."""
    if tensor is None:
        return np.empty(missing, dtype)
    return tensor.detach().contiguous().numpy()
