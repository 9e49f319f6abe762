"""CPU twin of rollout_gru: each thread carries a block of sequences of one direction through all steps."""

from array import array
from functools import lru_cache

import numba
import numpy as np
import torch

from neurorbit.kernels.numba_common import (
    JIT,
    LANES,
    contiguous,
    fma,
    pointer,
    splat,
    where_number,
    where_positive,
)
from neurorbit.kernels.numba_counts_common import CODES
from neurorbit.kernels.numba_functions_common import (
    divide,
    exp,
    first,
    load_at,
    load_first,
    magnitude,
    number,
    prefetch,
    store_first,
    tanh,
)
from neurorbit.kernels.numba_memory_common import empty
from neurorbit.kernels.numba_product_common import add_product, pack_panels, padded_width, panel_width
from neurorbit.kernels.numba_threads_common import INTEGERS, address_of, run_compiled, workers_for
from neurorbit.kernels.rollout_gru.numba_inputs import add_input_gradient, input_row, list_events

FEW_ROWS, MANY_ROWS = 8, 32  # sequences of one task: many where the weights outgrow the cache, so that they share them
WIDE_STATE = 256  # from this state on
CHUNK = 128  # rows (step, sequence) that enter the weights' gradient at once
TENSORS, SIZES = 18, 22  # numbers of the parameter block: addresses, then sizes


@numba.njit(**JIT)
def sigmoid(x):
    """1 / (1 + exp(-x)), without cancellation on either side."""
    e = exp(number(x, 0) - magnitude(x))
    one = number(x, 4)
    return where_number(x, divide(where_positive(x, one, e), e + one), x)


@numba.njit(**JIT)
def flat(address, like, offset, count):
    """`count` values from `offset` on, of the array that begins at `address`."""
    return numba.carray(pointer(address + offset * like.itemsize, like), (count,))


@numba.njit(**JIT)
def block_of(task, S):
    """(model, direction, first sequence, sequences) of a task."""
    B, D, rows = S[1], S[3], S[5]
    blocks = (B + rows - 1) // rows
    outer, b0 = task // blocks, task % blocks * rows
    return outer // D, outer % D, b0, min(rows, B - b0)


@numba.njit(**JIT)
def steps_of(lengths, e, b, T):
    """Steps of one sequence."""
    if lengths.size == 0:
        return T
    return lengths[e if lengths.shape[0] > 1 else 0, b]


@numba.njit(**JIT)
def bin_of(s, d, steps):
    """The bin of step s: onward, or from the sequence's own end."""
    return s if d == 0 else steps - 1 - s


@numba.njit(**JIT)
def zero_past_end(out, i, d, steps, T, D, width):
    """Rows of one sequence and direction past its end; out [sequences, T, D, width]."""
    for t in range(steps, T):
        at = ((i * T + t) * D + d) * width
        for j in range(width):
            out[at + j] = 0


@numba.njit(**JIT)
def fetch_row(array, at, count):
    """array[at : at + count] is read or written soon."""
    for j in range(0, count, LANES):
        prefetch(array, at + j)


@numba.njit(**JIT)
def block_at(address):
    """(addresses, sizes, lengths) of the parameter block."""
    p = numba.carray(pointer(address_of(address, 0), INTEGERS), (TENSORS + SIZES,))
    where, S = p[:TENSORS], p[TENSORS:]
    return where, S, numba.carray(pointer(where[TENSORS - 1], INTEGERS), (S[19], S[1]))


@numba.njit(**JIT)
def forward_tasks(begin, end, share, address, like):
    """Task: all steps of one model, one direction and one block of sequences."""
    where, S, lengths = block_at(address)
    B, T, D, H, row, width, gate_row, has_b, has_h0 = S[1], S[2], S[3], S[4], S[6], S[7], S[8], S[9], S[10]
    has_drive, has_inputs, has_bias, code, N, U, y_models, x_models = (
        S[11],
        S[12],
        S[13],
        S[14],
        S[15],
        S[16],
        S[17],
        S[18],
    )
    G, R = 3 * H, N + U
    rows, values, inputs = np.empty(R, np.int64), np.empty(R, like.dtype), np.empty(gate_row, like.dtype)
    W, known = flat(where[11], like, share * gate_row * H, gate_row * H), -1
    for task in range(begin, end):
        e, d, b0, count = block_of(task, S)
        if e * D + d != known:
            known = e * D + d
            pack_panels(W, flat(where[4], like, known * H * G, H * G), H, G, gate_row, width, False)
        sequences = e * B + b0
        h = flat(where[0], like, sequences * T * D * H, count * T * D * H)
        final = flat(where[1], like, sequences * D * H, count * D * H)
        gates = flat(where[2], like, ((e * D + d) * T * B + b0) * 4 * H, ((T - 1) * B + count) * 4 * H)
        drive = flat(where[3], like, sequences * T * D * G, count * T * D * G * has_drive)
        y0 = ((e if y_models > 1 else 0) * B + b0) * T * N
        signals = flat(where[8], like, ((e if x_models > 1 else 0) * B + b0) * T * U, count * T * U)
        W_in = flat(where[9], like, e * R * D * G, R * D * G * has_inputs)
        b_in = flat(where[10], like, (e * D + d) * G, G * has_bias)
        b = flat(where[5], like, (e * D + d) * G, G * has_b)
        h0 = flat(where[6], like, sequences * D * H, count * D * H * has_h0)
        state, y = np.zeros(count * row, like.dtype), np.empty(count * gate_row, like.dtype)
        zero, one = splat(like.dtype.type(0)), splat(like.dtype.type(1))
        onward = D if d == 0 else -D
        for i in range(count):
            zero_past_end(h, i, d, steps_of(lengths, e, b0 + i, T), T, D, H)
            if has_h0:
                for j in range(0, H, LANES):
                    store_first(state, i * row + j, load_first(h0, (i * D + d) * H + j, H - j), LANES)
        for s in range(T):
            for j in range(0, gate_row, LANES):
                value = load_first(b, j, G - j) if has_b else zero
                for i in range(count):
                    store_first(y, i * gate_row + j, value, min(LANES, gate_row - j))
            add_product(y, 0, gate_row, state, 0, row, 1, W, 0, H, count, G, width)
            for i in range(count):
                steps, kept = steps_of(lengths, e, b0 + i, T), (s * B + i) * 4 * H
                if s >= steps:
                    for j in range(0, 4 * H, LANES):
                        store_first(gates, kept + j, zero, 4 * H - j)
                    continue
                place = (i * T + bin_of(s, d, steps)) * D + d
                x, q = place * G, i * gate_row
                if has_inputs:
                    at = place // D
                    n = list_events(
                        rows, values, code, where[7], y0 + at * N, N, y_models * B * T * N, signals, at * U, U
                    )
                    input_row(inputs, b_in, has_bias, W_in, d * G, D * G, rows, values, n, G)
                    if has_drive:
                        for j in range(0, G, LANES):
                            sum_ = load_first(inputs, j, G - j) + load_first(drive, x + j, G - j)
                            store_first(inputs, j, sum_, G - j)
                    source, x = inputs, 0
                else:
                    source = drive
                    fetch_row(drive, x + onward * G, G)
                fetch_row(h, (place + onward) * H, H)
                fetch_row(gates, kept + B * 4 * H, 4 * H)
                for j in range(0, H, LANES):
                    left = H - j
                    r = sigmoid(load_first(source, x + j, left) + load_first(y, q + j, left))
                    z = sigmoid(load_first(source, x + H + j, left) + load_first(y, q + H + j, left))
                    inner = load_first(y, q + 2 * H + j, left)
                    new = tanh(fma(r, inner, load_first(source, x + 2 * H + j, left)))
                    value = fma(z, load_at(state, i * row + j), (one - z) * new)
                    store_first(gates, kept + j, r, left)
                    store_first(gates, kept + H + j, z, left)
                    store_first(gates, kept + 2 * H + j, new, left)
                    store_first(gates, kept + 3 * H + j, inner, left)
                    store_first(h, place * H + j, value, left)
                    store_first(state, i * row + j, first(value, left), LANES)
        for i in range(count):
            for j in range(0, H, LANES):
                store_first(final, (i * D + d) * H + j, load_at(state, i * row + j), H - j)


@numba.njit(**JIT)
def add_weights(sums, before, before_row, inside, gate_row, packed, rows, H, G, width):
    """sums [H + 1, gates] += the product of what the states were (and a one) and the gradients behind the gates."""
    for j in range(0, G, width):
        for k in range(rows):
            for l in range(0, width, LANES):
                value = load_first(inside, k * gate_row + j + l, gate_row - j - l)
                store_first(packed, (j // width * rows + k) * width + l, value, width - l)
    add_product(sums, 0, gate_row, before, 0, 1, before_row, packed, 0, rows, H + 1, G, width)


@numba.njit(**JIT)
def backward_tasks(begin, end, share, address, like):
    """Task: the adjoint, last step first; writes the gradients of the drive, and of W and b summed over the task."""
    where, S, lengths = block_at(address)
    B, T, D, H, rows, row, width, gate_row = S[1], S[2], S[3], S[4], S[5], S[6], S[7], S[8]
    has_h0, code, N, U, y_models, x_models = S[10], S[14], S[15], S[16], S[17], S[18]
    wants_drive, wants_W, wants_inputs, before_row = where[0] != 0, where[1] != 0, where[11] != 0, S[21]
    has_dh, has_final = where[3] != 0, where[4] != 0
    G, R = 3 * H, N + U
    numbers, values = np.empty(R, np.int64), np.empty(R, like.dtype)
    inputs, of_bias = np.zeros(gate_row, like.dtype), np.zeros(gate_row, like.dtype)
    at_once = max(1, CHUNK // rows)
    inside = np.empty(at_once * rows * gate_row, like.dtype)
    before = np.empty(at_once * rows * before_row, like.dtype)
    packed = np.empty(at_once * rows * gate_row, like.dtype)
    zero, one = splat(like.dtype.type(0)), splat(like.dtype.type(1))
    turned, known = flat(where[12], like, share * row * G, row * G), -1
    for task in range(begin, end):
        e, d, b0, count = block_of(task, S)
        if e * D + d != known:
            known = e * D + d
            pack_panels(turned, flat(where[7], like, known * H * G, H * G), G, H, row, width, True)
        sequences = e * B + b0
        ddrive = flat(where[0], like, sequences * T * D * G, count * T * D * G * wants_drive)
        sums = flat(where[1], like, task * (H + 1) * gate_row, (H + 1) * gate_row * wants_W)
        dh0 = flat(where[2], like, sequences * D * H, count * D * H)
        dh = flat(where[3], like, sequences * T * D * H, count * T * D * H * has_dh)
        dfinal = flat(where[4], like, sequences * D * H, count * D * H * has_final)
        h = flat(where[5], like, sequences * T * D * H, count * T * D * H)
        gates = flat(where[6], like, ((e * D + d) * T * B + b0) * 4 * H, ((T - 1) * B + count) * 4 * H)
        h0 = flat(where[8], like, sequences * D * H, count * D * H * has_h0)
        y0 = ((e if y_models > 1 else 0) * B + b0) * T * N
        signals = flat(where[10], like, ((e if x_models > 1 else 0) * B + b0) * T * U, count * T * U)
        input_sums = flat(where[11], like, task * (R + 1) * gate_row, (R + 1) * gate_row * wants_inputs)
        input_sums[:] = 0
        g = np.empty(count * row, like.dtype)
        back = -D if d == 0 else D
        longest = 0
        for k in range(at_once * rows):
            before[k * before_row + H] = 1
        for k in range(sums.size):
            sums[k] = 0
        for i in range(count):
            steps = steps_of(lengths, e, b0 + i, T)
            longest = max(longest, steps)
            if wants_drive:
                zero_past_end(ddrive, i, d, steps, T, D, G)
            for j in range(0, row, LANES):
                value = load_first(dfinal, (i * D + d) * H + j, H - j) if has_final else zero
                store_first(g, i * row + j, value, min(LANES, row - j))
        held = 0  # rows of this chunk
        for s in range(longest - 1, -1, -1):
            for i in range(count):
                steps, q, w = steps_of(lengths, e, b0 + i, T), (held + i) * gate_row, (held + i) * before_row
                if s >= steps:
                    for j in range(0, G, LANES):
                        store_first(inside, q + j, zero, G - j)
                    for j in range(0, H, LANES):
                        store_first(before, w + j, zero, H - j)
                    continue
                place, kept = (i * T + bin_of(s, d, steps)) * D + d, (s * B + i) * 4 * H
                x = place * G
                if wants_drive:
                    fetch_row(ddrive, x + back * G, G)
                fetch_row(h, (place + 2 * back) * H, H)
                fetch_row(gates, kept - B * 4 * H, 4 * H)
                if has_dh:
                    fetch_row(dh, (place + back) * H, H)
                for j in range(0, H, LANES):
                    left = H - j
                    r, z = load_first(gates, kept + j, left), load_first(gates, kept + H + j, left)
                    n, inner = load_first(gates, kept + 2 * H + j, left), load_first(gates, kept + 3 * H + j, left)
                    was = zero
                    if s > 0:
                        was = load_first(h, (place + back) * H + j, left)
                    elif has_h0:
                        was = load_first(h0, (i * D + d) * H + j, left)
                    asked = load_first(g, i * row + j, left)
                    if has_dh:
                        asked = asked + load_first(dh, place * H + j, left)
                    d_n = asked * (one - z) * fma(zero - n, n, one)
                    d_z = asked * (was - n) * (z * (one - z))
                    d_r = d_n * inner * (r * (one - r))
                    if wants_drive:
                        store_first(ddrive, x + j, d_r, left)
                        store_first(ddrive, x + H + j, d_z, left)
                        store_first(ddrive, x + 2 * H + j, d_n, left)
                    if wants_inputs:
                        store_first(inputs, j, d_r, left)
                        store_first(inputs, H + j, d_z, left)
                        store_first(inputs, 2 * H + j, d_n, left)
                    store_first(inside, q + j, d_r, left)
                    store_first(inside, q + H + j, d_z, left)
                    store_first(inside, q + 2 * H + j, d_n * r, left)
                    store_first(before, w + j, was, left)
                    store_first(g, i * row + j, asked * z, left)
                if wants_inputs:
                    at = place // D
                    found = list_events(
                        numbers, values, code, where[9], y0 + at * N, N, y_models * B * T * N, signals, at * U, U
                    )
                    add_input_gradient(input_sums, inputs, numbers, values, found, gate_row)
                    for j in range(0, gate_row, LANES):
                        store_first(of_bias, j, load_at(of_bias, j) + load_at(inputs, j), LANES)
            if wants_inputs:  # the bias, summed over the sequences first: fewer roundings
                for j in range(0, gate_row, LANES):
                    last = load_at(input_sums, R * gate_row + j) + load_at(of_bias, j)
                    store_first(input_sums, R * gate_row + j, last, LANES)
                of_bias[:] = 0
            add_product(g, 0, row, inside, held * gate_row, gate_row, 1, turned, 0, G, count, H, width)
            held += count
            if held + count > at_once * rows or s == 0:
                if wants_W:
                    add_weights(sums, before, before_row, inside, gate_row, packed, held, H, G, width)
                held = 0
        for i in range(count):
            for j in range(0, H, LANES):
                store_first(dh0, (i * D + d) * H + j, load_first(g, i * row + j, H - j), H - j)


@numba.njit(**JIT)
def add_up(sums, task, blocks, rows, width, G, dW, step, db):
    """The sums [blocks, rows + 1, width] of a task's blocks into the rows of dW, `step` apart, and the last into db."""
    for k in range(rows + 1):
        at = (task * blocks * (rows + 1) + k) * width
        for j in range(0, G, LANES):
            total = load_at(sums, at + j)
            for i in range(1, blocks):
                total = total + load_at(sums, at + i * (rows + 1) * width + j)
            if k < rows:
                store_first(dW, k * step + j, total, G - j)
            else:
                store_first(db, j, total, G - j)


@numba.njit(**JIT)
def add_up_tasks(begin, end, address, like):
    """Task: one model and direction; the gradients of W [E, D, H, G], of W_in [E, R, D, G] and of b and b_in."""
    where, S, _ = block_at(address)
    E, D, H, width, R, blocks = S[0], S[3], S[4], S[8], S[15] + S[16], S[20]
    G = 3 * H
    for task in range(begin, end):
        if where[1]:
            sums = flat(where[1], like, 0, E * D * blocks * (H + 1) * width)
            dW, db = flat(where[13], like, task * H * G, H * G), flat(where[14], like, task * G, G)
            add_up(sums, task, blocks, H, width, G, dW, G, db)
        if where[11]:
            sums = flat(where[11], like, 0, E * D * blocks * (R + 1) * width)
            dW = flat(where[15], like, (task // D * R * D + task % D) * G, ((R - 1) * D + 1) * G)
            add_up(sums, task, blocks, R, width, G, dW, D * G, flat(where[16], like, task * G, G))


def forward_single(first, last, share, p):
    forward_tasks(first, last, share, p, np.empty(0, np.float32))


def forward_double(first, last, share, p):
    forward_tasks(first, last, share, p, np.empty(0, np.float64))


def backward_single(first, last, share, p):
    backward_tasks(first, last, share, p, np.empty(0, np.float32))


def backward_double(first, last, share, p):
    backward_tasks(first, last, share, p, np.empty(0, np.float64))


def add_up_single(first, last, share, p):
    add_up_tasks(first, last, p, np.empty(0, np.float32))


def add_up_double(first, last, share, p):
    add_up_tasks(first, last, p, np.empty(0, np.float64))


FORWARD = {torch.float32: forward_single, torch.float64: forward_double}
BACKWARD = {torch.float32: backward_single, torch.float64: backward_double}
ADD_UP = {torch.float32: add_up_single, torch.float64: add_up_double}


def _row(columns: int, dtype: torch.dtype) -> int:
    """Width of a buffer's row: whole panels, whole SIMD values."""
    return -(-padded_width(columns, dtype) // LANES) * LANES


@lru_cache(256)
def _sizes(W, dtype, data, given, y, code, x, lengths) -> tuple[int, ...]:
    """What the kernels take, from shapes; the blocks of sequences are the same for any number of threads, as are sums.

    given: whether there are b, h0, drive, W_in and b_in.
    """
    E, D, H, _ = W
    _, B, T, *_ = data
    rows = FEW_ROWS if H < WIDE_STATE else MANY_ROWS
    sizes = [E, B, T, D, H, rows, _row(H, dtype), panel_width(dtype), _row(3 * H, dtype), *given, code]
    sizes += [0 if t is None else t[3] for t in (y, x)] + [0 if t is None else t[0] for t in (y, x, lengths)]
    return *sizes, -(-B // rows), _row(H + 1, dtype)


def _shape(x):
    return None if x is None else x.shape


def _sizes_of(W, drive, b, y, x, W_in, b_in, h0, lengths) -> tuple[int, ...]:
    data = drive if drive is not None else y if y is not None else x
    given = b is not None, h0 is not None, drive is not None, W_in is not None, b_in is not None
    code = 0 if y is None else CODES[y.dtype]
    return _sizes(W.shape, W.dtype, data.shape, given, _shape(y), code, _shape(x), _shape(lengths))


def _long(x):
    return x if x is None or x.dtype == torch.int64 else x.to(torch.int64)


def _place(x):
    return 0 if x is None else x.data_ptr()


def forward(W, drive, b, y, x, W_in, b_in, h0, lengths):
    """((h, h_final), saved): every element of the outputs is written; the gates [E, D, T, B, 4 H], step by step."""
    W, drive, b, y, x, W_in, b_in, h0, lengths = contiguous(W, drive, b, y, x, W_in, b_in, h0, _long(lengths))
    S = _sizes_of(W, drive, b, y, x, W_in, b_in, h0, lengths)
    E, B, T, D, H, tasks, gate_row = *S[:5], S[0] * S[3] * S[20], S[8]
    h, h_final, gates = empty(W, E, B, T, D, H), W.new_empty(E, B, D, H), empty(W, E, B, T, D, 4, H)
    packed = W.new_empty(workers_for(tasks) * gate_row * H)
    tensors = h, h_final, gates, drive, W, b, h0, y, x, W_in, b_in, packed
    block = array("q", (*map(_place, tensors), 0, 0, 0, 0, 0, _place(lengths), *S))
    run_compiled(FORWARD[W.dtype], tasks, block)
    return (h, h_final), {"h": h, "gates": gates}


def backward(saved, grads):
    """Gradients of the arguments named in saved["wanted"]; the gradient of an output may be None."""
    s, wanted = saved, saved["wanted"]
    W, y, x, h, gates, h0, lengths = contiguous(
        s["W"], s["y"], s["x"], s["h"], s["gates"], s["h0"], _long(s["lengths"])
    )
    S = _sizes_of(W, s["drive"], s["b"], y, x, s["W_in"], s["b_in"], h0, lengths)
    E, B, T, D, H, G, tasks, R, gate_row = *S[:5], 3 * S[4], S[0] * S[3] * S[20], S[15] + S[16], S[8]
    dh, dfinal = contiguous(grads["h"], grads["h_final"])
    new, found = W.new_empty, {"h0": W.new_empty(E, B, D, H)}
    if "drive" in wanted:
        found["drive"] = empty(W, E, B, T, D, G)
    packed, sums, input_sums = workers_for(tasks) * S[6] * G, 0, 0  # how many numbers of the scratch buffer
    if "W" in wanted or "b" in wanted:
        found |= {"W": new(E, D, H, G), "b": new(E, D, G)}
        sums = tasks * (H + 1) * gate_row
    if "W_in" in wanted or "b_in" in wanted:
        found |= {"W_in": new(E, R, D, G), "b_in": new(E, D, G)}
        input_sums = tasks * (R + 1) * gate_row
    scratch = empty(W, packed + sums + input_sums)
    place, size = scratch.data_ptr(), W.itemsize
    sums_at = place + packed * size if sums else 0, place + (packed + sums) * size if input_sums else 0
    tensors = [_place(t) for t in (found["h0"], dh, dfinal, h, gates, W, h0, y, x)]
    outputs = [_place(found.get(n)) for n in ("W", "b", "W_in", "b_in")]
    ends = sums_at[1], place, *outputs, _place(lengths), *S
    block = array("q", (_place(found.get("drive")), sums_at[0], *tensors, *ends))
    run_compiled(BACKWARD[W.dtype], tasks, block)
    if sums or input_sums:
        run_compiled(ADD_UP[W.dtype], E * D, block)
    return {n: found[n] for n in wanted}
