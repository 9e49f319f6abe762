"""GPU twin of rollout_gated_sde: one launch for the rollout, one for its adjoint, products for the weight gradients."""

from functools import cache

import torch
import triton
import triton.language as tl

from neurorbit.kernels.rollout_gated_sde.spec import layers_of
from neurorbit.kernels.rollout_gated_sde.triton_layers import (
    back_through_layers,
    first_layer,
    further_layers,
    matrix,
    noise_at,
    only_layer,
    only_layer_back,
    output_layer,
    pre_activation,
    state_before,
)
from neurorbit.kernels.triton_common import contract_columns, contract_rows, padded
from neurorbit.kernels.triton_functions_common import sigmoid, tanh, tanh_and_slope

# DOT: 16 sequences a program and matrix products; else one sequence a program, products and sums.
# WEIGHTS: with one hidden layer, the most weights of it that stay on chip for the whole rollout.
CONFIGS = (
    {"DOT": False, "WEIGHTS": 4096, "num_warps": 4},
    {"DOT": False, "WEIGHTS": 2048, "num_warps": 1},
    {"DOT": True, "WEIGHTS": 4096, "num_warps": 8},
)
ONE_WARP = 1024  # up to this many weights one warp is enough
TILE = {False: 64, True: 32}  # units of a tile where weights are streamed; a tile between hidden layers is a square
SPLITS = 64  # at most this many parts of a known path that are worked on at once
NO_NOISE, GIVEN, DRAWN = 0, 1, 2


@triton.jit
def forward_kernel(
    z_out, mu_out, z_final, values, weights, z0, path, drive, a, sigma, noise, seed, stream, lengths, table,
    B, T, M, D, P, span, first_step, further, last, place_o, units, drive_models, noise_models, length_models,
    PATH: tl.constexpr, SHIFT: tl.constexpr, HAS_DRIVE: tl.constexpr, NOISE: tl.constexpr, HAS_LENGTHS: tl.constexpr,
    DEEP: tl.constexpr, BLOCK_B: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_H: tl.constexpr, TILES: tl.constexpr,
    RESIDENT: tl.constexpr, DOT: tl.constexpr,
):  # fmt: skip
    """All steps of BLOCK_B sequences of one model, or `span` of them along a known path; the state is in registers."""
    i_e = tl.program_id(1).to(tl.int64)
    i_s = tl.program_id(2)
    o_b = tl.program_id(0) * BLOCK_B + tl.arange(0, BLOCK_B)
    o_m = tl.arange(0, BLOCK_M)
    o_h = tl.arange(0, BLOCK_H)
    m_m = o_m < M
    m_b = o_b < B
    m_z = m_b[:, None] & m_m[None, :]
    row = i_e * B + o_b
    w = weights + i_e * P
    Wo = w + place_o
    wg = matrix(w, o_m, o_m, M, M, D)
    bg = tl.load(w + M * D + o_m, mask=m_m, other=0.0)
    bo = tl.load(Wo + last * M + o_m, mask=m_m, other=0.0)
    x = values + (row * tl.num_programs(2) + i_s) * units
    share = tl.load(a + i_e)
    length = o_b * 0 + T
    if HAS_LENGTHS:
        length = tl.load(lengths + (i_e % length_models) * B + o_b, mask=m_b, other=0)
    drives = drive + ((i_e % drive_models) * B + o_b) * T * D
    scale = bg[None, :]
    key = share * 0.0
    streams = row
    if NOISE:
        scale = (tl.sqrt(share) * tl.load(sigma + i_e * M + o_m, mask=m_m, other=0.0))[None, :]
    if NOISE == 2:
        key = tl.load(seed + i_e)
        streams = tl.load(stream + row, mask=m_b, other=0)
    z = tl.zeros([BLOCK_B, BLOCK_M], bg.dtype)
    if not PATH:
        z = tl.load(z0 + row[:, None] * M + o_m[None, :], mask=m_z, other=0.0)
    if RESIDENT:
        w1, b1, wo = only_layer(w, Wo, o_m, o_h, M, D)
    for t in range(i_s * span, tl.minimum(T, (i_s + 1) * span)):
        inside = m_b & (t < length)
        active = inside[:, None] & m_m[None, :]
        at = (row[:, None] * T + t) * M + o_m[None, :]
        if PATH:
            z = state_before(z0, path, row, t, o_m, active, T, M, SHIFT)
        gate = sigmoid(pre_activation(z, wg, bg, drives + t * D, o_m, m_m, inside, HAS_DRIVE, DOT))
        out = tl.zeros([BLOCK_B, BLOCK_M], bg.dtype) + bo[None, :]
        if DEEP:
            first_layer(z, w, x, x, drives + t * D, o_m, inside, m_b, M, D, HAS_DRIVE, False, BLOCK_H, DOT)
            further_layers(w, x, x, table, further, m_b, False, BLOCK_B, BLOCK_H, DOT)
            out += output_layer(Wo, x + units - last, last, o_m, m_b, M, BLOCK_B, BLOCK_M, BLOCK_H, DOT)
            tl.debug_barrier()
        elif RESIDENT:
            q = pre_activation(z, w1, b1, drives + t * D + M, o_h, o_h < D - M, inside, HAS_DRIVE, DOT)
            out += contract_rows(q * sigmoid(q), wo, DOT)
        else:
            for i in range(TILES):
                o_i = i * BLOCK_H + o_h
                w1, b1, wo = only_layer(w, Wo, o_m, o_i, M, D)
                q = pre_activation(z, w1, b1, drives + t * D + M, o_i, o_i < D - M, inside, HAS_DRIVE, DOT)
                out += contract_rows(q * sigmoid(q), wo, DOT)
        h = tanh(out)
        mu = gate * (h - z)
        tl.store(mu_out + at, tl.where(active, mu, 0.0), mask=m_z)
        if not PATH:
            new = z + share * mu
            if NOISE:
                rows = (i_e % noise_models) * B + o_b
                new += scale * noise_at(noise, key, streams, rows, t, first_step, o_m, active, T, M, z, NOISE)
            tl.store(z_out + at, tl.where(active, new, 0.0), mask=m_z)
            z = tl.where(active, new, z)
    if not PATH:
        tl.store(z_final + row[:, None] * M + o_m[None, :], z, mask=m_z)


@triton.jit
def backward_kernel(
    dz0, dpath, sums, xs, ss, dz, dmu, dz_final, weights, z0, z, drive, a, noise, seed, stream, lengths, table,
    B, T, M, D, P, span, first_step, further, last, place_o, units, drive_models, noise_models, length_models,
    PATH: tl.constexpr, SHIFT: tl.constexpr, HAS_DRIVE: tl.constexpr, NOISE: tl.constexpr, HAS_LENGTHS: tl.constexpr,
    HAS_DZ: tl.constexpr, HAS_DMU: tl.constexpr, HAS_FINAL: tl.constexpr,
    DEEP: tl.constexpr, BLOCK_B: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_H: tl.constexpr, TILES: tl.constexpr,
    RESIDENT: tl.constexpr, DOT: tl.constexpr,
):  # fmt: skip
    """Adjoint of BLOCK_B sequences of one model, last step first.

    Writes the activations of the hidden layers, xs [E, B, T, units], and the gradients before gate, hidden layers and
    tanh, ss [E, B, T, M + units + M]. NOISE: sums [E, B, M] of the new state's gradient times eps.
    """
    i_e = tl.program_id(1).to(tl.int64)
    i_s = tl.program_id(2)
    o_b = tl.program_id(0) * BLOCK_B + tl.arange(0, BLOCK_B)
    o_m = tl.arange(0, BLOCK_M)
    o_h = tl.arange(0, BLOCK_H)
    m_m = o_m < M
    m_b = o_b < B
    m_z = m_b[:, None] & m_m[None, :]
    row = i_e * B + o_b
    w = weights + i_e * P
    Wo = w + place_o
    wg = matrix(w, o_m, o_m, M, M, D)
    bg = tl.load(w + M * D + o_m, mask=m_m, other=0.0)
    bo = tl.load(Wo + last * M + o_m, mask=m_m, other=0.0)
    share = tl.load(a + i_e)
    length = o_b * 0 + T
    if HAS_LENGTHS:
        length = tl.load(lengths + (i_e % length_models) * B + o_b, mask=m_b, other=0)
    drives = drive + ((i_e % drive_models) * B + o_b) * T * D
    key = share * 0.0
    streams = row
    if NOISE == 2:
        key = tl.load(seed + i_e)
        streams = tl.load(stream + row, mask=m_b, other=0)
    if RESIDENT:
        w1, b1, wo = only_layer(w, Wo, o_m, o_h, M, D)
    start = row[:, None] * M + o_m[None, :]
    g = tl.zeros([BLOCK_B, BLOCK_M], bg.dtype)
    if HAS_FINAL:
        g = tl.load(dz_final + start, mask=m_z, other=0.0)
    total = tl.zeros([BLOCK_B, BLOCK_M], bg.dtype)
    end = tl.minimum(T, (i_s + 1) * span)
    for step in range(0, end - i_s * span):
        t = end - 1 - step
        inside = m_b & (t < length)
        active = inside[:, None] & m_m[None, :]
        at = (row[:, None] * T + t) * M + o_m[None, :]
        x = xs + (row * T + t) * units
        s = ss + (row * T + t) * (units + 2 * M)
        before = state_before(z0, z, row, t, o_m, active, T, M, SHIFT)
        gate = sigmoid(pre_activation(before, wg, bg, drives + t * D, o_m, m_m, inside, HAS_DRIVE, DOT))
        out = tl.zeros([BLOCK_B, BLOCK_M], bg.dtype) + bo[None, :]
        if DEEP:
            first_layer(before, w, x, s + M, drives + t * D, o_m, inside, m_b, M, D, HAS_DRIVE, True, BLOCK_H, DOT)
            further_layers(w, x, s + M, table, further, m_b, True, BLOCK_B, BLOCK_H, DOT)
            out += output_layer(Wo, x + units - last, last, o_m, m_b, M, BLOCK_B, BLOCK_M, BLOCK_H, DOT)
        elif RESIDENT:
            q = pre_activation(before, w1, b1, drives + t * D + M, o_h, o_h < D - M, inside, HAS_DRIVE, DOT)
            out += contract_rows(q * sigmoid(q), wo, DOT)
        else:
            for i in range(TILES):
                o_i = i * BLOCK_H + o_h
                w1, b1, wo = only_layer(w, Wo, o_m, o_i, M, D)
                q = pre_activation(before, w1, b1, drives + t * D + M, o_i, o_i < D - M, inside, HAS_DRIVE, DOT)
                out += contract_rows(q * sigmoid(q), wo, DOT)
        h, slope = tanh_and_slope(out)
        lam = g
        dm = tl.zeros([BLOCK_B, BLOCK_M], bg.dtype)
        if not PATH:
            if HAS_DZ:
                lam += tl.load(dz + at, mask=active, other=0.0)
            lam = tl.where(active, lam, 0.0)
            dm = share * lam
        if HAS_DMU:
            dm += tl.load(dmu + at, mask=active, other=0.0)
        if NOISE:
            rows = (i_e % noise_models) * B + o_b
            total += lam * noise_at(noise, key, streams, rows, t, first_step, o_m, active, T, M, lam, NOISE)
        dgate = dm * (h - before) * gate * (1.0 - gate)
        dout = dm * gate * slope
        tl.store(s[:, None] + o_m[None, :], dgate, mask=m_z)
        tl.store(s[:, None] + M + units + o_m[None, :], dout, mask=m_z)
        back = contract_columns(dgate, wg, DOT) - gate * dm
        if not PATH:
            back += lam
        if DEEP:
            for i in range(0, last, BLOCK_H):
                o_i = i + o_h
                m = m_b[:, None] & (o_i < last)[None, :]
                place = s[:, None] + M + units - last + o_i[None, :]
                dx = contract_columns(dout, matrix(Wo, o_i, o_m, last, M, M), DOT)
                tl.store(place, dx * tl.load(place, mask=m, other=0.0), mask=m)
            back_through_layers(w, s + M, table, further, m_b, BLOCK_B, BLOCK_H, DOT)
            for i in range(0, D - M, BLOCK_H):
                o_i = i + o_h
                m = m_b[:, None] & (o_i < D - M)[None, :]
                dq = tl.load(s[:, None] + M + o_i[None, :], mask=m, other=0.0)
                back += contract_columns(dq, matrix(w + M, o_m, o_i, M, D - M, D), DOT)
        elif RESIDENT:
            back += only_layer_back(q, dout, w1, wo, x, s + M, o_h, m_b[:, None] & (o_h < D - M)[None, :], DOT)
        else:
            for i in range(TILES):
                o_i = i * BLOCK_H + o_h
                w1, b1, wo = only_layer(w, Wo, o_m, o_i, M, D)
                q = pre_activation(before, w1, b1, drives + t * D + M, o_i, o_i < D - M, inside, HAS_DRIVE, DOT)
                m = m_b[:, None] & (o_i < D - M)[None, :]
                back += only_layer_back(q, dout, w1, wo, x, s + M, o_i, m, DOT)
        if PATH:
            if SHIFT:
                tl.store(dz0 + start, back, mask=m_z & (t == 0))
                tl.store(dpath + at - M, back, mask=m_z & (t > 0))
            else:
                tl.store(dpath + at, back, mask=m_z)
        else:
            g = tl.where(active, back, g)
    if not PATH:
        tl.store(dz0 + start, g, mask=m_z)
        if NOISE:
            tl.store(sums + start, total, mask=m_z)


def launch(B: int, M: int, hidden: tuple[int, ...], dtype: torch.dtype, config: dict | None) -> dict:
    """Constants of both kernels for these sizes: the form, the tiles, and whether the weights stay on chip."""
    deep = len(hidden) > 1
    size = padded(M) * padded(hidden[0]) if not deep else 2 * padded(max(hidden)) ** 2
    if config is None:
        small = size <= CONFIGS[0]["WEIGHTS"]
        config = CONFIGS[1 if size <= ONE_WARP else 0 if small or B < 16 or dtype != torch.float32 else 2]
    dot = config["DOT"] and dtype == torch.float32
    least = 16 if dot else 1
    block_m, whole = padded(M, least), padded(max(hidden), least)
    resident = not deep and block_m * whole <= config["WEIGHTS"]
    block_h = whole if resident else min(whole, TILE[dot])
    return {
        "BLOCK_B": 16 if dot else 1,
        "BLOCK_M": block_m,
        "BLOCK_H": block_h,
        "TILES": -(-hidden[0] // block_h),
        "RESIDENT": resident,
        "DEEP": deep,
        "DOT": dot,
        "num_warps": config["num_warps"],
    }


@cache
def _table(M: int, hidden: tuple[int, ...], device: torch.device) -> torch.Tensor:
    """Of each hidden layer but the first: inputs, outputs, place of its weights, first of its inputs in a row."""
    rows, place, begin = [], 0, 0
    for k, (n_in, n_out) in enumerate(layers_of(M, hidden)):
        if 0 < k < len(hidden):
            rows.append((n_in, n_out, place, begin))
            begin += n_in
        place += (n_in + 1) * n_out
    return torch.tensor(rows or [(0, 0, 0, 0)], dtype=torch.int64).to(device)


def _stand_ins(tensors, like):
    """Contiguous tensors; a missing one becomes a pointer that is never read."""
    return [like if x is None else x.contiguous() for x in tensors]


def _models(x) -> int:
    return 1 if x is None else x.shape[0]


def _plan(s, T):
    """(E, B, M, D), the integers and the constants that both kernels take, and the parts of a known path."""
    weights, z0, path, hidden = s["weights"], s["z0"], s["path"], s["hidden"]
    E, B, M = path[:, :, 0].shape if z0 is None else z0.shape
    D, P = M + hidden[0], weights.shape[1]
    splits = 1 if path is None else min(T, SPLITS)
    span = -(-T // splits)
    integers = (
        B,
        T,
        M,
        D,
        P,
        span,
        s["first_step"],
        len(hidden) - 1,
        hidden[-1],
        P - (hidden[-1] + 1) * M,
        sum(hidden),
    )
    integers += tuple(_models(s[name]) for name in ("drive", "noise", "lengths"))
    constants = {
        "PATH": path is not None,
        "SHIFT": path is None or z0 is not None,
        "HAS_DRIVE": s["drive"] is not None,
        "HAS_LENGTHS": s["lengths"] is not None,
    }
    return (E, B, M, D), integers, constants, -(-T // span)


def _rows(signal, lengths, E):
    """The rows [E, B T, columns] of a signal, 0 past the end of a sequence."""
    if lengths is not None:
        late = torch.arange(signal.shape[2], device=signal.device) >= lengths[..., None]
        signal = signal.masked_fill(late[..., None], 0)
    return signal.flatten(1, 2).expand(E, -1, -1)


def _parts_of_V(s):
    """(name, signal, its rows of V [E, columns, D]) for each signal there is."""
    names = [name for name in ("x", "e") if s[name] is not None]
    parts = s["V"].split([s[name].shape[3] for name in names], 1)
    return [(name, s[name], part) for name, part in zip(names, parts, strict=True)]


def _driven(s):
    """What is added before the gate and the first hidden layer: one matrix product for each signal."""
    drive, V = s["drive"], s["V"]
    if V is None:
        return drive
    found = None if drive is None else drive.flatten(1, 2).expand(len(V), -1, -1)
    for _, signal, part in _parts_of_V(s):
        rows = _rows(signal, s["lengths"], len(V))
        found = torch.bmm(rows, part) if found is None else torch.baddbmm(found, rows, part)
    return found.view(len(V), *signal.shape[1:3], -1)


def _signal_gradients(s, ddrive):
    """Gradients of e and V for that of what they add [E, B, T, D], 0 past the end of a sequence."""
    rows, E, found = ddrive.flatten(1, 2), len(s["V"]), {}
    parts = _parts_of_V(s)
    if "V" in s["wanted"]:
        found["V"] = torch.cat([torch.bmm(_rows(x, s["lengths"], E).mT, rows) for _, x, _ in parts], 1)
    if "e" in s["wanted"]:
        found["e"] = torch.bmm(rows, parts[-1][2].mT).view(s["e"].shape)
    return found


def _kind(s) -> int:
    return GIVEN if s["noise"] is not None else DRAWN if s["noise_seed"] is not None else NO_NOISE


@torch.no_grad()
def forward(
    weights, z0, path, drive, x, e, V, a, sigma, noise, noise_seed, noise_stream, lengths,
    *, hidden, steps, first_step=0, config=None,
):  # fmt: skip
    """((z, mu, z_final), saved): every element of the outputs is written."""
    s = dict(locals())
    s["drive"] = drive = _driven(s)
    (E, B, M, _), integers, constants, splits = _plan(s, steps)
    kept = steps if path is None else 0
    z, mu = weights.new_empty(E, B, kept, M), weights.new_empty(E, B, steps, M)
    z_final = weights.new_empty(E, B, M if path is None else 0)
    chosen = launch(B, M, hidden, weights.dtype, config)
    values = weights.new_empty(E * B * splits * sum(hidden) if chosen["DEEP"] else 0)
    tensors = _stand_ins((weights, z0, path, drive, a, sigma, noise, noise_seed, noise_stream, lengths), weights)
    forward_kernel[(-(-B // chosen["BLOCK_B"]), E, splits)](
        z, mu, z_final, values, *tensors, _table(M, hidden, weights.device), *integers, NOISE=_kind(s), **constants,
        **chosen,
    )  # fmt: skip
    return (z, mu, z_final), {"z": z}


@torch.no_grad()
def backward(saved, grads, config=None):
    """Gradients of the arguments named in saved["wanted"]; the gradient of an output may be None."""
    s, wanted, T = {**saved, "drive": _driven(saved)}, saved["wanted"], saved["steps"]
    weights, z0, path, hidden = s["weights"], s["z0"], s["path"], s["hidden"]
    (E, B, M, D), integers, constants, splits = _plan(s, T)
    units, noise = sum(hidden), _kind(s) if "sigma" in wanted else NO_NOISE
    new = weights.new_empty
    dz0, dpath, sums = new(E, B, M), new(E, B, 0 if path is None else T, M), new(E, B, M if noise else 0)
    xs, ss = new(E, B, T, units), new(E, B, T, units + 2 * M)
    states = (s["z"] if path is None else path).contiguous()
    dz, dmu, dz_final = (None if x is None or x.numel() == 0 else x for x in (grads[n] for n in ("z", "mu", "z_final")))
    given = (dz, dmu, dz_final, weights, z0, states, s["drive"], s["a"], s["noise"], s["noise_seed"],
             s["noise_stream"], s["lengths"])  # fmt: skip
    chosen = launch(B, M, hidden, weights.dtype, config)
    backward_kernel[(-(-B // chosen["BLOCK_B"]), E, splits)](
        dz0, dpath, sums, xs, ss, *_stand_ins(given, weights), _table(M, hidden, weights.device), *integers,
        NOISE=noise, HAS_DZ=dz is not None, HAS_DMU=dmu is not None, HAS_FINAL=dz_final is not None, **constants,
        **chosen,
    )  # fmt: skip
    if path is not None and z0 is not None:
        dpath[:, :, -1] = 0
    found = {"z0": dz0, "path": dpath}
    if "sigma" in wanted:
        found["sigma"] = s["a"].sqrt()[:, None] * sums.sum(1)
    ddrive = ss[..., :D]
    if "drive" in wanted:
        found["drive"] = ddrive.sum(0, keepdim=True) if saved["drive"].shape[0] < E else ddrive.contiguous()
    if s["V"] is not None:
        found |= _signal_gradients(s, ddrive)
    if "weights" in wanted:
        before = states if not constants["SHIFT"] else torch.cat([z0[:, :, None], states[:, :, :-1]], 2)
        if s["lengths"] is not None and path is not None:
            inside = torch.arange(T, device=before.device) < s["lengths"][..., None]
            before = torch.where(inside[..., None], before, before.new_zeros(()))
        found["weights"] = _weight_gradients(before, xs, ss, M, hidden)
    return {n: found[n] for n in wanted}


def _weight_gradients(before, xs, ss, M, hidden):
    """One product per layer over all sequences and steps, [E, P]."""
    before, xs, ss = (x.flatten(1, 2) for x in (before, xs, ss))
    inputs = (before, *xs.split(hidden, 2))
    outputs = ss.split((M + hidden[0], *hidden[1:], M), 2)
    parts = []
    for x, dq in zip(inputs, outputs, strict=True):
        parts += [(x.mT @ dq).flatten(1), dq.sum(1)]
    return torch.cat(parts, 1)
