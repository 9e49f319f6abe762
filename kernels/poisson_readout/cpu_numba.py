"""CPU twin of poisson_readout: rates of a few bins and one panel of neurons at a time, never stored."""

import math
from array import array
from functools import lru_cache
from itertools import accumulate
from typing import NamedTuple

import numba
import numpy as np
import torch

from neurorbit.kernels.numba_common import JIT, LANES, contiguous, pointer, splat, total
from neurorbit.kernels.numba_counts_common import (
    CODES,
    above,
    count_at,
    counts_at,
    lowest_bit,
    prefetch_byte,
)
from neurorbit.kernels.numba_functions_common import first, load_at, load_first, store_first
from neurorbit.kernels.numba_product_common import add_product, padded_width, panel_width
from neurorbit.kernels.numba_threads_common import run_compiled
from neurorbit.kernels.poisson_readout.numba_block import (
    DOUBLES,
    add_up,
    block_at,
    collect,
    flat,
    prepare,
    sums_at,
)
from neurorbit.kernels.poisson_readout.numba_factorials import LOG_FACTORIALS, log_factorial
from neurorbit.kernels.poisson_readout.numba_links import LINK_CODES, cost, slope

ROWS = 64  # bins whose rates are held at a time
LEAST_ROWS, LEAST_COLUMNS = 256, 512  # of a task; more with many latents, since a task owns a sum of their size
LEAST_ELEMENTS = 1 << 15
TASKS = 16
COUNT_BYTES = (1, 2, 4)
AHEAD = 128  # bytes of counts that are fetched into the cache before their turn
AHEAD_ROWS = 4


class Grid(NamedTuple):
    """How bins and neurons are shared out: by sizes alone, so that sums do not depend on threads."""

    width: int  # neurons of a panel
    panels: int
    group: int  # panels of a task
    columns: int  # tasks beside each other
    rows: int  # tasks below each other


@numba.njit(**JIT)
def part_of(task, S, bin_counts):
    """(model, row group, column group, first and end of its bins in the list, first and end panel)."""
    panels, group, column_tasks, row_tasks = S[6], S[7], S[8], S[9]
    e, rest = task // (row_tasks * column_tasks), task % (row_tasks * column_tasks)
    i_row, i_column = rest // column_tasks, rest % column_tasks
    valid = bin_counts[e if bin_counts.size > 1 else 0]
    share = (valid + row_tasks * ROWS - 1) // (row_tasks * ROWS) * ROWS
    r0, p0 = min(i_row * share, valid), i_column * group
    return e, i_row, i_column, r0, min(r0 + share, valid), p0, min(p0 + group, panels)


@numba.njit(**JIT)
def gather(block, places, z, bins, r0, rows, M, T):
    """Latents of `rows` listed bins, one after another; places[i] = (bin, trial, bin within the trial)."""
    for i in range(rows):
        bin_ = bins[r0 + i]
        places[i, 0], places[i, 1] = bin_, bin_ // T
        places[i, 2] = bin_ - places[i, 1] * T
        for m in range(M):
            block[i * M + m] = z[bin_ * M + m]


@numba.njit(**JIT)
def arguments(tile, block, places, readout, bias, trial, time, rows, n0, count, S):
    """tile[i, j] = argument of the link, of row i and neuron n0 + j."""
    N, M, width = S[3], S[4], S[5]
    for j in range(0, width, LANES):
        left = min(LANES, width - j)
        base = load_first(bias, n0 + j, min(left, count - j)) if bias.size else splat(tile.dtype.type(0))
        for i in range(rows):
            value = base
            if trial.size:
                value = value + load_first(trial, places[i, 1] * N + n0 + j, min(left, count - j))
            if time.size:
                value = value + load_first(time, places[i, 2] * N + n0 + j, min(left, count - j))
            store_first(tile, i * width + j, value, left)
    columns = count if count <= width // 2 else width
    add_product(tile, 0, width, block, 0, M, 1, readout, n0 * M, M, rows, columns, width)


@numba.njit(**JIT)
def forward_tasks(begin, end, where, S, F, like, bins, bin_counts, row_sums, column_sums):
    """Task: a group of bins and a group of neurons of one model; sums over each other's direction."""
    B, T, N, M, width, panels = S[1], S[2], S[3], S[4], S[5], S[6]
    column_tasks, row_tasks, y_models, has_bias = S[8], S[9], S[12], S[13]
    trial_models, time_models = S[14], S[15]
    tile, block = np.empty(ROWS * width + LANES, like.dtype), np.empty(ROWS * M, like.dtype)
    places, lines = np.empty((ROWS, 3), np.int64), np.empty(ROWS * LANES, like.dtype)
    columns = np.empty(width + LANES, like.dtype)
    for task in range(begin, end):
        e, i_row, i_column, r0, r_end, p0, p_end = part_of(task, S, bin_counts)
        own = bins[e if bins.shape[0] > 1 else 0]
        z = flat(where[0], like, e * B * T * M, B * T * M)
        readout = flat(where[1], like, e * panels * M * width, panels * M * width)
        bias = flat(where[2], like, e * N, N if has_bias else 0)
        trial = flat(where[3], like, (e if trial_models > 1 else 0) * B * N, B * N if trial_models else 0)
        time = flat(where[4], like, (e if time_models > 1 else 0) * T * N, T * N if time_models else 0)
        y0 = (e if y_models > 1 else 0) * B * T * N
        sums = column_sums[e * row_tasks + i_row]
        by_row = row_sums[e * column_tasks + i_column]
        sums[p0 * width : min(p_end * width, N)] = 0
        for at in range(r0, r_end, ROWS):
            rows = min(ROWS, r_end - at)
            gather(block, places, z, own, at, rows, M, T)
            lines[:] = 0
            for p in range(p0, p_end):
                n0 = p * width
                count = min(width, N - n0)
                arguments(tile, block, places, readout, bias, trial, time, rows, n0, count, S)
                add_costs(tile, lines, columns, places, rows, count, S, F, where[5], y0 + n0)
                for j in range(count):
                    sums[n0 + j] += columns[j]
            for i in range(rows):
                by_row[places[i, 0]] = total(load_at(lines, i * LANES))


@numba.njit(**JIT)
def add_costs(tile, lines, columns, places, rows, count, S, F, address, y0):
    """Costs without log y! of the tile: added up over its columns into lines, over its rows into columns."""
    N, width, link, code = S[3], S[5], S[10], S[11]
    rate_scale, log_scale, floor = splat(F[0]), splat(F[1]), splat(F[2])
    for j in range(0, count, LANES):
        left = min(LANES, count - j)
        column = splat(tile.dtype.type(0))
        for i in range(rows):
            at = places[i, 0] * N + y0 + j
            prefetch_byte(address, at * COUNT_BYTES[code] + AHEAD)
            y = counts_at(code, address, at, left, tile)
            value = cost(link, load_at(tile, i * width + j), y, rate_scale, log_scale, floor)
            value = first(value, left)
            column = column + value
            store_first(lines, i * LANES, load_at(lines, i * LANES) + value, LANES)
        store_first(columns, j, column, LANES)


@numba.njit(**JIT)
def constant_tasks(begin, end, S, address, bins, bin_counts, row_sums, column_sums, table):
    """The same sums of log y!, over models whose counts or bins differ."""
    B, T, N, width = S[1], S[2], S[3], S[5]
    column_tasks, row_tasks, code, y_models = S[8], S[9], S[11], S[12]
    for task in range(begin, end):
        e, i_row, i_column, r0, r_end, p0, p_end = part_of(task, S, bin_counts)
        own = bins[e if bins.shape[0] > 1 else 0]
        sums = column_sums[e * row_tasks + i_row]
        by_row = row_sums[e * column_tasks + i_column]
        last = min(p_end * width, N)
        sums[p0 * width : last] = 0
        for i in range(r0, r_end):
            row = 0.0
            y_row = ((e if y_models > 1 else 0) * B * T + own[i]) * N
            for n in range(p0 * width, last, 64):
                prefetch_byte(address, (y_row + AHEAD_ROWS * N + n) * COUNT_BYTES[code])
                bits = above(1, code, address, y_row + n, last - n, y_models * B * T * N)
                while bits != 0:
                    at = n + lowest_bit(bits)
                    bits &= bits - 1
                    value = log_factorial(count_at(code, address, y_row + at), table)
                    row += value
                    sums[at] += value
            by_row[own[i]] = row


@numba.njit(**JIT)
def backward_tasks(begin, end, where, S, F, like, bins, bin_counts, bias_sums):
    """Task: a group of bins and a group of neurons; rates again, tile by tile, and the products with their slopes."""
    B, T, N, M, width, panels, group = S[1], S[2], S[3], S[4], S[5], S[6], S[7]
    column_tasks, row_tasks, y_models, has_bias = S[8], S[9], S[12], S[13]
    trial_models, time_models, M_row = S[14], S[15], S[19]
    has_nll, has_neuron, wants_z, wants_C = where[7] != 0, where[8] != 0, where[9] != 0, where[10] != 0
    wants_trial, wants_time = where[11] != 0, where[12] != 0
    tile, block = np.empty(ROWS * width + LANES, like.dtype), np.empty(ROWS * M, like.dtype)
    back, columns = np.empty(ROWS * M_row, like.dtype), np.empty(width + LANES, like.dtype)
    places, outer = np.empty((ROWS, 3), np.int64), np.empty(group * M * width, like.dtype)
    for task in range(begin, end):
        e, i_row, i_column, r0, r_end, p0, p_end = part_of(task, S, bin_counts)
        own = bins[e if bins.shape[0] > 1 else 0]
        z = flat(where[0], like, e * B * T * M, B * T * M)
        readout = flat(where[1], like, e * panels * M * width, panels * M * width)
        bias = flat(where[2], like, e * N, N if has_bias else 0)
        trial = flat(where[3], like, (e if trial_models > 1 else 0) * B * N, B * N if trial_models else 0)
        time = flat(where[4], like, (e if time_models > 1 else 0) * T * N, T * N if time_models else 0)
        y0 = (e if y_models > 1 else 0) * B * T * N
        turned = flat(where[6], like, e * panels * width * M_row, panels * width * M_row)
        dnll, dneuron = flat(where[7], like, e * B, B * has_nll), flat(where[8], like, e * N, N * has_neuron)
        dz = flat(where[9], like, (e * column_tasks + i_column) * B * T * M, B * T * M * wants_z)
        dC = flat(where[10], like, ((e * row_tasks + i_row) * panels + p0) * M * width, group * M * width)
        dtrial = flat(where[11], like, e * B * N, B * N * wants_trial)
        dtime = flat(where[12], like, e * T * N, T * N * wants_time)
        sums = bias_sums[e * row_tasks + i_row]
        outer[:] = 0
        if wants_z and (r0 < r_end or i_row == 0):  # zeros where bins are missing, up to the next task's first
            z0, z1 = 0 if r0 == 0 else own[r0 - 1] + 1, B * T
            if r_end < bin_counts[e if bin_counts.size > 1 else 0]:
                z1 = own[r_end - 1] + 1
            dz[z0 * M : z1 * M] = 0
        sums[p0 * width : min(p_end * width, N)] = 0
        for at in range(r0, r_end, ROWS):
            rows = min(ROWS, r_end - at)
            gather(block, places, z, own, at, rows, M, T)
            back[:] = 0
            for p in range(p0, p_end):
                n0 = p * width
                count = min(width, N - n0)
                arguments(tile, block, places, readout, bias, trial, time, rows, n0, count, S)
                to_slopes(tile, columns, places, rows, n0, count, S, F, where[5], y0 + n0, dnll, dneuron)
                for j in range(count):
                    sums[n0 + j] += columns[j]
                if wants_trial or wants_time:
                    add_to_baselines(tile, dtrial, dtime, places, rows, n0, count, S)
                if wants_C:
                    add_product(outer, (p - p0) * M * width, width, block, 0, 1, M, tile, 0, rows, M, count, width)
                if wants_z:
                    add_product(back, 0, M_row, tile, 0, width, 1, turned, n0 * M_row, width, rows, M, width)
            if wants_z:
                for i in range(rows):
                    for m in range(M):
                        dz[places[i, 0] * M + m] = back[i * M_row + m]
        if wants_C:
            for k in range((p_end - p0) * M * width):
                dC[k] = outer[k]


@numba.njit(**JIT)
def to_slopes(tile, columns, places, rows, n0, count, S, F, address, y0, dnll, dneuron):
    """The tile's arguments become the loss's slope in them; columns = sums over its rows."""
    N, width, link, code = S[3], S[5], S[10], S[11]
    zero = splat(tile.dtype.type(0))
    rate_scale, floor = splat(F[0]), splat(F[2])
    for j in range(0, width, LANES):
        left = min(LANES, count - j)
        asked = load_first(dneuron, n0 + j, left) if dneuron.size else zero
        column = zero
        for i in range(rows):
            at = places[i, 0] * N + y0 + j
            prefetch_byte(address, at * COUNT_BYTES[code] + AHEAD)
            y = counts_at(code, address, at, left, tile)
            value = slope(link, load_at(tile, i * width + j), y, rate_scale, floor)
            value = value * (splat(dnll[places[i, 1]]) + asked if dnll.size else asked)
            value = first(value, left)
            column = column + value
            store_first(tile, i * width + j, value, min(LANES, width - j))
        store_first(columns, j, column, LANES)


@numba.njit(**JIT)
def add_to_baselines(tile, dtrial, dtime, places, rows, n0, count, S):
    """Each row's slopes to those of its trial and of its bin within the trial."""
    N, width = S[3], S[5]
    for j in range(0, count, LANES):
        left = min(LANES, count - j)
        for i in range(rows):
            value = load_at(tile, i * width + j)
            if dtrial.size:
                place = places[i, 1] * N + n0 + j
                store_first(dtrial, place, load_first(dtrial, place, left) + value, left)
            if dtime.size:
                place = places[i, 2] * N + n0 + j
                store_first(dtime, place, load_first(dtime, place, left) + value, left)


@numba.njit(**JIT)
def run_forward(first, last, address, like):
    """Each share does its part of the tasks that depend on rates, and the same part of those of log y!."""
    where, S, bins, counts = block_at(address)
    E, models = S[0], max(S[12], S[18])
    by_row, by_neuron = sums_at(where, 19, E, S)
    forward_tasks(first, last, where, S, flat(where[17], like, 0, 3), like, bins, counts, by_row, by_neuron)
    first, last = first * models // E, last * models // E
    by_row, by_neuron = sums_at(where, 21, models, S)
    constant_tasks(first, last, S, where[5], bins, counts, by_row, by_neuron, LOG_FACTORIALS)


@numba.njit(**JIT)
def run_backward(first, last, address, like):
    """The tasks of a backward pass."""
    where, S, bins, counts = block_at(address)
    sums = numba.carray(pointer(where[19], DOUBLES), (S[0] * S[9], S[3]))
    backward_tasks(first, last, where, S, flat(where[17], like, 0, 3), like, bins, counts, sums)


def forward_single(first, last, share, p):
    run_forward(first, last, p, np.empty(0, np.float32))


def forward_double(first, last, share, p):
    run_forward(first, last, p, np.empty(0, np.float64))


def backward_single(first, last, share, p):
    run_backward(first, last, p, np.empty(0, np.float32))


def backward_double(first, last, share, p):
    run_backward(first, last, p, np.empty(0, np.float64))


def prepare_single(first, last, share, p):
    prepare(p, np.empty(0, np.float32))


def prepare_double(first, last, share, p):
    prepare(p, np.empty(0, np.float64))


def add_up_single(first, last, share, p):
    add_up(p, np.empty(0, np.float32))


def add_up_double(first, last, share, p):
    add_up(p, np.empty(0, np.float64))


def collect_single(first, last, share, p):
    collect(p, np.empty(0, np.float32))


def collect_double(first, last, share, p):
    collect(p, np.empty(0, np.float64))


FORWARD = {torch.float32: forward_single, torch.float64: forward_double}
BACKWARD = {torch.float32: backward_single, torch.float64: backward_double}
PREPARE = {torch.float32: prepare_single, torch.float64: prepare_double}
ADD_UP = {torch.float32: add_up_single, torch.float64: add_up_double}
COLLECT = {torch.float32: collect_single, torch.float64: collect_double}


def _grid(B: int, T: int, N: int, M: int, dtype: torch.dtype, whole_rows: bool) -> Grid:
    """whole_rows: all bins of a neuron in one task, which then owns the baselines' gradients."""
    width = panel_width(dtype)
    panels = -(-N // width)
    group = min(panels, -(-max(LEAST_COLUMNS, 16 * M) // width))
    columns = -(-panels // group)
    most = min(-(-TASKS // columns), B * T // max(LEAST_ROWS, 16 * M), B * T * N // LEAST_ELEMENTS)
    return Grid(width, panels, group, columns, 1 if whole_rows else max(1, most))


@lru_cache(256)
def _sizes(z, C, dtype, link, bias, trial, time, y, code, lengths, mask, whole_rows) -> tuple[Grid, tuple[int, ...]]:
    """(grid, sizes for the kernels), from shapes."""
    E, B, T, M = z
    N, grid = C[1], _grid(B, T, C[1], M, dtype, whole_rows)
    y, trial, time, lengths, mask = (0 if x is None else x[0] for x in (y, trial, time, lengths, mask))
    sizes = (E, B, T, N, M, *grid, LINK_CODES[link], code, y, bias is not None, trial, time, lengths, mask)
    return grid, (*sizes, max(1, lengths, mask), padded_width(M, dtype))


def _sizes_of(z, C, bias, trial, time, y, lengths, mask, link, whole_rows):
    shapes = [None if x is None else x.shape for x in (z, C, bias, trial, time, y, lengths, mask)]
    return _sizes(*shapes[:2], z.dtype, link, *shapes[2:6], CODES[y.dtype], *shapes[6:], whole_rows)


@lru_cache(256)
def _numbers(bin_s: float, floor_hz: float, dtype) -> torch.Tensor:
    return torch.tensor([bin_s, math.log(bin_s), floor_hz], dtype=torch.float64).to(dtype)


def _memory(*sizes: int) -> tuple[torch.Tensor, list[int]]:
    """(what keeps it, where each part begins) of parts of so many bytes, multiples of 8."""
    memory = torch.empty(sum(sizes) // 8, dtype=torch.float64)
    return memory, list(accumulate(sizes[:-1], initial=memory.data_ptr()))


def _long(x):
    return x if x is None or x.dtype == torch.int64 else x.to(torch.int64)


def _places(*tensors) -> list[int]:
    return [0 if x is None else x.data_ptr() for x in tensors]


def forward(z, C, bias, baseline_trial, baseline_time, y, lengths, mask, *, link, bin_s, floor_hz):
    """((nll, per_neuron), saved): every element of the outputs is written."""
    given = contiguous(z, C, bias, baseline_trial, baseline_time, y, _long(lengths), mask)
    z, C, bias, trial, time, y, lengths, mask = given
    grid, S = _sizes_of(*given, link, False)
    (E, B, T, N, M), numbers = S[:5], _numbers(bin_s, floor_hz, z.dtype)
    models = max(S[12], S[18])  # log y! is that of all models where data and bins are shared
    nll, per_neuron = z.new_empty(E, B), z.new_empty(E, N)
    by_row, by_neuron, readout = grid.columns * B * T * 8, grid.rows * N * 8, grid.panels * M * grid.width * z.itemsize
    _keep, places = _memory(
        E * readout, S[18] * B * T * 8, S[18] * 8, E * by_row, E * by_neuron, models * by_row, models * by_neuron
    )
    where = _places(z, None, bias, trial, time, y, *[None] * 7, lengths, mask)
    where[1] = places[0]
    block = array("q", (*where, *places[1:3], *_places(numbers, C), *places[3:], *_places(nll, per_neuron), *S))
    run_compiled(PREPARE[z.dtype], 1, block)
    run_compiled(FORWARD[z.dtype], E * grid.columns * grid.rows, block)
    run_compiled(ADD_UP[z.dtype], 1, block)
    return (nll, per_neuron), {}


def backward(saved, grads):
    """Gradients of the arguments named in saved["wanted"]; the gradient of an output may be None."""
    wanted, names = saved["wanted"], ("z", "C", "bias", "baseline_trial", "baseline_time", "y")
    given = contiguous(*(saved[n] for n in names), _long(saved["lengths"]), saved["mask"])
    z, C, *_ = given
    wants_z, wants_C, whole_rows = "z" in wanted, "C" in wanted, "baseline_trial" in wanted or "baseline_time" in wanted
    grid, S = _sizes_of(*given, saved["link"], whole_rows)
    (E, B, T, N, M), numbers = S[:5], _numbers(saved["bin_s"], saved["floor_hz"], z.dtype)
    several = (grid.columns,) if grid.columns > 1 else ()
    found = {
        "z": z.new_empty(E, *several, B, T, M) if wants_z else None,
        "baseline_trial": z.new_zeros(E, B, N) if "baseline_trial" in wanted else None,
        "baseline_time": z.new_zeros(E, T, N) if "baseline_time" in wanted else None,
        "C": C.new_empty(E, N, M) if wants_C else None,
        "bias": C.new_empty(E, N) if "bias" in wanted else None,
    }
    panels, panel = E * grid.panels, grid.width * z.itemsize
    _keep, (readout, turned, parts, bins, counts, sums) = _memory(
        panels * M * panel, panels * S[19] * panel if wants_z else 0, panels * grid.rows * M * panel if wants_C else 0,
        S[18] * B * T * 8, S[18] * 8, E * grid.rows * N * 8,
    )  # fmt: skip
    dz, dtrial, dtime, dC, dbias = _places(*found.values())
    at_z, _, *data = _places(*given)
    turned, parts = turned if wants_z else 0, parts if wants_C else 0
    asked = contiguous(grads["nll"], grads["per_neuron"])
    where = at_z, readout, *data[:4], turned, *_places(*asked), dz, parts, dtrial, dtime, *data[4:], bins, counts
    block = array("q", (*where, *_places(numbers, C), sums, dC, dbias, 0, 0, 0, *S))
    run_compiled(PREPARE[z.dtype], 1, block)
    run_compiled(BACKWARD[z.dtype], E * grid.columns * grid.rows, block)
    if dC or dbias:
        run_compiled(COLLECT[z.dtype], 1, block)
    if wants_z and several:
        found["z"] = torch.from_numpy(np.add.reduce(found["z"].numpy(), 1))
    return {n: found[n] for n in wanted}
