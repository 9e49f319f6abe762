"""Adam over a stack of models on the CPU: each pass over the parameters does everything that one needs."""

from array import array

import numba
import numpy as np
import torch

from neurorbit.kernels.numba_common import JIT, LANES, fma, pointer, splat, total, where_positive
from neurorbit.kernels.numba_functions_common import divide, load_first, root, store_first
from neurorbit.kernels.numba_threads_common import INTEGERS, run_compiled, vector

CHUNK = 1 << 14  # parameters of one task: the sums do not depend on threads
PENALTY, SQUARES = range(2)  # what a task adds up


@numba.njit(**JIT)
def part_of(task, P, chunks):
    """Model, first parameter and end of a task, in the flat buffers."""
    e, first = task // chunks, task % chunks * CHUNK
    return e, e * P + first, e * P + min(first + CHUNK, P)


@numba.njit(**JIT)
def sum_tasks(begin, end, S, values, gradients, factors, sums):
    """Adds the penalty's gradient; sums of the penalty and of the squared gradients, [tasks, 2]."""
    P, chunks = S[0], S[1]
    two = splat(values.dtype.type(2))
    for task in range(begin, end):
        e, first, last = part_of(task, P, chunks)
        penalty, squares = splat(values.dtype.type(0)), splat(values.dtype.type(0))
        for i in range(first, last, LANES):
            left = last - i
            g = load_first(gradients, i, left)
            if factors.size:
                v = load_first(values, i, left)
                fv = load_first(factors, i - e * P, left) * v
                penalty = fma(fv, v, penalty)
                g = fma(two, fv, g)
                store_first(gradients, i, g, left)
            squares = fma(g, g, squares)
        sums[2 * task + PENALTY], sums[2 * task + SQUARES] = total(penalty), total(squares)


@numba.njit(**JIT)
def update_tasks(begin, end, S, F, values, gradients, mean, square, numbers):
    """Moments and values of living models; numbers [models, 3]: factor of the gradient, rate, whether it lives."""
    P, chunks, divided = S[0], S[1], S[2]
    share, keep, own, eps, most = splat(F[0]), splat(F[1]), splat(F[2]), splat(F[3]), splat(F[4])
    zero = splat(values.dtype.type(0))
    for task in range(begin, end):
        e, first, last = part_of(task, P, chunks)
        scale, rate = splat(numbers[3 * e]), splat(numbers[3 * e + 1])
        if numbers[3 * e + 2] == 0:
            continue
        for i in range(first, last, LANES):
            left = last - i
            g = load_first(gradients, i, left) * scale
            m = load_first(mean, i, left)
            m = fma(share, g - m, m)
            v = fma(own * g, g, load_first(square, i, left) * keep)
            store_first(mean, i, m, left)
            store_first(square, i, v, left)
            change = m * rate
            if divided:
                change = divide(change, root(v) + eps)
            change = where_positive(change - most, most, change)
            change = where_positive(zero - most - change, zero - most, change)
            store_first(values, i, load_first(values, i, left) - change, left)


@numba.njit(**JIT)
def flat(address, like, count):
    """The numbers from the address on."""
    return numba.carray(pointer(address, like), (count,))


@numba.njit(**JIT)
def run_sums(first, last, p, like):
    """The tasks on `where` = (P, chunks, numbers in all, then the addresses), and on their sums."""
    S = vector(p, 0, INTEGERS)
    values, gradients = flat(S[3], like, S[2]), flat(S[4], like, S[2])
    sum_tasks(first, last, S, values, gradients, flat(S[5], like, S[0] if S[5] else 0), vector(p, 1, like))


@numba.njit(**JIT)
def run_update(first, last, p, like):
    """The same for an update: after P and chunks whether to divide; five constants before the models' numbers."""
    S, F = vector(p, 0, INTEGERS), vector(p, 1, like)
    values, gradients = flat(S[4], like, S[3]), flat(S[5], like, S[3])
    update_tasks(first, last, S, F, values, gradients, flat(S[6], like, S[3]), flat(S[7], like, S[3]), F[5:])


def sum_single(first, last, share, p):
    run_sums(first, last, p, np.empty(0, np.float32))


def sum_double(first, last, share, p):
    run_sums(first, last, p, np.empty(0, np.float64))


def update_single(first, last, share, p):
    run_update(first, last, p, np.empty(0, np.float32))


def update_double(first, last, share, p):
    run_update(first, last, p, np.empty(0, np.float64))


SUM = {torch.float32: sum_single, torch.float64: sum_double}
UPDATE = {torch.float32: update_single, torch.float64: update_double}
NUMBER = {torch.float32: np.float32, torch.float64: np.float64}


def penalty_and_norm(values, gradients, factors):
    """(penalty [E], norm of the gradient [E]); adds the penalty's gradient where there are factors [P]."""
    (E, P), dtype = values.shape, values.dtype
    chunks = -(-P // CHUNK)
    where = [P, chunks, E * P, values.data_ptr(), gradients.data_ptr(), 0 if factors is None else factors.data_ptr()]
    sums = np.empty(2 * E * chunks, NUMBER[dtype])
    run_compiled(SUM[dtype], E * chunks, array("q", where), sums)
    found = torch.from_numpy(sums).view(E, chunks, 2).sum(1)
    return found[:, PENALTY], found[:, SQUARES].sqrt()


def update(values, gradients, mean, square, norm, rate, alive, *, betas, eps, clip, divided, largest):
    """Moves the living models [E] by Adam's change, for gradients clipped to the norm `clip` (0: as they are)."""
    (E, P), dtype = values.shape, values.dtype
    chunks = -(-P // CHUNK)
    scales = [min(clip / (x + 1e-6), 1.0) for x in norm.tolist()] if clip else [1.0] * E
    numbers = [1 - betas[0], betas[1], 1 - betas[1], eps, largest]
    for of_model in zip(scales, rate.tolist(), alive.tolist(), strict=True):
        numbers += of_model
    where = [P, chunks, divided, E * P, *(x.data_ptr() for x in (values, gradients, mean, square))]
    run_compiled(UPDATE[dtype], E * chunks, array("q", where), np.array(numbers, NUMBER[dtype]))
