"""CPU twin of rollout_plrnn: the whole time loop fused, sequences in SIMD lanes, parallel over models x blocks."""

import numba
import numpy as np
import torch

from neurorbit.kernels.numba_common import JIT, array, multiply_add, outer_add, width

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
LANES = (0,) * 8
GROUPS = 16  # most partial weight gradients per model
CHUNK_VALUES = 32768  # K x steps x lanes of hidden activations recomputed at a time (L2 cache)


@numba.njit(**JIT)
def relu(v, zero):
    return v if v > zero else zero


@numba.njit(**JIT)
def activate(phi, q, k, cell, bias, alpha, thresholds, n_linear, lanes):
    """Row k of phi(q): phi may be q."""
    n = width(lanes)
    zero = q.dtype.type(0)
    if cell == SHALLOW:
        for i in range(n):
            phi[i] = relu(q[i] + bias, zero)
    elif cell == SHALLOW_CLIPPED:
        for i in range(n):
            phi[i] = relu(q[i] + bias, zero) - relu(q[i], zero)
    elif cell == RELU or cell == ALRNN:
        if k >= n_linear:
            for i in range(n):
                phi[i] = relu(q[i], zero)
        else:
            for i in range(n):
                phi[i] = q[i]
    else:
        clip = q.dtype.type(cell == DENDRITIC_CLIPPED)
        for i in range(n):
            v = q[i]
            floor = clip * relu(v, zero)
            s = zero
            for d in range(alpha.shape[0]):
                s += alpha[d] * (relu(v - thresholds[k, d], zero) - floor)
            phi[i] = s


@numba.njit(**JIT)
def times_slope(dq, dphi, q, k, cell, bias, alpha, thresholds, n_linear, lanes):
    """Row k of dq = dphi * phi'(q); dq may be dphi."""
    n = width(lanes)
    zero, one = q.dtype.type(0), q.dtype.type(1)
    if cell == SHALLOW:
        for i in range(n):
            dq[i] = dphi[i] if q[i] + bias > zero else zero
    elif cell == SHALLOW_CLIPPED:
        for i in range(n):
            dq[i] = (dphi[i] if q[i] + bias > zero else zero) - (dphi[i] if q[i] > zero else zero)
    elif cell == RELU or cell == ALRNN:
        if k >= n_linear:
            for i in range(n):
                dq[i] = dphi[i] if q[i] > zero else zero
        else:
            for i in range(n):
                dq[i] = dphi[i]
    else:
        clip = q.dtype.type(cell == DENDRITIC_CLIPPED)
        for i in range(n):
            v = q[i]
            floor = clip if v > zero else zero
            s = zero
            for d in range(alpha.shape[0]):
                s += alpha[d] * ((one if v > thresholds[k, d] else zero) - floor)
            dq[i] = dphi[i] * s


@numba.njit(**JIT)
def basis(q, z, M, H, W2, centred, lanes):
    """q = W2 z, z, or z - mean(z)."""
    n = width(lanes)
    if H:
        for k in range(H):
            for i in range(n):
                q[k, i] = 0
        multiply_add(q, W2, z, H, M, lanes)
        return
    for m in range(M):
        for i in range(n):
            q[m, i] = z[m, i]
    if centred:
        centre(q, M, lanes)


@numba.njit(**JIT)
def centre(q, M, lanes):
    """q - mean(q): its own transpose."""
    for i in range(width(lanes)):
        s = q.dtype.type(0)
        for m in range(M):
            s += q[m, i]
        s /= q.dtype.type(M)
        for m in range(M):
            q[m, i] -= s


@numba.njit(**JIT)
def force(z, b0, t, z_hat, a, first, count):
    """Forces lanes first..count at step t: (1 - a) z + a z_hat wherever z_hat is not NaN."""
    keep = z.dtype.type(1) - a
    for i in range(first, count):
        for m in range(z_hat.shape[2]):
            signal = z_hat[b0 + i, t, m]
            if signal == signal:
                z[m, i] = keep * z[m, i] + a * signal


@numba.njit(**JIT)
def forward_block(out, final, z0, A, W1, h1, W2, h2, alpha, thresholds, drive, z_hat, a, interval, lengths, b0,
                  cell, centred, n_linear, steps, first_step, keep_every, lanes):  # fmt: skip
    """One model, one block of lanes: all steps."""
    L = width(lanes)
    B, M = z0.shape
    K, H = W1.shape[1], W2.shape[0]
    zero = z0.dtype.type(0)
    count = min(L, B - b0)
    has_drive, has_force, has_lengths = drive.shape[0] > 0, z_hat.shape[0] > 0, lengths.shape[0] > 0
    z = np.zeros((M, L), z0.dtype)
    new = np.zeros((M, L), z0.dtype)
    phi = np.zeros((K, L), z0.dtype)
    for i in range(count):
        for m in range(M):
            z[m, i] = z0[b0 + i, m]
    for t in range(steps):
        basis(phi, z, M, H, W2, centred, lanes)
        for k in range(K):
            activate(phi[k], phi[k], k, cell, h2[k] if H else zero, alpha, thresholds, n_linear, lanes)
        for m in range(M):
            scale, bias = A[m], h1[m]
            for i in range(L):
                new[m, i] = scale * z[m, i] + bias
        if has_drive:
            for i in range(count):
                for m in range(M):
                    new[m, i] += drive[b0 + i, t, m]
        multiply_add(new, W1, phi, M, K, lanes)
        if has_lengths:
            for i in range(count):
                if t >= lengths[b0 + i]:
                    for m in range(M):
                        new[m, i] = z[m, i]
        if keep_every and (t + 1) % keep_every == 0:
            row = (t + 1) // keep_every - 1
            for i in range(count):
                inside = not has_lengths or t < lengths[b0 + i]
                for m in range(M):
                    out[b0 + i, row, m] = new[m, i] if inside else zero
        if has_force and (first_step + t + 1) % interval == 0:
            if has_lengths:
                for i in range(count):
                    if t < lengths[b0 + i]:
                        force(new, b0, t, z_hat, a, i, i + 1)
            else:
                force(new, b0, t, z_hat, a, 0, count)
        z, new = new, z
    for i in range(count):
        for m in range(M):
            final[b0 + i, m] = z[m, i]


@numba.njit(parallel=True, **JIT)
def forward_all(out, final, z0, A, W1, h1, W2, h2, alpha, thresholds, drive, z_hat, forcing_alpha, interval, lengths,
                cell, centred, n_linear, steps, first_step, keep_every, lanes):  # fmt: skip
    E, B, _ = z0.shape
    L = width(lanes)
    blocks = (B + L - 1) // L
    for task in numba.prange(E * blocks):
        e, b0 = task // blocks, task % blocks * L
        forward_block(
            out[e], final[e], z0[e], A[e], W1[e], h1[e], W2[e], h2[e], alpha[e], thresholds[e], drive[e],
            z_hat[e % z_hat.shape[0]], forcing_alpha[e], interval[e], lengths[e % lengths.shape[0]], b0,
            cell, centred, n_linear, steps, first_step, keep_every, lanes,
        )  # fmt: skip


@numba.njit(**JIT)
def previous_states(zp, z0, z, z_hat, a, interval, first_step, b0, count, t0, t1, lanes):
    """States before each step of the chunk, after forcing: zp[M, (t1 - t0) * L]."""
    L = width(lanes)
    M = z0.shape[1]
    N = z_hat.shape[2]
    keep = z0.dtype.type(1) - a
    for t in range(t0, t1):
        base = (t - t0) * L
        due = z_hat.shape[0] > 0 and t > 0 and (first_step + t) % interval == 0
        for i in range(L):
            for m in range(M):
                value = z0.dtype.type(0)
                if i < count:
                    value = z0[b0 + i, m] if t == 0 else z[b0 + i, t - 1, m]
                    if due and m < N:
                        signal = z_hat[b0 + i, t - 1, m]
                        if signal == signal:
                            value = keep * value + a * signal
                zp[m, base + i] = value


@numba.njit(**JIT)
def backward_block(dz0, dA, dW1t, dh1, dW2, dh2, dalpha, dthresholds, ddrive, dz_hat, dz, dz_final, z, z0, A, W1t, W2,
                   W2t, h2, alpha, thresholds, z_hat, a, interval, lengths, b0, cell, centred, n_linear,
                   steps, first_step, lanes):  # fmt: skip
    """Adjoint of one block: chunks of time from the end; hidden activations recomputed per chunk."""
    L = width(lanes)
    B, M = z0.shape
    K, H = W1t.shape[0], W2.shape[0]
    N = z_hat.shape[2]
    zero, one = z0.dtype.type(0), z0.dtype.type(1)
    keep = one - a
    count = min(L, B - b0)
    has_force, has_lengths = z_hat.shape[0] > 0, lengths.shape[0] > 0
    chunk = min(steps, max(4, min(64, CHUNK_VALUES // (K * L))))
    zp = np.zeros((M, chunk * L), z0.dtype)
    lam = np.zeros((M, chunk * L), z0.dtype)
    q = np.zeros((K, chunk * L), z0.dtype)
    dphi = np.zeros((K, chunk * L), z0.dtype)
    row = np.zeros(chunk * L, z0.dtype)
    dq = np.zeros((K, L), z0.dtype)
    g = np.zeros((M, L), z0.dtype)
    g_pre = np.zeros((M, L), z0.dtype)
    for i in range(count):
        for m in range(M):
            g[m, i] = dz_final[b0 + i, m]
    t1 = steps
    while t1 > 0:
        t0 = max(0, t1 - chunk)
        n = (t1 - t0) * L
        previous_states(zp, z0, z, z_hat, a, interval, first_step, b0, count, t0, t1, lanes)
        basis(q, zp, M, H, W2, centred, n)
        for t in range(t1 - 1, t0 - 1, -1):
            base = (t - t0) * L
            due = has_force and (first_step + t + 1) % interval == 0
            for i in range(count):
                inside = not has_lengths or t < lengths[b0 + i]
                for m in range(M):
                    value = g[m, i] if inside else zero
                    if has_force and m < N:
                        signal_gradient = zero
                        if due and inside:
                            signal = z_hat[b0 + i, t, m]
                            if signal == signal:
                                signal_gradient = a * value
                                value = keep * value
                        if dz_hat.shape[0]:
                            dz_hat[b0 + i, t, m] = signal_gradient
                    if inside:
                        value += dz[b0 + i, t, m]
                    g_pre[m, i] = value
                    if ddrive.shape[0]:
                        ddrive[b0 + i, t, m] = value
            for k in range(K):
                for i in range(L):
                    dq[k, i] = 0
            multiply_add(dq, W1t, g_pre, K, M, lanes)
            for k in range(K):
                here = q[k, base : base + L]
                for i in range(L):
                    dphi[k, base + i] = dq[k, i]
                times_slope(dq[k], dq[k], here, k, cell, h2[k] if H else zero, alpha, thresholds, n_linear, lanes)
            if has_lengths:
                for i in range(count):
                    if t >= lengths[b0 + i]:
                        for m in range(M):
                            g_pre[m, i] = g[m, i]
            for m in range(M):
                scale = A[m]
                for i in range(L):
                    lam[m, base + i] = g_pre[m, i]
                    g[m, i] = scale * g_pre[m, i]
            if H:
                multiply_add(g, W2t, dq, M, H, lanes)
            else:
                if centred:
                    centre(dq, M, lanes)
                for m in range(M):
                    for i in range(L):
                        g[m, i] += dq[m, i]
            if has_lengths:
                for i in range(count):
                    if t >= lengths[b0 + i]:
                        for m in range(M):
                            g[m, i] = g_pre[m, i]
                            lam[m, base + i] = 0
        for m in range(M):
            s, r = zero, zero
            for i in range(n):
                s += lam[m, i] * zp[m, i]
                r += lam[m, i]
            dA[m] += s
            dh1[m] += r
        for k in range(K):
            activate(row, q[k], k, cell, h2[k] if H else zero, alpha, thresholds, n_linear, n)
            outer_add(dW1t[k], row, lam, M, n)
            if H:
                s = zero
                bias = h2[k]
                for i in range(n):
                    s += dphi[k, i] if q[k, i] + bias > 0 else zero
                dh2[k] += s
                times_slope(row, dphi[k], q[k], k, cell, bias, alpha, thresholds, n_linear, n)
                outer_add(dW2[k], row, zp, M, n)
            for d in range(alpha.shape[0]):
                threshold = thresholds[k, d]
                clip = z0.dtype.type(cell == DENDRITIC_CLIPPED)
                s, r = zero, zero
                for i in range(n):
                    v = q[k, i]
                    s += dphi[k, i] * (relu(v - threshold, zero) - clip * relu(v, zero))
                    r += dphi[k, i] if v > threshold else zero
                dalpha[d] += s
                dthresholds[k, d] -= alpha[d] * r
        t1 = t0
    for i in range(count):
        for m in range(M):
            dz0[b0 + i, m] = g[m, i]


@numba.njit(parallel=True, **JIT)
def backward_all(dz0, dA, dW1t, dh1, dW2, dh2, dalpha, dthresholds, ddrive, dz_hat, dz, dz_final, z, z0, A, W1t, W2,
                 W2t, h2, alpha, thresholds, z_hat, forcing_alpha, interval, lengths, cell, centred, n_linear,
                 steps, first_step, lanes):  # fmt: skip
    E, B, _ = z0.shape
    L = width(lanes)
    blocks = (B + L - 1) // L
    groups = dA.shape[1]
    for task in numba.prange(E * groups):
        e, group = task // groups, task % groups
        for block in range(group, blocks, groups):
            backward_block(
                dz0[e], dA[e, group], dW1t[e, group], dh1[e, group], dW2[e, group], dh2[e, group], dalpha[e, group],
                dthresholds[e, group], ddrive[e], dz_hat[e], dz[e], dz_final[e],
                z[e], z0[e], A[e], W1t[e], W2[e], W2t[e], h2[e], alpha[e], thresholds[e], z_hat[e % z_hat.shape[0]],
                forcing_alpha[e], interval[e], lengths[e % lengths.shape[0]], block * L, cell, centred, n_linear,
                steps, first_step, lanes,
            )  # fmt: skip


def _inputs(W2, h2, alpha, thresholds, z_hat, forcing_alpha, forcing_interval, lengths, z0):
    """The optional arguments as arrays; a missing one is empty behind its model axis."""
    E, _, M = z0.shape
    like = z0.dtype
    return (
        array(W2, like, (E, 0, M)),
        array(h2, like, (E, 0)),
        array(alpha, like, (E, 0)),
        array(thresholds, like, (E, 0, 0)),
        array(z_hat, like, (1, 0, 0, 0)),
        array(forcing_alpha, like, (E,)),
        array(forcing_interval, np.int64, (E,)),
        array(lengths, np.int64, (1, 0)),
    )


def _options(cell, n_relu, M):
    return CODES[cell], cell == "plrnn-mc", M - n_relu if cell == "alrnn" else 0


def forward(
    z0, A, W1, h1, W2, h2, alpha, thresholds, drive, z_hat, forcing_alpha, forcing_interval, lengths,
    *, cell, n_relu, steps, first_step=0, keep_every=1,
):  # fmt: skip
    """((z, z_final), saved): every element of the outputs is written."""
    E, B, M = z0.shape
    z0_ = array(z0, z0.dtype, ())
    out = np.empty((E, B, steps // keep_every if keep_every else 0, M), z0_.dtype)
    final = np.empty((E, B, M), z0_.dtype)
    W2_, h2_, alpha_, thresholds_, z_hat_, forcing_, interval_, lengths_ = _inputs(
        W2, h2, alpha, thresholds, z_hat, forcing_alpha, forcing_interval, lengths, z0_
    )
    forward_all(
        out, final, z0_, array(A, None, ()), array(W1, None, ()), array(h1, None, ()), W2_, h2_, alpha_, thresholds_,
        array(drive, z0_.dtype, (E, 0, 0, 0)), z_hat_, forcing_, interval_, lengths_,
        *_options(cell, n_relu, M), steps, first_step, keep_every, LANES,
    )  # fmt: skip
    z, z_final = torch.from_numpy(out), torch.from_numpy(final)
    return (z, z_final), {"z": z}


def backward(saved, grads):
    """Gradients of the arguments named in saved["wanted"]."""
    z0, W1, wanted = saved["z0"], saved["W1"], saved["wanted"]
    E, B, M = z0.shape
    K, T = W1.shape[2], saved["steps"]
    z0_ = array(z0, None, ())
    like = z0_.dtype
    W2_, h2_, alpha_, thresholds_, z_hat_, forcing_, interval_, lengths_ = _inputs(
        *(saved[n] for n in ("W2", "h2", "alpha", "thresholds", "z_hat", "forcing_alpha", "forcing_interval", "lengths")),
        z0_,
    )
    W1t = np.ascontiguousarray(array(W1, None, ()).transpose(0, 2, 1))
    W2t = np.ascontiguousarray(W2_.transpose(0, 2, 1))
    groups = min(GROUPS, -(-B // len(LANES)))
    H, D = W2_.shape[1], alpha_.shape[1]
    dz0 = np.empty((E, B, M), like)
    shapes = {"A": (M,), "W1": (K, M), "h1": (M,), "W2": (H, M), "h2": (H,), "alpha": (D,), "thresholds": (M if D else 0, D)}
    partial = {n: np.zeros((E, groups, *shape), like) for n, shape in shapes.items()}
    ddrive = np.empty((E, B, T, M) if "drive" in wanted else (E, 0, 0, 0), like)
    dz_hat = np.empty((E, *saved["z_hat"].shape[1:]) if "z_hat" in wanted else (E, 0, 0, 0), like)
    backward_all(
        dz0, *partial.values(), ddrive, dz_hat, array(grads["z"], None, ()), array(grads["z_final"], None, ()),
        array(saved["z"], None, ()), z0_, array(saved["A"], None, ()), W1t, W2_, W2t, h2_, alpha_, thresholds_,
        z_hat_, forcing_, interval_, lengths_, *_options(saved["cell"], saved["n_relu"], M), T, saved["first_step"], LANES,
    )  # fmt: skip
    partial = {n: p.sum(1) if groups > 1 else p[:, 0] for n, p in partial.items()}
    partial["W1"] = np.ascontiguousarray(partial["W1"].transpose(0, 2, 1))
    found = {"z0": dz0, **partial, "drive": ddrive, "z_hat": dz_hat}
    return {n: torch.from_numpy(found[n]) for n in wanted}
