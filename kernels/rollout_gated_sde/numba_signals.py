"""Signals times their weights inside the rollout: the drive of a block's sequences for a chunk of steps, and back.

A sequence's rows are multiplied in tiles of registers (`add_product`) in memory of the thread's own, where the columns
past the last that it touches belong to no one else.
"""

import math

import numba
import torch

from neurorbit.kernels.numba_common import JIT, LANES
from neurorbit.kernels.numba_product_common import add_product, padded_width, panel_width
from neurorbit.kernels.numba_rows_common import at, numbers
from neurorbit.kernels.rollout_gated_sde.numba_functions import fill_zero, lanes_out

SIGNALS = 38  # where the signals begin in the parameter block, as `signals_of` lists them
X, E, WEIGHTS, DE, DWEIGHTS = range(SIGNALS, SIGNALS + 5)
COUNT = 12


def signals_of(x, e, V, D: int, dtype, chunk: int, wants_e: bool, wants_V: bool) -> tuple[list[int], list[int]]:
    """Numbers of the parameter block after the tensors' own, and the parts of the scratch buffer in rows of LANES.

    From the shapes of x, e and V: columns of x and e; numbers of x from model to model; width of a panel; numbers from
    row to row of what is driven and of de, and from sequence to sequence of what is driven.
    """
    if V is None:
        return [0] * (COUNT - 5), [0] * 5
    U, S = (0 if v is None else v[3] for v in (x, e))
    row, e_row, whole = row_of(D, dtype), row_of(S, dtype), padded_width(D, dtype)
    parts = [chunk * row * LANES, (U + S) * whole, D * padded_width(S, dtype) if wants_e else 0]
    parts += [chunk * e_row if wants_e else 0, chunk * whole if wants_V else 0]
    return [U, S, step_of(x), panel_width(dtype), row, e_row, chunk * row], [-(-n // LANES) for n in parts]


def step_of(shape) -> int:
    """Numbers from one model to the next; 0 where all share one."""
    return 0 if shape is None or shape[0] == 1 else math.prod(shape[1:])


def row_of(columns: int, dtype: torch.dtype) -> int:
    """Numbers from row to row of what `add_product` writes: whole halves of panels."""
    half = panel_width(dtype) // 2
    return -(-columns // half) * half


@numba.njit(**JIT)
def pack(panels, rows, K, J, step, width):
    """Panels of a matrix of K rows of J numbers that are `step` apart, zeros past J: what `add_product` reads."""
    for j in range(0, J, width):
        whole = min(width, J - j)
        for k in range(K):
            to, source = at(panels, j * K + k * width), at(rows, k * step + j)
            for l in range(whole):
                to[l] = source[l]
            for l in range(whole, width):
                to[l] = 0


@numba.njit(**JIT)
def pack_turned(panels, rows, K, J, width):
    """The same of the transposed matrix: K columns of rows [J, K]."""
    for j in range(0, J, width):
        for k in range(K):
            to, source = at(panels, j * K + k * width), at(rows, j * K + k)
            for l in range(width):
                to[l] = source[l * K] if j + l < J else 0


@numba.njit(**JIT)
def pack_weights(p, packed, turned, model, D, like):
    """A model's weights in panels: of x, of e, and where e has a gradient those of e the other way round."""
    U, S, width = p[SIGNALS + 5], p[SIGNALS + 6], p[SIGNALS + 8]
    V = numbers(p, WEIGHTS, model * (U + S) * D, like)
    pack(packed, V, U, D, D, width)
    pack(at(packed, U * padded(D, width)), at(V, U * D), S, D, D, width)
    if p[DE]:
        pack_turned(turned, at(V, U * D), D, S, width)


@numba.njit(**JIT)
def padded(columns, width):
    """Columns, filled up to whole panels."""
    return (columns + width - 1) // width * width


@numba.njit(**JIT)
def steps_inside(steps, i, t0, n):
    """How many of the steps t0 .. t0 + n - 1 the sequence of lane i has."""
    return min(n, max(0, int(steps[i]) - t0))


@numba.njit(**JIT)
def signals_in(p, driven, packed, drive, has_drive, steps, model, b0, count, t0, n, T, D, B, like):
    """The drive [n, D] of each sequence from step t0 on, zeros past its end: what is given, and x and e times V."""
    U, S, width, row, apart = p[SIGNALS + 5], p[SIGNALS + 6], p[SIGNALS + 8], p[SIGNALS + 9], p[SIGNALS + 11]
    panels = numba.carray(packed, ((U + S) * padded(D, width),))
    for i in range(count):
        inside, y, place = steps_inside(steps, i, t0, n), at(driven, i * apart), (b0 + i) * T + t0
        for t in range(inside):
            given, to = at(drive, (i * T + t0 + t) * D), at(y, t * row)
            first = 0
            if has_drive:
                for j in range(D):
                    to[j] = given[j]
                first = D
            for j in range(first, row):
                to[j] = 0
        found = numba.carray(y, (n * row,))
        if U:
            x = numba.carray(numbers(p, X, model * p[SIGNALS + 7] + place * U, like), (inside * U,))
            add_product(found, 0, row, x, 0, U, 1, panels, 0, U, inside, D, width)
        if S:
            e = numba.carray(numbers(p, E, (model * B * T + place) * S, like), (inside * S,))
            add_product(found, 0, row, e, 0, S, 1, panels, U * padded(D, width), S, inside, D, width)
        if row > D:
            for t in range(1, inside):
                for j in range(D):
                    y[t * D + j] = y[t * row + j]
        for j in range(inside * D, n * D):
            y[j] = 0


@numba.njit(**JIT)
def signals_back(p, driven, turned, e_rows, panels, sums, slopes, steps, model, b0, count, t0, n, T, D, B, like, spare):
    """From the slopes of the first layer: adds to the sums of V's gradient [R, row], and writes the rows of e's."""
    U, S, width, row = p[SIGNALS + 5], p[SIGNALS + 6], p[SIGNALS + 8], p[SIGNALS + 9]
    e_row, apart = p[SIGNALS + 10], p[SIGNALS + 11]
    lanes_out(driven, apart, slopes, count, n * D, spare)
    packed, total = numba.carray(panels, (n * padded(D, width),)), numba.carray(sums, ((U + S) * row,))
    weights, rows = numba.carray(turned, (D * padded(S, width),)), numba.carray(e_rows, (n * e_row,))
    for i in range(count):
        inside, place = steps_inside(steps, i, t0, n), (b0 + i) * T + t0
        if inside == 0:
            continue
        y = at(driven, i * apart)
        if p[DWEIGHTS]:
            pack(panels, y, inside, D, D, width)
            if U:
                x = numba.carray(numbers(p, X, model * p[SIGNALS + 7] + place * U, like), (inside * U,))
                add_product(total, 0, row, x, 0, 1, U, packed, 0, inside, U, D, width)
            if S:
                e = numba.carray(numbers(p, E, (model * B * T + place) * S, like), (inside * S,))
                add_product(total, U * row, row, e, 0, 1, S, packed, 0, inside, S, D, width)
        if p[DE]:
            for j in range(inside * e_row):
                e_rows[j] = 0
            slope = numba.carray(y, (inside * D,))
            add_product(rows, 0, e_row, slope, 0, D, 1, weights, 0, D, inside, S, width)
            out = numbers(p, DE, (model * B * T + place) * S, like)
            for t in range(inside):
                for j in range(S):
                    out[t * S + j] = e_rows[t * e_row + j]


@numba.njit(**JIT)
def no_signals_past_end(p, steps, model, b0, count, T, B, like):
    """Zeros in the gradient of e past the end of each sequence."""
    S = p[SIGNALS + 6]
    for i in range(count):
        out = numbers(p, DE, (model * B + b0 + i) * T * S, like)
        fill_zero(out, 0, 1, int(steps[i]) * S, T * S)
