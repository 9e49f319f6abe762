"""The supplied fields for numba: z, p and u are tuples of lanes, or arrays whose rows are lanes (form "rows").

Each field has its function and its vector-Jacobian product: with g = dL/df it returns (or writes) dL/dz, dL/dp, dL/du.
"""

# ruff: noqa: RUF059 - parameters are unpacked whole, in their order

import numba

from neurorbit.kernels.numba_common import JIT, LANES, fma
from neurorbit.kernels.numba_math_common import INLINE, constant, exp, sigmoid, tanh
from neurorbit.kernels.numba_rows_common import at, load_row, multiply, spread_at, store_row


def lorenz63(z, p, u):
    x, y, w = z
    sigma, rho, beta = p
    return sigma * (y - x), fma(x, rho - w, -y), fma(x, y, -(beta * w))


def lorenz63_vjp(z, p, u, g):
    x, y, w = z
    sigma, rho, beta = p
    gx, gy, gw = g
    dx = fma(y, gw, fma(rho - w, gy, -(sigma * gx)))
    dy = fma(x, gw, fma(sigma, gx, -gy))
    dw = -fma(x, gy, beta * gw)
    return (dx, dy, dw), (gx * (y - x), gy * x, -(gw * w)), u


def rossler(z, p, u):
    x, y, w = z
    a, b, c = p
    return -(y + w), fma(a, y, x), fma(w, x - c, b)


def rossler_vjp(z, p, u, g):
    x, y, w = z
    a, b, c = p
    gx, gy, gw = g
    return (fma(w, gw, gy), fma(a, gy, -gx), fma(x - c, gw, -gx)), (gy * y, gw, -(gw * w)), u


@numba.njit(**INLINE)
def _bursting_parts(V, n, h, p):
    """The three scaled distances, their sigmoids, the NMDA gate, and the sum of the currents."""
    C, g_L, E_L, g_Na, E_Na, V_Na, k_Na, g_K, E_K, V_K, k_K, tau_n, g_M, V_M, k_M, tau_h, g_NMDA = p
    xm, xn, xh = (V - V_Na) / k_Na, (V - V_K) / k_K, (V - V_M) / k_M
    m, n_inf, h_inf = sigmoid(xm), sigmoid(xn), sigmoid(xh)
    s = 1 / (exp(-0.0625 * V) * 0.33 + 1)
    out = fma(g_L, V - E_L, fma(g_Na * m, V - E_Na, g_NMDA * s * V))
    out = fma(fma(g_K, n, g_M * h), V - E_K, out)
    return xm, xn, xh, m, n_inf, h_inf, s, out


def bursting(z, p, u):
    V, n, h = z
    xm, xn, xh, m, n_inf, h_inf, s, out = _bursting_parts(V, n, h, p)
    return -out / p[0], (n_inf - n) / p[11], (h_inf - h) / p[15]


def bursting_vjp(z, p, u, g):
    V, n, h = z
    C, g_L, E_L, g_Na, E_Na, V_Na, k_Na, g_K, E_K, V_K, k_K, tau_n, g_M, V_M, k_M, tau_h, g_NMDA = p
    xm, xn, xh, m, n_inf, h_inf, s, out = _bursting_parts(V, n, h, p)
    current = -g[0] / C  # gradient of the sum of the currents
    dn, dh = g[1] / tau_n, g[2] / tau_h
    dm = current * g_Na * (V - E_Na) * (m * (1 - m)) / k_Na  # gradients of V - V_Na, V - V_K, V - V_M
    dn_inf = dn * (n_inf * (1 - n_inf)) / k_K
    dh_inf = dh * (h_inf * (1 - h_inf)) / k_M
    potassium = fma(g_K, n, g_M * h)
    slope = g_L + g_Na * m + potassium + g_NMDA * s * (1 + 0.0625 * V * (1 - s))
    dV = fma(current, slope, dm + dn_inf + dh_inf)
    dz = dV, fma(current, g_K * (V - E_K), -dn), fma(current, g_M * (V - E_K), -dh)
    dp = (
        current * out / -C, current * (V - E_L), -(current * g_L), current * m * (V - E_Na), -(current * g_Na * m),
        -dm, -(dm * xm), current * n * (V - E_K), -(current * potassium), -dn_inf, -(dn_inf * xn),
        dn * (n - n_inf) / tau_n, current * h * (V - E_K), -dh_inf, -(dh_inf * xh), dh * (h - h_inf) / tau_h,
        current * s * V,
    )  # fmt: skip
    return dz, dp, u


def lorenz96(dz, z, p, u, work, M, H, U):
    """z, dz: M rows of lanes; p: P numbers in rows of one; u: U rows; work: rows of the function's own."""
    forcing = spread_at(p, 0)
    for i in range(M):
        before, far = load_row(z, i - 1 if i > 0 else M - 1), load_row(z, i - 2 if i > 1 else M + i - 2)
        after = load_row(z, i + 1 if i < M - 1 else 0)
        store_row(dz, i, fma(after - far, before, forcing - load_row(z, i)))


def lorenz96_vjp(dz, dp, du, z, p, u, g, work, M, H, U):
    """Writes dz, adds to dp and du; each lane adds to its own place."""
    s = load_row(dp, 0)
    for i in range(M):
        b, bb = i - 1 if i > 0 else M - 1, i - 2 if i > 1 else M + i - 2
        a, aa = i + 1 if i < M - 1 else 0, i + 2 if i < M - 2 else i + 2 - M
        value = fma(load_row(g, b), load_row(z, bb), -load_row(g, i))
        value = fma(load_row(g, aa), -load_row(z, a), value)
        store_row(dz, i, fma(load_row(g, a), load_row(z, aa) - load_row(z, b), value))
        s = s + load_row(g, i)
    store_row(dp, 0, s)


@numba.njit(**INLINE)
def _mlp_weights(p, M, H, U, width):
    """Wg, Vg, bg, W1, V1, b1, W2, b2 inside the packed parameters, each of so many numbers."""
    vg = at(p, M * M * width)
    bg = at(vg, M * U * width)
    w1 = at(bg, M * width)
    v1 = at(w1, H * M * width)
    b1 = at(v1, H * U * width)
    w2 = at(b1, H * width)
    return p, vg, bg, w1, v1, b1, w2, at(w2, M * H * width)


@numba.njit(**JIT)
def _add_outer(dp, x, rows, y, columns):
    """dp[r columns + c] += x[r] y[c], lane by lane."""
    for r in range(rows):
        v, first = load_row(x, r), r * columns
        for c in range(columns):
            store_row(dp, first + c, fma(v, load_row(y, c), load_row(dp, first + c)))


@numba.njit(**JIT)
def _add_rows(y, x, rows):
    """y[r] += x[r]."""
    for r in range(rows):
        store_row(y, r, load_row(y, r) + load_row(x, r))


@numba.njit(**JIT)
def _mlp_layers(gate, h, q, phi, other, z, p, u, M, H, U):
    """The gate, the target h, and the hidden layer before and after silu."""
    wg, vg, bg, w1, v1, b1, w2, b2 = _mlp_weights(p, M, H, U, 1)
    zero = constant(0.0, load_row(z, 0))
    multiply(gate, wg, M, 1, z, M, M, zero)
    multiply(other, vg, U, 1, u, M, U, zero)
    for i in range(M):
        store_row(gate, i, sigmoid(load_row(gate, i) + load_row(other, i) + spread_at(bg, i)))
    multiply(q, w1, M, 1, z, H, M, zero)
    multiply(other, v1, U, 1, u, H, U, zero)
    for k in range(H):
        v = load_row(q, k) + load_row(other, k) + spread_at(b1, k)
        store_row(q, k, v)
        store_row(phi, k, v * sigmoid(v))
    multiply(h, w2, H, 1, phi, M, H, zero)
    for i in range(M):
        store_row(h, i, tanh(load_row(h, i) + spread_at(b2, i)))


@numba.njit(**INLINE)
def _mlp_rows(work, M, H):
    """Places for the gate, h, q, phi and one more layer."""
    h = at(work, M * LANES)
    q = at(h, M * LANES)
    phi = at(q, H * LANES)
    return work, h, q, phi, at(phi, H * LANES)


def gated_mlp(dz, z, p, u, work, M, H, U):
    gate, h, q, phi, other = _mlp_rows(work, M, H)
    _mlp_layers(gate, h, q, phi, other, z, p, u, M, H, U)
    for i in range(M):
        store_row(dz, i, load_row(gate, i) * (load_row(h, i) - load_row(z, i)))


def gated_mlp_vjp(dz, dp, du, z, p, u, g, work, M, H, U):
    gate, h, q, phi, other = _mlp_rows(work, M, H)
    _mlp_layers(gate, h, q, phi, other, z, p, u, M, H, U)
    for i in range(M):
        s, target, back = load_row(gate, i), load_row(h, i), load_row(g, i)
        store_row(gate, i, back * (target - load_row(z, i)) * (s * (1 - s)))
        store_row(h, i, back * s * (1 - target * target))
        store_row(dz, i, -(back * s))
    wg, vg, bg, w1, v1, b1, w2, b2 = _mlp_weights(p, M, H, U, 1)
    dwg, dvg, dbg, dw1, dv1, db1, dw2, db2 = _mlp_weights(dp, M, H, U, LANES)
    zero = constant(0.0, load_row(z, 0))
    _add_outer(dw2, h, M, phi, H)
    _add_rows(db2, h, M)
    multiply(other, w2, 1, H, h, H, M, zero)
    for k in range(H):
        v = load_row(q, k)
        s = sigmoid(v)
        store_row(q, k, load_row(other, k) * (s * (v * (1 - s) + 1)))
    _add_outer(dwg, gate, M, z, M)
    _add_outer(dvg, gate, M, u, U)
    _add_rows(dbg, gate, M)
    _add_outer(dw1, q, H, z, M)
    _add_outer(dv1, q, H, u, U)
    _add_rows(db1, q, H)
    multiply(other, wg, 1, M, gate, M, M, zero)
    _add_rows(dz, other, M)
    multiply(other, w1, 1, M, q, M, H, zero)
    _add_rows(dz, other, M)
    multiply(other, vg, 1, U, gate, U, M, zero)
    _add_rows(du, other, U)
    multiply(other, v1, 1, U, q, U, H, zero)
    _add_rows(du, other, U)
