"""CPU twin of rollout_plrnn: the time loop fused, sixteen sequences in SIMD lanes, models x blocks in parallel."""

import numba
import numpy as np
import torch

from neurorbit.kernels.numba_common import (
    JIT,
    LANES,
    add_products,
    addresses,
    contiguous,
    fma,
    lanes_in,
    lanes_out,
    load,
    matrix_at,
    multiply,
    relu,
    run_tasks,
    sequences_at,
    splat,
    splat_at,
    store,
    total,
    where_number,
    where_positive,
)

RELU, DENDRITIC, DENDRITIC_CLIPPED, SHALLOW, SHALLOW_CLIPPED, ALRNN = range(6)
CODES = {
    "plrnn": RELU,
    "plrnn-mc": RELU,
    "dendritic": DENDRITIC,
    "dendritic-clipped": DENDRITIC_CLIPPED,
    "shallow": SHALLOW,
    "shallow-clipped": SHALLOW_CLIPPED,
    "alrnn": ALRNN,
}
GROUPS = 16  # at most this many partial weight gradients per model
FORWARD_CHUNK = 16  # steps transposed into lanes at a time
BACKWARD_ROWS = 2048  # hidden activations of this many rows of lanes are recomputed at a time (L2 cache)


@numba.njit(**JIT)
def activate(phi, q, r0, stride, k0, advance, count, cell, bias, alpha, thresholds, n_linear):
    """phi[i] = phi_k(q[r0 + i stride]) with unit k = k0 + i advance, for i < count."""
    zero = splat(q.dtype.type(0))
    if cell == SHALLOW:
        for i in range(count):
            store(phi, i, 0, relu(load(q, r0 + i * stride, 0) + splat_at(bias, k0 + i * advance, 0), zero))
    elif cell == SHALLOW_CLIPPED:
        for i in range(count):
            v = load(q, r0 + i * stride, 0)
            store(phi, i, 0, relu(v + splat_at(bias, k0 + i * advance, 0), zero) - relu(v, zero))
    elif cell == RELU or cell == ALRNN:
        for i in range(count):
            v = load(q, r0 + i * stride, 0)
            store(phi, i, 0, relu(v, zero) if k0 + i * advance >= n_linear else v)
    else:
        clip = splat(q.dtype.type(cell == DENDRITIC_CLIPPED))
        for i in range(count):
            v = load(q, r0 + i * stride, 0)
            floor = clip * relu(v, zero)
            s = zero
            for d in range(alpha.shape[0]):
                base = relu(v - splat_at(thresholds, k0 + i * advance, d), zero) - floor
                s = fma(splat_at(alpha, d, 0), base, s)
            store(phi, i, 0, s)


@numba.njit(**JIT)
def times_slope(dq, dphi, q, r0, stride, k0, advance, count, cell, bias, alpha, thresholds, n_linear):
    """dq[i] = dphi[r] * phi_k'(q[r]) with r = r0 + i stride and k = k0 + i advance, for i < count."""
    zero = splat(q.dtype.type(0))
    if cell == SHALLOW:
        for i in range(count):
            v = load(q, r0 + i * stride, 0) + splat_at(bias, k0 + i * advance, 0)
            store(dq, i, 0, where_positive(v, load(dphi, r0 + i * stride, 0), zero))
    elif cell == SHALLOW_CLIPPED:
        for i in range(count):
            v, g = load(q, r0 + i * stride, 0), load(dphi, r0 + i * stride, 0)
            moved = v + splat_at(bias, k0 + i * advance, 0)
            store(dq, i, 0, where_positive(moved, g, zero) - where_positive(v, g, zero))
    elif cell == RELU or cell == ALRNN:
        for i in range(count):
            g = load(dphi, r0 + i * stride, 0)
            kinked = where_positive(load(q, r0 + i * stride, 0), g, zero)
            store(dq, i, 0, kinked if k0 + i * advance >= n_linear else g)
    else:
        one = splat(q.dtype.type(1))
        clip = splat(q.dtype.type(cell == DENDRITIC_CLIPPED))
        for i in range(count):
            v = load(q, r0 + i * stride, 0)
            floor = where_positive(v, clip, zero)
            s = zero
            for d in range(alpha.shape[0]):
                on = where_positive(v - splat_at(thresholds, k0 + i * advance, d), one, zero)
                s = fma(splat_at(alpha, d, 0), on - floor, s)
            store(dq, i, 0, load(dphi, r0 + i * stride, 0) * s)


@numba.njit(**JIT)
def centre(q, M):
    """q - mean(q): its own transpose."""
    s = splat(q.dtype.type(0))
    for m in range(M):
        s = s + load(q, m, 0)
    s = s * splat(q.dtype.type(1) / q.dtype.type(M))
    for m in range(M):
        store(q, m, 0, load(q, m, 0) - s)


@numba.njit(**JIT)
def basis(q, q0, z, z0, M, H, W2, centred):
    """q = W2 z, z, or z - mean(z)."""
    if H:
        multiply(q, q0, W2, z, z0, H, M)
        return
    for m in range(M):
        store(q, q0 + m, 0, load(z, z0 + m, 0))
    if centred:
        centre(q[q0 : q0 + M], M)


@numba.njit(**JIT)
def remaining(lengths, shared, e, b0, count, T, out):
    """Steps of each lane's sequence, as floating values; 0 for lanes past the batch."""
    for i in range(LANES):
        out[0, i] = 0
        if i < count:
            out[0, i] = T if lengths.size == 0 else lengths[0 if shared else e, b0 + i]


@numba.njit(**JIT)
def forward_task(task, where, S, like, lengths, interval):
    """One model, one block of lanes: all steps."""
    B, T, M, K, H, D, N, shared = S[1], S[2], S[3], S[4], S[5], S[6], S[7], S[8]
    cell, centred, n_linear, first_step, keep_every, has_drive, kept = S[9], S[10], S[11], S[12], S[13], S[14], S[15]
    blocks = (B + LANES - 1) // LANES
    e, b0 = task // blocks, task % blocks * LANES
    count = min(LANES, B - b0)
    out = sequences_at(where[0], like, e, B, kept, M)
    final = sequences_at(where[1], like, e, B, 1, M)
    start = sequences_at(where[2], like, e, B, 1, M)
    A, W1, h1 = (
        matrix_at(where[3], like, e, M, 1),
        matrix_at(where[4], like, e, M, K),
        matrix_at(where[5], like, e, M, 1),
    )
    W2, h2 = matrix_at(where[6], like, e, H, M), matrix_at(where[7], like, e, H, 1)
    alpha, thresholds = matrix_at(where[8], like, e, D, 1), matrix_at(where[9], like, e, M, D)
    drive = sequences_at(where[10], like, e, B, T, M)
    z_hat = sequences_at(where[11], like, 0 if shared else e, B, T, N)
    a = splat(matrix_at(where[12], like, e, 1, 1)[0, 0]) if N else splat(like.dtype.type(0))
    zero = splat(like.dtype.type(0))
    keep = splat(like.dtype.type(1)) - a
    z = np.zeros((M, LANES), like.dtype)
    new = np.zeros((M, LANES), like.dtype)
    phi = np.zeros((K, LANES), like.dtype)
    drives = np.zeros((FORWARD_CHUNK * M if has_drive else 0, LANES), like.dtype)
    signals = np.zeros((FORWARD_CHUNK * N, LANES), like.dtype)
    outs = np.zeros((FORWARD_CHUNK * M, LANES), like.dtype)
    steps = np.zeros((1, LANES), like.dtype)
    remaining(lengths, S[16], e, b0, count, T, steps)
    lanes_in(z, start, b0, count, 0, 1, M)
    row, buffered = 0, 0
    for t in range(T):
        c = t % FORWARD_CHUNK
        if c == 0:
            t1 = min(t + FORWARD_CHUNK, T)
            lanes_in(signals, z_hat, b0, count, t, t1, N)
            if has_drive:
                lanes_in(drives, drive, b0, count, t, t1, M)
        basis(phi, 0, z, 0, M, H, W2, centred)
        activate(phi, phi, 0, 1, 0, 1, K, cell, h2, alpha, thresholds, n_linear)
        multiply(new, 0, W1, phi, 0, M, K)
        inside = load(steps, 0, 0) - splat(like.dtype.type(t))
        emits = keep_every > 0 and (t + 1) % keep_every == 0
        due = N > 0 and (first_step + t + 1) % interval[e] == 0
        for m in range(M):
            before = load(z, m, 0)
            value = fma(splat_at(A, m, 0), before, load(new, m, 0) + splat_at(h1, m, 0))
            if has_drive:
                value = value + load(drives, c * M + m, 0)
            if emits:
                store(outs, buffered * M + m, 0, where_positive(inside, value, zero))
            if due and m < N:
                signal = load(signals, c * N + m, 0)
                value = where_number(signal, keep * value + a * signal, value)
            store(z, m, 0, where_positive(inside, value, before))
        if emits:
            buffered += 1
        if buffered == FORWARD_CHUNK or t == T - 1:
            lanes_out(out, outs, b0, count, row, row + buffered, M)
            row += buffered
            buffered = 0
    lanes_out(final, z, b0, count, 0, 1, M)


@numba.njit(**JIT)
def forward_tasks(first, last, where, S, like, lengths, interval):
    for task in range(first, last):
        forward_task(task, where, S, like, lengths, interval)


@numba.njit(**JIT)
def states_before(zp, signals, start, z, z_hat, a, keep, interval, first_step, b0, count, t0, t1, M, N):
    """zp: states before each step of the chunk, after forcing; signals: those of the steps t0 - 1 .. t1 - 1."""
    head = 1 if t0 == 0 else 0
    if head:
        lanes_in(zp, start, b0, count, 0, 1, M)
    lanes_in(signals[head * N :], z_hat, b0, count, t0 - 1 + head, t1, N)
    lanes_in(zp[head * M :], z, b0, count, t0 - 1 + head, t1 - 1, M)
    for t in range(t0 + head, t1):
        if N > 0 and (first_step + t) % interval == 0:
            for m in range(N):
                value, signal = load(zp, (t - t0) * M + m, 0), load(signals, (t - t0) * N + m, 0)
                store(zp, (t - t0) * M + m, 0, where_number(signal, keep * value + a * signal, value))


@numba.njit(**JIT)
def weight_gradients(dA, dW1t, dh1, dW2, dh2, dalpha, dthresholds, zp, lam, q, dphi, row, steps, M, K, H, D, cell, h2,
                     alpha, thresholds, n_linear):  # fmt: skip
    """Adds the chunk's part: sums over its steps and lanes."""
    zero = splat(zp.dtype.type(0))
    for m in range(M):
        s, r = zero, zero
        for t in range(steps):
            g = load(lam, t * M + m, 0)
            s = fma(g, load(zp, t * M + m, 0), s)
            r = r + g
        dA[m, 0] += total(s)
        dh1[m, 0] += total(r)
    for k in range(K):
        activate(row, q, k, K, k, 0, steps, cell, h2, alpha, thresholds, n_linear)
        add_products(dW1t, k, row, lam, M, steps)
        if H:
            s = zero
            for t in range(steps):
                s = s + where_positive(load(q, t * K + k, 0) + splat_at(h2, k, 0), load(dphi, t * K + k, 0), zero)
            times_slope(row, dphi, q, k, K, k, 0, steps, cell, h2, alpha, thresholds, n_linear)
            dh2[k, 0] += total(s)
            add_products(dW2, k, row, zp, M, steps)
        for d in range(D):
            threshold = splat_at(thresholds, k, d)
            s, r = zero, zero
            for t in range(steps):
                v, g = load(q, t * K + k, 0), load(dphi, t * K + k, 0)
                floor = relu(v, zero) if cell == DENDRITIC_CLIPPED else zero
                s = fma(g, relu(v - threshold, zero) - floor, s)
                r = r + where_positive(v - threshold, g, zero)
            dalpha[d, 0] += total(s)
            dthresholds[k, d] -= alpha[d, 0] * total(r)


@numba.njit(**JIT)
def backward_task(task, where, S, like, lengths, interval):
    """One model, every `groups`-th block: chunks of time from the end; hidden activations recomputed per chunk."""
    B, T, M, K, H, D, N, shared = S[1], S[2], S[3], S[4], S[5], S[6], S[7], S[8]
    cell, centred, n_linear, first_step, groups, wants_drive, wants_z_hat = (
        S[9],
        S[10],
        S[11],
        S[12],
        S[13],
        S[14],
        S[15],
    )
    e, group = task // groups, task % groups
    A, h2 = matrix_at(where[0], like, e, M, 1), matrix_at(where[1], like, e, H, 1)
    W1t, W2 = matrix_at(where[2], like, e, K, M), matrix_at(where[3], like, e, H, M)
    W2t = matrix_at(where[4], like, e, M, H)
    alpha, thresholds = matrix_at(where[5], like, e, D, 1), matrix_at(where[6], like, e, M, D)
    z_hat = sequences_at(where[7], like, 0 if shared else e, B, T, N)
    a = splat(matrix_at(where[8], like, e, 1, 1)[0, 0]) if N else splat(like.dtype.type(0))
    start, z = sequences_at(where[9], like, e, B, 1, M), sequences_at(where[10], like, e, B, T, M)
    dz, dz_final = sequences_at(where[11], like, e, B, T, M), sequences_at(where[12], like, e, B, 1, M)
    dz0 = sequences_at(where[13], like, e, B, 1, M)
    ddrive, dz_hat = sequences_at(where[14], like, e, B, T, M), sequences_at(where[15], like, e, B, T, N)
    dA, dh1 = matrix_at(where[16], like, task, M, 1), matrix_at(where[17], like, task, M, 1)
    dW1t, dW2 = matrix_at(where[18], like, task, K, M), matrix_at(where[19], like, task, H, M)
    dh2, dalpha = matrix_at(where[20], like, task, H, 1), matrix_at(where[21], like, task, D, 1)
    dthresholds = matrix_at(where[22], like, task, M, D)
    zero = splat(like.dtype.type(0))
    keep = splat(like.dtype.type(1)) - a
    chunk = min(T, max(4, min(64, BACKWARD_ROWS // K)))
    zp = np.zeros((chunk * M, LANES), like.dtype)
    lam = np.zeros((chunk * M, LANES), like.dtype)
    dzs = np.zeros((chunk * M, LANES), like.dtype)
    signals = np.zeros(((chunk + 1) * N, LANES), like.dtype)
    dsignals = np.zeros((chunk * N, LANES), like.dtype)
    q = np.zeros((chunk * K, LANES), like.dtype)
    dphi = np.zeros((chunk * K, LANES), like.dtype)
    row = np.zeros((chunk, LANES), like.dtype)
    dq = np.zeros((K, LANES), like.dtype)
    back = np.zeros((M, LANES), like.dtype)
    g = np.zeros((M, LANES), like.dtype)
    length = np.zeros((1, LANES), like.dtype)
    for b0 in range(group * LANES, B, groups * LANES):
        count = min(LANES, B - b0)
        remaining(lengths, S[16], e, b0, count, T, length)
        lanes_in(g, dz_final, b0, count, 0, 1, M)
        t1 = T
        while t1 > 0:
            t0 = max(0, t1 - chunk)
            states_before(zp, signals, start, z, z_hat, a, keep, interval[e], first_step, b0, count, t0, t1, M, N)
            lanes_in(dzs, dz, b0, count, t0, t1, M)
            for t in range(t1 - t0):
                basis(q, t * K, zp, t * M, M, H, W2, centred)
            for t in range(t1 - 1, t0 - 1, -1):
                c = t - t0
                inside = load(length, 0, 0) - splat(like.dtype.type(t))
                due = N > 0 and (first_step + t + 1) % interval[e] == 0
                for m in range(M):
                    value = load(g, m, 0)
                    if m < N:
                        part = zero
                        if due:
                            signal = load(signals, (c + 1) * N + m, 0)
                            part = where_number(signal, a * value, zero)
                            value = where_number(signal, keep * value, value)
                        store(dsignals, c * N + m, 0, where_positive(inside, part, zero))
                    store(lam, c * M + m, 0, where_positive(inside, value + load(dzs, c * M + m, 0), zero))
                multiply(dphi, c * K, W1t, lam, c * M, K, M)
                times_slope(dq, dphi, q, c * K, 1, 0, 1, K, cell, h2, alpha, thresholds, n_linear)
                source = dq
                if H:
                    multiply(back, 0, W2t, dq, 0, M, H)
                    source = back
                elif centred:
                    centre(dq, M)
                for m in range(M):
                    value = fma(splat_at(A, m, 0), load(lam, c * M + m, 0), load(source, m, 0))
                    store(g, m, 0, where_positive(inside, value, load(g, m, 0)))
            weight_gradients(dA, dW1t, dh1, dW2, dh2, dalpha, dthresholds, zp, lam, q, dphi, row, t1 - t0, M, K, H, D,
                             cell, h2, alpha, thresholds, n_linear)  # fmt: skip
            if wants_drive:
                lanes_out(ddrive, lam, b0, count, t0, t1, M)
            if wants_z_hat:
                lanes_out(dz_hat, dsignals, b0, count, t0, t1, N)
            t1 = t0
        lanes_out(dz0, g, b0, count, 0, 1, M)


@numba.njit(**JIT)
def backward_tasks(first, last, where, S, like, lengths, interval):
    for task in range(first, last):
        backward_task(task, where, S, like, lengths, interval)


def _sizes(a, T):
    """Sizes that both directions need; a missing argument has size 0."""
    (E, B, M), K = a["z0"].shape, a["W1"].shape[2]
    H = 0 if a["W2"] is None else a["W2"].shape[1]
    D = 0 if a["alpha"] is None else a["alpha"].shape[1]
    N = 0 if a["z_hat"] is None else a["z_hat"].shape[3]
    shared = a["z_hat"] is not None and a["z_hat"].shape[0] == 1
    n_linear = M - a["n_relu"] if a["cell"] == "alrnn" else 0
    return [E, B, T, M, K, H, D, N, shared, CODES[a["cell"]], a["cell"] == "plrnn-mc", n_linear, a["first_step"]]


def _integers(a):
    """(like, lengths, interval) as the kernels take them, and whether all models share the lengths."""
    lengths = _NO_LENGTHS if a["lengths"] is None else a["lengths"].to(torch.int64).contiguous().numpy()
    interval = _NO_INTERVAL if a["forcing_interval"] is None else a["forcing_interval"].to(torch.int64).numpy()
    return (_LIKE[a["z0"].dtype], lengths, np.ascontiguousarray(interval)), lengths.shape[0] == 1


_NO_LENGTHS = np.empty((0, 0), np.int64)
_NO_INTERVAL = np.empty(0, np.int64)
_LIKE = {torch.float32: np.empty(0, np.float32), torch.float64: np.empty(0, np.float64)}


def forward(
    z0, A, W1, h1, W2, h2, alpha, thresholds, drive, z_hat, forcing_alpha, forcing_interval, lengths,
    *, cell, n_relu, steps, first_step=0, keep_every=1,
):  # fmt: skip
    """((z, z_final), saved): every element of the outputs is written."""
    a = dict(locals())
    E, B, M = z0.shape
    inputs = contiguous(z0, A, W1, h1, W2, h2, alpha, thresholds, drive, z_hat, forcing_alpha)
    kept = steps // keep_every if keep_every else 0
    z, z_final = z0.new_empty(E, B, kept, M), z0.new_empty(E, B, M)
    integers, shared = _integers(a)
    S = np.array([*_sizes(a, steps), keep_every, drive is not None, kept, shared], np.int64)
    run_tasks(forward_tasks, E * -(-B // LANES), addresses(z, z_final, *inputs), S, *integers)
    return (z, z_final), {"z": z}


def backward(saved, grads):
    """Gradients of the arguments named in saved["wanted"]."""
    T, wanted = saved["steps"], saved["wanted"]
    z0, W1, W2, z_hat = saved["z0"], saved["W1"], saved["W2"], saved["z_hat"]
    sizes = _sizes(saved, T)
    E, B, _, M, K, H, D, N = sizes[:8]
    groups = min(GROUPS, -(-B // LANES))
    integers, shared = _integers(saved)
    S = np.array([*sizes, groups, "drive" in wanted, "z_hat" in wanted, shared], np.int64)
    inputs = contiguous(
        saved["A"], saved["h2"], W1.transpose(1, 2), W2, None if W2 is None else W2.transpose(1, 2), saved["alpha"],
        saved["thresholds"], z_hat, saved["forcing_alpha"], z0, saved["z"], grads["z"], grads["z_final"],
    )  # fmt: skip
    dz0 = z0.new_empty(E, B, M)
    ddrive = z0.new_empty(E, B, T, M) if "drive" in wanted else None
    dz_hat = z0.new_empty(E, B, T, N) if "z_hat" in wanted else None
    shapes = {"A": (M,), "h1": (M,), "W1": (K, M), "W2": (H, M), "h2": (H,), "alpha": (D,), "thresholds": (M, D)}
    missing = {n for n, size in (("W2", H), ("h2", H), ("alpha", D), ("thresholds", D)) if size == 0}
    sums = {n: None if n in missing else z0.new_zeros(E, groups, *shape) for n, shape in shapes.items()}
    where = addresses(*inputs, dz0, ddrive, dz_hat, *sums.values())
    run_tasks(backward_tasks, E * groups, where, S, *integers)
    found = {n: p.sum(1) if groups > 1 else p[:, 0] for n, p in sums.items() if n in wanted}
    if "W1" in wanted:
        found["W1"] = found["W1"].transpose(1, 2).contiguous()
    found |= {"z0": dz0, "drive": ddrive, "z_hat": dz_hat}
    return {n: found[n] for n in wanted}
