"""CPU twin of event_projection: sums over events in registers, sixteen bins or lags in a SIMD value, no atomics."""

from math import gcd

import numba
import numpy as np
import torch

from neurorbit.kernels.event_projection.numba_lanes import backwards, where_inside
from neurorbit.kernels.numba_common import JIT, LANES, addresses, contiguous, fma, load, pointer, splat, splat_at, store
from neurorbit.kernels.numba_memory_common import empty
from neurorbit.kernels.numba_threads_common import run_tasks

CACHE = 1 << 19  # bytes of filters that one pass reads at random
SUMS = 4  # SIMD values that one pass over the events fills: filters x bins (or lags)
BLOCK = 1024  # bins that one task owns
SPLIT = 4096  # least events of a piece of one neuron
PIECES = 256  # at most about this many pieces of one neuron
SLIDE = 8 * LANES  # results of one pass over a dense row
CHUNK = 128  # steps of that pass, summed apart
GROUP = 8  # chunks summed apart
RUN = 64  # events summed apart


@numba.njit(**JIT)
def flat(address, like, offset, size):
    """The numbers [1, size] from `offset` numbers behind the address."""
    return numba.carray(pointer(address + offset * like.itemsize, like), (1, size))


@numba.njit(**JIT)
def spread(task, tasks, step):
    """Neighbouring tasks lie far apart, so that each thread meets busy and silent ones."""
    return task * step % tasks


@numba.njit(**JIT)
def gather(buffer, filters, at, lag, W):
    """One value's part of a filter row, lane by lane: no reads outside the row."""
    for i in range(LANES):
        buffer[0, i] = filters[0, at + i] if 0 <= lag + i < W else 0


@numba.njit(**JIT)
def sum_filters(y, filters, row, N, W, lag0, l1, l2, l3, o1, o2, o3, neurons, times, counts, lo, hi, origin):
    """y = sum over events lo..hi of count x filter row, where lane i of value v stands for the lag
    time + lag0 + l_v + i: time runs backwards over the lanes. Four values at once.

    Runs of RUN events, counted from the recording's first, are summed apart: small rounding, and the same bits
    whatever the tile. A value that would be read from outside the filters (its lanes are zero there) is gathered.
    """
    zero = splat(y.dtype.type(0))
    y_0, y_1, y_2, y_3 = zero, zero, zero, zero
    last = filters.shape[1] - LANES
    low, high = min(0, o1, o2, o3), max(0, o1, o2, o3)
    while lo < hi:
        stop = min(hi, lo + RUN - (lo - origin) % RUN)
        s0, s1, s2, s3 = zero, zero, zero, zero
        for i in range(lo, stop):
            lag = np.int64(times[i]) + lag0
            at = (row + np.int64(neurons[i])) * W + lag
            c = splat(y.dtype.type(counts[i]))
            if at + low >= 0 and at + high <= last:
                s0 = fma(c, where_inside(load(filters, 0, at), lag, W), s0)
                s1 = fma(c, where_inside(load(filters, 0, at + o1), lag + l1, W), s1)
                s2 = fma(c, where_inside(load(filters, 0, at + o2), lag + l2, W), s2)
                s3 = fma(c, where_inside(load(filters, 0, at + o3), lag + l3, W), s3)
            else:
                gather(y, filters, at, lag, W)
                s0 = fma(c, load(y, 0, 0), s0)
                gather(y, filters, at + o1, lag + l1, W)
                s1 = fma(c, load(y, 0, 0), s1)
                gather(y, filters, at + o2, lag + l2, W)
                s2 = fma(c, load(y, 0, 0), s2)
                gather(y, filters, at + o3, lag + l3, W)
                s3 = fma(c, load(y, 0, 0), s3)
        y_0, y_1, y_2, y_3 = y_0 + s0, y_1 + s1, y_2 + s2, y_3 + s3
        lo = stop
    store(y, 0, 0, backwards(y_0))
    store(y, 0, LANES, backwards(y_1))
    store(y, 0, 2 * LANES, backwards(y_2))
    store(y, 0, 3 * LANES, backwards(y_3))


@numba.njit(**JIT)
def sum_windows(y, source, base, o1, o2, o3, times, counts, lo, hi):
    """y += sum over events lo..hi of count x window of the source, from base + time; four values at once, in runs."""
    zero = splat(y.dtype.type(0))
    y_0, y_1, y_2, y_3 = load(y, 0, 0), load(y, 0, LANES), load(y, 0, 2 * LANES), load(y, 0, 3 * LANES)
    while lo < hi:
        stop = min(hi, lo + RUN)
        s0, s1, s2, s3 = zero, zero, zero, zero
        for i in range(lo, stop):
            at = base + np.int64(times[i])
            c = splat(y.dtype.type(counts[i]))
            s0 = fma(c, load(source, 0, at), s0)
            s1 = fma(c, load(source, 0, at + o1), s1)
            s2 = fma(c, load(source, 0, at + o2), s2)
            s3 = fma(c, load(source, 0, at + o3), s3)
        y_0, y_1, y_2, y_3 = y_0 + s0, y_1 + s1, y_2 + s2, y_3 + s3
        lo = stop
    store(y, 0, 0, y_0)
    store(y, 0, LANES, y_1)
    store(y, 0, 2 * LANES, y_2)
    store(y, 0, 3 * LANES, y_3)


@numba.njit(**JIT)
def first_at(times, lo, hi, t):
    """Index of the first event in lo..hi at t or later."""
    while lo < hi:
        middle = (lo + hi) // 2
        if times[middle] < t:
            lo = middle + 1
        else:
            hi = middle
    return lo


@numba.njit(**JIT)
def forward_tasks(first, last, where, S, neurons, times, counts, starts, like):
    """Task: responses of one recording to a few of its filters, in one block of bins; a thread finishes these filters
    before it takes the next, so that they stay in its cache."""
    G, F, N, W, T_out, P, across, blocks, step = S[0], S[1], S[2], S[3], S[4], S[5], S[6], S[7], S[8]
    filters_at_once = SUMS // across
    width = across * LANES
    sums = np.empty((1, SUMS * LANES), like.dtype)
    o, filters = flat(where[0], like, 0, G * F * T_out), flat(where[1], like, 0, G * F * N * W)
    c1, c2, c3 = 1 % across * LANES, 2 % across * LANES, 3 % across * LANES
    groups = (F + filters_at_once - 1) // filters_at_once
    for task in range(first, last):
        group, place = divmod(task, blocks)
        g, f = group // groups, group % groups * filters_at_once
        block = spread(place, blocks, step)
        t_begin, t_end = block * BLOCK, min(T_out, (block + 1) * BLOCK)
        lo = first_at(times, starts[g], starts[g + 1], t_begin - P)
        hi = lo
        rows = min(filters_at_once, F - f)
        o1 = min(1 // across, rows - 1) * N * W - c1
        o2 = min(2 // across, rows - 1) * N * W - c2
        o3 = min(3 // across, rows - 1) * N * W - c3
        for t in range(t_begin, t_end, width):
            while lo < starts[g + 1] and times[lo] < t - P:
                lo += 1
            hi = max(lo, hi)
            while hi < starts[g + 1] and times[hi] < t - P + width + W - 1:
                hi += 1
            sum_filters(sums, filters, (g * F + f) * N, N, W, P - t - LANES + 1, -c1, -c2, -c3, o1, o2, o3, neurons,
                        times, counts, lo, hi, starts[g])  # fmt: skip
            for r in range(rows):
                for i in range(min(width, t_end - t)):
                    o[0, (g * F + f + r) * T_out + t + i] = sums[0, r * width + i]


@numba.njit(**JIT)
def pieces_of(neuron_starts, starts, N, pieces):
    """Fills pieces [row, first event, last event, slot of the partial sum or -1]; (pieces, slots).

    A neuron's events are cut where the neuron's own recording says: not by threads, nor by the other recordings.
    """
    count, slots = 0, 0
    for row in range(neuron_starts.size - 1):
        g = row // N
        most = max(SPLIT, (starts[g + 1] - starts[g] + PIECES - 1) // PIECES)
        lo, hi = neuron_starts[row], neuron_starts[row + 1]
        at = lo
        while True:
            pieces[count, 0], pieces[count, 1], pieces[count, 2] = row, at, min(at + most, hi)
            pieces[count, 3] = -1
            if at > lo:
                pieces[count, 3] = slots
                slots += 1
            count += 1
            at += most
            if at >= hi:
                break
    return count, slots


@numba.njit(**JIT)
def ends_of(do, ends, T_out, reach):
    """ends [rows, 2, 2 reach]: the first and the last `reach` responses' gradients with zeros around them."""
    for row in range(ends.shape[0]):
        for i in range(2 * reach):
            head, tail = i - reach, T_out - reach + i
            ends[row, 0, i] = do[row, head] if 0 <= head < T_out else 0
            ends[row, 1, i] = do[row, tail] if 0 <= tail < T_out else 0


@numba.njit(**JIT)
def backward_tasks(first, last, where, S, pieces, times, counts, like):
    """Task: one piece of a neuron's events; its sums for every filter and lag."""
    F, N, W, T_out, P, across, tasks, step, reach = S[0], S[1], S[2], S[3], S[4], S[5], S[6], S[7], S[8]
    filters_at_once = SUMS // across
    width = across * LANES
    sums = np.empty((1, SUMS * LANES), like.dtype)
    for task in range(first, last):
        piece = pieces[spread(task, tasks, step)]
        row, lo, hi, slot = piece[0], piece[1], piece[2], piece[3]
        g, n = divmod(row, N)
        if slot < 0:
            dw, apart = flat(where[0], like, (g * F * N + n) * W, (F - 1) * N * W + W), N * W
        else:
            dw, apart = flat(where[1], like, slot * F * W, F * W), W
        do = flat(where[2], like, g * F * T_out, F * T_out)
        ends = flat(where[3], like, g * F * 4 * reach, F * 4 * reach)
        inner = first_at(times, lo, hi, W - 1 - P)
        outer = max(inner, first_at(times, lo, hi, T_out - reach - P + W))
        for f in range(0, F, filters_at_once):
            rows = min(filters_at_once, F - f)
            r1, r2, r3 = min(1 // across, rows - 1), min(2 // across, rows - 1), min(3 // across, rows - 1)
            for j in range(0, W, width):
                most = reach - LANES - j
                c1 = min(1 % across * LANES, most)
                c2 = min(2 % across * LANES, most)
                c3 = min(3 % across * LANES, most)
                for i in range(SUMS * LANES):
                    sums[0, i] = 0
                base = j + P - W + 1
                e1, e2, e3 = r1 * 4 * reach + c1, r2 * 4 * reach + c2, r3 * 4 * reach + c3
                head = f * 4 * reach + reach + base
                sum_windows(sums, ends, head, e1, e2, e3, times, counts, lo, inner)
                sum_windows(sums, do, f * T_out + base, r1 * T_out + c1, r2 * T_out + c2, r3 * T_out + c3, times,
                            counts, inner, outer)  # fmt: skip
                sum_windows(sums, ends, head + 2 * reach - T_out, e1, e2, e3, times, counts, outer, hi)
                for r in range(rows):
                    for i in range(min(width, W - j)):
                        dw[0, (f + r) * apart + W - 1 - j - i] = sums[0, r * width + i]


@numba.njit(**JIT)
def add_pieces(dw, parts, pieces, N):
    """dw [G, F, N, W] += the sums of the later pieces, in the order of time."""
    for piece in range(pieces.shape[0]):
        row, slot = pieces[piece, 0], pieces[piece, 3]
        if slot >= 0:
            for f in range(dw.shape[1]):
                for lag in range(dw.shape[3]):
                    dw[row // N, f, row % N, lag] += parts[slot, f, lag]


@numba.njit(**JIT)
def slide(y, a, a0, advance, buffer, steps):
    """y[j] += sum over i < steps of a[a0 + i advance] buffer[i + j], for SLIDE values j."""
    zero = splat(y.dtype.type(0))
    s0, s1, s2, s3, s4, s5, s6, s7 = zero, zero, zero, zero, zero, zero, zero, zero
    for i in range(steps):
        c = splat_at(a, 0, a0 + i * advance)
        s0, s1 = fma(c, load(buffer, 0, i), s0), fma(c, load(buffer, 0, i + 16), s1)
        s2, s3 = fma(c, load(buffer, 0, i + 32), s2), fma(c, load(buffer, 0, i + 48), s3)
        s4, s5 = fma(c, load(buffer, 0, i + 64), s4), fma(c, load(buffer, 0, i + 80), s5)
        s6, s7 = fma(c, load(buffer, 0, i + 96), s6), fma(c, load(buffer, 0, i + 112), s7)
    store(y, 0, 0, load(y, 0, 0) + s0)
    store(y, 0, 16, load(y, 0, 16) + s1)
    store(y, 0, 32, load(y, 0, 32) + s2)
    store(y, 0, 48, load(y, 0, 48) + s3)
    store(y, 0, 64, load(y, 0, 64) + s4)
    store(y, 0, 80, load(y, 0, 80) + s5)
    store(y, 0, 96, load(y, 0, 96) + s6)
    store(y, 0, 112, load(y, 0, 112) + s7)


@numba.njit(**JIT)
def add_group(sums, rest, group):
    """sums += group, which is emptied; what rounding loses is kept in rest (Kahan)."""
    for k in range(SLIDE):
        value = group[0, k] - rest[k]
        total = sums[k] + value
        rest[k] = (total - sums[k]) - value
        sums[k], group[0, k] = total, 0


@numba.njit(**JIT)
def correlate_tasks(first, last, where, S, like):
    """y[p, q, j] = sum over r < R and i < I of a[p, q, r, i] b[p // div, q, r, shift + i + j], b zero outside its row.

    Both directions of a dense recording are of this form. Task: (p, q) and a block of j.
    """
    Q, div, R, steps, length, blocks, shift, b_length, tasks, step = (
        S[0],
        S[1],
        S[2],
        S[3],
        S[4],
        S[5],
        S[6],
        S[7],
        S[8],
        S[9],
    )
    sums, rest, group = np.empty(SLIDE, like.dtype), np.empty(SLIDE, like.dtype), np.empty((1, SLIDE), like.dtype)
    buffer = np.empty((1, CHUNK + SLIDE), like.dtype)
    a, b, y = flat(where[1], like, 0, 1), flat(where[2], like, 0, 1), flat(where[0], like, 0, 1)
    for task in range(first, last):
        row, block = divmod(spread(task, tasks, step), blocks)
        p, q = divmod(row, Q)
        for j in range(block * BLOCK, min(length, (block + 1) * BLOCK), SLIDE):
            chunk = 0
            for i in range(SLIDE):
                sums[i], rest[i], group[0, i] = 0, 0, 0
            for r in range(R):
                a_row = S[10] + p * S[11] + q * S[12] + r * S[13]
                b_row = p // div * S[15] + q * S[16] + r * S[17]
                for i in range(0, steps, CHUNK):
                    count = min(CHUNK, steps - i)
                    origin = shift + i + j
                    inside, past = max(0, -origin), max(0, min(count + SLIDE, b_length - origin))
                    for k in range(min(inside, count + SLIDE)):
                        buffer[0, k] = 0
                    for k in range(inside, past):
                        buffer[0, k] = b[0, b_row + origin + k]
                    for k in range(past, count + SLIDE):
                        buffer[0, k] = 0
                    slide(group, a, a_row + i * S[14], S[14], buffer, count)
                    chunk += 1
                    if chunk % GROUP == 0:
                        add_group(sums, rest, group)
            add_group(sums, rest, group)
            for i in range(min(SLIDE, length - j)):
                y[0, row * length + j + i] = sums[i]


_LIKE = {torch.float32: np.empty(0, np.float32), torch.float64: np.empty(0, np.float64)}


def _step(tasks: int) -> int:
    """A step through all tasks that leaps about 0.62 of the way."""
    step = max(1, int(0.618 * tasks))
    while gcd(step, tasks) > 1:
        step += 1
    return step


def _across(F: int, filter_bytes: int = 0) -> int:
    """SIMD values along time (or lags) of one pass; the others are further filters, as many as a cache holds."""
    at_once = min(F, SUMS, max(1, CACHE // max(1, filter_bytes)))
    return 4 if at_once == 1 else 2 if at_once < 4 else 1


def _sizes(w, x, starts, n_bins, padding):
    """(recordings G, filters of each F, N, W, T', P): models that share a recording are further filters of it."""
    E, K, N, W = w.shape
    G = starts.numel() - 1 if x is None else x.shape[0]
    return G, E * K // G, N, W, n_bins + 2 * padding - W + 1, padding


def _correlate(y, a, b, shape, a_strides, b_strides):
    P, Q, div, R, steps, length, shift, b_length = shape
    blocks = -(-length // BLOCK)
    tasks = P * Q * blocks
    S = np.array([Q, div, R, steps, length, blocks, shift, b_length, tasks, _step(tasks), *a_strides, *b_strides])
    run_tasks(correlate_tasks, tasks, addresses(y, a, b), S.astype(np.int64), _LIKE[y.dtype])


def forward(
    w, neurons, times, counts, starts, times_by_neuron, counts_by_neuron, neuron_starts, x, *, n_bins, padding
):  # fmt: skip
    """((o,), saved): every element of the responses is written."""
    G, F, N, W, T_out, P = sizes = _sizes(w, x, starts, n_bins, padding)
    o = empty(w, w.shape[0], w.shape[1], T_out)
    if x is not None:
        w, x = contiguous(w, x)
        shape = (G * F, 1, F, N, W, T_out, -P, n_bins)
        _correlate(o, w, x, shape, (0, N * W, 0, W, 1), (N * n_bins, 0, n_bins))
        return (o,), {}
    w, neurons, times, counts, starts = contiguous(w, neurons, times, counts, starts)
    blocks = -(-T_out // BLOCK)
    across = _across(F, N * W * w.element_size())
    tasks = G * -(-F * across // SUMS) * blocks
    S = np.array([*sizes, across, blocks, _step(blocks)], np.int64)
    events = neurons.numpy(), times.numpy(), counts.numpy(), starts.numpy()
    run_tasks(forward_tasks, tasks, addresses(o, w), S, *events, _LIKE[w.dtype])
    return (o,), {}


def _backward_events(saved, do, sizes):
    G, F, N, W, T_out, _ = sizes
    w, J = saved["w"], saved["times_by_neuron"].numel()
    do, times, counts, starts, neuron_starts = contiguous(
        do, saved["times_by_neuron"], saved["counts_by_neuron"], saved["starts"], saved["neuron_starts"]
    )
    reach = -(-W // LANES) * LANES
    ends = w.new_empty(G * F, 2, 2 * reach)
    ends_of(do.view(G * F, T_out).numpy(), ends.numpy(), T_out, reach)
    pieces = np.empty((G * N + J // SPLIT, 4), np.int64)
    tasks, slots = pieces_of(neuron_starts.numpy(), starts.numpy(), N, pieces)
    dw, parts = w.new_empty(w.shape), w.new_empty(slots, F, W)
    S = np.array([*sizes[1:], _across(F), tasks, _step(tasks), reach], np.int64)
    events = times.numpy(), counts.numpy()
    run_tasks(backward_tasks, tasks, addresses(dw, parts, do, ends), S, pieces, *events, _LIKE[w.dtype])
    if slots:
        add_pieces(dw.view(G, F, N, W).numpy(), parts.numpy(), pieces[:tasks], N)
    return dw


def backward(saved, grads):
    """Gradients of the arguments named in saved["wanted"]."""
    w, x, T, wanted = saved["w"], saved["x"], saved["n_bins"], saved["wanted"]
    G, F, N, W, T_out, P = sizes = _sizes(w, x, saved["starts"], T, saved["padding"])
    if x is None:
        return {"w": _backward_events(saved, grads["o"].detach(), sizes)} if "w" in wanted else {}
    w, x, do = contiguous(w, x, grads["o"])
    found = {}
    if "w" in wanted:
        found["w"] = w.new_empty(w.shape)
        shape = (G * F, N, F, 1, T_out, W, -P, T)
        _correlate(found["w"], do, x, shape, (0, T_out, 0, 0, 1), (N * T, T, 0))
    if "x" in wanted:
        found["x"] = w.new_empty(x.shape)
        shape = (G, N, 1, F, W, T, P - W + 1, T_out)
        _correlate(found["x"], w, do, shape, (W - 1, F * N * W, W, N * W, -1), (F * T_out, 0, T_out))
    return found
