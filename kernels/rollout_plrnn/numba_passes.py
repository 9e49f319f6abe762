"""The basis functions of the cells, the hidden layer fused for few states, and the sums of the weight gradients."""

import numba

from neurorbit.kernels.numba_common import JIT, fma, relu, total, where_positive
from neurorbit.kernels.numba_rows_common import (
    add_products,
    add_scaled,
    at,
    inner,
    load_row,
    load_rows,
    multiply,
    splat_rows,
    spread_at,
    store_row,
    store_rows,
    zero_rows,
)

RELU, DENDRITIC, DENDRITIC_CLIPPED, SHALLOW, SHALLOW_CLIPPED, ALRNN = range(6)


@numba.njit(**JIT)
def hidden_phi(q, h, clipped, zero):
    """Basis function of a hidden unit with bias h."""
    return relu(q + h, zero) - relu(q, zero) if clipped else relu(q + h, zero)


@numba.njit(**JIT)
def hidden_slope(q, h, g, clipped, zero):
    """g times its derivative."""
    on = where_positive(q + h, g, zero)
    return on - where_positive(q, g, zero) if clipped else on


@numba.njit(**JIT)
def phi_of(v, k, basis, zero):
    """phi_k(v); `basis` is what describes the cell: (cell, h2, alpha, thresholds, D, n_linear)."""
    cell, h2, alpha, thresholds, D, n_linear = basis
    if cell == SHALLOW or cell == SHALLOW_CLIPPED:
        return hidden_phi(v, spread_at(h2, k), cell == SHALLOW_CLIPPED, zero)
    if cell == RELU or cell == ALRNN:
        return relu(v, zero) if k >= n_linear else v
    floor = relu(v, zero) if cell == DENDRITIC_CLIPPED else zero
    s = zero
    for d in range(D):
        s = fma(spread_at(alpha, d), relu(v - spread_at(thresholds, k * D + d), zero) - floor, s)
    return s


@numba.njit(**JIT)
def times_slope(v, g, k, basis, zero, one):
    """g phi_k'(v)."""
    cell, h2, alpha, thresholds, D, n_linear = basis
    if cell == SHALLOW or cell == SHALLOW_CLIPPED:
        return hidden_slope(v, spread_at(h2, k), g, cell == SHALLOW_CLIPPED, zero)
    if cell == RELU or cell == ALRNN:
        return where_positive(v, g, zero) if k >= n_linear else g
    floor = where_positive(v, one, zero) if cell == DENDRITIC_CLIPPED else zero
    s = zero
    for d in range(D):
        on = where_positive(v - spread_at(thresholds, k * D + d), one, zero)
        s = fma(spread_at(alpha, d), on - floor, s)
    return g * s


@numba.njit(**JIT)
def centre(q, M, share, zero):
    """q - mean(q): its own transpose; share = 1 / M."""
    s = zero
    for m in range(M):
        s = s + load_row(q, m)
    s = s * share
    for m in range(M):
        store_row(q, m, load_row(q, m) - s)


@numba.njit(**JIT)
def inputs_of_basis(q, z, W2, M, H, centred, share, zero):
    """q = W2 z, z, or z - mean(z)."""
    if H:
        multiply(q, W2, M, 1, z, H, M, zero)
        return
    for m in range(M):
        store_row(q, m, load_row(z, m))
    if centred:
        centre(q, M, share, zero)


@numba.njit(**JIT)
def state_gradients(dA, dh1, zp, lam, steps, M, zero):
    """Adds the chunk's part: sums over its steps and lanes."""
    for m in range(M):
        s, r = zero, zero
        for t in range(steps):
            g = load_row(lam, t * M + m)
            s = fma(g, load_row(zp, t * M + m), s)
            r = r + g
        dA[m] += total(s)
        dh1[m] += total(r)


@numba.njit(**JIT)
def basis_gradients(dW1, dW2, dh2, dalpha, dthresholds, zp, lam, q, dphi, row, steps, M, K, H, basis, zero, one):
    """Adds the chunk's part: sums over its steps and lanes, unit by unit."""
    cell, h2, alpha, thresholds, D, _ = basis
    for k in range(K):
        for t in range(steps):
            store_row(row, t, phi_of(load_row(q, t * K + k), k, basis, zero))
        add_products(at(dW1, k), K, row, lam, M, steps, zero)
        if H:
            s, h = zero, spread_at(h2, k)
            for t in range(steps):
                v, g = load_row(q, t * K + k), load_row(dphi, t * K + k)
                s = s + where_positive(v + h, g, zero)
                store_row(row, t, hidden_slope(v, h, g, cell == SHALLOW_CLIPPED, zero))
            dh2[k] += total(s)
            add_products(at(dW2, k * M), 1, row, zp, M, steps, zero)
        for d in range(D):
            threshold = spread_at(thresholds, k * D + d)
            s, r = zero, zero
            for t in range(steps):
                v, g = load_row(q, t * K + k), load_row(dphi, t * K + k)
                floor = relu(v, zero) if cell == DENDRITIC_CLIPPED else zero
                s = fma(g, relu(v - threshold, zero) - floor, s)
                r = r + where_positive(v - threshold, g, zero)
            dalpha[d] += total(s)
            dthresholds[k * D + d] -= alpha[d] * total(r)


@numba.njit(**JIT)
def hidden_forward(new, z, W1, W2, h2, K, clipped, rows, zero, one):
    """new = W1 phi(W2 z), unit by unit: the state and the sums stay in registers; two sums hide the latency."""
    M = len(rows)
    x = load_rows(z, 0, rows)
    s, p = zero_rows(rows), zero_rows(rows)
    even = K // 2 * 2
    for k in range(0, even, 2):
        v = hidden_phi(inner(splat_rows(W2, k * M, 1, rows), x), spread_at(h2, k), clipped, zero)
        n = hidden_phi(inner(splat_rows(W2, k * M + M, 1, rows), x), spread_at(h2, k + 1), clipped, zero)
        s = add_scaled(s, splat_rows(W1, k, K, rows), v)
        p = add_scaled(p, splat_rows(W1, k + 1, K, rows), n)
    if even < K:
        v = hidden_phi(inner(splat_rows(W2, even * M, 1, rows), x), spread_at(h2, even), clipped, zero)
        s = add_scaled(s, splat_rows(W1, even, K, rows), v)
    store_rows(new, 0, add_scaled(s, p, one))


@numba.njit(**JIT)
def hidden_backward(back, lam, z, W1, W2, h2, K, clipped, rows, zero):
    """back = W2' (phi'(W2 z) * W1' lam), unit by unit."""
    M = len(rows)
    x, g = load_rows(z, 0, rows), load_rows(lam, 0, rows)
    s = zero_rows(rows)
    for k in range(K):
        w = splat_rows(W2, k * M, 1, rows)
        dphi = inner(splat_rows(W1, k, K, rows), g)
        s = add_scaled(s, w, hidden_slope(inner(w, x), spread_at(h2, k), dphi, clipped, zero))
    store_rows(back, 0, s)


@numba.njit(**JIT)
def hidden_gradients(sums, zp, lam, steps, W1, W2, h2, K, clipped, rows, zero):
    """Adds the chunk's part of dW1, dW2 and dh2, lane by lane: 2 M + 1 rows of `sums` for each unit."""
    M = len(rows)
    for k in range(K):
        w1, w2, h = splat_rows(W1, k, K, rows), splat_rows(W2, k * M, 1, rows), spread_at(h2, k)
        at1 = k * (2 * M + 1)
        dw1, dw2, dh = load_rows(sums, at1, rows), load_rows(sums, at1 + M, rows), load_row(sums, at1 + 2 * M)
        for t in range(steps):
            x, g = load_rows(zp, t * M, rows), load_rows(lam, t * M, rows)
            q, dphi = inner(w2, x), inner(w1, g)
            dw1 = add_scaled(dw1, g, hidden_phi(q, h, clipped, zero))
            dw2 = add_scaled(dw2, x, hidden_slope(q, h, dphi, clipped, zero))
            dh = dh + where_positive(q + h, dphi, zero)
        store_rows(sums, at1, dw1)
        store_rows(sums, at1 + M, dw2)
        store_row(sums, at1 + 2 * M, dh)


@numba.njit(**JIT)
def add_lanes(dW1, dW2, dh2, sums, M, K):
    """The sums over the lanes of `hidden_gradients`, into their places."""
    for k in range(K):
        at1 = k * (2 * M + 1)
        for m in range(M):
            dW1[m * K + k] += total(load_row(sums, at1 + m))
            dW2[k * M + m] += total(load_row(sums, at1 + M + m))
        dh2[k] += total(load_row(sums, at1 + 2 * M))
