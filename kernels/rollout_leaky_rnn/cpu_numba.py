"""CPU twin of rollout_leaky_rnn: each thread carries a block of sequences through all steps, products in registers."""

import numba
import numpy as np
import torch

from neurorbit.kernels.numba_common import (
    JIT,
    LANES,
    addresses,
    contiguous,
    fma,
    pointer,
    splat,
    total,
    where_number,
    where_positive,
)
from neurorbit.kernels.numba_functions_common import (
    divide,
    draw_normal,
    expm1,
    first,
    load_at,
    load_first,
    number,
    prefetch,
    softplus,
    store_first,
    tanh,
)
from neurorbit.kernels.numba_memory_common import empty
from neurorbit.kernels.numba_product_common import add_product, padded_width, panel_width, panels_of
from neurorbit.kernels.numba_threads_common import run_tasks

RELU_TANH, RELU, TANH, SOFTPLUS = range(4)
CODES = {"relu_tanh": RELU_TANH, "relu": RELU, "tanh": TANH, "softplus": SOFTPLUS}
MOST_ROWS = 64  # sequences of one task, at most: they share each panel of weights that is read
CHUNK = 128  # rows (sequence, step) of a weight gradient per pass
AHEAD = 6  # rows that are fetched into the cache before their turn
ROW_BLOCK, PANEL_BLOCK = 128, 8  # rows and panels of a weight gradient per task


@numba.njit(**JIT)
def rate(phi, q):
    """phi(q)."""
    if phi == SOFTPLUS:
        return softplus(q)
    r = q if phi == RELU else tanh(q)
    if phi == TANH:
        return r
    return where_positive(r, r, where_number(r, number(r, 0), r))


@numba.njit(**JIT)
def slope(phi, r):
    """phi'(q) from r = phi(q)."""
    zero, one = number(r, 0), number(r, 4)
    if phi == RELU:
        return where_positive(r, one, zero)
    if phi == SOFTPLUS:
        return zero - expm1(zero - r)
    s = fma(zero - r, r, one)
    if phi == RELU_TANH:
        return where_positive(r, s, zero)
    return s


@numba.njit(**JIT)
def flat(address, like, offset, count):
    """`count` values from `offset` on, of the array that begins at `address`."""
    return numba.carray(pointer(address + offset * like.itemsize, like), (count,))


@numba.njit(**JIT)
def block_of(task, B, rows):
    """(model, first sequence, sequences) of a task."""
    blocks = (B + rows - 1) // rows
    e, b0 = task // blocks, task % blocks * rows
    return e, b0, min(rows, B - b0)


@numba.njit(**JIT)
def steps_of(lengths, e, b, T):
    """Steps of one sequence."""
    if lengths.size == 0:
        return T
    return lengths[e if lengths.shape[0] > 1 else 0, b]


@numba.njit(**JIT)
def zero_rows(out, at, count):
    for i in range(at, at + count):
        out[i] = 0


@numba.njit(**JIT)
def scaled_rows(out, x, v, v0, v_step, row, count):
    """out[i] = v[v0 + i v_step] x[i] for rows of width `row`."""
    for i in range(count):
        factor = splat(v[v0 + i * v_step])
        for j in range(0, row, LANES):
            store_first(out, i * row + j, factor * load_at(x, i * row + j), LANES)


@numba.njit(**JIT)
def forward_tasks(begin, end, where, S, like, lengths, seeds, streams):
    """Task: all steps of one model and one block of sequences."""
    B, T, N, R, D, phi, rows, width = S[1], S[2], S[3], S[4], S[5], S[6], S[7], S[8]
    row, rank_row, unit_norm, first_step, has_bias = S[9], S[10], S[11], S[12], S[13]
    drive_models, v_models, noise_models = S[14], S[15], S[16]
    for task in range(begin, end):
        e, b0, count = block_of(task, B, rows)
        panels, rank_panels = (N + width - 1) // width, (R + width - 1) // width
        sequences = e * B + b0
        u, r = (
            flat(where[0], like, sequences * T * N, count * T * N),
            flat(where[1], like, sequences * T * N, count * T * N),
        )
        final, norms = flat(where[2], like, sequences * N, count * N), flat(where[3], like, sequences * T, count * T)
        start = flat(where[4], like, sequences * N, count * N)
        W = flat(where[5], like, e * panels * N * width, panels * N * width)
        L = flat(where[6], like, e * rank_panels * N * width, rank_panels * N * width)
        Q = flat(where[7], like, e * panels * R * width, panels * R * width)
        Wv = flat(where[8], like, e * D * panels * N * width, D * panels * N * width)
        drive = flat(where[9], like, ((e if drive_models > 1 else 0) * B + b0) * T * N, count * T * N)
        v = flat(where[10], like, ((e if v_models > 1 else 0) * B + b0) * T * D, count * T * D)
        noise = flat(where[11], like, ((e if noise_models > 1 else 0) * B + b0) * T * N, count * T * N)
        bias = flat(where[12], like, e * N, N)
        alpha = flat(where[13], like, e, 1)[0]
        share, rest = splat(alpha), splat(like.dtype.type(1) - alpha)
        zero = splat(like.dtype.type(0))
        state, inside = np.empty(count * row, like.dtype), np.empty(count * row, like.dtype)
        scaled, low = np.empty(count * row if D else 0, like.dtype), np.empty(count * rank_row, like.dtype)
        draws = np.empty(4 * LANES, like.dtype)
        sd = zero
        if seeds.size:
            sd = splat(flat(where[14], like, e, 1)[0])
        longest = 0
        for i in range(count):
            steps = steps_of(lengths, e, b0 + i, T)
            longest = max(longest, steps)
            zero_rows(u, (i * T + steps) * N, (T - steps) * N)
            zero_rows(r, (i * T + steps) * N, (T - steps) * N)
            if unit_norm:
                for t in range(steps, T):
                    norms[i * T + t] = 1
            for j in range(0, N, LANES):
                store_first(state, i * row + j, load_first(start, i * N + j, N - j), LANES)
        for t in range(longest):
            for i in range(count):
                for j in range(0, N, LANES):
                    q = zero
                    if drive_models:
                        q = load_first(drive, (i * T + t) * N + j, N - j)
                    if has_bias:
                        q = q + load_first(bias, j, N - j)
                    store_first(inside, i * row + j, q, LANES)
            if R:
                zero_rows(low, 0, count * rank_row)
                add_product(low, 0, rank_row, state, 0, row, 1, L, 0, N, count, R, width)
                add_product(inside, 0, row, low, 0, rank_row, 1, Q, 0, R, count, N, width)
            else:
                add_product(inside, 0, row, state, 0, row, 1, W, 0, N, count, N, width)
            for d in range(D):
                scaled_rows(scaled, state, v, t * D + d, T * D, row, count)
                add_product(inside, 0, row, scaled, 0, row, 1, Wv, d * panels * N * width, N, count, N, width)
            for i in range(count):
                if t >= steps_of(lengths, e, b0 + i, T):
                    continue
                at = (i * T + t) * N
                squares = zero
                for j in range(0, N, LANES):
                    prefetch(u, at + N + j)
                    prefetch(r, at + N + j)
                    if drive_models:
                        prefetch(drive, at + N + j)
                    value = rate(phi, load_at(inside, i * row + j))
                    store_first(r, at + j, value, N - j)
                    value = fma(share, value, rest * load_at(state, i * row + j))
                    if noise_models:
                        value = value + load_first(noise, at + j, N - j)
                    if seeds.size:
                        if j % (4 * LANES) == 0:
                            draw_normal(draws, j // (4 * LANES), first_step + t, streams[e, b0 + i], seeds[e])
                        value = fma(sd, load_at(draws, j % (4 * LANES)), value)
                    value = first(value, N - j)
                    store_first(state, i * row + j, value, LANES)
                    if unit_norm:
                        squares = fma(value, value, squares)
                    else:
                        store_first(u, at + j, value, N - j)
                if unit_norm:
                    norm = np.sqrt(total(squares))
                    if norm == 0:
                        norm = like.dtype.type(1)
                    norms[i * T + t] = norm
                    for j in range(0, N, LANES):
                        value = divide(load_at(state, i * row + j), splat(norm))
                        store_first(state, i * row + j, value, LANES)
                        store_first(u, at + j, value, N - j)
        for i in range(count):
            for j in range(0, N, LANES):
                store_first(final, i * N + j, load_at(state, i * row + j), N - j)


@numba.njit(**JIT)
def backward_tasks(begin, end, where, S, like, lengths):
    """Task: the adjoint of one model and one block of sequences, last step first; writes delta = dL/dq."""
    B, T, N, R, D, phi, rows, width = S[1], S[2], S[3], S[4], S[5], S[6], S[7], S[8]
    row, rank_row, unit_norm, v_models = S[9], S[10], S[11], S[12]
    has_du, has_dr, has_final, wants_v = S[13], S[14], S[15], S[16]
    for task in range(begin, end):
        e, b0, count = block_of(task, B, rows)
        panels, rank_panels = (N + width - 1) // width, (R + width - 1) // width
        sequences = e * B + b0
        size = count * T * N
        delta, db = flat(where[0], like, sequences * T * N, size), flat(where[1], like, sequences * N, count * N)
        du0, dv = flat(where[2], like, sequences * N, count * N), flat(where[3], like, sequences * T * D, count * T * D)
        lows, dlows = (flat(where[4], like, sequences * T * R, count * T * R),
                       flat(where[5], like, sequences * T * R, count * T * R))  # fmt: skip
        du, dr = flat(where[6], like, sequences * T * N, size), flat(where[7], like, sequences * T * N, size)
        dfinal = flat(where[8], like, sequences * N, count * N)
        u, r = flat(where[9], like, sequences * T * N, size), flat(where[10], like, sequences * T * N, size)
        norms, start = flat(where[11], like, sequences * T, count * T), flat(where[12], like, sequences * N, count * N)
        Wt = flat(where[13], like, e * panels * N * width, panels * N * width)
        L = flat(where[14], like, e * rank_panels * N * width, rank_panels * N * width)
        Lt = flat(where[15], like, e * panels * R * width, panels * R * width)
        Q = flat(where[16], like, e * rank_panels * N * width, rank_panels * N * width)
        Wvt = flat(where[17], like, e * D * panels * N * width, D * panels * N * width)
        v = flat(where[18], like, ((e if v_models > 1 else 0) * B + b0) * T * D, count * T * D)
        alpha = flat(where[19], like, e, 1)[0]
        share, rest = splat(alpha), splat(like.dtype.type(1) - alpha)
        zero = splat(like.dtype.type(0))
        g, inside, sums = (np.empty(count * row, like.dtype), np.empty(count * row, like.dtype),
                           np.zeros(count * row, like.dtype))  # fmt: skip
        before = np.empty(count * row if R or D else 0, like.dtype)
        back, low = np.empty(count * row if D else 0, like.dtype), np.empty(count * rank_row, like.dtype)
        longest = 0
        for i in range(count):
            steps = steps_of(lengths, e, b0 + i, T)
            longest = max(longest, steps)
            zero_rows(delta, (i * T + steps) * N, (T - steps) * N)
            zero_rows(lows, (i * T + steps) * R, (T - steps) * R)
            zero_rows(dlows, (i * T + steps) * R, (T - steps) * R)
            if wants_v:
                zero_rows(dv, (i * T + steps) * D, (T - steps) * D)
            for j in range(0, N, LANES):
                value = load_first(dfinal, i * N + j, N - j) if has_final else zero
                store_first(g, i * row + j, value, LANES)
        for t in range(longest - 1, -1, -1):
            for i in range(count):
                if t >= steps_of(lengths, e, b0 + i, T):
                    for j in range(0, N, LANES):
                        store_first(inside, i * row + j, zero, LANES)
                    continue
                at = (i * T + t) * N
                along = zero
                scale = splat(like.dtype.type(1))
                if unit_norm:
                    for j in range(0, N, LANES):
                        value = load_at(g, i * row + j)
                        if has_du:
                            value = value + load_first(du, at + j, N - j)
                        along = fma(value, load_first(u, at + j, N - j), along)
                    along = splat(total(along))
                    scale = divide(scale, splat(norms[i * T + t]))
                for j in range(0, N, LANES):
                    prefetch(r, at - N + j)
                    prefetch(delta, at - N + j)
                    if has_dr:
                        prefetch(dr, at - N + j)
                    if has_du:
                        prefetch(du, at - N + j)
                    value = load_at(g, i * row + j)
                    if has_du:
                        value = value + load_first(du, at + j, N - j)
                    if unit_norm:
                        value = (value - along * load_first(u, at + j, N - j)) * scale
                    store_first(g, i * row + j, rest * value, LANES)
                    value = share * value
                    if has_dr:
                        value = value + load_first(dr, at + j, N - j)
                    value = value * slope(phi, load_first(r, at + j, N - j))
                    store_first(inside, i * row + j, value, LANES)
                    store_first(delta, at + j, value, N - j)
                    store_first(sums, i * row + j, load_at(sums, i * row + j) + value, LANES)
            if R or D:
                for i in range(count):
                    for j in range(0, N, LANES):
                        if t > 0:
                            value = load_first(u, (i * T + t - 1) * N + j, N - j)
                        else:
                            value = load_first(start, i * N + j, N - j)
                        store_first(before, i * row + j, value, LANES)
            if R:
                zero_rows(low, 0, count * rank_row)
                add_product(low, 0, rank_row, before, 0, row, 1, L, 0, N, count, R, width)
                for i in range(count):
                    if t < steps_of(lengths, e, b0 + i, T):
                        for j in range(0, R, LANES):
                            store_first(lows, (i * T + t) * R + j, load_at(low, i * rank_row + j), R - j)
                zero_rows(low, 0, count * rank_row)
                add_product(low, 0, rank_row, inside, 0, row, 1, Q, 0, N, count, R, width)
                for i in range(count):
                    if t < steps_of(lengths, e, b0 + i, T):
                        for j in range(0, R, LANES):
                            store_first(dlows, (i * T + t) * R + j, load_at(low, i * rank_row + j), R - j)
                add_product(g, 0, row, low, 0, rank_row, 1, Lt, 0, R, count, N, width)
            else:
                add_product(g, 0, row, inside, 0, row, 1, Wt, 0, N, count, N, width)
            for d in range(D):
                zero_rows(back, 0, count * row)
                add_product(back, 0, row, inside, 0, row, 1, Wvt, d * panels * N * width, N, count, N, width)
                for i in range(count):
                    factor = splat(v[(i * T + t) * D + d])
                    along = zero
                    for j in range(0, N, LANES):
                        value = load_at(back, i * row + j)
                        along = fma(value, load_at(before, i * row + j), along)
                        store_first(g, i * row + j, fma(factor, value, load_at(g, i * row + j)), LANES)
                    if wants_v and t < steps_of(lengths, e, b0 + i, T):
                        dv[(i * T + t) * D + d] = total(along)
        for i in range(count):
            for j in range(0, N, LANES):
                store_first(du0, i * N + j, load_at(g, i * row + j), N - j)
                store_first(db, i * N + j, load_at(sums, i * row + j), N - j)


@numba.njit(**JIT)
def weight_tasks(begin, end, where, S, like):
    """out[e, d, i, j] = sum over (b, t) of x[e, b, t, i] y[e, b, t, j] v[e, b, t, d], blocks of i and j per task.

    shifted: x begins with the states x0 and the last of x is left out; without signals D = 1 and v is 1.
    """
    B, T, I, J, D, v_models, shifted, width = S[0], S[1], S[2], S[3], S[4], S[5], S[6], S[7]
    row_blocks, panel_blocks, size = S[8], S[9], S[10]
    M = B * T
    packed_x = np.empty(CHUNK * size, like.dtype)
    packed_y = np.empty(CHUNK * PANEL_BLOCK * width, like.dtype)
    row = PANEL_BLOCK * width
    sums = np.empty(size * row, like.dtype)
    for task in range(begin, end):
        outer, block = task // (row_blocks * panel_blocks), task % (row_blocks * panel_blocks)
        e, d = outer // D, outer % D
        i0, j0 = block // panel_blocks * size, block % panel_blocks * row
        count, panels = min(size, I - i0), min(PANEL_BLOCK, (J - j0 + width - 1) // width)
        x, x0 = flat(where[1], like, e * M * I, M * I), flat(where[2], like, e * B * I, B * I)
        y = flat(where[3], like, e * M * J, M * J)
        v = flat(where[4], like, (e if v_models > 1 else 0) * M * D, M * D)
        out = flat(where[0], like, outer * I * J, I * J)
        for i in range(size * row):
            sums[i] = 0
        for m0 in range(0, M, CHUNK):
            steps = min(CHUNK, M - m0)
            for k in range(steps):
                m = m0 + k
                b, t = m // T, m % T
                factor = splat(v[m * D + d]) if v_models else splat(like.dtype.type(1))
                for j in range(0, count, LANES):
                    prefetch(x, (m + AHEAD) * I + i0 + j)
                    if not shifted:
                        value = load_first(x, m * I + i0 + j, count - j)
                    elif t > 0:
                        value = load_first(x, (m - 1) * I + i0 + j, count - j)
                    else:
                        value = load_first(x0, b * I + i0 + j, count - j)
                    store_first(packed_x, k * size + j, value, count - j)
                for p in range(panels):
                    for j in range(0, width, LANES):
                        column = j0 + p * width + j
                        prefetch(y, (m + AHEAD) * J + column)
                        value = factor * load_first(y, m * J + column, min(width - j, J - column))
                        store_first(packed_y, (p * steps + k) * width + j, value, width - j)
            add_product(sums, 0, row, packed_x, 0, 1, size, packed_y, 0, steps, count, min(row, J - j0), width)
        for i in range(count):
            for j in range(0, min(row, J - j0), LANES):
                store_first(out, (i0 + i) * J + j0 + j, load_at(sums, i * row + j), min(row, J - j0) - j)


_NONE = {1: np.empty(0, np.int64), 2: np.empty((0, 0), np.int64)}
_LIKE = {torch.float32: np.empty(0, np.float32), torch.float64: np.empty(0, np.float64)}


def _integers(x, dims):
    return _NONE[dims] if x is None else np.ascontiguousarray(x.to(torch.int64).numpy())


def _panels(x):
    return None if x is None else panels_of(x)


def _models(x) -> int:
    return 0 if x is None else x.shape[0]


def _rows_of_tasks(E: int, B: int) -> int:
    """Sequences of one task: few enough to occupy all threads, many enough to share what is read."""
    share = -(-E * B // torch.get_num_threads())
    blocks = -(-B // min(B, MOST_ROWS, max(8, share)))
    return -(-B // blocks)


def _row(columns: int, dtype: torch.dtype) -> int:
    """Width of a buffer's row: whole panels, whole SIMD values."""
    return -(-padded_width(columns, dtype) // LANES) * LANES if columns else 0


def _sizes(u0, L, v, phi, unit_norm, T):
    E, B, N = u0.shape
    R, D = 0 if L is None else L.shape[2], 0 if v is None else v.shape[3]
    rows = _rows_of_tasks(E, B)
    S = [E, B, T, N, R, D, CODES[phi], rows, panel_width(u0.dtype), _row(N, u0.dtype), _row(R, u0.dtype), unit_norm]
    return S, E * -(-B // rows)


def forward(
    u0, W, L, Q, drive, b, v, Wv, alpha, noise, noise_seed, noise_stream, noise_sd, lengths,
    *, phi, unit_norm, steps, first_step=0,
):  # fmt: skip
    """((u, r, u_final), saved): every element of the outputs is written."""
    E, B, N = u0.shape
    S, tasks = _sizes(u0, L, v, phi, unit_norm, steps)
    S += [first_step, b is not None, _models(drive), _models(v), _models(noise)]
    u, r = empty(u0, E, B, steps, N), empty(u0, E, B, steps, N)
    u_final, norm = u0.new_empty(E, B, N), u0.new_empty(E, B, steps if unit_norm else 0)
    weights = _panels(W), _panels(L), _panels(None if Q is None else Q.mT), _panels(Wv)
    start, *signals = contiguous(u0, drive, v, noise, b, alpha, noise_sd)
    where = addresses(u, r, u_final, norm, start, *weights, *signals)
    integers = _integers(lengths, 2), _integers(noise_seed, 1), _integers(noise_stream, 2)
    run_tasks(forward_tasks, tasks, where, np.array(S, np.int64), _LIKE[u0.dtype], *integers)
    return (u, r, u_final), {"u": u, "r": r, "norm": norm}


def _weight_gradient(x, x0, y, v=None, D=1):
    """[E, D, I, J]: sums over sequences and steps of the products of x (or of what came before it) and y."""
    E, B, T, I = x.shape
    J, width = y.shape[3], panel_width(x.dtype)
    row_blocks, panel_blocks = -(-I // ROW_BLOCK), -(-J // (width * PANEL_BLOCK))
    size = -(-I // (row_blocks * 8)) * 8
    found = x.new_empty(E, D, I, J)
    S = np.array([B, T, I, J, D, _models(v), x0 is not None, width, row_blocks, panel_blocks, size], np.int64)
    tasks = E * D * row_blocks * panel_blocks
    run_tasks(weight_tasks, tasks, addresses(found, x, x0, y, v), S, _LIKE[x.dtype])
    return found


def backward(saved, grads):
    """Gradients of the arguments named in saved["wanted"]; the gradient of an output may be None."""
    s, wanted, T = saved, saved["wanted"], saved["steps"]
    u0, W, L, Q, Wv = s["u0"], s["W"], s["L"], s["Q"], s["Wv"]
    E, B, N = u0.shape
    du, dr, dfinal = contiguous(grads["u"], grads["r"], grads["u_final"])
    S, tasks = _sizes(u0, L, s["v"], s["phi"], s["unit_norm"], T)
    R, D = S[4], S[5]
    S += [_models(s["v"]), du is not None, dr is not None, dfinal is not None, "v" in wanted]
    u, r, norm, start, v, alpha = contiguous(s["u"], s["r"], s["norm"], u0, s["v"], s["alpha"])
    delta, db, du0 = empty(u0, E, B, T, N), u0.new_empty(E, B, N), u0.new_empty(E, B, N)
    dv = u0.new_empty(E, B, T, D) if "v" in wanted else None
    low, dlow = (u0.new_empty(E, B, T, R) if R else None for _ in range(2))
    turned = (_panels(None if x is None else x.mT) for x in (W, L, Wv))
    Wt, Lt, Wvt = turned
    weights = Wt, _panels(L), Lt, _panels(Q), Wvt
    where = addresses(delta, db, du0, dv, low, dlow, du, dr, dfinal, u, r, norm, start, *weights, v, alpha)
    run_tasks(backward_tasks, tasks, where, np.array(S, np.int64), _LIKE[u0.dtype], _integers(s["lengths"], 2))
    found = {"u0": du0, "drive": delta, "v": dv}
    if "b" in wanted:
        found["b"] = db.sum(1)
    if "W" in wanted:
        found["W"] = _weight_gradient(u, start, delta)[:, 0]
    if "L" in wanted:
        found["L"] = _weight_gradient(u, start, dlow)[:, 0]
    if "Q" in wanted:
        found["Q"] = _weight_gradient(delta, None, low)[:, 0]
    if "Wv" in wanted:
        found["Wv"] = _weight_gradient(u, start, delta, v, D)
    return {n: found[n] for n in wanted}
