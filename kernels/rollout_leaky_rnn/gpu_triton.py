"""GPU twin of rollout_leaky_rnn: one launch for the rollout, one for its adjoint, weights as products afterwards."""

import torch
import triton
import triton.language as tl

from neurorbit.kernels.triton_common import contract_columns, contract_rows, padded
from neurorbit.kernels.triton_functions_common import drawn, expm1, softplus_parts, tanh

# DOT: 16 sequences a program and matrix products; else one sequence a program, products and sums.
# WEIGHTS: the most weights that stay on chip, with the state; larger networks are gone through in tiles every step.
CONFIGS = (
    {"DOT": False, "WEIGHTS": 4096, "num_warps": 4},
    {"DOT": False, "WEIGHTS": 1024, "num_warps": 1},
    {"DOT": True, "WEIGHTS": 1024, "num_warps": 8},
    {"DOT": True, "WEIGHTS": 1024, "num_warps": 4},
)
TILE = {False: 64, True: 32}  # units of a tile, by DOT


@triton.jit
def rate(q, PHI: tl.constexpr):
    """phi(q)."""
    if PHI == "relu":
        r = q
    elif PHI == "softplus":
        r, _, _ = softplus_parts(q)
    else:
        r = tanh(q)
    if PHI == "relu" or PHI == "relu_tanh":
        r = tl.where(r > 0, r, 0.0)
    return tl.where(q == q, r, q)


@triton.jit
def slope(r, PHI: tl.constexpr):
    """phi'(q) from r = phi(q)."""
    if PHI == "relu":
        return tl.where(r > 0, 1.0, 0.0).to(r.dtype)
    elif PHI == "softplus":
        return -expm1(-r)
    elif PHI == "relu_tanh":
        return tl.where(r > 0, 1.0 - r * r, 0.0)
    else:
        return 1.0 - r * r


@triton.jit
def matrix(W, o_i, o_j, I, J):
    """Tile W[o_i, o_j] of a matrix [I, J], zeros outside."""
    m = (o_i < I)[:, None] & (o_j < J)[None, :]
    return tl.load(W + o_i[:, None].to(tl.int64) * J + o_j[None, :], mask=m, other=0.0)


@triton.jit
def forward_kernel(
    u, r, u_final, norms, low, u0, W, L, Q, drive, b, v, Wv, alpha, noise, seed, stream, sd, lengths,
    B, T, N, R, D, first_step, drive_models, v_models, noise_models, length_models,
    PHI: tl.constexpr, HAS_DRIVE: tl.constexpr, HAS_BIAS: tl.constexpr, HAS_NOISE: tl.constexpr,
    HAS_SEED: tl.constexpr, HAS_LENGTHS: tl.constexpr, UNIT_NORM: tl.constexpr, BLOCK_B: tl.constexpr,
    BLOCK_N: tl.constexpr, TILES: tl.constexpr, RANK: tl.constexpr, RANK_TILES: tl.constexpr, ON_CHIP: tl.constexpr,
    DOT: tl.constexpr,
):  # fmt: skip
    """All steps of BLOCK_B sequences of one model; in one tile the state stays in registers, else in u itself."""
    i_e = tl.program_id(1).to(tl.int64)
    o_b = tl.program_id(0) * BLOCK_B + tl.arange(0, BLOCK_B)
    o_n = tl.arange(0, BLOCK_N)
    o_r = tl.arange(0, RANK if RANK else 1)
    m_b = o_b < B
    row = i_e * B + o_b
    W += i_e * N * N
    L += i_e * N * R
    Q += i_e * N * R
    Wv += i_e * D * N * N
    b += i_e * N
    drive_row = (i_e % drive_models) * B + o_b
    v_row = (i_e % v_models) * B + o_b
    noise_row = (i_e % noise_models) * B + o_b
    share = tl.load(alpha + i_e)
    length = tl.zeros_like(o_b) + T
    if HAS_LENGTHS:
        length = tl.load(lengths + (i_e % length_models) * B + o_b, mask=m_b, other=0).to(tl.int32)
    if HAS_SEED:
        key = tl.load(seed + i_e)
        streams = tl.load(stream + row, mask=m_b, other=0)
        scale = tl.load(sd + i_e)
    state = tl.zeros([BLOCK_B, BLOCK_N], dtype=u0.dtype.element_ty)
    for i_n in range(TILES):
        n = i_n * BLOCK_N + o_n
        m = m_b[:, None] & (n < N)[None, :]
        state = tl.load(u0 + row[:, None] * N + n[None, :], mask=m, other=0.0)
        tl.store(u_final + row[:, None] * N + n[None, :], state, mask=m)
    tl.debug_barrier()
    if ON_CHIP:
        if RANK:
            w_left = matrix(L, o_n, o_r, N, R)
            w_right = matrix(Q, o_n, o_r, N, R)
        else:
            w = matrix(W, o_n, o_n, N, N)
    for t in range(T):
        active = (t < length)[:, None]
        squares = tl.zeros([BLOCK_B], dtype=u0.dtype.element_ty)
        if not ON_CHIP:
            # what the state is before this step: u_final, which holds the newest state of every sequence
            before = u_final + row[:, None] * N
            if RANK:
                for i_r in range(RANK_TILES):
                    rank = i_r * RANK + o_r
                    p = tl.zeros([BLOCK_B, RANK], dtype=u0.dtype.element_ty)
                    for i_k in range(TILES):
                        k = i_k * BLOCK_N + o_n
                        x = tl.load(before + k[None, :], mask=m_b[:, None] & (k < N)[None, :], other=0.0)
                        p += contract_rows(x, matrix(L, k, rank, N, R), DOT)
                    tl.store(low + row[:, None] * R + rank[None, :], p, mask=m_b[:, None] & (rank < R)[None, :])
                tl.debug_barrier()
        for i_n in range(TILES):
            n = i_n * BLOCK_N + o_n
            m_n = n < N
            m = m_b[:, None] & m_n[None, :]
            at = (row[:, None] * T + t) * N + n[None, :]
            q = tl.zeros([BLOCK_B, BLOCK_N], dtype=u0.dtype.element_ty)
            if HAS_DRIVE:
                q += tl.load(drive + (drive_row[:, None] * T + t) * N + n[None, :], mask=m, other=0.0)
            if HAS_BIAS:
                q += tl.load(b + n, mask=m_n, other=0.0)[None, :]
            if ON_CHIP:
                if RANK:
                    q += contract_columns(contract_rows(state, w_left, DOT), w_right, DOT)
                else:
                    q += contract_rows(state, w, DOT)
                for d in range(D):
                    v_t = tl.load(v + (v_row * T + t) * D + d, mask=m_b, other=0.0)
                    q += contract_rows(v_t[:, None] * state, matrix(Wv + d * N * N, o_n, o_n, N, N), DOT)
            else:
                if RANK:
                    for i_r in range(RANK_TILES):
                        rank = i_r * RANK + o_r
                        m_r = m_b[:, None] & (rank < R)[None, :]
                        p = tl.load(low + row[:, None] * R + rank[None, :], mask=m_r, other=0.0)
                        q += contract_columns(p, matrix(Q, n, rank, N, R), DOT)
                else:
                    for i_k in range(TILES):
                        k = i_k * BLOCK_N + o_n
                        x = tl.load(before + k[None, :], mask=m_b[:, None] & (k < N)[None, :], other=0.0)
                        q += contract_rows(x, matrix(W, k, n, N, N), DOT)
                for d in range(D):
                    v_t = tl.load(v + (v_row * T + t) * D + d, mask=m_b, other=0.0)[:, None]
                    for i_k in range(TILES):
                        k = i_k * BLOCK_N + o_n
                        x = tl.load(before + k[None, :], mask=m_b[:, None] & (k < N)[None, :], other=0.0)
                        q += contract_rows(v_t * x, matrix(Wv + d * N * N, k, n, N, N), DOT)
                state = tl.load(before + n[None, :], mask=m, other=0.0)
            value = rate(q, PHI)
            tl.store(r + at, tl.where(active, value, 0.0), mask=m)
            new = (1.0 - share) * state + share * value
            if HAS_NOISE:
                new += tl.load(noise + (noise_row[:, None] * T + t) * N + n[None, :], mask=m, other=0.0)
            if HAS_SEED:
                new += scale * drawn(key, streams, first_step + t + tl.zeros_like(o_b)[:, None], n, new)
            new = tl.where(m, new, 0.0)
            if UNIT_NORM:
                squares += tl.sum(new * new, axis=1)
            if ON_CHIP:
                if UNIT_NORM:
                    norm = tl.sqrt(squares)
                    norm = tl.where(norm > 0, norm, 1.0)
                    tl.store(norms + row * T + t, norm, mask=m_b)
                    new = new / norm[:, None]
                state = tl.where(active, new, state)
            tl.store(u + at, tl.where(active, new, 0.0), mask=m)
        if not ON_CHIP:
            if UNIT_NORM:
                norm = tl.sqrt(squares)
                norm = tl.where(norm > 0, norm, 1.0)
                tl.store(norms + row * T + t, norm, mask=m_b)
            tl.debug_barrier()
            for i_n in range(TILES):
                n = i_n * BLOCK_N + o_n
                m = m_b[:, None] & (n < N)[None, :] & active
                at = (row[:, None] * T + t) * N + n[None, :]
                new = tl.load(u + at, mask=m, other=0.0)
                if UNIT_NORM:
                    new = new / norm[:, None]
                    tl.store(u + at, new, mask=m)
                tl.store(u_final + row[:, None] * N + n[None, :], new, mask=m)
            tl.debug_barrier()
    if ON_CHIP:
        tl.store(u_final + row[:, None] * N + o_n[None, :], state, mask=m_b[:, None] & (o_n < N)[None, :])


@triton.jit
def state_gradient(g, du, u, at, m, HAS_DU: tl.constexpr):
    """Gradient with respect to the states at `at`: what later steps and the loss ask for."""
    if HAS_DU:
        g += tl.load(du + at, mask=m, other=0.0)
    return g


@triton.jit
def before_normalising(g, along, norm, u, at, m):
    """Through u = new / |new|: the part of g across u, over the norm."""
    return (g - along[:, None] * tl.load(u + at, mask=m, other=0.0)) / norm[:, None]


@triton.jit
def backward_kernel(
    delta, du0, dv, low, du, dr, dfinal, u, r, norms, u0, W, L, Q, v, Wv, alpha, lengths,
    B, T, N, R, D, v_models, length_models,
    PHI: tl.constexpr, HAS_DU: tl.constexpr, HAS_DR: tl.constexpr, HAS_FINAL: tl.constexpr,
    HAS_LENGTHS: tl.constexpr, UNIT_NORM: tl.constexpr, WANTS_V: tl.constexpr, BLOCK_B: tl.constexpr,
    BLOCK_N: tl.constexpr, TILES: tl.constexpr, RANK: tl.constexpr, RANK_TILES: tl.constexpr, ON_CHIP: tl.constexpr,
    DOT: tl.constexpr,
):  # fmt: skip
    """Adjoint of BLOCK_B sequences of one model, last step first; writes delta = dL/dq [E, B, T, N]."""
    i_e = tl.program_id(1).to(tl.int64)
    o_b = tl.program_id(0) * BLOCK_B + tl.arange(0, BLOCK_B)
    o_n = tl.arange(0, BLOCK_N)
    o_r = tl.arange(0, RANK if RANK else 1)
    m_b = o_b < B
    row = i_e * B + o_b
    W += i_e * N * N
    L += i_e * N * R
    Q += i_e * N * R
    Wv += i_e * D * N * N
    v_row = (i_e % v_models) * B + o_b
    share = tl.load(alpha + i_e)
    length = tl.zeros_like(o_b) + T
    if HAS_LENGTHS:
        length = tl.load(lengths + (i_e % length_models) * B + o_b, mask=m_b, other=0).to(tl.int32)
    g = tl.zeros([BLOCK_B, BLOCK_N], dtype=u0.dtype.element_ty)
    part = tl.zeros([BLOCK_B, BLOCK_N], dtype=u0.dtype.element_ty)
    for i_n in range(TILES):
        n = i_n * BLOCK_N + o_n
        m = m_b[:, None] & (n < N)[None, :]
        if HAS_FINAL:
            g = tl.load(dfinal + row[:, None] * N + n[None, :], mask=m, other=0.0)
        tl.store(du0 + row[:, None] * N + n[None, :], g, mask=m)
    tl.debug_barrier()
    if ON_CHIP:
        if RANK:
            w_left = matrix(L, o_n, o_r, N, R)
            w_right = matrix(Q, o_n, o_r, N, R)
        else:
            w = matrix(W, o_n, o_n, N, N)
    for i_t in range(T):
        t = T - 1 - i_t
        active = (t < length)[:, None]
        along = tl.zeros([BLOCK_B], dtype=u0.dtype.element_ty)
        norm = along + 1.0
        if UNIT_NORM:
            norm = tl.load(norms + row * T + t, mask=m_b & (t < length), other=1.0)
            for i_n in range(TILES):
                n = i_n * BLOCK_N + o_n
                m = m_b[:, None] & (n < N)[None, :]
                at = (row[:, None] * T + t) * N + n[None, :]
                if not ON_CHIP:
                    g = tl.load(du0 + row[:, None] * N + n[None, :], mask=m, other=0.0)
                asked = state_gradient(g, du, u, at, m, HAS_DU)
                along += tl.sum(asked * tl.load(u + at, mask=m, other=0.0), axis=1)
            if not ON_CHIP:
                tl.debug_barrier()
        for i_n in range(TILES):
            n = i_n * BLOCK_N + o_n
            m = m_b[:, None] & (n < N)[None, :]
            at = (row[:, None] * T + t) * N + n[None, :]
            if not ON_CHIP:
                g = tl.load(du0 + row[:, None] * N + n[None, :], mask=m, other=0.0)
            asked = state_gradient(g, du, u, at, m, HAS_DU)
            if UNIT_NORM:
                asked = before_normalising(asked, along, norm, u, at, m)
            part = share * asked
            if HAS_DR:
                part += tl.load(dr + at, mask=m, other=0.0)
            part = tl.where(active, part * slope(tl.load(r + at, mask=m, other=0.0), PHI), 0.0)
            tl.store(delta + at, part, mask=m)
            g = tl.where(active, (1.0 - share) * asked, g)
            if not ON_CHIP:
                tl.store(du0 + row[:, None] * N + n[None, :], g, mask=m)
        if ON_CHIP:
            if RANK:
                g += contract_columns(contract_rows(part, w_right, DOT), w_left, DOT)
            else:
                g += contract_columns(part, w, DOT)
            for d in range(D):
                m = m_b[:, None] & (o_n < N)[None, :]
                back = contract_columns(part, matrix(Wv + d * N * N, o_n, o_n, N, N), DOT)
                g += tl.load(v + (v_row * T + t) * D + d, mask=m_b, other=0.0)[:, None] * back
                if WANTS_V:
                    x = tl.load(u0 + row[:, None] * N + o_n[None, :], mask=m & (t == 0), other=0.0)
                    x += tl.load(u + (row[:, None] * T + t - 1) * N + o_n[None, :], mask=m & (t > 0), other=0.0)
                    tl.store(dv + (row * T + t) * D + d, tl.sum(x * back, axis=1), mask=m_b)
        else:
            tl.debug_barrier()
            here = delta + (row[:, None] * T + t) * N
            if RANK:
                for i_r in range(RANK_TILES):
                    rank = i_r * RANK + o_r
                    p = tl.zeros([BLOCK_B, RANK], dtype=u0.dtype.element_ty)
                    for i_k in range(TILES):
                        k = i_k * BLOCK_N + o_n
                        x = tl.load(here + k[None, :], mask=m_b[:, None] & (k < N)[None, :], other=0.0)
                        p += contract_rows(x, matrix(Q, k, rank, N, R), DOT)
                    tl.store(low + row[:, None] * R + rank[None, :], p, mask=m_b[:, None] & (rank < R)[None, :])
                tl.debug_barrier()
            for i_n in range(TILES):
                n = i_n * BLOCK_N + o_n
                m = m_b[:, None] & (n < N)[None, :]
                g = tl.load(du0 + row[:, None] * N + n[None, :], mask=m, other=0.0)
                if RANK:
                    for i_r in range(RANK_TILES):
                        rank = i_r * RANK + o_r
                        m_r = m_b[:, None] & (rank < R)[None, :]
                        p = tl.load(low + row[:, None] * R + rank[None, :], mask=m_r, other=0.0)
                        g += contract_columns(p, matrix(L, n, rank, N, R), DOT)
                else:
                    for i_k in range(TILES):
                        k = i_k * BLOCK_N + o_n
                        x = tl.load(here + k[None, :], mask=m_b[:, None] & (k < N)[None, :], other=0.0)
                        g += contract_columns(x, matrix(W, n, k, N, N), DOT)
                tl.store(du0 + row[:, None] * N + n[None, :], g, mask=m)
            for d in range(D):
                tl.debug_barrier()
                v_t = tl.load(v + (v_row * T + t) * D + d, mask=m_b, other=0.0)[:, None]
                along = tl.zeros([BLOCK_B], dtype=u0.dtype.element_ty)
                for i_n in range(TILES):
                    n = i_n * BLOCK_N + o_n
                    m = m_b[:, None] & (n < N)[None, :]
                    back = tl.zeros([BLOCK_B, BLOCK_N], dtype=u0.dtype.element_ty)
                    for i_k in range(TILES):
                        k = i_k * BLOCK_N + o_n
                        x = tl.load(here + k[None, :], mask=m_b[:, None] & (k < N)[None, :], other=0.0)
                        back += contract_columns(x, matrix(Wv + d * N * N, n, k, N, N), DOT)
                    g = tl.load(du0 + row[:, None] * N + n[None, :], mask=m, other=0.0)
                    tl.store(du0 + row[:, None] * N + n[None, :], g + v_t * back, mask=m)
                    x = tl.load(u0 + row[:, None] * N + n[None, :], mask=m & (t == 0), other=0.0)
                    x += tl.load(u + (row[:, None] * T + t - 1) * N + n[None, :], mask=m & (t > 0), other=0.0)
                    along += tl.sum(x * back, axis=1)
                if WANTS_V:
                    tl.store(dv + (row * T + t) * D + d, along, mask=m_b)
            tl.debug_barrier()
    if ON_CHIP:
        tl.store(du0 + row[:, None] * N + o_n[None, :], g, mask=m_b[:, None] & (o_n < N)[None, :])


def launch(B: int, N: int, R: int, dtype: torch.dtype, config: dict | None) -> dict:
    """Constants of both kernels for these sizes: the form, and whether the network is one tile that stays on chip."""
    if config is None:
        small = padded(max(N, R)) ** 2 <= CONFIGS[0]["WEIGHTS"]
        config = CONFIGS[2 if B >= 16 and dtype == torch.float32 and not small else 0]
    dot = config["DOT"] and dtype == torch.float32
    least = 16 if dot else 1
    block_n, rank = padded(N, least), padded(R, least) if R else 0
    if block_n * max(block_n, rank) > config["WEIGHTS"]:
        block_n, rank = min(block_n, TILE[dot]), min(rank, TILE[dot])
    tiles, rank_tiles = -(-N // block_n), -(-R // rank) if R else 0
    return {
        "RANK": rank,
        "RANK_TILES": rank_tiles,
        "BLOCK_B": 16 if dot else 1,
        "BLOCK_N": block_n,
        "TILES": tiles,
        "ON_CHIP": tiles == 1 and rank_tiles <= 1,
        "DOT": dot,
        "num_warps": max(config["num_warps"], 8) if tiles > 1 and not dot else config["num_warps"],
    }


def _stand_ins(tensors, like):
    """Contiguous tensors; a missing one becomes a pointer that is never read."""
    return [like if x is None else x.contiguous() for x in tensors]


def _models(x) -> int:
    return 1 if x is None else x.shape[0]


def _sizes(u0, L, v):
    return u0.shape[2], 0 if L is None else L.shape[2], 0 if v is None else v.shape[3]


@torch.no_grad()
def forward(
    u0, W, L, Q, drive, b, v, Wv, alpha, noise, noise_seed, noise_stream, noise_sd, lengths,
    *, phi, unit_norm, steps, first_step=0, config=None,
):  # fmt: skip
    """((u, r, u_final), saved): every element of the outputs is written."""
    E, B, N = u0.shape
    _, R, D = _sizes(u0, L, v)
    u, r, u_final = u0.new_empty(E, B, steps, N), u0.new_empty(E, B, steps, N), u0.new_empty(E, B, N)
    norm = u0.new_empty(E, B, steps if unit_norm else 0)
    constants = launch(B, N, R, u0.dtype, config)
    tensors = _stand_ins(
        (u0, W, L, Q, drive, b, v, Wv, alpha, noise, noise_seed, noise_stream, noise_sd, lengths), alpha
    )
    forward_kernel[(-(-B // constants["BLOCK_B"]), E)](
        u, r, u_final, norm if unit_norm else alpha, u0.new_empty(E, B, R), *tensors,
        B, steps, N, R, D, first_step, _models(drive), _models(v), _models(noise), _models(lengths),
        PHI=phi, HAS_DRIVE=drive is not None, HAS_BIAS=b is not None, HAS_NOISE=noise is not None,
        HAS_SEED=noise_seed is not None, HAS_LENGTHS=lengths is not None, UNIT_NORM=unit_norm, **constants,
    )  # fmt: skip
    return (u, r, u_final), {"u": u, "r": r, "norm": norm}


def _product(x, y):
    """Sum over sequences and steps of x [E, B, T, I] times y [E, B, T, J]: [E, I, J]."""
    return x.flatten(1, 2).mT @ y.flatten(1, 2)


@torch.no_grad()
def backward(saved, grads, config=None):
    """Gradients of the arguments named in saved["wanted"]; the gradient of an output may be None."""
    s, wanted, T = saved, saved["wanted"], saved["steps"]
    u0, u, L, Q, lengths = s["u0"], s["u"], s["L"], s["Q"], s["lengths"]
    E, B, N = u0.shape
    _, R, D = _sizes(u0, L, s["v"])
    du, dr, dfinal = (grads[n] for n in ("u", "r", "u_final"))
    delta, du0 = u0.new_empty(E, B, T, N), u0.new_empty(E, B, N)
    dv = u0.new_empty(E, B, T, D) if "v" in wanted else None
    constants = launch(B, N, R, u0.dtype, config)
    tensors = _stand_ins(
        (du, dr, dfinal, u, s["r"], s["norm"] if s["unit_norm"] else None, u0, s["W"], L, Q, s["v"], s["Wv"],
         s["alpha"], lengths), s["alpha"],
    )  # fmt: skip
    backward_kernel[(-(-B // constants["BLOCK_B"]), E)](
        delta, du0, s["alpha"] if dv is None else dv, u0.new_empty(E, B, R), *tensors,
        B, T, N, R, D, _models(s["v"]), _models(lengths),
        PHI=s["phi"], HAS_DU=du is not None, HAS_DR=dr is not None, HAS_FINAL=dfinal is not None,
        HAS_LENGTHS=lengths is not None, UNIT_NORM=s["unit_norm"], WANTS_V=dv is not None, **constants,
    )  # fmt: skip
    found = {"u0": du0, "drive": delta, "v": dv}
    if "b" in wanted:
        found["b"] = delta.sum((1, 2))
    if set(wanted) & {"W", "L", "Q", "Wv"}:
        before = torch.cat([u0[:, :, None], u[:, :, :-1]], 2)
        if "W" in wanted:
            found["W"] = _product(before, delta)
        if "L" in wanted:
            found["L"] = _product(before, delta @ Q[:, None])
        if "Q" in wanted:
            found["Q"] = _product(delta, before @ L[:, None])
        if "Wv" in wanted:
            signals = s["v"].unbind(3)
            found["Wv"] = torch.stack([_product(v_d[..., None] * before, delta) for v_d in signals], 1)
    return {n: found[n] for n in wanted}
