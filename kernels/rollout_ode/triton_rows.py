"""Steps and whole rollouts of fields of form "rows": the states of BLOCK_B sequences are one block of values."""

import triton
import triton.language as tl


@triton.jit
def load_rows(p, row, size, BLOCK: tl.constexpr):
    """[R, BLOCK] from the rows of `size` numbers at p."""
    i = tl.arange(0, BLOCK)[None, :]
    return tl.load(p + row * size + i, mask=(i < size) & (row >= 0), other=0.0)


@triton.jit
def store_rows(p, row, x, size, m_b, BLOCK: tl.constexpr):
    i = tl.arange(0, BLOCK)[None, :]
    tl.store(p + row * size + i, x, mask=(i < size) & m_b)


@triton.jit
def evaluate(y, p, u, M, H, U, FIELD: tl.constexpr, ADDED: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_H: tl.constexpr,
             BLOCK_U: tl.constexpr):  # fmt: skip
    """The field with its inputs."""
    k = FIELD(y, p, u, M, H, U, BLOCK_M, BLOCK_H, BLOCK_U)
    if ADDED:
        k += u
    return k


@triton.jit
def step(z, p, u, tableau, M, H, U, FIELD: tl.constexpr, S: tl.constexpr, ADDED: tl.constexpr, BLOCK_M: tl.constexpr,
         BLOCK_H: tl.constexpr, BLOCK_U: tl.constexpr):  # fmt: skip
    """One step: (b_s dt) k_s summed over the stages, then added to the state, which rounds it once."""
    k = tl.zeros_like(z)
    total = tl.zeros_like(z)
    for s in range(S):
        y = z + tl.load(tableau + s) * k
        k = evaluate(y, p, u, M, H, U, FIELD, ADDED, BLOCK_M, BLOCK_H, BLOCK_U)
        total += tl.load(tableau + S + 1 + s) * k
    return z + total


@triton.jit
def forward_rows(
    z_out, z_final, z0, parameters, drive, tableau, B, T, P, H, U, kept, keep_every, drive_models, M,
    FIELD: tl.constexpr, S: tl.constexpr, ADDED: tl.constexpr, KEEPS: tl.constexpr,
    BLOCK_B: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_H: tl.constexpr, BLOCK_U: tl.constexpr,
):  # fmt: skip
    """All steps of BLOCK_B initial states of one model; past the batch the last sequence is computed again."""
    i_e = tl.program_id(1).to(tl.int64)
    o_b = tl.program_id(0) * BLOCK_B + tl.arange(0, BLOCK_B)[:, None]
    m_b = o_b < B
    o_b = tl.minimum(o_b, B - 1)
    row, inputs = i_e * B + o_b, ((i_e % drive_models) * B + o_b) * T
    p = parameters + i_e * P
    z = load_rows(z0, row, M, BLOCK_M)
    left = keep_every
    at = row * kept
    for t in range(T):
        u = load_rows(drive, inputs + t, U, BLOCK_U)
        z = step(z, p, u, tableau, M, H, U, FIELD, S, ADDED, BLOCK_M, BLOCK_H, BLOCK_U)
        if KEEPS:
            left -= 1
            if left == 0:
                store_rows(z_out, at, z, M, m_b, BLOCK_M)
                at += 1
                left = keep_every
    store_rows(z_final, row, z, M, m_b, BLOCK_M)


@triton.jit
def retreat(
    z, g, dp, p, u, tableau, stages, place, m_b, M, H, U,
    FIELD: tl.constexpr, VJP: tl.constexpr, S: tl.constexpr, ADDED: tl.constexpr,
    BLOCK_M: tl.constexpr, BLOCK_H: tl.constexpr, BLOCK_U: tl.constexpr,
):  # fmt: skip
    """The adjoint of one step from the state z before it: new g and dL/du; adds to dp; stages: rows of memory."""
    y = z
    for s in range(S - 1):
        store_rows(stages, place * S + s, y, M, m_b, BLOCK_M)
        k = evaluate(y, p, u, M, H, U, FIELD, ADDED, BLOCK_M, BLOCK_H, BLOCK_U)
        y = z + tl.load(tableau + s + 1) * k
    new = g
    du = tl.zeros_like(u)
    dy = tl.zeros_like(z)
    for i in range(S):
        s = S - 1 - i
        if s < S - 1:
            tl.debug_barrier()
            y = load_rows(stages, place * S + s, M, BLOCK_M)
        dk = tl.load(tableau + S + 1 + s) * g + tl.load(tableau + s + 1) * dy
        dy, from_inputs = VJP(y, p, u, dk, dp, M, H, U, BLOCK_M, BLOCK_H, BLOCK_U)
        tl.debug_barrier()
        new += dy
        if ADDED:
            du += dk
        else:
            du += from_inputs
    return new, du


@triton.jit
def backward_rows(
    dz0, dparameters, ddrive, dz, dz_final, z, z0, parameters, drive, tableau, firsts, inner, stages,
    B, T, P, H, U, kept, segment, chunk, drive_models, blocks, M,
    FIELD: tl.constexpr, VJP: tl.constexpr, S: tl.constexpr, ADDED: tl.constexpr, WANTS_DRIVE: tl.constexpr,
    BLOCK_B: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_H: tl.constexpr, BLOCK_U: tl.constexpr,
):  # fmt: skip
    """As backward_states; the parameters' gradients are summed in the program's own memory, which holds 0 before."""
    i_p = tl.program_id(0)
    i_e = tl.program_id(1).to(tl.int64)
    p = parameters + i_e * P
    dp = dparameters + (i_e * tl.num_programs(0) + i_p) * P
    chunks = tl.cdiv(segment, chunk)
    for i_b in range(i_p, blocks, tl.num_programs(0)):
        o_b = i_b * BLOCK_B + tl.arange(0, BLOCK_B)[:, None]
        m_b = o_b < B
        place = i_e * blocks * BLOCK_B + o_b
        o_b = tl.minimum(o_b, B - 1)
        row, inputs = i_e * B + o_b, ((i_e % drive_models) * B + o_b) * T
        g = tl.where(m_b, load_rows(dz_final, row, M, BLOCK_M), 0.0)
        for i_s in range(tl.cdiv(T, segment)):
            n_s = tl.cdiv(T, segment) - 1 - i_s
            begin = n_s * segment
            length = tl.minimum(segment, T - begin)
            g += load_rows(dz, tl.where(m_b & (n_s < kept), row * kept + n_s, -1), M, BLOCK_M)
            state = load_rows(z0, tl.where(n_s == 0, row, -1), M, BLOCK_M)
            state += load_rows(z, tl.where(n_s > 0, row * kept + n_s - 1, -1), M, BLOCK_M)
            for c in range(tl.cdiv(length, chunk)):
                store_rows(firsts, place * chunks + c, state, M, m_b | True, BLOCK_M)
                if (c + 1) * chunk < length:
                    for i in range(chunk):
                        u = load_rows(drive, inputs + begin + c * chunk + i, U, BLOCK_U)
                        state = step(state, p, u, tableau, M, H, U, FIELD, S, ADDED, BLOCK_M, BLOCK_H, BLOCK_U)
            tl.debug_barrier()
            for i_c in range(tl.cdiv(length, chunk)):
                c = tl.cdiv(length, chunk) - 1 - i_c
                n = tl.minimum(chunk, length - c * chunk)
                first = begin + c * chunk
                state = load_rows(firsts, place * chunks + c, M, BLOCK_M)
                for i in range(n):
                    store_rows(inner, place * chunk + i, state, M, m_b | True, BLOCK_M)
                    if i + 1 < n:
                        u = load_rows(drive, inputs + first + i, U, BLOCK_U)
                        state = step(state, p, u, tableau, M, H, U, FIELD, S, ADDED, BLOCK_M, BLOCK_H, BLOCK_U)
                tl.debug_barrier()
                for i in range(n):
                    t = first + n - 1 - i
                    u = load_rows(drive, inputs + t, U, BLOCK_U)
                    before = load_rows(inner, place * chunk + n - 1 - i, M, BLOCK_M)
                    g, du = retreat(
                        before, g, dp, p, u, tableau, stages, place, m_b | True, M, H, U,
                        FIELD, VJP, S, ADDED, BLOCK_M, BLOCK_H, BLOCK_U,
                    )  # fmt: skip
                    if WANTS_DRIVE:
                        store_rows(ddrive, row * T + t, du, U, m_b, BLOCK_U)
                tl.debug_barrier()
        store_rows(dz0, row, g, M, m_b, BLOCK_M)
