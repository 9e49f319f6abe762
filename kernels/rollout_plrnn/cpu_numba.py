"""CPU twin of rollout_plrnn: the time loop fused, sixteen sequences in SIMD lanes, models x blocks in parallel."""

from array import array
from itertools import accumulate

import numba
import numpy as np
import torch

from neurorbit.kernels.numba_common import JIT, LANES, contiguous, fma, splat, where_number, where_positive
from neurorbit.kernels.numba_memory_common import empty
from neurorbit.kernels.numba_rows_common import (
    at,
    data_pointers,
    lanes_in,
    lanes_out,
    load_row,
    multiply,
    numbers,
    pointer_to,
    spread_at,
    store_row,
)
from neurorbit.kernels.numba_threads_common import run_tasks, workers_for
from neurorbit.kernels.rollout_plrnn.numba_passes import (
    ALRNN,
    DENDRITIC,
    DENDRITIC_CLIPPED,
    RELU,
    SHALLOW,
    SHALLOW_CLIPPED,
    add_lanes,
    basis_gradients,
    centre,
    hidden_backward,
    hidden_forward,
    hidden_gradients,
    inputs_of_basis,
    phi_of,
    state_gradients,
    times_slope,
)

CODES = {
    "plrnn": RELU,
    "plrnn-mc": RELU,
    "dendritic": DENDRITIC,
    "dendritic-clipped": DENDRITIC_CLIPPED,
    "shallow": SHALLOW,
    "shallow-clipped": SHALLOW_CLIPPED,
    "alrnn": ALRNN,
}
FUSED_STATES = 8  # cells with a hidden layer and at most this many states keep them in registers
GROUPS = 16  # at most this many partial weight gradients per model
FORWARD_CHUNK = 16  # steps transposed into lanes at a time
BACKWARD_ROWS = 2048  # hidden activations of this many rows of lanes are recomputed at a time (L2 cache)
FUSED_ROWS = 192  # states and adjoints of this many rows of lanes at a time (L1 cache)


@numba.njit(**JIT)
def sizes_of(p):
    """B, T, M, K, H, D, N; cell, centred, n_linear, first_step; numbers from model to model of z_hat and lengths."""
    return p[0], p[1], p[2], p[3], p[4], p[5], p[6], p[7], p[8], p[9], p[10], p[11], p[12]


@numba.njit(**JIT)
def remaining(p, i, offset, count, T, out):
    """Steps of each lane's sequence, as floating values; 0 for lanes past the batch."""
    lengths = numbers(p, i, offset, numba.int64(0))
    for lane in range(LANES):
        out[lane] = 0
        if lane < count:
            out[lane] = lengths[lane] if p[i] else T


@numba.njit(**JIT)
def forward_tasks(first, last, worker, address, like, rows, wide):
    """Each task is one model and one block of lanes: all steps.

    At `address` p: the sizes, keep_every, kept; from 15 on the tensors, from 30 on the parts of the scratch buffer, as
    `forward` lists them. `rows` is a tuple as long as M where few states go through a hidden layer, `wide` None then.
    """
    p = pointer_to(address, numba.int64(0))
    B, T, M, K, H, D, N, cell, centred, n_linear, first_step, z_hat_step, lengths_step = sizes_of(p)
    keep_every, kept = p[13], p[14]
    blocks = (B + LANES - 1) // LANES
    scratch = numbers(p, 36, worker * p[37] * LANES, like)
    zero, one = splat(like), splat(like + type(like)(1))
    share = splat(type(like)(1) / type(like)(M))
    z, new, phi = scratch, at(scratch, p[30] * LANES), at(scratch, p[31] * LANES)
    drives, signals = at(scratch, p[32] * LANES), at(scratch, p[33] * LANES)
    outs, steps = at(scratch, p[34] * LANES), at(scratch, p[35] * LANES)
    for task in range(first, last):
        e, b0 = task // blocks, task % blocks * LANES
        count = min(LANES, B - b0)
        out, final = numbers(p, 15, (e * B + b0) * kept * M, like), numbers(p, 16, (e * B + b0) * M, like)
        start = numbers(p, 17, (e * B + b0) * M, like)
        A, W1, h1 = numbers(p, 18, e * M, like), numbers(p, 19, e * M * K, like), numbers(p, 20, e * M, like)
        W2, h2 = numbers(p, 21, e * H * M, like), numbers(p, 22, e * H, like)
        alpha, thresholds = numbers(p, 23, e * D, like), numbers(p, 24, e * M * D, like)
        drive = numbers(p, 25, (e * B + b0) * T * M, like)
        z_hat = numbers(p, 26, e * z_hat_step + b0 * T * N, like)
        a, interval = zero, 1
        if N:
            a, interval = spread_at(numbers(p, 27, e, like), 0), numbers(p, 28, e, numba.int64(0))[0]
        keep = one - a
        basis = cell, h2, alpha, thresholds, D, n_linear
        remaining(p, 29, e * lengths_step + b0, count, T, steps)
        lanes_in(z, start, M, count, M)
        row, buffered = 0, 0
        for t in range(T):
            c = t % FORWARD_CHUNK
            if c == 0:
                n = min(FORWARD_CHUNK, T - t)
                lanes_in(signals, at(z_hat, t * N), T * N, count, n * N)
                if p[25]:
                    lanes_in(drives, at(drive, t * M), T * M, count, n * M)
            if wide is not None:
                inputs_of_basis(phi, z, W2, M, H, centred, share, zero)
                for k in range(K):
                    store_row(phi, k, phi_of(load_row(phi, k), k, basis, zero))
                multiply(new, W1, K, 1, phi, M, K, zero)
            if rows is not None:
                hidden_forward(new, z, W1, W2, h2, K, cell == SHALLOW_CLIPPED, rows, zero, one)
            inside = load_row(steps, 0) - splat(type(like)(t))
            emits = keep_every > 0 and (t + 1) % keep_every == 0
            due = N > 0 and (first_step + t + 1) % interval == 0
            for m in range(M):
                before = load_row(z, m)
                value = fma(spread_at(A, m), before, load_row(new, m) + spread_at(h1, m))
                if p[25]:
                    value = value + load_row(drives, c * M + m)
                if emits:
                    store_row(outs, buffered * M + m, where_positive(inside, value, zero))
                if due and m < N:
                    signal = load_row(signals, c * N + m)
                    value = where_number(signal, keep * value + a * signal, value)
                store_row(z, m, where_positive(inside, value, before))
            if emits:
                buffered += 1
            if buffered == FORWARD_CHUNK or t == T - 1:
                lanes_out(at(out, row * M), kept * M, outs, count, buffered * M)
                row += buffered
                buffered = 0
        lanes_out(final, M, z, count, M)


@numba.njit(**JIT)
def states_before(zp, signals, start, z, z_hat, a, keep, interval, first_step, count, t0, t1, T, M, N):
    """zp: states before each step of the chunk, after forcing; signals: those of the steps t0 - 1 .. t1 - 1."""
    head = 1 if t0 == 0 else 0
    if head:
        lanes_in(zp, start, M, count, M)
    lanes_in(at(signals, head * N * LANES), at(z_hat, (t0 - 1 + head) * N), T * N, count, (t1 - t0 + 1 - head) * N)
    lanes_in(at(zp, head * M * LANES), at(z, (t0 - 1 + head) * M), T * M, count, (t1 - t0 - head) * M)
    for t in range(t0 + head, t1):
        if N > 0 and (first_step + t) % interval == 0:
            for m in range(N):
                value, signal = load_row(zp, (t - t0) * M + m), load_row(signals, (t - t0) * N + m)
                store_row(zp, (t - t0) * M + m, where_number(signal, keep * value + a * signal, value))


@numba.njit(**JIT)
def backward_tasks(first, last, worker, address, like, rows, wide):
    """Each task is one model and every `groups`-th block: chunks of time from the end; hidden layer recomputed.

    At `address` p: the sizes, groups, chunk; from 15 on the tensors, from 39 on the parts of the scratch buffer, as
    `backward` lists them. `rows` and `wide` as in `forward_tasks`.
    """
    p = pointer_to(address, numba.int64(0))
    B, T, M, K, H, D, N, cell, centred, n_linear, first_step, z_hat_step, lengths_step = sizes_of(p)
    groups, chunk = p[13], p[14]
    scratch = numbers(p, 51, worker * p[52] * LANES, like)
    zero, one = splat(like), splat(like + type(like)(1))
    share = splat(type(like)(1) / type(like)(M))
    zp, lam, dzs = scratch, at(scratch, p[39] * LANES), at(scratch, p[40] * LANES)
    signals, dsignals = at(scratch, p[41] * LANES), at(scratch, p[42] * LANES)
    g, back, length = at(scratch, p[43] * LANES), at(scratch, p[44] * LANES), at(scratch, p[45] * LANES)
    dq, row, sums = at(scratch, p[46] * LANES), at(scratch, p[47] * LANES), at(scratch, p[48] * LANES)
    q, dphi = at(scratch, p[49] * LANES), at(scratch, p[50] * LANES)
    for task in range(first, last):
        e, group = task // groups, task % groups
        A, W1 = numbers(p, 15, e * M, like), numbers(p, 16, e * M * K, like)
        W2, h2 = numbers(p, 17, e * H * M, like), numbers(p, 18, e * H, like)
        alpha, thresholds = numbers(p, 19, e * D, like), numbers(p, 20, e * M * D, like)
        dA, dh1 = numbers(p, 32, task * M, like), numbers(p, 33, task * M, like)
        dW1, dW2 = numbers(p, 34, task * M * K, like), numbers(p, 35, task * H * M, like)
        dh2, dalpha = numbers(p, 36, task * H, like), numbers(p, 37, task * D, like)
        dthresholds = numbers(p, 38, task * M * D, like)
        a, interval = zero, 1
        if N:
            a, interval = spread_at(numbers(p, 21, e, like), 0), numbers(p, 22, e, numba.int64(0))[0]
        keep = one - a
        basis = cell, h2, alpha, thresholds, D, n_linear
        if rows is not None:
            for r in range(K * (2 * M + 1)):
                store_row(sums, r, zero)
        for b0 in range(group * LANES, B, groups * LANES):
            sequence = e * B + b0
            start, z = numbers(p, 24, sequence * M, like), numbers(p, 25, sequence * T * M, like)
            z_hat = numbers(p, 23, e * z_hat_step + b0 * T * N, like)
            count = min(LANES, B - b0)
            remaining(p, 28, e * lengths_step + b0, count, T, length)
            lanes_in(g, numbers(p, 27, sequence * M, like), M, count, M)
            t1 = T
            while t1 > 0:
                t0 = max(0, t1 - chunk)
                states_before(zp, signals, start, z, z_hat, a, keep, interval, first_step, count, t0, t1, T, M, N)
                lanes_in(dzs, numbers(p, 26, (sequence * T + t0) * M, like), T * M, count, (t1 - t0) * M)
                for t in range(t1 - 1, t0 - 1, -1):
                    c = t - t0
                    inside = load_row(length, 0) - splat(type(like)(t))
                    due = N > 0 and (first_step + t + 1) % interval == 0
                    zt, lt = at(zp, c * M * LANES), at(lam, c * M * LANES)
                    for m in range(M):
                        value = load_row(g, m)
                        if m < N:
                            part = zero
                            if due:
                                signal = load_row(signals, (c + 1) * N + m)
                                part = where_number(signal, a * value, zero)
                                value = where_number(signal, keep * value, value)
                            store_row(dsignals, c * N + m, where_positive(inside, part, zero))
                        store_row(lt, m, where_positive(inside, value + load_row(dzs, c * M + m), zero))
                    if wide is not None:
                        qt, dt = at(q, c * K * LANES), at(dphi, c * K * LANES)
                        inputs_of_basis(qt, zt, W2, M, H, centred, share, zero)
                        multiply(dt, W1, 1, K, lt, K, M, zero)
                        for k in range(K):
                            store_row(dq, k, times_slope(load_row(qt, k), load_row(dt, k), k, basis, zero, one))
                        if H:
                            multiply(back, W2, 1, M, dq, M, H, zero)
                        else:
                            for m in range(M):
                                store_row(back, m, load_row(dq, m))
                            if centred:
                                centre(back, M, share, zero)
                    if rows is not None:
                        hidden_backward(back, lt, zt, W1, W2, h2, K, cell == SHALLOW_CLIPPED, rows, zero)
                    for m in range(M):
                        value = fma(spread_at(A, m), load_row(lt, m), load_row(back, m))
                        store_row(g, m, where_positive(inside, value, load_row(g, m)))
                state_gradients(dA, dh1, zp, lam, t1 - t0, M, zero)
                if wide is not None:
                    basis_gradients(dW1, dW2, dh2, dalpha, dthresholds, zp, lam, q, dphi, row, t1 - t0, M, K, H, basis,
                                    zero, one)  # fmt: skip
                if rows is not None:
                    hidden_gradients(sums, zp, lam, t1 - t0, W1, W2, h2, K, cell == SHALLOW_CLIPPED, rows, zero)
                if p[30]:
                    lanes_out(numbers(p, 30, (sequence * T + t0) * M, like), T * M, lam, count, (t1 - t0) * M)
                if p[31]:
                    lanes_out(numbers(p, 31, (sequence * T + t0) * N, like), T * N, dsignals, count, (t1 - t0) * N)
                t1 = t0
            if p[29]:
                lanes_out(numbers(p, 29, sequence * M, like), M, g, count, M)
        if rows is not None:
            add_lanes(dW1, dW2, dh2, sums, M, K)


_LIKE = {torch.float32: np.float32(0), torch.float64: np.float64(0)}


def _sizes(a, T):
    """What `sizes_of` reads; a missing argument has size 0."""
    (_, B, M), K, z_hat, lengths = a["z0"].shape, a["W1"].shape[2], a["z_hat"], a["lengths"]
    H = 0 if a["W2"] is None else K
    D = 0 if a["alpha"] is None else a["alpha"].shape[1]
    N = 0 if z_hat is None else z_hat.shape[3]
    n_linear = M - a["n_relu"] if a["cell"] == "alrnn" else 0
    z_hat_step = 0 if z_hat is None or z_hat.shape[0] == 1 else B * T * N
    lengths_step = 0 if lengths is None or lengths.shape[0] == 1 else B
    return (B, T, M, K, H, D, N, CODES[a["cell"]], a["cell"] == "plrnn-mc", n_linear, a["first_step"], z_hat_step,
            lengths_step)  # fmt: skip


def _long(x):
    return x if x is None or x.dtype == torch.int64 else x.to(torch.int64)


def _run(function, tasks, like, fused, values, buffers):
    """Runs the tasks with a scratch buffer per thread: `buffers` are its parts, in rows of LANES numbers."""
    *offsets, size = accumulate(buffers)
    workers = workers_for(tasks)
    scratch = like.new_empty(workers * size * LANES)
    p = array("q", [*values, *offsets, scratch.data_ptr(), size])
    number = _LIKE[like.dtype]
    variant = ((number,) * fused, None) if fused else (None, 1)
    run_tasks(function, tasks, p.buffer_info()[0], number, *variant, numbered=True)


def forward(
    z0, A, W1, h1, W2, h2, alpha, thresholds, drive, z_hat, forcing_alpha, forcing_interval, lengths,
    *, cell, n_relu, steps, first_step=0, keep_every=1,
):  # fmt: skip
    """((z, z_final), saved): every element of the outputs is written."""
    sizes = _sizes(locals(), steps)
    E, (B, _, M, K, H, _, N, *_) = z0.shape[0], sizes
    inputs = contiguous(z0, A, W1, h1, W2, h2, alpha, thresholds, drive, z_hat, forcing_alpha, _long(forcing_interval),
                        _long(lengths))  # fmt: skip
    kept = steps // keep_every if keep_every else 0
    z, z_final = empty(z0, E, B, kept, M), z0.new_empty(E, B, M)
    fused = M if H and M <= FUSED_STATES else 0
    chunk = min(FORWARD_CHUNK, steps)
    buffers = M, M, 0 if fused else K, 0 if drive is None else chunk * M, chunk * N, chunk * M, 1
    values = *sizes, keep_every, kept, *data_pointers(z, z_final, *inputs)
    _run(forward_tasks, E * -(-B // LANES), z0, fused, values, buffers)
    return (z, z_final), {"z": z}


def backward(saved, grads):
    """Gradients of the arguments named in saved["wanted"]."""
    T, wanted, z0, z_hat = saved["steps"], saved["wanted"], saved["z0"], saved["z_hat"]
    sizes = _sizes(saved, T)
    E, (B, _, M, K, H, D, N, *_) = z0.shape[0], sizes
    groups = min(GROUPS, -(-B // LANES))
    fused = M if H and M <= FUSED_STATES else 0
    chunk = min(T, max(16, FUSED_ROWS // M // 16 * 16) if fused else max(4, min(64, BACKWARD_ROWS // K)))
    inputs = contiguous(
        saved["A"], saved["W1"], saved["W2"], saved["h2"], saved["alpha"], saved["thresholds"],
        saved["forcing_alpha"], _long(saved["forcing_interval"]), z_hat, z0, saved["z"], grads["z"], grads["z_final"],
        _long(saved["lengths"]),
    )  # fmt: skip
    found = {"z0": z0.new_empty(E, B, M) if "z0" in wanted else None,
             "drive": empty(z0, E, B, T, M) if "drive" in wanted else None,
             "z_hat": empty(z0, E, B, T, N) if "z_hat" in wanted else None}  # fmt: skip
    shapes = {"A": (M,), "h1": (M,), "W1": (M, K), "W2": (H, M), "h2": (H,), "alpha": (D,), "thresholds": (M, D)}
    sums = {n: z0.new_zeros(E * groups, *shape) if all(shape) else None for n, shape in shapes.items()}
    values = *sizes, groups, chunk, *data_pointers(*inputs, *found.values(), *sums.values())
    buffers = (chunk * M, chunk * M, chunk * M, (chunk + 1) * N, chunk * N, M, M, 1, K, chunk,
               K * (2 * M + 1) if fused else 0, 0 if fused else chunk * K, 0 if fused else chunk * K)  # fmt: skip
    _run(backward_tasks, E * groups, z0, fused, values, buffers)
    for n, s in sums.items():
        found[n] = s if s is None or groups == 1 else s.unflatten(0, (E, groups)).sum(1)
    return {n: found[n] for n in wanted}
