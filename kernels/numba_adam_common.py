"""Adam over a stack of models on the CPU: each pass over the parameters does everything that one needs."""

import numba
import numpy as np
import torch

from neurorbit.kernels.numba_common import JIT, LANES, fma, splat, total, where_positive
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


def sum_single(first, last, share, p):
    like = np.empty(0, np.float32)
    v, g, f, sums = vector(p, 1, like), vector(p, 2, like), vector(p, 3, like), vector(p, 4, like)
    sum_tasks(first, last, vector(p, 0, INTEGERS), v, g, f, sums)


def sum_double(first, last, share, p):
    like = np.empty(0, np.float64)
    v, g, f, sums = vector(p, 1, like), vector(p, 2, like), vector(p, 3, like), vector(p, 4, like)
    sum_tasks(first, last, vector(p, 0, INTEGERS), v, g, f, sums)


def update_single(first, last, share, p):
    like = np.empty(0, np.float32)
    F, v, g, m = vector(p, 1, like), vector(p, 2, like), vector(p, 3, like), vector(p, 4, like)
    update_tasks(first, last, vector(p, 0, INTEGERS), F, v, g, m, vector(p, 5, like), vector(p, 6, like))


def update_double(first, last, share, p):
    like = np.empty(0, np.float64)
    F, v, g, m = vector(p, 1, like), vector(p, 2, like), vector(p, 3, like), vector(p, 4, like)
    update_tasks(first, last, vector(p, 0, INTEGERS), F, v, g, m, vector(p, 5, like), vector(p, 6, like))


SUM = {torch.float32: sum_single, torch.float64: sum_double}
UPDATE = {torch.float32: update_single, torch.float64: update_double}


def penalty_and_norm(values, gradients, factors):
    """(penalty [E], norm of the gradient [E]); adds the penalty's gradient where there are factors [P]."""
    E, P = values.shape
    chunks = -(-P // CHUNK)
    flat = [x.view(-1).numpy() for x in (values, gradients)]
    sums = np.empty(2 * E * chunks, flat[0].dtype)
    weights = np.empty(0, flat[0].dtype) if factors is None else factors.numpy()
    run_compiled(SUM[values.dtype], E * chunks, np.array([P, chunks], np.int64), *flat, weights, sums)
    found = sums.reshape(E, chunks, 2).sum(1)
    found[:, SQUARES] **= 0.5
    return torch.from_numpy(found).unbind(1)


def update(values, gradients, mean, square, norm, rate, alive, *, betas, eps, clip, divided, largest):
    """Moves the living models [E] by Adam's change, for gradients clipped to the norm `clip` (0: as they are)."""
    E, P = values.shape
    chunks = -(-P // CHUNK)
    flat = [x.view(-1).numpy() for x in (values, gradients, mean, square)]
    numbers = np.ones((E, 3), flat[0].dtype)
    if clip:
        numbers[:, 0] = np.minimum(clip / (norm.numpy() + 1e-6), 1)
    numbers[:, 1], numbers[:, 2] = rate.numpy(), alive.numpy()
    S = np.array([P, chunks, divided], np.int64)
    F = np.array([1 - betas[0], betas[1], 1 - betas[1], eps, largest], flat[0].dtype)
    run_compiled(UPDATE[values.dtype], E * chunks, S, F, *flat, numbers.reshape(-1))
