"""GPU twin of rollout_plrnn: one launch for the forward rollout, one for its adjoint, one for the weight gradients."""

import torch
import triton
import triton.language as tl

from neurorbit.kernels.triton_common import contract_columns, contract_rows, outer_sum, padded

# DOT: 16 sequences a program and matrix products; else one sequence a program, products and sums.
# WEIGHTS: the most weights of one matrix that stay on chip for the whole rollout; larger ones are streamed in tiles.
CONFIGS = (
    {"DOT": False, "WEIGHTS": 4096, "num_warps": 4},
    {"DOT": False, "WEIGHTS": 2048, "num_warps": 1},
    {"DOT": False, "WEIGHTS": 8192, "num_warps": 8},
    {"DOT": True, "WEIGHTS": 16384, "num_warps": 8},
)
TILE = 2048  # most elements of a streamed tile of weights
CODES = {
    "plrnn": "relu",
    "plrnn-mc": "centred",
    "dendritic": "dendritic",
    "dendritic-clipped": "dendritic-clipped",
    "shallow": "shallow",
    "shallow-clipped": "shallow-clipped",
    "alrnn": "alrnn",
}


@triton.jit
def activate(q, bias, o_k, alpha, thresholds, m_k, D, n_linear, CELL: tl.constexpr):
    """phi(q) for q [R, K]."""
    if CELL == "shallow":
        return tl.maximum(q + bias[None, :], 0.0)
    elif CELL == "shallow-clipped":
        return tl.maximum(q + bias[None, :], 0.0) - tl.maximum(q, 0.0)
    elif CELL == "alrnn":
        return tl.where(o_k[None, :] < n_linear, q, tl.maximum(q, 0.0))
    elif CELL == "dendritic" or CELL == "dendritic-clipped":
        phi = tl.zeros_like(q)
        for d in range(D):
            threshold = tl.load(thresholds + o_k * D + d, mask=m_k, other=0.0)
            base = tl.maximum(q - threshold[None, :], 0.0)
            if CELL == "dendritic-clipped":
                base -= tl.maximum(q, 0.0)
            phi += tl.load(alpha + d) * base
        return phi
    else:
        return tl.maximum(q, 0.0)


@triton.jit
def times_slope(g, q, bias, o_k, alpha, thresholds, m_k, D, n_linear, CELL: tl.constexpr):
    """g * phi'(q) for g and q [R, K]."""
    if CELL == "shallow":
        return tl.where(q + bias[None, :] > 0, g, 0.0)
    elif CELL == "shallow-clipped":
        return tl.where(q + bias[None, :] > 0, g, 0.0) - tl.where(q > 0, g, 0.0)
    elif CELL == "alrnn":
        return tl.where((o_k[None, :] < n_linear) | (q > 0), g, 0.0)
    elif CELL == "dendritic" or CELL == "dendritic-clipped":
        slope = tl.zeros_like(q)
        for d in range(D):
            threshold = tl.load(thresholds + o_k * D + d, mask=m_k, other=0.0)
            on = tl.where(q > threshold[None, :], 1.0, 0.0).to(q.dtype)
            if CELL == "dendritic-clipped":
                on -= tl.where(q > 0, 1.0, 0.0).to(q.dtype)
            slope += tl.load(alpha + d) * on
        return g * slope
    else:
        return tl.where(q > 0, g, 0.0)


@triton.jit
def load_weights(W1, W2, h2, o_m, o_k, M, K, HIDDEN: tl.constexpr):
    """Tiles w1[m, k], w2[m, k] (both state-major) and the bias of the hidden layer."""
    m_k = o_k < K
    m_w = (o_m < M)[:, None] & m_k[None, :]
    w1 = tl.load(W1 + o_m[:, None] * K + o_k[None, :], mask=m_w, other=0.0)
    if HIDDEN:
        w2 = tl.load(W2 + o_k[None, :] * M + o_m[:, None], mask=m_w, other=0.0)
        bias = tl.load(h2 + o_k, mask=m_k, other=0.0)
    else:
        w2 = w1
        bias = tl.zeros_like(o_k).to(w1.dtype)
    return w1, w2, bias


@triton.jit
def pre_activation(z, w2, m_m, M, CELL: tl.constexpr, HIDDEN: tl.constexpr, DOT: tl.constexpr):
    """q = W2 z, z, or z - mean(z), for z [R, M]."""
    if HIDDEN:
        return contract_rows(z, w2, DOT)
    elif CELL == "centred":
        return tl.where(m_m[None, :], z - (tl.sum(z, axis=1) / M)[:, None], 0.0)
    else:
        return z


@triton.jit
def forward_kernel(
    z_out, z_final, z0, A, W1, h1, W2, h2, alpha, thresholds, drive, z_hat, forcing_alpha, interval, lengths,
    B, T, M, K, D, N, kept, first_step, keep_every, n_linear, z_hat_models, length_models,
    CELL: tl.constexpr, HIDDEN: tl.constexpr, HAS_DRIVE: tl.constexpr, HAS_FORCE: tl.constexpr,
    HAS_LENGTHS: tl.constexpr, BLOCK_B: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_K: tl.constexpr,
    TILES: tl.constexpr, RESIDENT: tl.constexpr, DOT: tl.constexpr,
):  # fmt: skip
    """All steps of BLOCK_B sequences of one model; the state stays in registers."""
    i_e = tl.program_id(1).to(tl.int64)
    o_b = tl.program_id(0) * BLOCK_B + tl.arange(0, BLOCK_B)
    o_m = tl.arange(0, BLOCK_M)
    o_k = tl.arange(0, BLOCK_K)
    m_m = o_m < M
    m_b = o_b < B
    m_z = m_b[:, None] & m_m[None, :]
    row = (i_e * B + o_b)[:, None]
    W1 += i_e * M * K
    W2 += i_e * M * K
    h2 += i_e * K
    alpha += i_e * D
    thresholds += i_e * M * D
    diagonal = tl.load(A + i_e * M + o_m, mask=m_m, other=0.0)[None, :]
    shift = tl.load(h1 + i_e * M + o_m, mask=m_m, other=0.0)[None, :]
    z = tl.load(z0 + row * M + o_m[None, :], mask=m_z, other=0.0)
    if HAS_FORCE:
        a = tl.load(forcing_alpha + i_e)
        every = tl.load(interval + i_e)
        m_n = m_b[:, None] & (o_m < N)[None, :]
        signals = z_hat + ((i_e % z_hat_models) * B + o_b)[:, None] * T * N + o_m[None, :]
    if HAS_LENGTHS:
        length = tl.load(lengths + (i_e % length_models) * B + o_b, mask=m_b, other=0)[:, None]
    if RESIDENT:
        w1, w2, bias = load_weights(W1, W2, h2, o_m, o_k, M, K, HIDDEN)
    for t in range(T):
        new = diagonal * z + shift
        if HAS_DRIVE:
            new += tl.load(drive + (row * T + t) * M + o_m[None, :], mask=m_z, other=0.0)
        for i_k in range(TILES):
            units = i_k * BLOCK_K + o_k
            if not RESIDENT:
                w1, w2, bias = load_weights(W1, W2, h2, o_m, units, M, K, HIDDEN)
            q = pre_activation(z, w2, m_m, M, CELL, HIDDEN, DOT)
            phi = activate(q, bias, units, alpha, thresholds, units < K, D, n_linear, CELL)
            new += contract_columns(phi, w1, DOT)
        emitted = new
        if HAS_LENGTHS:
            emitted = tl.where(t < length, new, 0.0)
        if keep_every > 0:
            if (t + 1) % keep_every == 0:
                tl.store(z_out + (row * kept + (t + 1) // keep_every - 1) * M + o_m[None, :], emitted, mask=m_z)
        if HAS_FORCE:
            signal = tl.load(signals + t * N, mask=m_n, other=float("nan"))
            share = tl.where((first_step + t + 1) % every == 0, a, 0.0)
            new = tl.where(signal == signal, (1.0 - share) * new + share * signal, new)
        if HAS_LENGTHS:
            new = tl.where(t < length, new, z)
        z = new
    tl.store(z_final + row * M + o_m[None, :], z, mask=m_z)


@triton.jit
def state_before(z0, z, signals, row, t, o_m, m_z, m_n, a, every, T, M, N, first_step, HAS_FORCE: tl.constexpr):
    """States before step t (an integer or one per row), after forcing: [R, M]."""
    first = t == 0
    here = tl.load(z0 + row * M + o_m[None, :], mask=m_z & first, other=0.0)
    value = tl.load(z + (row * T + t - 1) * M + o_m[None, :], mask=m_z & (t > 0), other=0.0)
    if HAS_FORCE:
        signal = tl.load(signals + (t - 1) * N, mask=m_n & (t > 0), other=float("nan"))
        share = tl.where((first_step + t) % every == 0, a, 0.0)
        value = tl.where(signal == signal, (1.0 - share) * value + share * signal, value)
    return tl.where(first, here, value)


@triton.jit
def backward_kernel(
    dz0, dstates, dz_hat, dz, dz_final, z, z0, A, W1, W2, h2, alpha, thresholds, z_hat, forcing_alpha, interval,
    lengths,
    B, T, M, K, D, N, first_step, n_linear, z_hat_models, length_models,
    CELL: tl.constexpr, HIDDEN: tl.constexpr, HAS_FORCE: tl.constexpr, WANTS_Z_HAT: tl.constexpr,
    HAS_LENGTHS: tl.constexpr, BLOCK_B: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_K: tl.constexpr,
    TILES: tl.constexpr, RESIDENT: tl.constexpr, DOT: tl.constexpr,
):  # fmt: skip
    """Adjoint of BLOCK_B sequences of one model, last step first; writes dstates = dL/dz' [E, B, T, M]."""
    i_e = tl.program_id(1).to(tl.int64)
    o_b = tl.program_id(0) * BLOCK_B + tl.arange(0, BLOCK_B)
    o_m = tl.arange(0, BLOCK_M)
    o_k = tl.arange(0, BLOCK_K)
    m_m = o_m < M
    m_b = o_b < B
    m_z = m_b[:, None] & m_m[None, :]
    m_n = m_b[:, None] & (o_m < N)[None, :]
    row = (i_e * B + o_b)[:, None]
    W1 += i_e * M * K
    W2 += i_e * M * K
    h2 += i_e * K
    alpha += i_e * D
    thresholds += i_e * M * D
    diagonal = tl.load(A + i_e * M + o_m, mask=m_m, other=0.0)[None, :]
    g = tl.load(dz_final + row * M + o_m[None, :], mask=m_z, other=0.0)
    a = 0.0
    every = 1
    signals = z_hat
    if HAS_FORCE:
        a = tl.load(forcing_alpha + i_e)
        every = tl.load(interval + i_e)
        signals = z_hat + ((i_e % z_hat_models) * B + o_b)[:, None] * T * N + o_m[None, :]
    if HAS_LENGTHS:
        length = tl.load(lengths + (i_e % length_models) * B + o_b, mask=m_b, other=0)[:, None]
    if RESIDENT:
        w1, w2, bias = load_weights(W1, W2, h2, o_m, o_k, M, K, HIDDEN)
    for step in range(T):
        t = T - 1 - step
        before = state_before(z0, z, signals, row, t, o_m, m_z, m_n, a, every, T, M, N, first_step, HAS_FORCE)
        lam = g
        if HAS_FORCE:
            signal = tl.load(signals + t * N, mask=m_n, other=float("nan"))
            share = tl.where((first_step + t + 1) % every == 0, a, 0.0)
            if HAS_LENGTHS:
                share = tl.where(t < length, share, 0.0)
            if WANTS_Z_HAT:
                part = tl.where(signal == signal, share * g, 0.0)
                tl.store(dz_hat + (row * T + t) * N + o_m[None, :], part, mask=m_n)
            lam = tl.where(signal == signal, (1.0 - share) * g, g)
        lam += tl.load(dz + (row * T + t) * M + o_m[None, :], mask=m_z, other=0.0)
        if HAS_LENGTHS:
            lam = tl.where(t < length, lam, 0.0)
        tl.store(dstates + (row * T + t) * M + o_m[None, :], lam, mask=m_z)
        back = diagonal * lam
        for i_k in range(TILES):
            units = i_k * BLOCK_K + o_k
            if not RESIDENT:
                w1, w2, bias = load_weights(W1, W2, h2, o_m, units, M, K, HIDDEN)
            q = pre_activation(before, w2, m_m, M, CELL, HIDDEN, DOT)
            dphi = contract_rows(lam, w1, DOT)
            dq = times_slope(dphi, q, bias, units, alpha, thresholds, units < K, D, n_linear, CELL)
            if HIDDEN:
                back += contract_columns(dq, w2, DOT)
            elif CELL == "centred":
                back += tl.where(m_m[None, :], dq - (tl.sum(dq, axis=1) / M)[:, None], 0.0)
            else:
                back += dq
        if HAS_LENGTHS:
            back = tl.where(t < length, back, g)
        g = back
    tl.store(dz0 + row * M + o_m[None, :], g, mask=m_z)


@triton.jit
def weight_kernel(
    dA, dh1, dW1, dW2, dh2, dstates, z, z0, W1, W2, h2, alpha, thresholds, z_hat, forcing_alpha, interval,
    B, T, rows, M, K, D, N, first_step, n_linear, z_hat_models, splits,
    CELL: tl.constexpr, HIDDEN: tl.constexpr, HAS_FORCE: tl.constexpr,
    BLOCK_R: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_K: tl.constexpr, DOT: tl.constexpr,
):  # fmt: skip
    """Weight gradients of one model and one tile of units, over every splits-th block of rows (b, t)."""
    i_s = tl.program_id(0)
    i_k = tl.program_id(1)
    i_e = tl.program_id(2).to(tl.int64)
    o_m = tl.arange(0, BLOCK_M)
    o_k = i_k * BLOCK_K + tl.arange(0, BLOCK_K)
    m_m = o_m < M
    m_k = o_k < K
    W1 += i_e * M * K
    W2 += i_e * M * K
    h2 += i_e * K
    alpha += i_e * D
    thresholds += i_e * M * D
    w1, w2, bias = load_weights(W1, W2, h2, o_m, o_k, M, K, HIDDEN)
    sum_w1 = tl.zeros_like(w1)
    sum_w2 = tl.zeros_like(w1)
    sum_b = tl.sum(sum_w1, axis=0)
    sum_A = tl.sum(sum_w1, axis=1)
    sum_h = tl.sum(sum_w1, axis=1)
    a = 0.0
    every = 1
    if HAS_FORCE:
        a = tl.load(forcing_alpha + i_e)
        every = tl.load(interval + i_e)
    for start in range(i_s * BLOCK_R, rows, splits * BLOCK_R):
        o_r = start + tl.arange(0, BLOCK_R).to(tl.int64)
        m_r = (o_r < rows)[:, None]
        o_b = o_r // T
        t = (o_r % T)[:, None]
        row = (i_e * B + o_b)[:, None]
        m_z = m_r & m_m[None, :]
        signals = z_hat + ((i_e % z_hat_models) * B + o_b)[:, None] * T * N + o_m[None, :]
        m_n = m_r & (o_m < N)[None, :]
        before = state_before(z0, z, signals, row, t, o_m, m_z, m_n, a, every, T, M, N, first_step, HAS_FORCE)
        lam = tl.load(dstates + (row * T + t) * M + o_m[None, :], mask=m_z, other=0.0)
        if HIDDEN:
            q = contract_rows(before, w2, DOT)
        else:
            signals_k = z_hat + ((i_e % z_hat_models) * B + o_b)[:, None] * T * N + o_k[None, :]
            m_q = m_r & m_k[None, :]
            m_nk = m_r & (o_k < N)[None, :]
            q = state_before(z0, z, signals_k, row, t, o_k, m_q, m_nk, a, every, T, M, N, first_step, HAS_FORCE)
            if CELL == "centred":
                q -= (tl.sum(before, axis=1) / M)[:, None]
        phi = activate(q, bias, o_k, alpha, thresholds, m_k, D, n_linear, CELL)
        sum_w1 += outer_sum(lam, phi, DOT)
        sum_A += tl.sum(lam * before, axis=0)
        sum_h += tl.sum(lam, axis=0)
        if HIDDEN:
            dphi = contract_rows(lam, w1, DOT)
            sum_b += tl.sum(tl.where(q + bias[None, :] > 0, dphi, 0.0), axis=0)
            dq = times_slope(dphi, q, bias, o_k, alpha, thresholds, m_k, D, n_linear, CELL)
            sum_w2 += outer_sum(before, dq, DOT)
    part = i_e * splits + i_s
    m_w = m_m[:, None] & m_k[None, :]
    tl.store(dW1 + part * M * K + o_m[:, None] * K + o_k[None, :], sum_w1, mask=m_w)
    if HIDDEN:
        tl.store(dW2 + part * M * K + o_k[None, :] * M + o_m[:, None], sum_w2, mask=m_w)
        tl.store(dh2 + part * K + o_k, sum_b, mask=m_k)
    if i_k == 0:
        tl.store(dA + part * M + o_m, sum_A, mask=m_m)
        tl.store(dh1 + part * M + o_m, sum_h, mask=m_m)


@triton.jit
def dendrite_kernel(
    dalpha, dthresholds, dstates, z, z0, W1, alpha, thresholds, z_hat, forcing_alpha, interval,
    B, T, rows, M, D, N, first_step, z_hat_models,
    CLIPPED: tl.constexpr, HAS_FORCE: tl.constexpr, BLOCK_R: tl.constexpr, BLOCK_M: tl.constexpr,
    BLOCK_K: tl.constexpr, DOT: tl.constexpr,
):  # fmt: skip
    """Gradients of one dendritic basis d of one model, for one tile of units."""
    i_k = tl.program_id(0)
    i_d = tl.program_id(1)
    i_e = tl.program_id(2).to(tl.int64)
    o_m = tl.arange(0, BLOCK_M)
    o_k = i_k * BLOCK_K + tl.arange(0, BLOCK_K)
    m_k = o_k < M
    w1 = tl.load(W1 + i_e * M * M + o_m[:, None] * M + o_k[None, :], mask=(o_m < M)[:, None] & m_k[None, :], other=0.0)
    threshold = tl.load(thresholds + (i_e * M + o_k) * D + i_d, mask=m_k, other=0.0)
    slope = tl.load(alpha + i_e * D + i_d)
    sum_alpha = tl.zeros_like(threshold)
    sum_threshold = tl.zeros_like(threshold)
    a = 0.0
    every = 1
    if HAS_FORCE:
        a = tl.load(forcing_alpha + i_e)
        every = tl.load(interval + i_e)
    for start in range(0, rows, BLOCK_R):
        o_r = start + tl.arange(0, BLOCK_R).to(tl.int64)
        m_r = (o_r < rows)[:, None]
        o_b = o_r // T
        t = (o_r % T)[:, None]
        row = (i_e * B + o_b)[:, None]
        lam = tl.load(dstates + (row * T + t) * M + o_m[None, :], mask=m_r & (o_m < M)[None, :], other=0.0)
        signals = z_hat + ((i_e % z_hat_models) * B + o_b)[:, None] * T * N + o_k[None, :]
        m_n = m_r & (o_k < N)[None, :]
        m_q = m_r & m_k[None, :]
        q = state_before(z0, z, signals, row, t, o_k, m_q, m_n, a, every, T, M, N, first_step, HAS_FORCE)
        dphi = contract_rows(lam, w1, DOT)
        base = tl.maximum(q - threshold[None, :], 0.0)
        if CLIPPED:
            base -= tl.maximum(q, 0.0)
        sum_alpha += tl.sum(dphi * base, axis=0)
        sum_threshold -= tl.sum(tl.where(q > threshold[None, :], dphi, 0.0), axis=0) * slope
    tl.store(dalpha + (i_e * D + i_d) * M + o_k, sum_alpha, mask=m_k)
    tl.store(dthresholds + (i_e * M + o_k) * D + i_d, sum_threshold, mask=m_k)


def launch(hidden: bool, B: int, M: int, K: int, dtype: torch.dtype, config: dict | None) -> dict:
    """Constants of the rollout kernels for these sizes: the form, the tiles, and whether the weights stay on chip."""
    if config is None:
        small = padded(M) * padded(K) <= CONFIGS[0]["WEIGHTS"]
        dot = not small and B >= 16 and dtype == torch.float32 and (hidden or M <= 128)
        config = CONFIGS[3] if dot else CONFIGS[0 if small else 2]
    dot = config["DOT"] and dtype == torch.float32
    least = 16 if dot else 1
    block_m, whole = padded(M, least), padded(K, least)
    resident = block_m * whole <= config["WEIGHTS"]
    warps = config["num_warps"]
    block_k = whole
    if not resident and hidden:
        block_k = max(least, min(whole, TILE // block_m))
    elif not resident:
        warps = max(warps, min(32, block_m * whole // 2048))  # a direct cell needs all units of a step at once
    return {
        "BLOCK_B": 16 if dot else 1,
        "BLOCK_M": block_m,
        "BLOCK_K": block_k,
        "TILES": -(-whole // block_k),
        "RESIDENT": resident,
        "DOT": dot,
        "num_warps": warps,
    }


def weight_launch(M: int, K: int, dtype: torch.dtype) -> dict:
    """Constants of the weight-gradient kernels."""
    dot = dtype == torch.float32
    block_m = padded(M, 16 if dot else 1)
    block_k = min(padded(K, 16 if dot else 1), max(16, 512 // block_m) if dot else max(1, 1024 // block_m))
    return {
        "BLOCK_R": 16 if dot else 4,
        "BLOCK_M": block_m,
        "BLOCK_K": block_k,
        "DOT": dot,
        "num_warps": 16 if block_m >= 256 else 8 if block_m >= 64 else 4,
    }


def _stand_ins(tensors, like):
    """Contiguous tensors; a missing one becomes a pointer that is never read."""
    return [like if x is None else x.contiguous() for x in tensors]


def _models(x) -> int:
    return 1 if x is None else x.shape[0]


@torch.no_grad()
def forward(
    z0, A, W1, h1, W2, h2, alpha, thresholds, drive, z_hat, forcing_alpha, forcing_interval, lengths,
    *, cell, n_relu, steps, first_step=0, keep_every=1, config=None,
):  # fmt: skip
    """((z, z_final), saved): every element of the outputs is written."""
    E, B, M = z0.shape
    K = W1.shape[2]
    hidden = W2 is not None
    kept = steps // keep_every if keep_every else 0
    z, z_final = z0.new_empty(E, B, kept, M), z0.new_empty(E, B, M)
    constants = launch(hidden, B, M, K, z0.dtype, config)
    tensors = _stand_ins(
        (z0, A, W1, h1, W2, h2, alpha, thresholds, drive, z_hat, forcing_alpha, forcing_interval, lengths), A
    )
    forward_kernel[(-(-B // constants["BLOCK_B"]), E)](
        z, z_final, *tensors,
        B, steps, M, K, 0 if alpha is None else alpha.shape[1], 0 if z_hat is None else z_hat.shape[3], kept,
        first_step, keep_every, M - n_relu if cell == "alrnn" else 0, _models(z_hat), _models(lengths),
        CELL=CODES[cell], HIDDEN=hidden, HAS_DRIVE=drive is not None, HAS_FORCE=z_hat is not None,
        HAS_LENGTHS=lengths is not None, **constants,
    )  # fmt: skip
    return (z, z_final), {"z": z}


@torch.no_grad()
def backward(saved, grads, config=None):
    """Gradients of the arguments named in saved["wanted"]."""
    s, wanted = saved, saved["wanted"]
    z0, W1, W2, z_hat, lengths = s["z0"], s["W1"], s["W2"], s["z_hat"], s["lengths"]
    E, B, M = z0.shape
    K, T, hidden = W1.shape[2], s["steps"], W2 is not None
    D = 0 if s["alpha"] is None else s["alpha"].shape[1]
    N = 0 if z_hat is None else z_hat.shape[3]
    n_linear = M - s["n_relu"] if s["cell"] == "alrnn" else 0
    found = {"z0": z0.new_empty(E, B, M), "drive": z0.new_empty(E, B, T, M)}
    if "z_hat" in wanted:
        found["z_hat"] = z0.new_empty(E, B, T, N)
    dz, dz_final, z, start, A, first, second, h2, alpha, thresholds, signals, strength, interval, ends = _stand_ins(
        (grads["z"], grads["z_final"], s["z"], z0, s["A"], W1, W2, s["h2"], s["alpha"], s["thresholds"], z_hat,
         s["forcing_alpha"], s["forcing_interval"], lengths), s["A"],
    )  # fmt: skip
    constants = launch(hidden, B, M, K, z0.dtype, config)
    family = {"CELL": CODES[s["cell"]], "HIDDEN": hidden, "HAS_FORCE": z_hat is not None}
    backward_kernel[(-(-B // constants["BLOCK_B"]), E)](
        found["z0"], found["drive"], found.get("z_hat", A), dz, dz_final, z, start, A, first, second, h2, alpha,
        thresholds, signals, strength, interval, ends, B, T, M, K, D, N, s["first_step"], n_linear,
        _models(z_hat), _models(lengths), **family, WANTS_Z_HAT="z_hat" in wanted, HAS_LENGTHS=lengths is not None,
        **constants,
    )  # fmt: skip
    weights = weight_launch(M, K, z0.dtype)
    tiles = -(-K // weights["BLOCK_K"])
    if set(wanted) & {"A", "h1", "W1", "W2", "h2"}:
        splits = max(1, min(64, B * T // (8 * weights["BLOCK_R"]), 512 // (tiles * E)))
        shapes = {"A": (M,), "h1": (M,), "W1": (M, K), "W2": (K, M), "h2": (K,)}
        sums = {n: z0.new_empty(E, splits, *shape) for n, shape in shapes.items()}
        weight_kernel[(splits, tiles, E)](
            *sums.values(), found["drive"], z, start, first, second, h2, alpha, thresholds, signals, strength,
            interval, B, T, B * T, M, K, D, N, s["first_step"], n_linear, _models(z_hat), splits, **family, **weights,
        )  # fmt: skip
        found |= {n: p.sum(1) for n, p in sums.items() if n in wanted}
    if set(wanted) & {"alpha", "thresholds"}:
        dalpha, found["thresholds"] = z0.new_empty(E, D, M), z0.new_empty(E, M, D)
        dendrite_kernel[(tiles, D, E)](
            dalpha, found["thresholds"], found["drive"], z, start, first, alpha, thresholds, signals, strength,
            interval, B, T, B * T, M, D, N, s["first_step"], _models(z_hat), CLIPPED=s["cell"] == "dendritic-clipped",
            HAS_FORCE=z_hat is not None, **weights,
        )  # fmt: skip
        found["alpha"] = dalpha.sum(2)
    return {n: found[n] for n in wanted}
