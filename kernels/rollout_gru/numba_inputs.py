"""What a bin's counts and signals add to the gates, one event after another, and the gradient of their weights."""

import numba

from neurorbit.kernels.numba_common import LANES, fma, splat
from neurorbit.kernels.numba_counts_common import above, count_at, lowest_bit
from neurorbit.kernels.numba_functions_common import load_at, load_first, store_at, store_first
from neurorbit.kernels.numba_math_common import INLINE

VECTORS = 5  # side by side in registers while the events pass
WIDTH = VECTORS * LANES


@numba.njit(**INLINE)
def list_events(rows, values, code, address, y0, N, end, x, x0, U):
    """The rows of the input weights that a bin meets, and by which factors; returns how many there are.

    Counts number y0 .. y0 + N - 1 of `end` behind the address, then the signals x[x0 .. x0 + U - 1].
    """
    n = 0
    for first in range(0, N, 64):
        bits = above(0, code, address, y0 + first, N - first, end)
        while bits != 0:
            i = first + lowest_bit(bits)
            bits &= bits - 1
            rows[n], values[n] = i, count_at(code, address, y0 + i)
            n += 1
    for u in range(U):
        if x[x0 + u] != 0:
            rows[n], values[n] = N + u, x[x0 + u]
            n += 1
    return n


@numba.njit(**INLINE)
def input_row(out, bias, has_bias, weights, first, step, rows, values, n, G):
    """out[j] = bias[j] + sum over k < n of values[k] weights[first + rows[k] step + j], for j < G."""
    zero = splat(out.dtype.type(0))
    whole = G // WIDTH * WIDTH
    for j in range(0, whole, WIDTH):
        j1, j2, j3, j4 = j + LANES, j + 2 * LANES, j + 3 * LANES, j + 4 * LANES
        a, b, c, d, e = zero, zero, zero, zero, zero
        if has_bias:
            a, b, c, d = load_at(bias, j), load_at(bias, j1), load_at(bias, j2), load_at(bias, j3)
            e = load_at(bias, j4)
        for k in range(n):
            value, at = splat(values[k]), first + rows[k] * step
            a, b = fma(value, load_at(weights, at + j), a), fma(value, load_at(weights, at + j1), b)
            c, d = fma(value, load_at(weights, at + j2), c), fma(value, load_at(weights, at + j3), d)
            e = fma(value, load_at(weights, at + j4), e)
        store_at(out, j, a)
        store_at(out, j1, b)
        store_at(out, j2, c)
        store_at(out, j3, d)
        store_at(out, j4, e)
    for j in range(whole, G, LANES):
        left = G - j
        a = load_first(bias, j, left) if has_bias else zero
        for k in range(n):
            a = fma(splat(values[k]), load_first(weights, first + rows[k] * step + j, left), a)
        store_first(out, j, a, left)


@numba.njit(**INLINE)
def add_input_gradient(sums, gradient, rows, values, n, width):
    """sums[rows[k] width + j] += values[k] gradient[j] for all k < n, j < width, a multiple of LANES."""
    whole = width // WIDTH * WIDTH
    for j in range(0, whole, WIDTH):
        a, b, c = load_at(gradient, j), load_at(gradient, j + LANES), load_at(gradient, j + 2 * LANES)
        d, e = load_at(gradient, j + 3 * LANES), load_at(gradient, j + 4 * LANES)
        for k in range(n):
            value, at = splat(values[k]), rows[k] * width + j
            store_at(sums, at, fma(value, a, load_at(sums, at)))
            store_at(sums, at + LANES, fma(value, b, load_at(sums, at + LANES)))
            store_at(sums, at + 2 * LANES, fma(value, c, load_at(sums, at + 2 * LANES)))
            store_at(sums, at + 3 * LANES, fma(value, d, load_at(sums, at + 3 * LANES)))
            store_at(sums, at + 4 * LANES, fma(value, e, load_at(sums, at + 4 * LANES)))
    for j in range(whole, width, LANES):
        a = load_at(gradient, j)
        for k in range(n):
            at = rows[k] * width + j
            store_at(sums, at, fma(splat(values[k]), a, load_at(sums, at)))
