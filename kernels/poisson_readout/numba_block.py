"""The parameter block of the passes, and what they begin and end with: the list of valid bins, the readout in panels,
and sums of the tasks' sums."""

import numba
import numpy as np

from neurorbit.kernels.numba_common import JIT, pointer
from neurorbit.kernels.numba_threads_common import INTEGERS, address_of

TENSORS, SIZES = 25, 20  # numbers of the parameter block: addresses, then sizes
DOUBLES, BYTES = np.empty(0, np.float64), np.empty(0, np.uint8)


@numba.njit(**JIT)
def flat(address, like, offset, count):
    """`count` values from `offset` on, of the array that begins at `address`."""
    return numba.carray(pointer(address + offset * like.itemsize, like), (count,))


@numba.njit(**JIT)
def block_at(address):
    """(addresses, sizes, valid bins, their numbers) of the parameter block."""
    p = numba.carray(pointer(address_of(address, 0), INTEGERS), (TENSORS + SIZES,))
    where, S = p[:TENSORS], p[TENSORS:]
    bins = numba.carray(pointer(where[15], INTEGERS), (S[18], S[1] * S[2]))
    return where, S, bins, flat(where[16], INTEGERS, 0, S[18])


@numba.njit(**JIT)
def sums_at(where, k, models, S):
    """Sums of the tasks of so many models, by bin and by neuron."""
    by_row = numba.carray(pointer(where[k], DOUBLES), (models * S[8], S[1] * S[2]))
    return by_row, numba.carray(pointer(where[k + 1], DOUBLES), (models * S[9], S[3]))


@numba.njit(**JIT)
def list_bins(bins, bin_counts, lengths, mask, B, T):
    """Row e of bins: the valid bins of model e (or of all), in order; bin_counts[e]: how many there are."""
    for e in range(bins.shape[0]):
        count = 0
        for b in range(B):
            end = lengths[e if lengths.shape[0] > 1 else 0, b] if lengths.size else T
            for t in range(end):
                if mask.size == 0 or mask[e if mask.shape[0] > 1 else 0, b, t] != 0:
                    bins[e, count] = b * T + t
                    count += 1
        bin_counts[e] = count


@numba.njit(**JIT)
def pack_readout(C, readout, turned, width, wants_turned):
    """C in panels of neurons [E, panels, M, width], and each of them in panels of latents; zeros past N and M."""
    E, N, M = C.shape
    panels = readout.shape[1]
    blocks = turned.shape[2]
    for e in range(E):
        for p in range(panels):
            for j in range(width):
                n = p * width + j
                for m in range(M):
                    value = C[e, n, m] if n < N else C.dtype.type(0)
                    readout[e, p, m, j] = value
                    if wants_turned:
                        turned[e, p, m // width, j, m % width] = value
                for m in range(M, blocks * width):
                    turned[e, p, m // width, j, m % width] = 0


@numba.njit(**JIT)
def prepare(address, like):
    """The list of valid bins and the packed readout."""
    where, S, bins, counts = block_at(address)
    E, B, T, N, M, width, panels = S[0], S[1], S[2], S[3], S[4], S[5], S[6]
    lengths = numba.carray(pointer(where[13], INTEGERS), (S[16], B))
    list_bins(bins, counts, lengths, numba.carray(pointer(where[14], BYTES), (S[17], B, T)), B, T)
    C = numba.carray(pointer(where[18], like), (E, N, M))
    readout = numba.carray(pointer(where[1], like), (E, panels, M, width))
    blocks = S[19] // width if where[6] else 0
    turned = numba.carray(pointer(where[6], like), (E, panels, blocks, width, width))
    pack_readout(C, readout, turned, width, where[6] != 0)


@numba.njit(**JIT)
def add_up(address, like):
    """Sums of the tasks' sums, and of log y!, of which one row may be for all models."""
    where, S, bins, counts = block_at(address)
    E, B, T, N, columns, rows = S[0], S[1], S[2], S[3], S[8], S[9]
    models = max(S[12], S[18])
    row_sums, column_sums = sums_at(where, 19, E, S)
    constant_rows, constant_columns = sums_at(where, 21, models, S)
    nll, per_neuron = flat(where[23], like, 0, E * B), flat(where[24], like, 0, E * N)
    for e in range(E):
        own, listed, at = e if models > 1 else 0, e if S[18] > 1 else 0, 0
        for b in range(B):
            total_ = 0.0
            while at < counts[listed] and bins[listed, at] < (b + 1) * T:
                t = bins[listed, at]
                for i in range(columns):
                    total_ += row_sums[e * columns + i, t] + constant_rows[own * columns + i, t]
                at += 1
            nll[e * B + b] = total_
        for n in range(N):
            total_ = 0.0
            for i in range(rows):
                total_ += column_sums[e * rows + i, n] + constant_columns[own * rows + i, n]
            per_neuron[e * N + n] = total_


@numba.njit(**JIT)
def collect(address, like):
    """The gradients of C [E, N, M] and of the bias: sums of the tasks' parts [E, rows, panels, M, width]."""
    where, S, _, _ = block_at(address)
    E, N, M, width, panels, rows = S[0], S[3], S[4], S[5], S[6], S[9]
    dC, parts = flat(where[20], like, 0, E * N * M), flat(where[10], like, 0, E * rows * panels * M * width)
    dbias, sums = flat(where[21], like, 0, E * N), flat(where[19], DOUBLES, 0, E * rows * N)
    for e in range(E):
        for n in range(N):
            for m in range(M if where[10] else 0):
                at = ((e * rows * panels + n // width) * M + m) * width + n % width
                total_ = parts[at]
                for i in range(1, rows):
                    total_ += parts[at + i * panels * M * width]
                dC[(e * N + n) * M + m] = total_
            if where[21]:
                bias = sums[e * rows * N + n]
                for i in range(1, rows):
                    bias += sums[(e * rows + i) * N + n]
                dbias[e * N + n] = bias
