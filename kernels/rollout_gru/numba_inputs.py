"""What a bin's counts and signals add to the gates, one event after another, and the gradient of their weights."""

import numba

from neurorbit.kernels.numba_common import JIT, LANES, fma, splat
from neurorbit.kernels.numba_counts_common import above, count_at, lowest_bit
from neurorbit.kernels.numba_functions_common import load_first, store_first

VECTORS = 4  # side by side in registers while the events pass


@numba.njit(**JIT)
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


@numba.njit(**JIT)
def input_row(out, bias, has_bias, weights, first, step, rows, values, n, G):
    """out[j] = bias[j] + sum over k < n of values[k] weights[first + rows[k] step + j], for j < G."""
    zero = splat(out.dtype.type(0))
    for j in range(0, G, VECTORS * LANES):
        j1, j2, j3, left = j + LANES, j + 2 * LANES, j + 3 * LANES, G - j
        a, b, c, d = zero, zero, zero, zero
        if has_bias:
            a, b = load_first(bias, j, left), load_first(bias, j1, left - LANES)
            c, d = load_first(bias, j2, left - 2 * LANES), load_first(bias, j3, left - 3 * LANES)
        for k in range(n):
            value, at = splat(values[k]), first + rows[k] * step
            a = fma(value, load_first(weights, at + j, left), a)
            b = fma(value, load_first(weights, at + j1, left - LANES), b)
            c = fma(value, load_first(weights, at + j2, left - 2 * LANES), c)
            d = fma(value, load_first(weights, at + j3, left - 3 * LANES), d)
        store_first(out, j, a, left)
        store_first(out, j1, b, left - LANES)
        store_first(out, j2, c, left - 2 * LANES)
        store_first(out, j3, d, left - 3 * LANES)


@numba.njit(**JIT)
def add_input_gradient(sums, gradient, rows, values, n, width):
    """sums[rows[k] width + j] += values[k] gradient[j] for all k < n, j < width."""
    for j in range(0, width, VECTORS * LANES):
        j1, j2, j3, left = j + LANES, j + 2 * LANES, j + 3 * LANES, width - j
        a, b = load_first(gradient, j, left), load_first(gradient, j1, left - LANES)
        c, d = load_first(gradient, j2, left - 2 * LANES), load_first(gradient, j3, left - 3 * LANES)
        for k in range(n):
            value, at = splat(values[k]), rows[k] * width
            store_first(sums, at + j, fma(value, a, load_first(sums, at + j, left)), left)
            store_first(sums, at + j1, fma(value, b, load_first(sums, at + j1, left - LANES)), left - LANES)
            store_first(sums, at + j2, fma(value, c, load_first(sums, at + j2, left - 2 * LANES)), left - 2 * LANES)
            store_first(sums, at + j3, fma(value, d, load_first(sums, at + j3, left - 3 * LANES)), left - 3 * LANES)
