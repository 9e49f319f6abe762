"""Parts of the Triton kernels: the noise, and the drift's layers, forth and back.

Rows x and s, [R] pointers, hold the activations and the slopes (then gradients) of the hidden layers of each sequence.
"""

import triton
import triton.language as tl

from neurorbit.kernels.triton_common import contract_columns, contract_rows
from neurorbit.kernels.triton_functions_common import drawn, sigmoid


@triton.jit
def matrix(W, o_i, o_j, I, J, row):
    """Tile W[o_i, o_j] of a matrix [I, J] whose rows are `row` numbers apart, zeros outside."""
    m = (o_i < I)[:, None] & (o_j < J)[None, :]
    return tl.load(W + o_i[:, None] * row + o_j[None, :], mask=m, other=0.0)


@triton.jit
def noise_at(noise, seed, stream, row, t, first_step, o_m, m, T, M, like, NOISE: tl.constexpr):
    """eps of step t, [R, M]."""
    if NOISE == 1:
        return tl.load(noise + (row[:, None] * T + t) * M + o_m[None, :], mask=m, other=0.0)
    else:
        return drawn(seed, stream, first_step + t, o_m, like)


@triton.jit
def state_before(z0, z, row, t, o_m, m, T, M, SHIFT: tl.constexpr):
    """The states at which step t takes the drift: [R, M]."""
    if SHIFT:
        value = tl.load(z0 + row[:, None] * M + o_m[None, :], mask=m & (t == 0), other=0.0)
        return value + tl.load(z + (row[:, None] * T + t - 1) * M + o_m[None, :], mask=m & (t > 0), other=0.0)
    else:
        return tl.load(z + (row[:, None] * T + t) * M + o_m[None, :], mask=m, other=0.0)


@triton.jit
def pre_activation(before, w, b, drive, o_j, m_j, m_b, HAS_DRIVE: tl.constexpr, DOT: tl.constexpr):
    """What enters the gate or the first hidden layer: before w + b + drive, [R, J]."""
    q = contract_rows(before, w, DOT) + b[None, :]
    if HAS_DRIVE:
        q += tl.load(drive[:, None] + o_j[None, :], mask=m_b[:, None] & m_j[None, :], other=0.0)
    return q


@triton.jit
def only_layer(w, Wo, o_m, o_h, M, D):
    """Weights into the units o_h of a drift's only hidden layer, their bias, and the weights out of them."""
    b1 = tl.load(w + M * D + M + o_h, mask=o_h < D - M, other=0.0)
    return matrix(w + M, o_m, o_h, M, D - M, D), b1, matrix(Wo, o_h, o_m, D - M, M, M)


@triton.jit
def first_layer(
    before, w, x, s, drive, o_m, inside, m_b, M, D, HAS_DRIVE: tl.constexpr, KEEP: tl.constexpr,
    BLOCK_H: tl.constexpr, DOT: tl.constexpr,
):  # fmt: skip
    """Activations of the first hidden layer into the rows x, slopes into the rows s."""
    for j in range(0, D - M, BLOCK_H):
        o_j = j + tl.arange(0, BLOCK_H)
        m_j = o_j < D - M
        w1 = matrix(w + M, o_m, o_j, M, D - M, D)
        b1 = tl.load(w + M * D + M + o_j, mask=m_j, other=0.0)
        q = pre_activation(before, w1, b1, drive + M, o_j, m_j, inside, HAS_DRIVE, DOT)
        gate = sigmoid(q)
        m = m_b[:, None] & m_j[None, :]
        tl.store(x[:, None] + o_j[None, :], q * gate, mask=m)
        if KEEP:
            tl.store(s[:, None] + o_j[None, :], gate * (1.0 + q * (1.0 - gate)), mask=m)


@triton.jit
def further_layers(
    w, x, s, table, further, m_b, KEEP: tl.constexpr, BLOCK_B: tl.constexpr, BLOCK_H: tl.constexpr, DOT: tl.constexpr
):
    """The same for all other hidden layers, tile by tile; the program's threads exchange values through the rows."""
    for k in range(further):
        n_in = tl.load(table + 4 * k)
        n_out = tl.load(table + 4 * k + 1)
        W = w + tl.load(table + 4 * k + 2)
        begin = tl.load(table + 4 * k + 3)
        tl.debug_barrier()
        for j in range(0, n_out, BLOCK_H):
            o_j = j + tl.arange(0, BLOCK_H)
            m = m_b[:, None] & (o_j < n_out)[None, :]
            bias = tl.load(W + n_in * n_out + o_j, mask=o_j < n_out, other=0.0)
            q = tl.zeros([BLOCK_B, BLOCK_H], w.dtype.element_ty) + bias[None, :]
            for i in range(0, n_in, BLOCK_H):
                o_i = i + tl.arange(0, BLOCK_H)
                m_i = m_b[:, None] & (o_i < n_in)[None, :]
                value = tl.load(x[:, None] + begin + o_i[None, :], mask=m_i, other=0.0)
                q += contract_rows(value, matrix(W, o_i, o_j, n_in, n_out, n_out), DOT)
            gate = sigmoid(q)
            tl.store(x[:, None] + begin + n_in + o_j[None, :], q * gate, mask=m)
            if KEEP:
                tl.store(s[:, None] + begin + n_in + o_j[None, :], gate * (1.0 + q * (1.0 - gate)), mask=m)
    tl.debug_barrier()


@triton.jit
def output_layer(
    Wo, x, last, o_m, m_b, M, BLOCK_B: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_H: tl.constexpr, DOT: tl.constexpr
):
    """What the last hidden layer, whose `last` activations begin at the rows x, adds to h before the tanh."""
    out = tl.zeros([BLOCK_B, BLOCK_M], Wo.dtype.element_ty)
    for i in range(0, last, BLOCK_H):
        o_i = i + tl.arange(0, BLOCK_H)
        value = tl.load(x[:, None] + o_i[None, :], mask=m_b[:, None] & (o_i < last)[None, :], other=0.0)
        out += contract_rows(value, matrix(Wo, o_i, o_m, last, M, M), DOT)
    return out


@triton.jit
def only_layer_back(q, dout, w1, wo, x, s, o_i, m, DOT: tl.constexpr):
    """The only hidden layer, from what enters it: its part of the state's gradient; writes activations, gradients."""
    gate = sigmoid(q)
    dq = contract_columns(dout, wo, DOT) * gate * (1.0 + q * (1.0 - gate))
    tl.store(x[:, None] + o_i[None, :], q * gate, mask=m)
    tl.store(s[:, None] + o_i[None, :], dq, mask=m)
    return contract_columns(dq, w1, DOT)


@triton.jit
def back_through_layers(
    w, s, table, further, m_b, BLOCK_B: tl.constexpr, BLOCK_H: tl.constexpr, DOT: tl.constexpr
):  # fmt: skip
    """From the last hidden layer's gradients to the first one's: slopes in the rows s become gradients."""
    for step in range(further):
        k = further - 1 - step
        n_in = tl.load(table + 4 * k)
        n_out = tl.load(table + 4 * k + 1)
        W = w + tl.load(table + 4 * k + 2)
        begin = tl.load(table + 4 * k + 3)
        tl.debug_barrier()
        for i in range(0, n_in, BLOCK_H):
            o_i = i + tl.arange(0, BLOCK_H)
            m_i = m_b[:, None] & (o_i < n_in)[None, :]
            dx = tl.zeros([BLOCK_B, BLOCK_H], w.dtype.element_ty)
            for j in range(0, n_out, BLOCK_H):
                o_j = j + tl.arange(0, BLOCK_H)
                m_j = m_b[:, None] & (o_j < n_out)[None, :]
                dq = tl.load(s[:, None] + begin + n_in + o_j[None, :], mask=m_j, other=0.0)
                dx += contract_columns(dq, matrix(W, o_i, o_j, n_in, n_out, n_out), DOT)
            place = s[:, None] + begin + o_i[None, :]
            tl.store(place, dx * tl.load(place, mask=m_i, other=0.0), mask=m_i)
    tl.debug_barrier()
