"""GPU twin of rollout_gru: one launch for the rollout of all directions, one for its adjoint, weights afterwards."""

import torch
import triton
import triton.language as tl

from neurorbit.kernels.triton_common import contract_columns, contract_rows, padded
from neurorbit.kernels.triton_functions_common import sigmoid, tanh

# DOT: 16 sequences a program and matrix products (float32); else one sequence a program, products and sums.
# UNITS: the most units whose weights stay on chip; larger networks are gone through in tiles every step.
CONFIGS = (
    {"DOT": False, "UNITS": 64, "num_warps": 8},
    {"DOT": False, "UNITS": 16, "num_warps": 1},
    {"DOT": True, "UNITS": 64, "num_warps": 8},
    {"DOT": True, "UNITS": 32, "num_warps": 4},
)
TILE = 32  # units of a tile


@triton.jit
def gate(W, o_i, o_j, G: tl.constexpr, H):
    """Weights from the units o_i to gate G of the units o_j, zeros outside."""
    m = (o_i < H)[:, None] & (o_j < H)[None, :]
    return tl.load(W + o_i[:, None].to(tl.int64) * 3 * H + G * H + o_j[None, :], mask=m, other=0.0)


@triton.jit
def bin_of(s, i_d, length):
    """The bin of step s: onward, or back from the sequence's own end; past it, each step is its bin."""
    return tl.where((s < length) & (i_d == 1), length - 1 - s, s)


@triton.jit
def earlier_state(h, h0, row, s, i_d, length, o_n, m, T, D, H, HAS_H0: tl.constexpr):
    """State before step s, [sequences, units]."""
    place = (row * T + bin_of(s - 1, i_d, length)) * D + i_d
    x = tl.load(h + place[:, None] * H + o_n[None, :], mask=m & (s > 0), other=0.0)
    if HAS_H0:
        x += tl.load(h0 + (row * D + i_d)[:, None] * H + o_n[None, :], mask=m & (s == 0), other=0.0)
    return x


@triton.jit
def forward_kernel(
    h, h_final, gates, drive, W, b, h0, lengths, B, T, D, H, length_models, HAS_B: tl.constexpr, HAS_H0: tl.constexpr,
    HAS_LENGTHS: tl.constexpr, BLOCK_B: tl.constexpr, BLOCK_H: tl.constexpr, TILES: tl.constexpr, DOT: tl.constexpr,
):  # fmt: skip
    """All steps of BLOCK_B sequences in one direction of one model; the state goes from step to step through h."""
    i_d, i_e = tl.program_id(1), tl.program_id(2).to(tl.int64)
    o_b, o_h = tl.program_id(0) * BLOCK_B + tl.arange(0, BLOCK_B), tl.arange(0, BLOCK_H)
    m_b = o_b < B
    row = i_e * B + o_b
    W += (i_e * D + i_d) * 3 * H * H
    b += (i_e * D + i_d) * 3 * H
    length = tl.zeros_like(o_b) + T
    if HAS_LENGTHS:
        length = tl.load(lengths + (i_e % length_models) * B + o_b, mask=m_b, other=0).to(tl.int32)
    if TILES == 1:
        w_r, w_z, w_n = gate(W, o_h, o_h, 0, H), gate(W, o_h, o_h, 1, H), gate(W, o_h, o_h, 2, H)
        state = earlier_state(h, h0, row, 0, i_d, length, o_h, m_b[:, None] & (o_h < H)[None, :], T, D, H, HAS_H0)
    for s in range(T):
        active = (m_b & (s < length))[:, None]
        place = ((row * T + bin_of(s, i_d, length)) * D + i_d)[:, None]
        for i_n in range(TILES):
            n = i_n * BLOCK_H + o_h
            m_n = n < H
            y_r = tl.zeros([BLOCK_B, BLOCK_H], dtype=h.dtype.element_ty)
            y_z, y_n = y_r, y_r
            if HAS_B:
                y_r += tl.load(b + n, mask=m_n, other=0.0)[None, :]
                y_z += tl.load(b + H + n, mask=m_n, other=0.0)[None, :]
                y_n += tl.load(b + 2 * H + n, mask=m_n, other=0.0)[None, :]
            if TILES == 1:
                y_r += contract_rows(state, w_r, DOT)
                y_z += contract_rows(state, w_z, DOT)
                y_n += contract_rows(state, w_n, DOT)
                was = state
            else:
                for i_k in range(TILES):
                    k = i_k * BLOCK_H + o_h
                    x = earlier_state(h, h0, row, s, i_d, length, k, active & (k < H)[None, :], T, D, H, HAS_H0)
                    y_r += contract_rows(x, gate(W, k, n, 0, H), DOT)
                    y_z += contract_rows(x, gate(W, k, n, 1, H), DOT)
                    y_n += contract_rows(x, gate(W, k, n, 2, H), DOT)
                was = earlier_state(h, h0, row, s, i_d, length, n, active & m_n[None, :], T, D, H, HAS_H0)
            m, at = active & m_n[None, :], place * 3 * H + n[None, :]
            r = sigmoid(tl.load(drive + at, mask=m, other=0.0) + y_r)
            z = sigmoid(tl.load(drive + at + H, mask=m, other=0.0) + y_z)
            new = tanh(tl.load(drive + at + 2 * H, mask=m, other=0.0) + r * y_n)
            value = tl.where(m, (1.0 - z) * new + z * was, 0.0)
            kept = gates + place * 4 * H + n[None, :]
            tl.store(kept, r, mask=m)
            tl.store(kept + H, z, mask=m)
            tl.store(kept + 2 * H, new, mask=m)
            tl.store(kept + 3 * H, y_n, mask=m)
            tl.store(h + place * H + n[None, :], value, mask=m_b[:, None] & m_n[None, :])
            if TILES == 1:
                state = tl.where(active, value, state)
        if TILES > 1:
            tl.debug_barrier()
    for i_n in range(TILES):
        n = i_n * BLOCK_H + o_h
        m = m_b[:, None] & (n < H)[None, :]
        if TILES == 1:
            last = state
        else:
            place = (row * T + bin_of(length - 1, i_d, length)) * D + i_d
            last = tl.load(h + place[:, None] * H + n[None, :], mask=m & (length > 0)[:, None], other=0.0)
            if HAS_H0:
                start = h0 + (row * D + i_d)[:, None] * H + n[None, :]
                last += tl.load(start, mask=m & (length == 0)[:, None], other=0.0)
        tl.store(h_final + (row * D + i_d)[:, None] * H + n[None, :], last, mask=m)


@triton.jit
def backward_kernel(
    ddrive, delta, before, dh0, dh, dh_final, h, gates, W, h0, lengths, B, T, D, H, length_models,
    HAS_H0: tl.constexpr, HAS_DH: tl.constexpr, HAS_FINAL: tl.constexpr, HAS_LENGTHS: tl.constexpr,
    BLOCK_B: tl.constexpr, BLOCK_H: tl.constexpr, TILES: tl.constexpr, DOT: tl.constexpr,
):  # fmt: skip
    """The adjoint, last step first; the gradient of the state goes from step to step through dh0."""
    i_d, i_e = tl.program_id(1), tl.program_id(2).to(tl.int64)
    o_b, o_h = tl.program_id(0) * BLOCK_B + tl.arange(0, BLOCK_B), tl.arange(0, BLOCK_H)
    m_b = o_b < B
    row = i_e * B + o_b
    W += (i_e * D + i_d) * 3 * H * H
    length = tl.zeros_like(o_b) + T
    if HAS_LENGTHS:
        length = tl.load(lengths + (i_e % length_models) * B + o_b, mask=m_b, other=0).to(tl.int32)
    apart = (i_e * D + i_d) * B + o_b  # directions outside: what the weights' product reads
    carried = (row * D + i_d)[:, None] * H
    for i_n in range(TILES):
        n = i_n * BLOCK_H + o_h
        m = m_b[:, None] & (n < H)[None, :]
        g = tl.zeros([BLOCK_B, BLOCK_H], dtype=h.dtype.element_ty)
        if HAS_FINAL:
            g += tl.load(dh_final + carried + n[None, :], mask=m, other=0.0)
        tl.store(dh0 + carried + n[None, :], g, mask=m)
    tl.debug_barrier()
    for back in range(T):
        s = T - 1 - back
        active = (m_b & (s < length))[:, None]
        place = ((row * T + bin_of(s, i_d, length)) * D + i_d)[:, None]
        own = (apart * T + bin_of(s, i_d, length))[:, None]
        for i_n in range(TILES):
            n = i_n * BLOCK_H + o_h
            here = m_b[:, None] & (n < H)[None, :]
            m = active & (n < H)[None, :]
            g = tl.load(dh0 + carried + n[None, :], mask=here, other=0.0)
            asked = g
            if HAS_DH:
                asked += tl.load(dh + place * H + n[None, :], mask=m, other=0.0)
            kept = gates + place * 4 * H + n[None, :]
            r, z = tl.load(kept, mask=m, other=0.0), tl.load(kept + H, mask=m, other=0.0)
            new, inner = tl.load(kept + 2 * H, mask=m, other=0.0), tl.load(kept + 3 * H, mask=m, other=0.0)
            was = earlier_state(h, h0, row, s, i_d, length, n, m, T, D, H, HAS_H0)
            d_n = asked * (1.0 - z) * (1.0 - new * new)
            d_z = asked * (was - new) * (z * (1.0 - z))
            d_r = d_n * inner * (r * (1.0 - r))
            at = place * 3 * H + n[None, :]
            tl.store(ddrive + at, tl.where(m, d_r, 0.0), mask=here)
            tl.store(ddrive + at + H, tl.where(m, d_z, 0.0), mask=here)
            tl.store(ddrive + at + 2 * H, tl.where(m, d_n, 0.0), mask=here)
            at = own * 3 * H + n[None, :]
            tl.store(delta + at, tl.where(m, d_r, 0.0), mask=here)
            tl.store(delta + at + H, tl.where(m, d_z, 0.0), mask=here)
            tl.store(delta + at + 2 * H, tl.where(m, d_n * r, 0.0), mask=here)
            tl.store(before + own * H + n[None, :], was, mask=here)
            tl.store(dh0 + carried + n[None, :], tl.where(m, asked * z, g), mask=here)
        tl.debug_barrier()
        for i_n in range(TILES):
            n = i_n * BLOCK_H + o_h
            here = m_b[:, None] & (n < H)[None, :]
            g = tl.load(dh0 + carried + n[None, :], mask=here, other=0.0)
            for i_k in range(TILES):
                k = i_k * BLOCK_H + o_h
                m = active & (k < H)[None, :]
                at = delta + own * 3 * H + k[None, :]
                g += contract_columns(tl.load(at, mask=m, other=0.0), gate(W, n, k, 0, H), DOT)
                g += contract_columns(tl.load(at + H, mask=m, other=0.0), gate(W, n, k, 1, H), DOT)
                g += contract_columns(tl.load(at + 2 * H, mask=m, other=0.0), gate(W, n, k, 2, H), DOT)
            tl.store(dh0 + carried + n[None, :], g, mask=here)
        tl.debug_barrier()


def launch(B: int, H: int, dtype: torch.dtype, config: dict | None) -> dict:
    """Constants of both kernels for these sizes."""
    if config is None:
        config = CONFIGS[2 if B >= 16 and dtype == torch.float32 else 0]
    dot = config["DOT"] and dtype == torch.float32
    block = padded(H, 16 if dot else 1)
    if block > config["UNITS"]:
        block = min(block, TILE)
    constants = {"BLOCK_B": 16 if dot else 1, "BLOCK_H": block, "TILES": -(-H // block), "DOT": dot}
    return constants | {"num_warps": config["num_warps"]}


def _stand_ins(tensors, like):
    """Contiguous tensors; a missing one becomes a pointer that is never read."""
    return [like if x is None else x.contiguous() for x in tensors]


def _models(x) -> int:
    return 1 if x is None else x.shape[0]


def _inputs(y, x, lengths, like):
    """Counts and signals beside each other, in the dtype of the weights, 0 past an end: [E or 1, B T, R]."""
    known = [t.to(like.dtype) for t in (y, x) if t is not None]
    models = max(t.shape[0] for t in known)
    rows = torch.cat([t.expand(models, *t.shape[1:]) for t in known], 3)
    if lengths is not None:
        late = torch.arange(rows.shape[2], device=rows.device) >= lengths[..., None]
        rows = rows.masked_fill(late[..., None], 0)
    return rows.flatten(1, 2)


def _driven(drive, y, x, W_in, b_in, lengths, like):
    """What reaches the gates in every bin, one matrix product for all of them."""
    if W_in is None:
        return drive
    rows, weights = _inputs(y, x, lengths, like), W_in.flatten(2)
    (E, _, columns), B, T = weights.shape, *next(t for t in (y, x) if t is not None).shape[1:3]
    rows = rows.expand(E, -1, -1)
    bias = None if b_in is None else b_in.reshape(E, 1, columns)
    found = torch.bmm(rows, weights) if bias is None else torch.baddbmm(bias, rows, weights)
    found = found.view(E, B, T, *W_in.shape[2:])
    return found if drive is None else found.add_(drive)


@torch.no_grad()
def forward(W, drive, b, y, x, W_in, b_in, h0, lengths, *, config=None):
    """((h, h_final), saved): every element of the outputs is written."""
    drive = _driven(drive, y, x, W_in, b_in, lengths, W)
    E, B, T, D, _ = drive.shape
    H = W.shape[2]
    h, h_final = drive.new_empty(E, B, T, D, H), drive.new_empty(E, B, D, H)
    gates = drive.new_empty(E, B, T, D, 4, H)
    constants = launch(B, H, drive.dtype, config)
    forward_kernel[(-(-B // constants["BLOCK_B"]), D, E)](
        h, h_final, gates, *_stand_ins((drive, W, b, h0, lengths), drive), B, T, D, H, _models(lengths),
        HAS_B=b is not None, HAS_H0=h0 is not None, HAS_LENGTHS=lengths is not None, **constants,
    )  # fmt: skip
    return (h, h_final), {"h": h, "gates": gates}


@torch.no_grad()
def backward(saved, grads, config=None):
    """Gradients of the arguments named in saved["wanted"]; the gradient of an output may be None."""
    s, wanted, W = saved, saved["wanted"], saved["W"]
    E, B, T, D, H = s["h"].shape
    G = 3 * H
    dh, dfinal = grads["h"], grads["h_final"]
    ddrive, delta = W.new_empty(E, B, T, D, G), W.new_empty(E, D, B * T, G)
    before, dh0 = W.new_empty(E, D, B * T, H), W.new_empty(E, B, D, H)
    constants = launch(B, H, W.dtype, config)
    tensors = _stand_ins((dh, dfinal, s["h"], s["gates"], W, s["h0"], s["lengths"]), W)
    backward_kernel[(-(-B // constants["BLOCK_B"]), D, E)](
        ddrive, delta, before, dh0, *tensors, B, T, D, H, _models(s["lengths"]),
        HAS_H0=s["h0"] is not None, HAS_DH=dh is not None, HAS_FINAL=dfinal is not None,
        HAS_LENGTHS=s["lengths"] is not None, **constants,
    )  # fmt: skip
    found = {"drive": ddrive, "h0": dh0}
    if "W" in wanted:
        found["W"] = before.mT @ delta
    if "b" in wanted:
        found["b"] = delta.sum(2)
    if "b_in" in wanted:
        found["b_in"] = ddrive.sum((1, 2))
    if "W_in" in wanted:
        rows = _inputs(s["y"], s["x"], s["lengths"], W).expand(E, -1, -1)
        found["W_in"] = torch.bmm(rows.mT, ddrive.view(E, B * T, D * G)).view(E, -1, D, G)
    return {n: found[n] for n in wanted}
