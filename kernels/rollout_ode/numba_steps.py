"""Some steps of sixteen initial states, forward and adjoint, for both forms of field: tuples and arrays."""

import numba

from neurorbit.kernels.numba_common import JIT, LANES, fma
from neurorbit.kernels.numba_math_common import INLINE, constant
from neurorbit.kernels.numba_rows_common import at, load_row, spread_at, store_row
from neurorbit.kernels.rollout_ode.numba_field_type import (
    add_tuples,
    adds_inputs,
    derivative,
    dispatch,
    fma_tuples,
    input_gradients,
    own_inputs,
    pull_back,
    rows_at,
    splats_at,
    store_rows,
    times_tuple,
    with_inputs,
    zeros_of,
)


@numba.njit(**INLINE)
def one_step(field, state, numbers, u, p, tableau, S):
    """The state after one step; p tells the type of the numbers."""
    k, sum_k = zeros_of(field, "M", p), zeros_of(field, "M", p)
    for s in range(S):
        y = fma_tuples(spread_at(tableau, s), k, state)
        k = with_inputs(field, derivative(field, y, numbers, own_inputs(field, u)), u)
        sum_k = fma_tuples(spread_at(tableau, S + 1 + s), k, sum_k)
    return add_tuples(state, sum_k)


@numba.njit(**JIT)
def advance_states(field, z, out, left, every, drives, n, p, tableau, S, work, M, H, U):
    """n steps from z [M rows]; a state goes into out after `left` steps, then after `every`; returns (kept, left)."""
    numbers = splats_at(field, "P", p)
    state, kept = rows_at(field, "M", z, 0), 0
    for i in range(n):
        state = one_step(field, state, numbers, rows_at(field, "U", drives, i * U), p, tableau, S)
        left -= 1
        if left == 0:
            store_rows(out, kept * M, state)
            kept += 1
            left = every
    store_rows(z, 0, state)
    return kept, left


@numba.njit(**JIT)
def advance_pair(field, z, out, left, every, drives, n, p, tableau, S, chunk, M, U):
    """As advance_states for two blocks at once, which hide each other's latency; the second `chunk` steps behind."""
    numbers = splats_at(field, "P", p)
    a, b, kept = rows_at(field, "M", z, 0), rows_at(field, "M", z, M), 0
    for i in range(n):
        a = one_step(field, a, numbers, rows_at(field, "U", drives, i * U), p, tableau, S)
        b = one_step(field, b, numbers, rows_at(field, "U", drives, (chunk + i) * U), p, tableau, S)
        left -= 1
        if left == 0:
            store_rows(out, kept * M, a)
            store_rows(out, (chunk + kept) * M, b)
            kept += 1
            left = every
    store_rows(z, 0, a)
    store_rows(z, M, b)
    return kept, left


@numba.njit(**JIT)
def retreat_states(field, g, dp, dus, dzs, every_step, zp, drives, n, p, tableau, S, stages, work, M, H, U):
    """The adjoint of n steps, last one first: g [M rows] in and out; adds to dp; writes dus; zp: states before."""
    numbers = splats_at(field, "P", p)
    back, sums = rows_at(field, "M", g, 0), rows_at(field, "P", dp, 0)
    last = S - 1
    for i in range(n - 1, -1, -1):
        if every_step:
            back = add_tuples(back, rows_at(field, "M", dzs, i * M))
        u = rows_at(field, "U", drives, i * U)
        state, k = rows_at(field, "M", zp, i * M), zeros_of(field, "M", g)
        for s in range(last):
            y = fma_tuples(spread_at(tableau, s), k, state)
            store_rows(stages, s * M, y)
            k = with_inputs(field, derivative(field, y, numbers, own_inputs(field, u)), u)
        y = fma_tuples(spread_at(tableau, last), k, state)
        store_rows(stages, last * M, y)
        new, dy, sum_u = back, zeros_of(field, "M", g), zeros_of(field, "U", g)
        for s in range(last, -1, -1):
            dk = fma_tuples(spread_at(tableau, s + 1), dy, times_tuple(spread_at(tableau, S + 1 + s), back))
            dy, part, du = pull_back(field, rows_at(field, "M", stages, s * M), numbers, own_inputs(field, u), dk)
            new, sums = add_tuples(new, dy), add_tuples(sums, part)
            sum_u = add_tuples(sum_u, input_gradients(field, dk, du))
        store_rows(dus, i * U, sum_u)
        back = new
    store_rows(g, 0, back)
    store_rows(dp, 0, sums)


@numba.njit(**JIT)
def row(p, i):
    """The pointer, i rows on."""
    return at(p, i * LANES)


@numba.njit(**JIT)
def evaluate(field, k, y, numbers, u, work, M, H, U):
    """k = f(y), inputs included."""
    derivative(field, k, y, numbers, u, work, M, H, U)
    if adds_inputs(field):
        for m in range(M):
            store_row(k, m, load_row(k, m) + load_row(u, m))


@numba.njit(**JIT)
def advance_rows(field, z, out, left, every, drives, n, p, tableau, S, work, M, H, U):
    """As advance_states; the state is in memory."""
    zero = constant(0.0, load_row(z, 0))
    y, k, sum_k, rest, kept = work, row(work, M), row(work, 2 * M), row(work, 3 * M), 0
    for i in range(n):
        u = row(drives, i * U)
        for s in range(S):
            a, b = spread_at(tableau, s), spread_at(tableau, S + 1 + s)
            for m in range(M):
                store_row(y, m, load_row(z, m) if s == 0 else fma(a, load_row(k, m), load_row(z, m)))
            evaluate(field, k, y, p, u, rest, M, H, U)
            for m in range(M):
                store_row(sum_k, m, fma(b, load_row(k, m), zero if s == 0 else load_row(sum_k, m)))
        left -= 1
        for m in range(M):
            value = load_row(z, m) + load_row(sum_k, m)
            store_row(z, m, value)
            if left == 0:
                store_row(out, kept * M + m, value)
        if left == 0:
            kept += 1
            left = every
    return kept, left


@numba.njit(**JIT)
def retreat_rows(field, g, dp, dus, dzs, every_step, zp, drives, n, p, tableau, S, stages, work, M, H, U):
    """As retreat_states; the state is in memory."""
    zero = constant(0.0, load_row(g, 0))
    k, dy, dk, new, rest = work, row(work, M), row(work, 2 * M), row(work, 3 * M), row(work, 4 * M)
    last = S - 1
    for i in range(n - 1, -1, -1):
        u, du, z = row(drives, i * U), row(dus, i * U), row(zp, i * M)
        for m in range(U):
            store_row(du, m, zero)
        for m in range(M):
            back = load_row(g, m) + load_row(dzs, i * M + m) if every_step else load_row(g, m)
            store_row(g, m, back)
            store_row(new, m, back)
            store_row(stages, m, load_row(z, m))
        for s in range(last):
            evaluate(field, k, row(stages, s * M), p, u, rest, M, H, U)
            a = spread_at(tableau, s + 1)
            for m in range(M):
                store_row(stages, (s + 1) * M + m, fma(a, load_row(k, m), load_row(z, m)))
        for s in range(last, -1, -1):
            a, b = spread_at(tableau, s + 1), spread_at(tableau, S + 1 + s)
            for m in range(M):
                own = b * load_row(g, m)
                own = own if s == last else fma(a, load_row(dy, m), own)
                store_row(dk, m, own)
                if adds_inputs(field):
                    store_row(du, m, load_row(du, m) + own)
            pull_back(field, dy, dp, du, row(stages, s * M), p, u, dk, rest, M, H, U)
            for m in range(M):
                store_row(new, m, load_row(new, m) + load_row(dy, m))
        for m in range(M):
            store_row(g, m, load_row(new, m))


def advance(field, *args):
    """advance_states or advance_rows, by the field's form."""


def advance_two(field, z, out, left, every, drives, n, p, tableau, S, chunk, M, U):
    """advance_pair; a field that works on arrays has its blocks one by one."""


@numba.njit(**JIT)
def no_pair(field, z, out, left, every, drives, n, p, tableau, S, chunk, M, U):
    return 0, left


def retreat(field, *args):
    """retreat_states or retreat_rows, by the field's form."""


dispatch(advance, lambda field: advance_states if field.form == "states" else advance_rows)
dispatch(advance_two, lambda field: advance_pair if field.form == "states" else no_pair)
dispatch(retreat, lambda field: retreat_states if field.form == "states" else retreat_rows)
