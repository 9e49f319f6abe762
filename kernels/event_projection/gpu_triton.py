"""GPU twin of event_projection: programs own their responses or a stretch of one neuron's events; no atomics."""

import torch
import triton
import triton.language as tl

from neurorbit.kernels.triton_common import padded

# COLUMNS: filters x bins (or lags) of one program; EVENTS: events that it reads at a time.
CONFIGS = (
    {"COLUMNS": 128, "EVENTS": 16, "num_warps": 4},
    {"COLUMNS": 64, "EVENTS": 16, "num_warps": 2},
    {"COLUMNS": 256, "EVENTS": 16, "num_warps": 4},
    {"COLUMNS": 256, "EVENTS": 32, "num_warps": 8},
)
LEAST_CHUNK = 256  # events of one program of the backward pass, at least
MOST_CHUNKS = 4096  # programs per block of columns, at most


@triton.jit
def first_at(values, lo, hi, bound):
    """Index of the first of the ascending values lo..hi that is at least the bound."""
    while lo < hi:
        middle = (lo + hi) // 2
        below = tl.load(values + middle) < bound
        lo = tl.where(below, middle + 1, lo)
        hi = tl.where(below, hi, middle)
    return lo


@triton.jit
def forward_kernel(
    o, w, neurons, times, counts, starts, F, N, W, T_out, P,
    FILTERS: tl.constexpr, BLOCK: tl.constexpr, EVENTS: tl.constexpr,
):  # fmt: skip
    """FILTERS x BLOCK responses of one recording: every event that some window of the block holds, in order of time."""
    i_t = tl.program_id(0) * BLOCK
    i_g = tl.program_id(2).to(tl.int64)
    o_c = tl.arange(0, FILTERS * BLOCK)
    f = tl.program_id(1) * FILTERS + o_c // BLOCK
    t = i_t + o_c % BLOCK
    m_c = (f < F) & (t < T_out)
    row = i_g * F + f
    lo = tl.load(starts + i_g)
    hi = tl.load(starts + i_g + 1)
    lo = first_at(times, lo, hi, i_t - P)
    hi = first_at(times, lo, hi, i_t + BLOCK - 1 - P + W)
    shift = P - t
    sums = tl.zeros([FILTERS * BLOCK], dtype=o.dtype.element_ty)
    for start in range(lo, hi, EVENTS):
        o_j = start + tl.arange(0, EVENTS)
        m_j = o_j < hi
        n = tl.load(neurons + o_j, mask=m_j, other=0).to(tl.int64)
        s = tl.load(times + o_j, mask=m_j, other=0)
        c = tl.load(counts + o_j, mask=m_j, other=0).to(o.dtype.element_ty)
        lag = s[:, None] + shift[None, :]
        m = m_j[:, None] & m_c[None, :] & (lag >= 0) & (lag < W)
        value = tl.load(w + (row[None, :] * N + n[:, None]) * W + lag, mask=m, other=0.0)
        sums += tl.sum(c[:, None] * value, axis=0)
    tl.store(o + row * T_out + t, sums, mask=m_c)


@triton.jit
def backward_kernel(
    dw, parts, do, times, counts, neuron_starts, J, rows, chunk, F, N, W, T_out, P,
    FILTERS: tl.constexpr, BLOCK: tl.constexpr, EVENTS: tl.constexpr,
):  # fmt: skip
    """FILTERS x BLOCK lags over one chunk of the events, neuron by neuron: equal work, whoever fired them.

    A neuron inside the chunk is written to dw; one that goes over its edge leaves a part: slot 0 when it holds the
    chunk's first event, slot 1 when it begins later.
    """
    i_c = tl.program_id(0).to(tl.int64)
    o_c = tl.arange(0, FILTERS * BLOCK)
    f = tl.program_id(1) * FILTERS + o_c // BLOCK
    lag = tl.program_id(2) * BLOCK + o_c % BLOCK
    m_c = (f < F) & (lag < W)
    shift = P - lag
    begin = i_c * chunk
    end = tl.minimum(begin + chunk, J)
    first = i_c * 0
    at = begin
    row = first_at(neuron_starts, first, first + rows, begin + 1) - 1
    while at < end:
        row_begin = tl.load(neuron_starts + row)
        row_end = tl.load(neuron_starts + row + 1)
        if row_end <= at:  # silent: leap over all that are
            row = first_at(neuron_starts, row, first + rows, at + 1) - 1
            row_begin = tl.load(neuron_starts + row)
            row_end = tl.load(neuron_starts + row + 1)
        stop = tl.minimum(row_end, end)
        responses = do + (row // N * F + f) * T_out
        sums = tl.zeros([FILTERS * BLOCK], dtype=dw.dtype.element_ty)
        for start in range(at, stop, EVENTS):
            o_j = start + tl.arange(0, EVENTS)
            m_j = o_j < stop
            s = tl.load(times + o_j, mask=m_j, other=0)
            c = tl.load(counts + o_j, mask=m_j, other=0).to(dw.dtype.element_ty)
            t = s[:, None] + shift[None, :]
            m = m_j[:, None] & m_c[None, :] & (t >= 0) & (t < T_out)
            value = tl.load(responses[None, :] + t, mask=m, other=0.0)
            sums += tl.sum(c[:, None] * value, axis=0)
        if (row_begin >= begin) & (row_end <= end):
            tl.store(dw + ((row // N * F + f) * N + row % N) * W + lag, sums, mask=m_c)
        else:
            slot = tl.where(row_begin <= begin, 0, 1)
            tl.store(parts + ((i_c * 2 + slot) * F + f) * W + lag, sums, mask=m_c)
        at = stop
        row += 1


@triton.jit
def gather_kernel(
    dw, parts, neuron_starts, chunk, F, N, W,
    FILTERS: tl.constexpr, BLOCK: tl.constexpr, PARTS: tl.constexpr,
):  # fmt: skip
    """Zeros for a silent neuron; the parts' sum, in order, for one that went over the edge of a chunk."""
    row = tl.program_id(0).to(tl.int64)
    o_c = tl.arange(0, FILTERS * BLOCK)
    f = tl.program_id(1) * FILTERS + o_c // BLOCK
    lag = tl.program_id(2) * BLOCK + o_c % BLOCK
    m_c = (f < F) & (lag < W)
    begin = tl.load(neuron_starts + row)
    end = tl.load(neuron_starts + row + 1)
    first = begin // chunk
    last = (end - 1) // chunk
    if (begin == end) | (first < last):
        last = tl.where(begin == end, first - 1, last)
        sums = tl.zeros([FILTERS * BLOCK], dtype=dw.dtype.element_ty)
        for start in range(first, last + 1, PARTS):
            o_p = start + tl.arange(0, PARTS)
            slot = tl.where((o_p == first) & (begin > first * chunk), 1, 0)
            m = (o_p <= last)[:, None] & m_c[None, :]
            value = tl.load(parts + ((o_p * 2 + slot)[:, None] * F + f[None, :]) * W + lag[None, :], mask=m, other=0.0)
            sums += tl.sum(value, axis=0)
        tl.store(dw + ((row // N * F + f) * N + row % N) * W + lag, sums, mask=m_c)


@triton.jit
def correlate_kernel(
    y, a, b, Q, share, R, steps, length, blocks, shift, b_length,
    a_origin, a_p, a_q, a_r, a_i, b_p, b_q, b_r,
    BLOCK: tl.constexpr, STEPS: tl.constexpr,
):  # fmt: skip
    """y[p, q, j] = sum over r < R and i < steps of a[p, q, r, i] b[p // share, q, r, shift + i + j], b zero outside.

    Both directions of a dense recording are of this form.
    """
    pid = tl.program_id(0).to(tl.int64)
    row = pid // blocks
    p = row // Q
    q = row % Q
    o_j = (pid % blocks * BLOCK).to(tl.int32) + tl.arange(0, BLOCK)
    a_row = a + a_origin + p * a_p + q * a_q
    b_row = b + p // share * b_p + q * b_q
    sums = tl.zeros([BLOCK], dtype=y.dtype.element_ty)
    for _ in range(R):
        part = tl.zeros([BLOCK], dtype=y.dtype.element_ty)
        for i in range(0, steps, STEPS):
            o_i = i + tl.arange(0, STEPS)
            at = shift + o_i[:, None] + o_j[None, :]
            m = (o_i < steps)[:, None] & (at >= 0) & (at < b_length)
            left = tl.load(a_row + o_i * a_i, mask=o_i < steps, other=0.0)
            right = tl.load(b_row + at, mask=m, other=0.0)
            part += tl.sum(left[:, None] * right, axis=0)
        sums += part
        a_row += a_r
        b_row += b_r
    tl.store(y + row * length + o_j, sums, mask=o_j < length)


def launch(F: int, length: int, config: dict | None) -> dict:
    """Constants for F filters and so many bins or lags: the filters of a program share each event that it reads."""
    if config is None:
        config = CONFIGS[2 if F * length >= 2**20 else 0]
    filters = min(padded(F), config["COLUMNS"] // 32)
    block = min(padded(length, 32), config["COLUMNS"] // filters)
    return {"FILTERS": filters, "BLOCK": block, "EVENTS": config["EVENTS"], "num_warps": config["num_warps"]}


def correlate_launch(length: int, config: dict | None) -> dict:
    """Constants of the dense kernel for rows of so many results."""
    config = config or CONFIGS[0]
    block = min(padded(length, 32), config["COLUMNS"])
    return {"BLOCK": block, "STEPS": config["EVENTS"], "num_warps": config["num_warps"]}


def _sizes(w, x, starts, n_bins, padding):
    """(recordings G, filters of each F, N, W, T', P): models that share a recording are further filters of it."""
    E, K, N, W = w.shape
    G = starts.numel() - 1 if x is None else x.shape[0]
    return G, E * K // G, N, W, n_bins + 2 * padding - W + 1, padding


def _correlate(y, a, b, shape, a_strides, b_strides, config):
    P, Q, share, R, steps, length, shift, b_length = shape
    constants = correlate_launch(length, config)
    blocks = -(-length // constants["BLOCK"])
    correlate_kernel[(P * Q * blocks,)](
        y, a, b, Q, share, R, steps, length, blocks, shift, b_length, *a_strides, *b_strides,
        **constants,
    )  # fmt: skip


@torch.no_grad()
def forward(
    w, neurons, times, counts, starts, times_by_neuron, counts_by_neuron, neuron_starts, x, *, n_bins, padding,
    config=None,
):  # fmt: skip
    """((o,), saved): every element of the responses is written."""
    G, F, N, W, T_out, P = _sizes(w, x, starts, n_bins, padding)
    o = w.new_empty(w.shape[0], w.shape[1], T_out)
    if x is not None:
        shape = (G * F, 1, F, N, W, T_out, -P, n_bins)
        strides = (0, N * W, 0, W, 1), (N * n_bins, 0, n_bins)
        _correlate(o, w.contiguous(), x.contiguous(), shape, *strides, config)
        return (o,), {}
    constants = launch(F, T_out, config)
    grid = -(-T_out // constants["BLOCK"]), -(-F // constants["FILTERS"]), G
    tensors = [v.contiguous() for v in (w, neurons, times, counts, starts)]
    forward_kernel[grid](o, *tensors, F, N, W, T_out, P, **constants)
    return (o,), {}


def _backward_events(saved, do, sizes, config):
    G, F, N, W, T_out, P = sizes
    w, J = saved["w"], saved["times_by_neuron"].numel()
    constants = launch(F, W, config)
    events = constants["EVENTS"]
    chunk = -(-max(LEAST_CHUNK, -(-J // MOST_CHUNKS)) // events) * events
    chunks = -(-J // chunk)
    dw, parts = w.new_empty(w.shape), w.new_empty(max(chunks, 1), 2, F, W)
    columns = -(-F // constants["FILTERS"]), -(-W // constants["BLOCK"])
    names = ("times_by_neuron", "counts_by_neuron", "neuron_starts")
    times, counts, neuron_starts = (saved[n].contiguous() for n in names)
    if chunks:
        backward_kernel[(chunks, *columns)](
            dw, parts, do.contiguous(), times, counts, neuron_starts, J, G * N, chunk, F, N, W, T_out, P, **constants
        )
    constants["PARTS"] = constants.pop("EVENTS")
    gather_kernel[(G * N, *columns)](dw, parts, neuron_starts, chunk, F, N, W, **constants)
    return dw


@torch.no_grad()
def backward(saved, grads, config=None):
    """Gradients of the arguments named in saved["wanted"]."""
    w, x, T, wanted = saved["w"], saved["x"], saved["n_bins"], saved["wanted"]
    G, F, N, W, T_out, P = sizes = _sizes(w, x, saved["starts"], T, saved["padding"])
    if x is None:
        return {"w": _backward_events(saved, grads["o"], sizes, config)} if "w" in wanted else {}
    w, x, do = w.contiguous(), x.contiguous(), grads["o"].contiguous()
    found = {}
    if "w" in wanted:
        found["w"] = w.new_empty(w.shape)
        shape = (G * F, N, F, 1, T_out, W, -P, T)
        _correlate(found["w"], do, x, shape, (0, T_out, 0, 0, 1), (N * T, T, 0), config)
    if "x" in wanted:
        found["x"] = w.new_empty(x.shape)
        shape = (G, N, 1, F, W, T, P - W + 1, T_out)
        _correlate(found["x"], w, do, shape, (W - 1, F * N * W, W, N * W, -1), (F * T_out, 0, T_out), config)
    return found
