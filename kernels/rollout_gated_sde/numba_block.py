"""The parameter block of the rollouts: what follows from shapes alone, the threads' memory, and sums over groups."""

from functools import lru_cache
from itertools import accumulate
from typing import NamedTuple

import numba
import torch

from neurorbit.kernels.numba_common import JIT, LANES
from neurorbit.kernels.numba_rows_common import at, numbers, pointer_to
from neurorbit.kernels.numba_threads_common import workers_for
from neurorbit.kernels.rollout_gated_sde.numba_signals import COUNT, DWEIGHTS, SIGNALS, row_of, signals_of, step_of
from neurorbit.kernels.rollout_gated_sde.spec import layers_of

GROUPS = 16  # at most this many partial weight gradients per model
CHUNK = 16  # steps of a forward rollout transposed into lanes at a time
CHUNK_ROWS = 4096  # rows of lanes that a chunk of the adjoint may take (L2 cache)
SLACK = 4  # rows past the end of the scratch buffer that may be read
NOTHING = (0,) * 9  # instead of the gradients among the tensors
TENSORS, PARTS, LAYERS = 16, SIGNALS + COUNT, 74  # where the tensors, the scratch buffer's parts and the layers begin


@numba.njit(**JIT)
def add_groups(out, parts, groups, rows, width, row):
    """out [rows, width] = the sum of the groups' parts [groups, rows, row]."""
    for i in range(rows):
        to = at(out, i * width)
        for group in range(groups):
            part_ = at(parts, (group * rows + i) * row)
            for j in range(width):
                to[j] = to[j] + part_[j] if group else part_[j]


@numba.njit(**JIT)
def sum_tasks(first, last, address, like):
    """Each task is one model: its gradients of the weights, sigma and V from the sums of its groups."""
    p = pointer_to(address, numba.int64(0))
    M, D, P, groups, rows, row = p[2], p[3], p[5], p[10], p[SIGNALS + 5] + p[SIGNALS + 6], p[SIGNALS + 9]
    for e in range(first, last):
        if p[34]:
            add_groups(numbers(p, 18, e * P, like), numbers(p, 34, e * groups * P, like), groups, 1, P, P)
        if p[35]:
            add_groups(numbers(p, 36, e * M, like), numbers(p, 35, e * groups * M, like), groups, 1, M, M)
        if p[DWEIGHTS]:
            parts = numbers(p, DWEIGHTS, e * groups * rows * row, like)
            add_groups(numbers(p, 37, e * rows * D, like), parts, groups, rows, D, row)


class Plan(NamedTuple):
    """What follows from shapes and options alone."""

    sizes: tuple[int, ...]  # E, B, M, D, weights of a model, numbers from row to row of V's gradient
    tasks: int
    groups: int
    size: int  # rows of a thread's memory
    head: tuple[int, ...]  # the parameter block before first_step, and after the tensors
    tail: tuple[int, ...]


@lru_cache(256)
def _plan(weights, dtype, state, hidden, T, drive, noise, lengths, x, e, V, back, wants_e=False, wants_V=False) -> Plan:
    """From the shapes of the tensors; back: for the adjoint."""
    (E, P), B, M = weights, state[1], state[-1]
    layers = layers_of(M, hidden)
    D, width, blocks = layers[0][1], sum(n_out for _, n_out in layers), -(-B // LANES)
    row = row_of(D, dtype)
    if back:
        groups = min(GROUPS, blocks)
        chunk = min(T, max(4, min(64, CHUNK_ROWS // (2 * width + 5 * M + (0 if V is None else row)))))
        parts = [chunk * M] * 4 + [chunk * width, chunk * width + SLACK, M]
        parts += [max(n_in for n_in, _ in layers), M, M, 1, 1, LANES]
    else:
        groups, chunk = 1, min(CHUNK, T)
        driven = chunk * D if drive is not None or V is not None else 0
        parts = [chunk * M, chunk * M, driven, chunk * M, width, M, M, 1, LANES, 0, 0, 0, 0]
    signals, more = signals_of(x, e, V, D, dtype, chunk, wants_e, wants_V)
    *offsets, size = accumulate((*parts, *more), initial=0)
    # the products of signals cost as much as there are sequences: blocks alike
    lanes = LANES if V is None else -(-B // blocks)
    head = (B, T, M, D, len(layers), P, *map(step_of, (drive, noise, lengths)), size + SLACK,
            groups, chunk if back else 1, lanes)  # fmt: skip
    tail, place, begin, before = [*signals, *offsets], 0, 0, 0
    tail += [0] * (LAYERS - SIGNALS - 5 - len(tail))
    for n_in, n_out in layers:
        tail += [n_in, n_out, place, begin, before]
        place, before, begin = place + (n_in + 1) * n_out, begin, begin + head[11] * n_out
    return Plan((E, B, M, D, P, row), E * (groups if back else blocks), groups, size + SLACK, head, tuple(tail))


def _shape(x):
    return None if x is None else x.shape


def plan_of(weights, z0, path, hidden, T, drive, noise, lengths, x, e, V, *back) -> Plan:
    state, shapes = (z0 if path is None else path).shape, map(_shape, (drive, noise, lengths, x, e, V))
    return _plan(weights.shape, weights.dtype, state, tuple(hidden), T, *shapes, *back)


def memory_of(plan: Plan, like: torch.Tensor, *sums: int) -> tuple[torch.Tensor, list[int]]:
    """(what keeps it, where it begins): each thread's scratch, its streams, and so many numbers of each sum."""
    workers = workers_for(plan.tasks)
    sizes = workers * plan.size * LANES, workers * LANES * 8 // like.itemsize, *sums
    memory = like.new_empty(sum(sizes))
    place, item = memory.data_ptr(), like.itemsize
    return memory, [place + n * item for n in accumulate(sizes[:-1], initial=0)]
