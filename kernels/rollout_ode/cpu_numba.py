"""CPU twin of rollout_ode: sixteen initial states in SIMD lanes, the states in registers, blocks over threads."""

import math
from itertools import accumulate

import numba
import numpy as np
import torch

from neurorbit.kernels.numba_common import JIT, LANES, contiguous, total
from neurorbit.kernels.numba_math_common import constant
from neurorbit.kernels.numba_memory_common import empty
from neurorbit.kernels.numba_rows_common import (
    data_pointers,
    lanes_in,
    lanes_out,
    load_row,
    numbers,
    pointer_to,
    store_row,
)
from neurorbit.kernels.numba_threads_common import run_tasks, workers_for
from neurorbit.kernels.rollout_ode.fields import field_named
from neurorbit.kernels.rollout_ode.numba_field_type import typed
from neurorbit.kernels.rollout_ode.numba_steps import advance, advance_two, retreat, row

GROUPS = 16  # at most this many partial parameter gradients per model
CHUNK = 16  # kept states and inputs transposed into lanes at a time
RECOMPUTED_ROWS = 4096  # rows of lanes that a segment may take when its states are computed again (L2 cache)
TABLEAUS = {  # (a, b): stage s is taken at z + a_s dt k_{s-1}, and z' = z + dt sum b_s k_s
    "euler": ((0.0,), (1.0,)),
    "heun": ((0.0, 1.0), (0.5, 0.5)),
    "rk4": ((0.0, 0.5, 0.5, 1.0), (1 / 6, 1 / 3, 1 / 3, 1 / 6)),
}


@numba.njit(**JIT)
def sizes_of(p):
    """B, T, M, P, U, H; kept states and their distance; numbers from model to model of the inputs; stages."""
    return p[0], p[1], p[2], p[3], p[4], p[5], p[6], p[7], p[8], p[9]


@numba.njit(**JIT)
def forward_tasks(first, last, worker, field, address, like):
    """Each task is one model and one or two blocks of lanes: all steps, in chunks whose inputs and kept states fit."""
    p = pointer_to(address, numba.int64(0))
    B, T, M, P, U, H, kept, every, drive_step, S = sizes_of(p)
    together = p[17] * LANES  # initial states of a task
    tasks = (B + together - 1) // together
    tableau, scratch = numbers(p, 10, 0, like), numbers(p, 11, worker * p[12] * LANES, like)
    z, drives, outs, work = row(scratch, p[13]), row(scratch, p[14]), row(scratch, p[15]), row(scratch, p[16])
    chunk = T
    if U > 0:
        chunk = CHUNK
    elif every > 0:
        chunk = CHUNK * every
    for task in range(first, last):
        e, begin = task // tasks, task % tasks * together
        end = min(begin + together, B)
        blocks = (end - begin + LANES - 1) // LANES
        own = numbers(p, 21, e * P, like)
        for i in range(blocks):
            b0 = begin + i * LANES
            lanes_in(row(z, i * M), numbers(p, 20, (e * B + b0) * M, like), M, min(LANES, B - b0), M)
        done, left = 0, every
        for t in range(0, T, chunk):
            n = min(chunk, T - t)
            if U > 0:
                for i in range(blocks):
                    b0 = begin + i * LANES
                    drive = numbers(p, 22, e * drive_step + (b0 * T + t) * U, like)
                    lanes_in(row(drives, i * CHUNK * U), drive, T * U, min(LANES, B - b0), n * U)
            if blocks == 2:
                found, left = advance_two(field, z, outs, left, every, drives, n, own, tableau, S, CHUNK, M, U)
            else:
                found, left = advance(field, z, outs, left, every, drives, n, own, tableau, S, work, M, H, U)
            for i in range(blocks):
                b0 = begin + i * LANES
                out = numbers(p, 18, ((e * B + b0) * kept + done) * M, like)
                lanes_out(out, kept * M, row(outs, i * CHUNK * M), min(LANES, B - b0), found * M)
            done += found
        for i in range(blocks):
            b0 = begin + i * LANES
            lanes_out(numbers(p, 19, (e * B + b0) * M, like), M, row(z, i * M), min(LANES, B - b0), M)


@numba.njit(**JIT)
def copy_rows(y, x, count):
    for i in range(count):
        store_row(y, i, load_row(x, i))


@numba.njit(**JIT)
def clear_rows(y, count, like):
    zero = constant(0.0, load_row(y, 0))
    for i in range(count):
        store_row(y, i, zero)


@numba.njit(**JIT)
def backward_tasks(first, last, worker, field, address, like):
    """Each task is one model and every groups-th block: segments between kept states from the end, in chunks of time.

    Where not every state was kept, a segment is run again from the kept state before it: once to remember the state
    at the beginning of each chunk, and once more per chunk to remember all of them.
    """
    p = pointer_to(address, numba.int64(0))
    B, T, M, P, U, H, kept, every, drive_step, S = sizes_of(p)
    tableau, scratch = numbers(p, 10, 0, like), numbers(p, 11, worker * p[12] * LANES, like)
    g, z, sums, part = row(scratch, p[13]), row(scratch, p[14]), row(scratch, p[15]), row(scratch, p[16])
    drives, dus, zp, dzs = row(scratch, p[17]), row(scratch, p[18]), row(scratch, p[19]), row(scratch, p[20])
    firsts, stages, work = row(scratch, p[21]), row(scratch, p[22]), row(scratch, p[23])
    groups, chunk = p[24], p[25]
    segment = every if every > 1 else T
    for task in range(first, last):
        e, group = task // groups, task % groups
        own, dparameters = numbers(p, 27, e * P, like), numbers(p, 34, task * P, like)
        clear_rows(sums, P, like)
        rest = 0
        for b0 in range(group * LANES, B, groups * LANES):
            count, sequence = min(LANES, B - b0), e * B + b0
            dp = sums
            if count < LANES:  # what the lanes past the batch compute must not be summed
                clear_rows(part, P, like)
                dp, rest = part, count
            lanes_in(g, numbers(p, 31, sequence * M, like), M, count, M)
            for begin in range((T - 1) // segment * segment, -1, -segment):
                end = min(begin + segment, T)
                if every != 1:
                    if begin == 0:
                        lanes_in(z, numbers(p, 26, sequence * M, like), M, count, M)
                    else:
                        before = (sequence * kept + begin // segment - 1) * M
                        lanes_in(z, numbers(p, 29, before, like), kept * M, count, M)
                    for t0 in range(begin, end, chunk):
                        copy_rows(row(firsts, (t0 - begin) // chunk * M), z, M)
                        if t0 + chunk < end:
                            if U > 0:
                                drive = numbers(p, 28, e * drive_step + (b0 * T + t0) * U, like)
                                lanes_in(drives, drive, T * U, count, chunk * U)
                            advance(field, z, zp, 0, 0, drives, chunk, own, tableau, S, work, M, H, U)
                    if every > 0 and end - begin == segment:
                        lanes_in(dzs, numbers(p, 30, (sequence * kept + begin // segment) * M, like), kept * M, count,
                                 M)  # fmt: skip
                        for m in range(M):
                            store_row(g, m, load_row(g, m) + load_row(dzs, m))
                for t0 in range(begin + (end - begin - 1) // chunk * chunk, begin - 1, -chunk):
                    n = min(chunk, end - t0)
                    if U > 0:
                        drive = numbers(p, 28, e * drive_step + (b0 * T + t0) * U, like)
                        lanes_in(drives, drive, T * U, count, n * U)
                    if every == 1:
                        head = 1 if t0 == 0 else 0
                        if head:
                            lanes_in(zp, numbers(p, 26, sequence * M, like), M, count, M)
                        before = (sequence * T + t0 - 1 + head) * M
                        lanes_in(row(zp, head * M), numbers(p, 29, before, like), T * M, count, (n - head) * M)
                        lanes_in(dzs, numbers(p, 30, (sequence * T + t0) * M, like), T * M, count, n * M)
                    else:
                        copy_rows(zp, row(firsts, (t0 - begin) // chunk * M), M)
                        copy_rows(z, zp, M)
                        advance(field, z, row(zp, M), 1, 1, drives, n - 1, own, tableau, S, work, M, H, U)
                    retreat(field, g, dp, dus, dzs, every == 1, zp, drives, n, own, tableau, S, stages, work, M, H, U)
                    if p[33]:
                        lanes_out(numbers(p, 33, (sequence * T + t0) * U, like), T * U, dus, count, n * U)
            lanes_out(numbers(p, 32, sequence * M, like), M, g, count, M)
        for i in range(P):
            s = total(load_row(sums, i))
            for lane in range(rest):
                s += part[i * LANES + lane]
            dparameters[i] = s


_LIKE = {torch.float32: np.float32(0), torch.float64: np.float64(0)}


def _prepared(a, *dialects):
    """The field with its functions as the kernels take them, and the sizes that both directions need."""
    law, z0, drive = field_named(a["field"]), a["z0"], a["drive"]
    (_, B, M), P = z0.shape, a["parameters"].shape[1]
    U = 0 if drive is None else drive.shape[3]
    H = law.hidden(P, M, 0 if law.inputs == "added" else U)
    added = law.inputs == "added" and drive is not None
    field = typed(law.name, [law.function(name) for name in dialects], law.form, M, P, U, added)
    T, every = a["steps"], a["keep_every"]
    drive_step = 0 if drive is None or drive.shape[0] == 1 else B * T * U
    return field, (B, T, M, P, U, H, T // every if every else 0, every, drive_step, len(TABLEAUS[a["method"]][0]))


def _run(tasks, function, field, sizes, a, places, *tensors):
    """The tasks, with scratch memory for each thread; `places` are the numbers of rows of its parts."""
    z0 = a["z0"]
    a_s, b_s = TABLEAUS[a["method"]]
    tableau = (torch.tensor([*a_s, 0.0, *b_s], dtype=torch.float64) * a["dt"]).to(z0.dtype)
    *starts, rows = accumulate(places, initial=0)
    scratch = z0.new_empty(workers_for(tasks), rows, LANES)
    extra, tensors = tensors[0], contiguous(*tensors[1:])
    kept_alive = data_pointers(tableau, scratch)
    p = np.array([*sizes, *kept_alive, rows, *starts, *extra, *data_pointers(*tensors)], np.int64)
    run_tasks(function, tasks, field, p.ctypes.data, _LIKE[z0.dtype], numbered=True)


def forward(z0, parameters, drive, *, field, method, dt, steps, keep_every=1):
    """((z, z_final), saved): every element of the outputs is written."""
    a = dict(locals())
    own, sizes = _prepared(a, "numba")
    E, B, M = z0.shape
    U, H = sizes[4:6]
    z, z_final = empty(z0, E, B, sizes[6], M), z0.new_empty(E, B, M)
    together = 2 if own.numba_type.form == "states" else 1
    places = (together * M, together * CHUNK * U, together * CHUNK * M, 8 * (M + H + U))
    tasks = E * -(-B // (together * LANES))
    _run(tasks, forward_tasks, own, sizes, a, places, (together,), z, z_final, z0, parameters, drive)
    return (z, z_final), {"z": z}


def backward(saved, grads):
    """Gradients of the arguments named in saved["wanted"]."""
    s, wanted, z0 = saved, saved["wanted"], saved["z0"]
    own, sizes = _prepared(s, "numba", "numba_vjp")
    E = z0.shape[0]
    B, T, M, P, U, H, _, every, _, S = sizes
    segment = every if every > 1 else T
    if every == 1:
        chunk = min(CHUNK, T)
    else:
        chunk = min(segment, T) if segment * M <= RECOMPUTED_ROWS else math.isqrt(segment - 1) + 1
    groups = min(GROUPS, -(-B // LANES))
    firsts = 0 if every == 1 else -(-segment // chunk) * M
    places = (M, M, P, P, chunk * U, chunk * U, (chunk + 1) * M, chunk * M, firsts, S * M, 8 * (M + H + U))
    dz0, partial = z0.new_empty(E, B, M), z0.new_empty(E, groups, P)
    ddrive = empty(z0, E, B, T, U) if "drive" in wanted else None
    tensors = z0, s["parameters"], s["drive"], s["z"], grads["z"], grads["z_final"], dz0, ddrive, partial
    _run(E * groups, backward_tasks, own, sizes, s, places, (groups, chunk), *tensors)
    if ddrive is not None and s["drive"].shape[0] < E:
        ddrive = ddrive.sum(0, keepdim=True)
    found = {"z0": dz0, "parameters": partial.sum(1) if groups > 1 else partial[:, 0], "drive": ddrive}
    return {n: found[n] for n in wanted}
