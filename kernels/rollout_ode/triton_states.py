"""Steps and whole rollouts of fields of form "states": each state variable is a block of its own, in registers."""

# ruff: noqa: RUF005 - Triton has no starred tuples

import triton
import triton.language as tl


@triton.jit
def zeros(like, N: tl.constexpr):
    out = ()
    for _ in tl.static_range(N):
        out = out + (tl.zeros_like(like),)
    return out


@triton.jit
def numbers(p, N: tl.constexpr):
    """(p[0], p[1], ...)."""
    out = ()
    for i in tl.static_range(N):
        out = out + (tl.load(p + i),)
    return out


@triton.jit
def load_state(p, mask, N: tl.constexpr):
    """N blocks from the rows at p."""
    out = ()
    for i in tl.static_range(N):
        out = out + (tl.load(p + i, mask=mask, other=0.0),)
    return out


@triton.jit
def store_state(p, z, mask, N: tl.constexpr):
    for i in tl.static_range(N):
        tl.store(p + i, z[i], mask=mask)


@triton.jit
def scaled_sum(a, x, y, N: tl.constexpr):
    """a x + y."""
    out = ()
    for i in tl.static_range(N):
        out = out + (a * x[i] + y[i],)
    return out


@triton.jit
def plus(x, y, N: tl.constexpr):
    out = ()
    for i in tl.static_range(N):
        out = out + (x[i] + y[i],)
    return out


@triton.jit
def evaluate(y, p, u, FIELD: tl.constexpr, M: tl.constexpr, ADDED: tl.constexpr):
    """The field with its inputs."""
    if ADDED:
        return plus(FIELD(y, p, ()), u, M)
    else:
        return FIELD(y, p, u)


@triton.jit
def step(z, p, u, a, b, FIELD: tl.constexpr, M: tl.constexpr, S: tl.constexpr, ADDED: tl.constexpr):
    """One step: (b_s dt) k_s summed over the stages, then added to the state, which rounds it once."""
    k = evaluate(z, p, u, FIELD, M, ADDED)
    total = scaled_sum(b[0], k, zeros(z[0], M), M)
    for s in tl.static_range(1, S):
        k = evaluate(scaled_sum(a[s], k, z, M), p, u, FIELD, M, ADDED)
        total = scaled_sum(b[s], k, total, M)
    return plus(z, total, M)


@triton.jit
def forward_states(
    z_out, z_final, z0, parameters, drive, tableau, B, T, kept, keep_every, drive_models,
    FIELD: tl.constexpr, M: tl.constexpr, P: tl.constexpr, U: tl.constexpr, S: tl.constexpr, ADDED: tl.constexpr,
    KEEPS: tl.constexpr, BLOCK_B: tl.constexpr,
):  # fmt: skip
    """All steps of BLOCK_B initial states of one model; the states stay in registers."""
    i_e = tl.program_id(1).to(tl.int64)
    o_b = tl.program_id(0) * BLOCK_B + tl.arange(0, BLOCK_B)
    m_b = o_b < B
    row = i_e * B + o_b
    inputs = drive + ((i_e % drive_models) * B + o_b) * T * U
    p, a, b = numbers(parameters + i_e * P, P), numbers(tableau, S), numbers(tableau + S + 1, S)
    z = load_state(z0 + row * M, m_b, M)
    left = keep_every
    out = z_out + row * kept * M
    for t in range(T):
        u = load_state(inputs + t * U, m_b, U)
        z = step(z, p, u, a, b, FIELD, M, S, ADDED)
        if KEEPS:
            left -= 1
            if left == 0:
                store_state(out, z, m_b, M)
                out += M
                left = keep_every
    store_state(z_final + row * M, z, m_b, M)


@triton.jit
def retreat(
    z, g, dp, p, u, a, b,
    FIELD: tl.constexpr, VJP: tl.constexpr, M: tl.constexpr, P: tl.constexpr, U: tl.constexpr, S: tl.constexpr,
    ADDED: tl.constexpr,
):  # fmt: skip
    """The adjoint of one step from the state z before it: new g, new dp, dL/du."""
    ys = (z,)
    for s in tl.static_range(1, S):
        k = evaluate(ys[s - 1], p, u, FIELD, M, ADDED)
        ys = ys + (scaled_sum(a[s], k, z, M),)
    own = u
    if ADDED:
        own = ()
    new = g
    du = zeros(z[0], U)
    dy = zeros(z[0], M)
    for i in tl.static_range(S):
        dk = scaled_sum(b[S - 1 - i], g, zeros(z[0], M), M)
        if i > 0:
            dk = scaled_sum(a[S - i], dy, dk, M)
        dy, part, from_inputs = VJP(ys[S - 1 - i], p, own, dk)
        new = plus(new, dy, M)
        dp = plus(dp, part, P)
        if ADDED:
            du = plus(du, dk, U)
        else:
            du = plus(du, from_inputs, U)
    return new, dp, du


@triton.jit
def backward_states(
    dz0, dparameters, ddrive, dz, dz_final, z, z0, parameters, drive, tableau, firsts, inner,
    B, T, kept, segment, chunk, drive_models, blocks,
    FIELD: tl.constexpr, VJP: tl.constexpr, M: tl.constexpr, P: tl.constexpr, U: tl.constexpr, S: tl.constexpr,
    ADDED: tl.constexpr, WANTS_DRIVE: tl.constexpr, DIRECT: tl.constexpr, BLOCK_B: tl.constexpr,
):  # fmt: skip
    """Segments between kept states from the end, for every programs-th block of one model.

    DIRECT: every state was kept. Otherwise a segment is run again: once to remember the state at the beginning of each
    chunk, and once more per chunk to remember all of them (firsts and inner, the sequences' own rows of memory).
    """
    i_p = tl.program_id(0)
    i_e = tl.program_id(1).to(tl.int64)
    p, a, b = numbers(parameters + i_e * P, P), numbers(tableau, S), numbers(tableau + S + 1, S)
    chunks = tl.cdiv(segment, chunk)
    sums = zeros(tl.zeros((BLOCK_B,), dz0.dtype.element_ty), P)
    for i_b in range(i_p, blocks, tl.num_programs(0)):
        o_b = i_b * BLOCK_B + tl.arange(0, BLOCK_B)
        m_b = o_b < B
        row = i_e * B + o_b
        inputs = drive + ((i_e % drive_models) * B + o_b) * T * U
        g = load_state(dz_final + row * M, m_b, M)
        dp = zeros(g[0], P)
        for i_s in range(tl.cdiv(T, segment)):
            n_s = tl.cdiv(T, segment) - 1 - i_s
            begin = n_s * segment
            length = tl.minimum(segment, T - begin)
            g = plus(g, load_state(dz + (row * kept + n_s) * M, m_b & (n_s < kept), M), M)
            state = load_state(z0 + row * M, m_b & (n_s == 0), M)
            state = plus(state, load_state(z + (row * kept + n_s - 1) * M, m_b & (n_s > 0), M), M)
            if DIRECT:
                u = load_state(inputs + begin * U, m_b, U)
                g, dp, du = retreat(state, g, dp, p, u, a, b, FIELD, VJP, M, P, U, S, ADDED)
                if WANTS_DRIVE:
                    store_state(ddrive + (row * T + begin) * U, du, m_b, U)
            else:
                for c in range(tl.cdiv(length, chunk)):
                    store_state(firsts + (row * chunks + c) * M, state, m_b, M)
                    if (c + 1) * chunk < length:
                        for i in range(chunk):
                            u = load_state(inputs + (begin + c * chunk + i) * U, m_b, U)
                            state = step(state, p, u, a, b, FIELD, M, S, ADDED)
                tl.debug_barrier()
                for i_c in range(tl.cdiv(length, chunk)):
                    c = tl.cdiv(length, chunk) - 1 - i_c
                    n = tl.minimum(chunk, length - c * chunk)
                    first = begin + c * chunk
                    state = load_state(firsts + (row * chunks + c) * M, m_b, M)
                    for i in range(n):
                        store_state(inner + (row * chunk + i) * M, state, m_b, M)
                        u = load_state(inputs + (first + i) * U, m_b, U)
                        state = step(state, p, u, a, b, FIELD, M, S, ADDED)
                    tl.debug_barrier()
                    for i in range(n):
                        t = first + n - 1 - i
                        u = load_state(inputs + t * U, m_b, U)
                        before = load_state(inner + (row * chunk + n - 1 - i) * M, m_b, M)
                        g, dp, du = retreat(before, g, dp, p, u, a, b, FIELD, VJP, M, P, U, S, ADDED)
                        if WANTS_DRIVE:
                            store_state(ddrive + (row * T + t) * U, du, m_b, U)
                    tl.debug_barrier()
        store_state(dz0 + row * M, g, m_b, M)
        kept_sums = ()
        for i in tl.static_range(P):
            kept_sums = kept_sums + (sums[i] + tl.where(m_b, dp[i], 0.0),)
        sums = kept_sums
    for i in tl.static_range(P):
        tl.store(dparameters + (i_e * tl.num_programs(0) + i_p) * P + i, tl.sum(sums[i], axis=0))
