"""CPU twin of rollout_gated_sde: the time loop fused, sixteen sequences in SIMD lanes, models x blocks in parallel."""

from array import array

import numba
import numpy as np
import torch

from neurorbit.kernels.numba_common import JIT, LANES, contiguous, fma, splat, total, where_positive
from neurorbit.kernels.numba_memory_common import empty
from neurorbit.kernels.numba_rows_common import (
    at,
    data_pointers,
    load_row,
    numbers,
    pointer_to,
    spread_at,
    store_row,
)
from neurorbit.kernels.numba_threads_common import address_of, run_compiled
from neurorbit.kernels.rollout_gated_sde.numba_block import (
    CHUNK,
    LAYERS,
    NOTHING,
    PARTS,
    TENSORS,
    memory_of,
    plan_of,
    sum_tasks,
)
from neurorbit.kernels.rollout_gated_sde.numba_functions import draw_rows, fill_zero, lanes_in, lanes_out
from neurorbit.kernels.rollout_gated_sde.numba_layers import (
    add_weight_gradient,
    back_through_layers,
    layer_of,
    values_of_layers,
)
from neurorbit.kernels.rollout_gated_sde.numba_signals import (
    DE,
    DWEIGHTS,
    SIGNALS,
    WEIGHTS,
    no_signals_past_end,
    pack_weights,
    signals_back,
    signals_in,
)


@numba.njit(**JIT)
def sizes_of(p):
    """B, T, M, D; layers, weights of a model, first_step; numbers from model to model of drive, noise and lengths."""
    return p[0], p[1], p[2], p[3], p[4], p[5], p[13], p[6], p[7], p[8]


@numba.njit(**JIT)
def part(p, scratch, i):
    """The i-th part of the scratch buffer."""
    return at(scratch, p[PARTS + i] * LANES)


@numba.njit(**JIT)
def steps_of_lanes(p, lengths, offset, count, T, out):
    """Writes the steps of each lane's sequence, 0 past the batch; returns the largest."""
    given = numbers(p, lengths, offset, numba.int64(0))
    longest = 0
    for lane in range(LANES):
        steps = 0
        if lane < count:
            steps = given[lane] if p[lengths] else T
        out[lane] = steps
        longest = max(longest, steps)
    return longest


@numba.njit(**JIT)
def streams_of_lanes(p, streams, worker, offset, count):
    """The streams of the block's lanes, in memory of the thread's own."""
    found, given = numbers(p, 15, worker * LANES, numba.int64(0)), numbers(p, streams, offset, numba.int64(0))
    if p[streams]:
        for lane in range(LANES):
            found[lane] = given[min(lane, count - 1)]
    return found


@numba.njit(**JIT)
def states_before(zp, start, has_start, z, count, t0, n, T, M, spare):
    """zp: the states at which the steps t0 .. t0 + n - 1 take the drift: start and z one step late, or z itself."""
    if has_start:
        head = 1 if t0 == 0 else 0
        if head:
            lanes_in(zp, start, M, count, M, spare)
        lanes_in(at(zp, head * M * LANES), at(z, (t0 - 1 + head) * M), T * M, count, (n - head) * M, spare)
    else:
        lanes_in(zp, at(z, t0 * M), T * M, count, n * M, spare)


@numba.njit(**JIT)
def clean(rows, steps, t0, n, width, like):
    """Values past a sequence's end, which may be anything, become 0."""
    zero = splat(like)
    for t in range(n):
        inside = load_row(steps, 0) - splat(type(like)(t0 + t))
        for m in range(width):
            store_row(rows, t * width + m, where_positive(inside, load_row(rows, t * width + m), zero))


@numba.njit(**JIT)
def noise_of(eps, noise, seed, streams, drawn, first, count, t0, n, T, M, like, spare):
    """eps: the noise of the steps t0 .. t0 + n - 1."""
    if drawn:
        for t in range(n):
            draw_rows(at(eps, t * M * LANES), M, first + t0 + t, streams, seed, like)
    else:
        lanes_in(eps, at(noise, t0 * M), T * M, count, n * M, spare)


@numba.njit(**JIT)
def forward_tasks(first, last, worker, address, like, four):
    """Each task is one model and one block of lanes: all steps.

    At `address` p: the sizes, a thread's rows of memory, groups, chunk, the sequences of a block, first_step and the
    threads' memory; from TENSORS on the tensors, from SIGNALS on the signals, from PARTS on the parts of the scratch
    buffer, from LAYERS on the layers.
    """
    p = pointer_to(address, numba.int64(0))
    B, T, M, D, depth, P, first_step, drive_step, noise_step, lengths_step = sizes_of(p)
    blocks = (B + LANES - 1) // LANES
    zero, one = splat(like), splat(like + type(like)(1))
    scratch = numbers(p, 14, worker * p[9] * LANES, like)
    zs, mus, drives, eps = part(p, scratch, 0), part(p, scratch, 1), part(p, scratch, 2), part(p, scratch, 3)
    x, z, scale = part(p, scratch, 4), part(p, scratch, 5), part(p, scratch, 6)
    steps, spare = part(p, scratch, 7), part(p, scratch, 8)
    has_start, has_path, has_drive = p[TENSORS + 4] != 0, p[TENSORS + 5] != 0, p[TENSORS + 6] != 0
    driven, packed, known = part(p, scratch, 13), part(p, scratch, 14), -1
    has_signals = p[WEIGHTS] != 0
    driving = has_drive or has_signals
    noisy = p[TENSORS + 8] != 0
    drawn = p[TENSORS + 10] != 0
    for task in range(first, last):
        e, b0 = task // blocks, task % blocks * p[12]
        count, sequence = min(p[12], B - b0), e * B + b0
        z_out, mu_out = numbers(p, 16, sequence * T * M, like), numbers(p, 17, sequence * T * M, like)
        w, start = numbers(p, 19, e * P, like), numbers(p, 20, sequence * M, like)
        path, drive = numbers(p, 21, sequence * T * M, like), numbers(p, 22, e * drive_step + b0 * T * D, like)
        a = numbers(p, 23, e, like)
        share = spread_at(a, 0)
        noise = numbers(p, 25, e * noise_step + b0 * T * M, like)
        streams, seed = streams_of_lanes(p, 27, worker, sequence, count), numba.int64(0)
        if drawn:
            seed = numbers(p, 26, e, numba.int64(0))[0]
        longest = steps_of_lanes(p, 28, e * lengths_step + b0, count, T, steps)
        if has_signals and e != known:
            pack_weights(p, packed, packed, e, D, like)
            known = e
        if not has_path:
            lanes_in(z, start, M, count, M, spare)
        if noisy:
            scales = numbers(p, 24, e * M, like)
            for m in range(M):
                store_row(scale, m, splat(np.sqrt(a[0]) * scales[m]))
        for t0 in range(0, longest, CHUNK):
            n = min(CHUNK, longest - t0)
            if has_signals:
                signals_in(p, driven, packed, drive, has_drive, steps, e, b0, count, t0, n, T, D, B, like)
                lanes_in(drives, driven, p[SIGNALS + 11], count, n * D, spare)
            elif has_drive:
                lanes_in(drives, at(drive, t0 * D), T * D, count, n * D, spare)
                if p[28]:
                    clean(drives, steps, t0, n, D, like)
            if noisy:
                noise_of(eps, noise, seed, streams, drawn, first_step, count, t0, n, T, M, like, spare)
            if has_path:
                states_before(zs, start, has_start, path, count, t0, n, T, M, spare)
                if p[28]:
                    clean(zs, steps, t0, n, M, like)
            for c in range(n):
                before = at(zs, c * M * LANES) if has_path else z
                values_of_layers(
                    p, LAYERS, depth, x, x, False, before, w, at(drives, c * D * LANES), driving, 0, M, zero, one
                )
                inside = load_row(steps, 0) - splat(type(like)(t0 + c))
                h = at(x, layer_of(p, LAYERS, depth - 1)[3] * LANES)
                for m in range(M):
                    state = load_row(before, m)
                    mu = load_row(x, m) * (load_row(h, m) - state)
                    store_row(mus, c * M + m, where_positive(inside, mu, zero))
                    if not has_path:
                        value = fma(share, mu, state)
                        if noisy:
                            value = fma(load_row(scale, m), load_row(eps, c * M + m), value)
                        store_row(zs, c * M + m, where_positive(inside, value, zero))
                        store_row(z, m, where_positive(inside, value, state))
            if not has_path:
                lanes_out(at(z_out, t0 * M), T * M, zs, count, n * M, spare)
            lanes_out(at(mu_out, t0 * M), T * M, mus, count, n * M, spare)
        fill_zero(mu_out, T * M, count, longest * M, T * M)
        if not has_path:
            fill_zero(z_out, T * M, count, longest * M, T * M)
            lanes_out(numbers(p, 18, sequence * M, like), M, z, count, M, spare)


@numba.njit(**JIT)
def backward_tasks(first, last, worker, address, like, four):
    """Each task is one model and every `groups`-th block: chunks of time from the end; the layers are recomputed.

    At `address` p as in `forward_tasks`.
    """
    p = pointer_to(address, numba.int64(0))
    B, T, M, D, depth, P, first_step, drive_step, noise_step, lengths_step = sizes_of(p)
    groups, chunk = p[10], p[11]
    zero, one = splat(like), splat(like + type(like)(1))
    scratch = numbers(p, 14, worker * p[9] * LANES, like)
    zp, dzs, dmus, eps = part(p, scratch, 0), part(p, scratch, 1), part(p, scratch, 2), part(p, scratch, 3)
    x, slopes, g, back = part(p, scratch, 4), part(p, scratch, 5), part(p, scratch, 6), part(p, scratch, 7)
    rest, sums, ones = part(p, scratch, 8), part(p, scratch, 9), part(p, scratch, 10)
    steps, spare = part(p, scratch, 11), part(p, scratch, 12)
    has_start, has_path, has_drive = p[20] != 0, p[21] != 0, p[22] != 0
    wants_sigma, drawn = p[35] != 0, p[26] != 0
    driven, packed, turned = part(p, scratch, 13), part(p, scratch, 14), part(p, scratch, 15)
    e_rows, panels, known = part(p, scratch, 16), part(p, scratch, 17), -1
    has_signals, wants_signals = p[WEIGHTS] != 0, p[DE] != 0 or p[DWEIGHTS] != 0
    driving = has_drive or has_signals
    store_row(ones, 0, one)
    for task in range(first, last):
        e, group = task // groups, task % groups
        w, a = numbers(p, 19, e * P, like), numbers(p, 23, e, like)
        share, dw = spread_at(a, 0), numbers(p, 34, task * P, like)
        fill_zero(dw, 0, 1 if p[34] else 0, 0, P)
        for m in range(M):
            store_row(sums, m, zero)
        size = (p[SIGNALS + 5] + p[SIGNALS + 6]) * p[SIGNALS + 9]
        dV = numbers(p, DWEIGHTS, task * size, like)
        if has_signals:
            fill_zero(dV, 0, 1 if p[DWEIGHTS] else 0, 0, size)
            if e != known:
                pack_weights(p, packed, turned, e, D, like)
                known = e
        for b0 in range(group * p[12], B, groups * p[12]):
            count, sequence = min(p[12], B - b0), e * B + b0
            start, z = numbers(p, 20, sequence * M, like), numbers(p, 16, sequence * T * M, like)
            drive = numbers(p, 22, e * drive_step + b0 * T * D, like)
            dz, dmu = numbers(p, 29, sequence * T * M, like), numbers(p, 30, sequence * T * M, like)
            noise = numbers(p, 25, e * noise_step + b0 * T * M, like)
            ddrive, dpath = numbers(p, 33, sequence * T * D, like), numbers(p, 32, sequence * T * M, like)
            dstart = numbers(p, 31, sequence * M, like)
            streams, seed = streams_of_lanes(p, 27, worker, sequence, count), numba.int64(0)
            if drawn:
                seed = numbers(p, 26, e, numba.int64(0))[0]
            longest = steps_of_lanes(p, 28, e * lengths_step + b0, count, T, steps)
            for m in range(M):
                store_row(g, m, zero)
            if p[17]:
                lanes_in(g, numbers(p, 17, sequence * M, like), M, count, M, spare)
            if p[33]:
                fill_zero(ddrive, T * D, count, longest * D, T * D)
            if p[DE]:
                no_signals_past_end(p, steps, e, b0, count, T, B, like)
            if p[32]:
                fill_zero(dpath, T * M, count, max(0, longest - has_start) * M, T * M)
            t1 = longest
            while t1 > 0:
                t0 = max(0, t1 - chunk)
                n = t1 - t0
                states_before(zp, start, has_start, z, count, t0, n, T, M, spare)
                if has_path and p[28]:
                    clean(zp, steps, t0, n, M, like)
                if has_signals:
                    signals_in(p, driven, packed, drive, has_drive, steps, e, b0, count, t0, n, T, D, B, like)
                    lanes_in(slopes, driven, p[SIGNALS + 11], count, n * D, spare)
                elif has_drive:
                    lanes_in(slopes, at(drive, t0 * D), T * D, count, n * D, spare)
                    if p[28]:
                        clean(slopes, steps, t0, n, D, like)
                if p[29]:
                    lanes_in(dzs, at(dz, t0 * M), T * M, count, n * M, spare)
                if p[30]:
                    lanes_in(dmus, at(dmu, t0 * M), T * M, count, n * M, spare)
                if wants_sigma:
                    noise_of(eps, noise, seed, streams, drawn, first_step, count, t0, n, T, M, like, spare)
                for c in range(n):
                    values_of_layers(
                        p, LAYERS, depth, x, slopes, True, at(zp, c * M * LANES), w, at(slopes, c * D * LANES),
                        driving, c, M, zero, one,
                    )  # fmt: skip
                ends = layer_of(p, LAYERS, depth - 1)[3]
                for c in range(n - 1, -1, -1):
                    inside = load_row(steps, 0) - splat(type(like)(t0 + c))
                    for m in range(M):
                        state, lam, dm = load_row(zp, c * M + m), zero, zero
                        if not has_path:
                            lam = load_row(g, m)
                            if p[29]:
                                lam = lam + load_row(dzs, c * M + m)
                            lam = where_positive(inside, lam, zero)
                            dm = share * lam
                        if p[30]:
                            dm = dm + where_positive(inside, load_row(dmus, c * M + m), zero)
                        gate, h, i = load_row(x, c * D + m), load_row(x, ends + c * M + m), ends + c * M + m
                        store_row(slopes, c * D + m, dm * (h - state) * load_row(slopes, c * D + m))
                        store_row(slopes, i, dm * gate * load_row(slopes, i))
                        store_row(rest, m, lam - gate * dm)
                        if wants_sigma:
                            product = where_positive(inside, lam * load_row(eps, c * M + m), zero)
                            store_row(sums, m, load_row(sums, m) + product)
                    back_through_layers(p, LAYERS, depth, slopes, back, w, c, M, zero)
                    for m in range(M):
                        new = load_row(rest, m) + load_row(back, m)
                        if has_path:
                            store_row(dzs, c * M + m, new)
                        else:
                            store_row(g, m, where_positive(inside, new, load_row(g, m)))
                if p[34]:
                    for k in range(depth):
                        n_in, n_out, place, begin, into = layer_of(p, LAYERS, k)
                        y, into_x, stride = at(slopes, begin * LANES), zp, M
                        if k == 1:
                            into_x, stride = at(x, (into + M) * LANES), D
                        elif k > 1:
                            into_x, stride = at(x, into * LANES), n_in
                        add_weight_gradient(at(dw, place), into_x, stride, y, n_in, n_out, ones, n, four)
                if wants_signals:
                    signals_back(
                        p, driven, turned, e_rows, panels, dV, slopes, steps, e, b0, count, t0, n, T, D, B, like, spare
                    )
                if p[33]:
                    lanes_out(at(ddrive, t0 * D), T * D, slopes, count, n * D, spare)
                if p[32]:
                    head = 1 if has_start and t0 == 0 else 0
                    late = 1 if has_start else 0
                    if head and p[31]:
                        lanes_out(dstart, M, dzs, count, M, spare)
                    lanes_out(
                        at(dpath, (t0 - late + head) * M),
                        T * M,
                        at(dzs, head * M * LANES),
                        count,
                        (n - head) * M,
                        spare,
                    )
                t1 = t0
            if p[31] and (longest == 0 or not has_path):
                lanes_out(dstart, M, g, count, M, spare)
        if wants_sigma:
            dsigma = numbers(p, 35, task * M, like)
            for m in range(M):
                dsigma[m] = np.sqrt(a[0]) * total(load_row(sums, m))


def forward_single(first, last, share, p):
    zero = np.float32(0)
    forward_tasks(first, last, share, address_of(p, 0), zero, (zero, zero, zero, zero))


def forward_double(first, last, share, p):
    zero = np.float64(0)
    forward_tasks(first, last, share, address_of(p, 0), zero, (zero, zero, zero, zero))


def backward_single(first, last, share, p):
    zero = np.float32(0)
    backward_tasks(first, last, share, address_of(p, 0), zero, (zero, zero, zero, zero))


def backward_double(first, last, share, p):
    zero = np.float64(0)
    backward_tasks(first, last, share, address_of(p, 0), zero, (zero, zero, zero, zero))


def sum_single(first, last, share, p):
    sum_tasks(first, last, address_of(p, 0), np.float32(0))


def sum_double(first, last, share, p):
    sum_tasks(first, last, address_of(p, 0), np.float64(0))


FORWARD = {torch.float32: forward_single, torch.float64: forward_double}
BACKWARD = {torch.float32: backward_single, torch.float64: backward_double}
SUM = {torch.float32: sum_single, torch.float64: sum_double}


def _long(x):
    return x if x is None or x.dtype == torch.int64 else x.to(torch.int64)


def forward(
    weights, z0, path, drive, x, e, V, a, sigma, noise, noise_seed, noise_stream, lengths, *, hidden, steps,
    first_step=0,
):  # fmt: skip
    """((z, mu, z_final), saved): every element of the outputs is written."""
    plan = plan_of(weights, z0, path, hidden, steps, drive, noise, lengths, x, e, V, False)
    (E, B, M, *_), rolls = plan.sizes, path is None
    z, mu = empty(weights, E, B, steps if rolls else 0, M), empty(weights, E, B, steps, M)
    z_final = weights.new_empty(E, B, M if rolls else 0)
    inputs = contiguous(weights, z0, path, drive, a, sigma, noise, _long(noise_seed), _long(noise_stream),
                        _long(lengths), x, e, V)  # fmt: skip
    _keep, places = memory_of(plan, weights)
    given, signals = data_pointers(z, mu, z_final, *inputs[:10]), data_pointers(*inputs[10:])
    block = array("q", (*plan.head, first_step, *places, *given, *NOTHING, *signals, 0, 0, *plan.tail))
    run_compiled(FORWARD[weights.dtype], plan.tasks, block)
    return (z, mu, z_final), {"z": z}


def backward(saved, grads):
    """Gradients of the arguments named in saved["wanted"]; the gradient of an output may be None."""
    s, wanted, T = saved, saved["wanted"], saved["steps"]
    weights, z0, path, V = s["weights"], s["z0"], s["path"], s["V"]
    wants_V = "V" in wanted
    plan = plan_of(weights, z0, path, s["hidden"], T, s["drive"], s["noise"], s["lengths"], s["x"], s["e"], V,
                    True, "e" in wanted, wants_V)  # fmt: skip
    E, B, M, D, P, row = plan.sizes
    new, parts = weights.new_empty, E * plan.groups
    found = {
        "z0": new(E, B, M) if "z0" in wanted else None,
        "path": new(E, B, T, M) if path is not None else None,
        "drive": empty(weights, E, B, T, D) if "drive" in wanted else None,
        "e": empty(weights, *s["e"].shape) if "e" in wanted else None,
        "weights": new(E, P) if "weights" in wanted else None,
        "sigma": new(E, M) if "sigma" in wanted else None,
        "V": new(E, V.shape[1], D) if wants_V else None,
    }
    inputs = contiguous(weights, z0, path, s["drive"], s["a"], s["sigma"], s["noise"], _long(s["noise_seed"]),
                        _long(s["noise_stream"]), _long(s["lengths"]), s["x"], s["e"], V, s["z"],
                        grads["z"], grads["mu"], grads["z_final"])  # fmt: skip
    z, dz, dmu, dz_final = inputs[13:]
    if path is not None:
        z, dz, dz_final = inputs[2], None, None
    sums = parts * P, parts * M, parts * V.shape[1] * row if wants_V else 0
    _keep, (*places, dw, dsigma, dV) = memory_of(plan, weights, *sums)
    dstart, dpath, ddrive, de, *outputs = data_pointers(*found.values())
    dw, dsigma, dV = (at if out else 0 for at, out in zip((dw, dsigma, dV), outputs, strict=True))
    given = *data_pointers(z, dz_final), outputs[0], *data_pointers(*inputs[:10], dz, dmu), dstart, dpath, ddrive
    signals = *outputs[1:], *data_pointers(*inputs[10:13]), de, dV
    block = array("q", (*plan.head, s["first_step"], *places, *given, dw, dsigma, *signals, *plan.tail))
    run_compiled(BACKWARD[weights.dtype], plan.tasks, block)
    if any(outputs):
        run_compiled(SUM[weights.dtype], E, block)
    if found["drive"] is not None and s["drive"].shape[0] < E:
        found["drive"] = found["drive"].sum(0, keepdim=True)
    return {n: found[n] for n in wanted}
