"""CPU twin of poisson_readout: rates of a few bins and one panel of neurons at a time, never stored."""

import math
from functools import cache
from typing import NamedTuple

import numba
import numpy as np
import torch

from neurorbit.kernels.numba_common import JIT, LANES, addresses, contiguous, pointer, splat, total
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
from neurorbit.kernels.numba_threads_common import INTEGERS, matrix, run_compiled, vector
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
def flat(address, like, offset, count):
    """`count` values from `offset` on, of the array that begins at `address`."""
    return numba.carray(pointer(address + offset * like.itemsize, like), (count,))


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
                by_row[places[i, 0]] += total(load_at(lines, i * LANES))


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
        for i in range(r0, r_end):
            y_row = ((e if y_models > 1 else 0) * B * T + own[i]) * N
            for n in range(p0 * width, last, 64):
                prefetch_byte(address, (y_row + AHEAD_ROWS * N + n) * COUNT_BYTES[code])
                bits = above(1, code, address, y_row + n, last - n, y_models * B * T * N)
                while bits != 0:
                    at = n + lowest_bit(bits)
                    bits &= bits - 1
                    value = log_factorial(count_at(code, address, y_row + at), table)
                    by_row[own[i]] += value
                    sums[at] += value


@numba.njit(**JIT)
def backward_tasks(begin, end, where, S, F, like, bins, bin_counts, bias_sums):
    """Task: a group of bins and a group of neurons; rates again, tile by tile, and the products with their slopes."""
    B, T, N, M, width, panels, group = S[1], S[2], S[3], S[4], S[5], S[6], S[7]
    column_tasks, row_tasks, y_models, has_bias = S[8], S[9], S[12], S[13]
    trial_models, time_models, has_nll, has_neuron = S[14], S[15], S[16], S[17]
    wants_z, wants_C, wants_trial, wants_time, M_row = S[18], S[19], S[20], S[21], S[22]
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


DOUBLES = np.empty(0, np.float64)


@numba.njit(**JIT)
def run_forward(first, last, p, like):
    """The tasks of a forward pass, on the arrays of `run_compiled` in the order of their arguments."""
    where, S, F = vector(p, 0, INTEGERS), vector(p, 1, INTEGERS), vector(p, 2, like)
    bins, counts = matrix(p, 3, INTEGERS), vector(p, 4, INTEGERS)
    forward_tasks(first, last, where, S, F, like, bins, counts, matrix(p, 5, DOUBLES), matrix(p, 6, DOUBLES))


@numba.njit(**JIT)
def run_backward(first, last, p, like):
    """The tasks of a backward pass."""
    where, S, F = vector(p, 0, INTEGERS), vector(p, 1, INTEGERS), vector(p, 2, like)
    bins, counts = matrix(p, 3, INTEGERS), vector(p, 4, INTEGERS)
    backward_tasks(first, last, where, S, F, like, bins, counts, matrix(p, 5, DOUBLES))


def forward_single(first, last, share, p):
    run_forward(first, last, p, np.empty(0, np.float32))


def forward_double(first, last, share, p):
    run_forward(first, last, p, np.empty(0, np.float64))


def backward_single(first, last, share, p):
    run_backward(first, last, p, np.empty(0, np.float32))


def backward_double(first, last, share, p):
    run_backward(first, last, p, np.empty(0, np.float64))


def constant_entry(first, last, share, p):
    S, where = vector(p, 0, INTEGERS), vector(p, 1, INTEGERS)
    bins, counts, table = matrix(p, 2, INTEGERS), vector(p, 3, INTEGERS), vector(p, 6, DOUBLES)
    constant_tasks(first, last, S, where[0], bins, counts, matrix(p, 4, DOUBLES), matrix(p, 5, DOUBLES), table)


FORWARD = {torch.float32: forward_single, torch.float64: forward_double}
BACKWARD = {torch.float32: backward_single, torch.float64: backward_double}
_LIKE = {torch.float32: np.empty(0, np.float32), torch.float64: np.empty(0, np.float64)}


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


_NO_LENGTHS, _NO_MASK = np.empty((0, 0), np.int64), np.empty((0, 0, 0), np.uint8)


def _listed_bins(lengths, mask, B: int, T: int) -> tuple[np.ndarray, np.ndarray]:
    """(indices of the valid bins, one row for all models or one each; how many there are)."""
    lengths = _NO_LENGTHS if lengths is None else lengths.numpy()
    mask = _NO_MASK if mask is None else mask.numpy()
    models = max(1, lengths.shape[0], mask.shape[0])
    bins, counts = np.empty((models, B * T), np.int64), np.empty(models, np.int64)
    list_bins(bins, counts, np.ascontiguousarray(lengths), np.ascontiguousarray(mask), B, T)
    return bins, counts


def _packed(C, grid: Grid, wants_turned: bool) -> tuple[torch.Tensor, torch.Tensor]:
    """The readout in panels, for the product with the latents and for the way back."""
    E, _, M = C.shape
    blocks = -(-M // grid.width) if wants_turned else 0
    readout = C.new_empty(E, grid.panels, M, grid.width)
    turned = C.new_empty(E, grid.panels, blocks, grid.width, grid.width)
    (C,) = contiguous(C.detach())
    pack_readout(C.numpy(), readout.numpy(), turned.numpy(), grid.width, wants_turned)
    return readout, turned


def _grid(B: int, T: int, N: int, M: int, dtype: torch.dtype, whole_rows: bool) -> Grid:
    """whole_rows: all bins of a neuron in one task, which then owns the baselines' gradients."""
    width = panel_width(dtype)
    panels = -(-N // width)
    group = min(panels, -(-max(LEAST_COLUMNS, 16 * M) // width))
    columns = -(-panels // group)
    most = min(-(-TASKS // columns), B * T // max(LEAST_ROWS, 16 * M), B * T * N // LEAST_ELEMENTS)
    return Grid(width, panels, group, columns, 1 if whole_rows else max(1, most))


def _models(x) -> int:
    return 0 if x is None else x.shape[0]


def _sizes(s, grid: Grid, link: str) -> list[int]:
    E, B, T, M = s["z"].shape
    N, y = s["C"].shape[1], s["y"]
    codes = LINK_CODES[link], CODES[y.dtype], _models(y)
    return [
        E,
        B,
        T,
        N,
        M,
        *grid,
        *codes,
        s["bias"] is not None,
        _models(s["baseline_trial"]),
        _models(s["baseline_time"]),
    ]


@cache
def _numbers(bin_s: float, floor_hz: float, dtype) -> np.ndarray:
    return np.array([bin_s, math.log(bin_s), floor_hz]).astype(dtype)


@numba.njit(**JIT)
def add_up(nll, per_neuron, row_sums, column_sums, constant_rows, constant_columns, S):
    """Sums of the tasks' sums, and of log y!, of which one row may be for all models."""
    B, T, N, columns, rows = S[1], S[2], S[3], S[8], S[9]
    for e in range(nll.shape[0]):
        own = e if constant_rows.shape[0] > columns else 0
        for b in range(B):
            total_ = 0.0
            for t in range(b * T, (b + 1) * T):
                for i in range(columns):
                    total_ += row_sums[e * columns + i, t] + constant_rows[own * columns + i, t]
            nll[e, b] = total_
        for n in range(N):
            total_ = 0.0
            for i in range(rows):
                total_ += column_sums[e * rows + i, n] + constant_columns[own * rows + i, n]
            per_neuron[e, n] = total_


def forward(z, C, bias, baseline_trial, baseline_time, y, lengths, mask, *, link, bin_s, floor_hz):
    """((nll, per_neuron), saved): every element of the outputs is written."""
    E, B, T, M = z.shape
    N, like = C.shape[1], _LIKE[z.dtype]
    grid = _grid(B, T, N, M, z.dtype, False)
    tasks = grid.columns * grid.rows
    z, bias, trial, time, y = contiguous(z, bias, baseline_trial, baseline_time, y)
    s = {"z": z, "C": C, "bias": bias, "baseline_trial": trial, "baseline_time": time, "y": y}
    S, (bins, counts) = np.array(_sizes(s, grid, link), np.int64), _listed_bins(lengths, mask, B, T)
    readout, _ = _packed(C, grid, False)
    models = max(_models(y), len(bins))  # log y! is that of all models where data and bins are shared
    sums = [np.zeros((n * k, size)) for n in (E, models) for k, size in ((grid.columns, B * T), (grid.rows, N))]
    numbers, where = _numbers(bin_s, floor_hz, like.dtype), addresses(z, readout, bias, trial, time, y)
    run_compiled(FORWARD[z.dtype], E * tasks, where, S, numbers, bins, counts, *sums[:2])
    run_compiled(constant_entry, models * tasks, S, addresses(y), bins, counts, *sums[2:], LOG_FACTORIALS)
    nll, per_neuron = z.new_empty(E, B), z.new_empty(E, N)
    add_up(nll.numpy(), per_neuron.numpy(), *sums, S)
    return (nll, per_neuron), {}


@numba.njit(**JIT)
def collect(out, parts):
    """out [E, N, M] = the sum of the tasks' parts [E, rows, panels, M, width]."""
    E, N, M = out.shape
    width = parts.shape[4]
    for e in range(E):
        for n in range(N):
            for m in range(M):
                total_ = parts[e, 0, n // width, m, n % width]
                for i in range(1, parts.shape[1]):
                    total_ += parts[e, i, n // width, m, n % width]
                out[e, n, m] = total_


def backward(saved, grads):
    """Gradients of the arguments named in saved["wanted"]; the gradient of an output may be None."""
    wanted = saved["wanted"]
    s = {n: saved[n] for n in ("z", "C", "bias", "baseline_trial", "baseline_time", "y")}
    E, B, T, M = s["z"].shape
    N, like, dtype = s["C"].shape[1], _LIKE[s["z"].dtype], s["z"].dtype
    dtrial, dtime = (
        s["z"].new_zeros(E, n, N) if name in wanted else None
        for name, n in (("baseline_trial", B), ("baseline_time", T))
    )
    grid = _grid(B, T, N, M, dtype, dtrial is not None or dtime is not None)
    width, M_row = grid.width, padded_width(M, dtype)
    C = s["C"]
    for name in ("z", "bias", "baseline_trial", "baseline_time", "y"):
        (s[name],) = contiguous(s[name])
    dnll, dneuron = contiguous(grads["nll"], grads["per_neuron"])
    bins, counts = _listed_bins(saved["lengths"], saved["mask"], B, T)
    S = _sizes(s, grid, saved["link"])
    S += [
        dnll is not None,
        dneuron is not None,
        "z" in wanted,
        "C" in wanted,
        dtrial is not None,
        dtime is not None,
        M_row,
    ]
    dz = s["z"].new_zeros(E, grid.columns, B, T, M) if "z" in wanted else None
    dC = C.new_empty(E, grid.rows, grid.panels, M, width) if "C" in wanted else None
    readout, turned = _packed(C, grid, "z" in wanted)
    where = addresses(
        s["z"], readout, s["bias"], s["baseline_trial"], s["baseline_time"], s["y"],
        turned, dnll, dneuron, dz, dC, dtrial, dtime,
    )  # fmt: skip
    bias_sums = np.zeros((E * grid.rows, N))
    numbers = _numbers(saved["bin_s"], saved["floor_hz"], like.dtype)
    run_compiled(
        BACKWARD[dtype], E * grid.columns * grid.rows, where, np.array(S, np.int64), numbers, bins, counts, bias_sums
    )
    found = {"baseline_trial": dtrial, "baseline_time": dtime}
    if "bias" in wanted:
        found["bias"] = torch.from_numpy(bias_sums.reshape(E, grid.rows, N).sum(1)).to(dtype)
    if dz is not None:
        found["z"] = dz.squeeze(1) if dz.shape[1] == 1 else torch.from_numpy(np.add.reduce(dz.numpy(), 1))
    if dC is not None:
        found["C"] = C.new_empty(E, N, M)
        collect(found["C"].numpy(), dC.numpy())
    return {n: found[n] for n in wanted}
