"""The supplied fields for Triton: z, p and u are tuples of blocks, or (form "rows") blocks [R, BLOCK_M] and a pointer.

Each field has its function and its vector-Jacobian product: with g = dL/df it finds dL/dz, dL/dp and dL/du.
"""

# ruff: noqa: RUF059 - parameters are unpacked whole, in their order

import triton
import triton.language as tl

from neurorbit.kernels.triton_common import contract_columns, contract_rows, outer_sum
from neurorbit.kernels.triton_functions_common import sigmoid, tanh


@triton.jit
def lorenz63(z, p, u):
    x, y, w = z
    sigma, rho, beta = p
    return sigma * (y - x), x * (rho - w) - y, x * y - beta * w


@triton.jit
def lorenz63_vjp(z, p, u, g):
    x, y, w = z
    sigma, rho, beta = p
    gx, gy, gw = g
    dz = ((rho - w) * gy + y * gw - sigma * gx, sigma * gx - gy + x * gw, -x * gy - beta * gw)
    return dz, (gx * (y - x), gy * x, -gw * w), u


@triton.jit
def rossler(z, p, u):
    x, y, w = z
    a, b, c = p
    return -y - w, x + a * y, b + w * (x - c)


@triton.jit
def rossler_vjp(z, p, u, g):
    x, y, w = z
    a, b, c = p
    gx, gy, gw = g
    return (gy + w * gw, a * gy - gx, (x - c) * gw - gx), (gy * y, gw, -gw * w), u


@triton.jit
def bursting_parts(V, n, h, p):
    """The three scaled distances, their sigmoids, the NMDA gate, and the sum of the currents."""
    C, g_L, E_L, g_Na, E_Na, V_Na, k_Na, g_K, E_K, V_K, k_K, tau_n, g_M, V_M, k_M, tau_h, g_NMDA = p
    xm, xn, xh = (V - V_Na) / k_Na, (V - V_K) / k_K, (V - V_M) / k_M
    m, n_inf, h_inf = sigmoid(xm), sigmoid(xn), sigmoid(xh)
    s = 1.0 / (1.0 + 0.33 * tl.exp(-0.0625 * V))
    out = g_L * (V - E_L) + g_Na * m * (V - E_Na) + g_NMDA * s * V + (g_K * n + g_M * h) * (V - E_K)
    return xm, xn, xh, m, n_inf, h_inf, s, out


@triton.jit
def bursting(z, p, u):
    V, n, h = z
    xm, xn, xh, m, n_inf, h_inf, s, out = bursting_parts(V, n, h, p)
    return -out / p[0], (n_inf - n) / p[11], (h_inf - h) / p[15]


@triton.jit
def bursting_vjp(z, p, u, g):
    V, n, h = z
    C, g_L, E_L, g_Na, E_Na, V_Na, k_Na, g_K, E_K, V_K, k_K, tau_n, g_M, V_M, k_M, tau_h, g_NMDA = p
    xm, xn, xh, m, n_inf, h_inf, s, out = bursting_parts(V, n, h, p)
    current = -g[0] / C  # gradient of the sum of the currents
    dn, dh = g[1] / tau_n, g[2] / tau_h
    dm = current * g_Na * (V - E_Na) * (m * (1.0 - m)) / k_Na  # gradients of V - V_Na, V - V_K, V - V_M
    dn_inf = dn * (n_inf * (1.0 - n_inf)) / k_K
    dh_inf = dh * (h_inf * (1.0 - h_inf)) / k_M
    potassium = g_K * n + g_M * h
    slope = g_L + g_Na * m + potassium + g_NMDA * s * (1.0 + 0.0625 * V * (1.0 - s))
    dz = (current * slope + dm + dn_inf + dh_inf, current * g_K * (V - E_K) - dn, current * g_M * (V - E_K) - dh)
    dp = (
        -current * out / C, current * (V - E_L), -current * g_L, current * m * (V - E_Na), -current * g_Na * m,
        -dm, -dm * xm, current * n * (V - E_K), -current * potassium, -dn_inf, -dn_inf * xn, dn * (n - n_inf) / tau_n,
        current * h * (V - E_K), -dh_inf, -dh_inf * xh, dh * (h - h_inf) / tau_h, current * s * V,
    )  # fmt: skip
    return dz, dp, u


@triton.jit
def around(z, shift, M, BLOCK_M: tl.constexpr):
    """z_{i + shift} on a ring of M, for z [R, BLOCK_M] and -M < shift < M."""
    i = tl.arange(0, BLOCK_M)
    at = tl.where(i < M, (i + shift + M) % M, i)
    return tl.gather(z, tl.broadcast_to(at[None, :], z.shape), axis=1)


@triton.jit
def add_at(p, values, mask):
    """p += values: the program's own memory."""
    tl.store(p, tl.load(p, mask=mask, other=0.0) + values, mask=mask)


@triton.jit
def lorenz96(z, p, u, M, H, U, BLOCK_M: tl.constexpr, BLOCK_H: tl.constexpr, BLOCK_U: tl.constexpr):
    """z [R, BLOCK_M]; p: pointer to the model's P numbers; u [R, BLOCK_U]."""
    forcing = tl.load(p)
    far, before, after = around(z, -2, M, BLOCK_M), around(z, -1, M, BLOCK_M), around(z, 1, M, BLOCK_M)
    return tl.where(tl.arange(0, BLOCK_M)[None, :] < M, (after - far) * before - z + forcing, 0.0)


@triton.jit
def lorenz96_vjp(z, p, u, g, dp, M, H, U, BLOCK_M: tl.constexpr, BLOCK_H: tl.constexpr, BLOCK_U: tl.constexpr):
    """dL/dz and dL/du; dL/dp is added to the program's own P numbers at dp."""
    dz = around(g, -1, M, BLOCK_M) * around(z, -2, M, BLOCK_M) - around(g, 2, M, BLOCK_M) * around(z, 1, M, BLOCK_M)
    dz += around(g, 1, M, BLOCK_M) * (around(z, 2, M, BLOCK_M) - around(z, -1, M, BLOCK_M)) - g
    one = tl.arange(0, 1)
    add_at(dp + one, tl.sum(tl.sum(g, axis=1), axis=0) + tl.zeros_like(one).to(g.dtype), one < 1)
    return tl.where(tl.arange(0, BLOCK_M)[None, :] < M, dz, 0.0), u


@triton.jit
def matrix(p, rows, columns, BLOCK_R: tl.constexpr, BLOCK_C: tl.constexpr):
    """(pointers, mask) of a matrix [rows, columns] at p, transposed: columns first."""
    r, c = tl.arange(0, BLOCK_R), tl.arange(0, BLOCK_C)
    return p + r[None, :] * columns + c[:, None], (c < columns)[:, None] & (r < rows)[None, :]


@triton.jit
def times(x, p, rows, columns, BLOCK_R: tl.constexpr, BLOCK_C: tl.constexpr):
    """x [R, columns] times the matrix [rows, columns] at p, transposed: [R, rows]."""
    place, mask = matrix(p, rows, columns, BLOCK_R, BLOCK_C)
    return contract_rows(x, tl.load(place, mask=mask, other=0.0), False)


@triton.jit
def times_back(x, p, rows, columns, BLOCK_R: tl.constexpr, BLOCK_C: tl.constexpr):
    """x [R, rows] times the matrix [rows, columns] at p: [R, columns]."""
    place, mask = matrix(p, rows, columns, BLOCK_R, BLOCK_C)
    return contract_columns(x, tl.load(place, mask=mask, other=0.0), False)


@triton.jit
def add_outer(p, x, y, rows, columns, BLOCK_R: tl.constexpr, BLOCK_C: tl.constexpr):
    """The matrix at p plus the sum over sequences of x [R, rows] times y [R, columns]."""
    place, mask = matrix(p, rows, columns, BLOCK_R, BLOCK_C)
    add_at(place, outer_sum(y, x, False), mask)


@triton.jit
def vector(p, size, BLOCK: tl.constexpr):
    """The vector at p as [1, BLOCK]."""
    i = tl.arange(0, BLOCK)
    return tl.load(p + i, mask=i < size, other=0.0)[None, :]


@triton.jit
def add_vector(p, x, size, BLOCK: tl.constexpr):
    """The vector at p plus the sum over sequences of x [R, BLOCK]."""
    i = tl.arange(0, BLOCK)
    add_at(p + i, tl.sum(x, axis=0), i < size)


@triton.jit
def mlp_weights(p, M, H, U):
    """Where Wg, Vg, bg, W1, V1, b1, W2 and b2 begin in the packed parameters."""
    vg = p + M * M
    bg = vg + M * U
    w1 = bg + M
    v1 = w1 + H * M
    b1 = v1 + H * U
    w2 = b1 + H
    return p, vg, bg, w1, v1, b1, w2, w2 + M * H


@triton.jit
def mlp_layers(z, p, u, M, H, U, BLOCK_M: tl.constexpr, BLOCK_H: tl.constexpr, BLOCK_U: tl.constexpr):
    """The gate, the hidden layer before silu and its sigmoid, and the target h."""
    wg, vg, bg, w1, v1, b1, w2, b2 = mlp_weights(p, M, H, U)
    gate = times(z, wg, M, M, BLOCK_M, BLOCK_M) + times(u, vg, M, U, BLOCK_M, BLOCK_U) + vector(bg, M, BLOCK_M)
    q = times(z, w1, H, M, BLOCK_H, BLOCK_M) + times(u, v1, H, U, BLOCK_H, BLOCK_U) + vector(b1, H, BLOCK_H)
    s = sigmoid(q)
    h = tanh(times(q * s, w2, M, H, BLOCK_M, BLOCK_H) + vector(b2, M, BLOCK_M))
    return sigmoid(gate), q, s, h


@triton.jit
def gated_mlp(z, p, u, M, H, U, BLOCK_M: tl.constexpr, BLOCK_H: tl.constexpr, BLOCK_U: tl.constexpr):
    gate, q, s, h = mlp_layers(z, p, u, M, H, U, BLOCK_M, BLOCK_H, BLOCK_U)
    return gate * (h - z)


@triton.jit
def gated_mlp_vjp(z, p, u, g, dp, M, H, U, BLOCK_M: tl.constexpr, BLOCK_H: tl.constexpr, BLOCK_U: tl.constexpr):
    gate, q, s, h = mlp_layers(z, p, u, M, H, U, BLOCK_M, BLOCK_H, BLOCK_U)
    wg, vg, bg, w1, v1, b1, w2, b2 = mlp_weights(p, M, H, U)
    dwg, dvg, dbg, dw1, dv1, db1, dw2, db2 = mlp_weights(dp, M, H, U)
    dgate = g * (h - z) * gate * (1.0 - gate)
    dh = g * gate * (1.0 - h * h)
    dq = times_back(dh, w2, M, H, BLOCK_M, BLOCK_H) * (s * (1.0 + q * (1.0 - s)))
    add_outer(dwg, dgate, z, M, M, BLOCK_M, BLOCK_M)
    add_outer(dvg, dgate, u, M, U, BLOCK_M, BLOCK_U)
    add_vector(dbg, dgate, M, BLOCK_M)
    add_outer(dw1, dq, z, H, M, BLOCK_H, BLOCK_M)
    add_outer(dv1, dq, u, H, U, BLOCK_H, BLOCK_U)
    add_vector(db1, dq, H, BLOCK_H)
    add_outer(dw2, dh, q * s, M, H, BLOCK_M, BLOCK_H)
    add_vector(db2, dh, M, BLOCK_M)
    dz = times_back(dgate, wg, M, M, BLOCK_M, BLOCK_M) + times_back(dq, w1, H, M, BLOCK_H, BLOCK_M) - g * gate
    du = times_back(dgate, vg, M, U, BLOCK_M, BLOCK_U) + times_back(dq, v1, H, U, BLOCK_H, BLOCK_U)
    return dz, du
