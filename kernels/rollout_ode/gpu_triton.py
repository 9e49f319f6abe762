"""GPU twin of rollout_ode: one launch for all steps of all initial states, one for the adjoint."""

import math

import torch

from neurorbit.kernels.rollout_ode.fields import field_named
from neurorbit.kernels.rollout_ode.triton_rows import backward_rows, forward_rows
from neurorbit.kernels.rollout_ode.triton_states import backward_states, forward_states
from neurorbit.kernels.triton_common import padded

# BLOCK: initial states of one program, in form "states" one or more per thread; ROWS: the most values [B, M, H] of a
# product inside a program in form "rows".
CONFIGS = (
    {"BLOCK": 128, "ROWS": 512, "num_warps": 4},
    {"BLOCK": 256, "ROWS": 2048, "num_warps": 4},
    {"BLOCK": 32, "ROWS": 256, "num_warps": 1},
)
PROGRAMS = 2048  # at most this many partial parameter gradients
RECOMPUTED_STATES = 16  # longer segments of states that were not kept are computed again in chunks
TABLEAUS = {  # (a, b): stage s is taken at z + a_s dt k_{s-1}, and z' = z + dt sum b_s k_s
    "euler": ((0.0,), (1.0,)),
    "heun": ((0.0, 1.0), (0.5, 0.5)),
    "rk4": ((0.0, 0.5, 0.5, 1.0), (1 / 6, 1 / 3, 1 / 3, 1 / 6)),
}


def launch(form: str, M: int, H: int, U: int, config: dict | None) -> dict:
    """Constants of the kernels for these sizes; rows without a hidden layer need few registers each."""
    config = config or CONFIGS[0]
    if form == "states":
        return {"BLOCK_B": config["BLOCK"], "num_warps": config["num_warps"]}
    block_m, block_h, block_u = padded(M), padded(H), padded(U)
    product = block_m * max(block_h, block_u, block_m) if H else block_m
    rows = config["ROWS"] if H else 64 * config["num_warps"]
    return {
        "BLOCK_B": max(1, min(config["BLOCK"], rows // product)),
        "BLOCK_M": block_m,
        "BLOCK_H": block_h,
        "BLOCK_U": block_u,
        "num_warps": max(config["num_warps"], min(8, product // 256)),
    }


def _prepared(a, config):
    """Sizes, constants and tensors that both directions need."""
    law, z0, drive = field_named(a["field"]), a["z0"], a["drive"]
    M, P = z0.shape[2], a["parameters"].shape[1]
    U = 0 if drive is None else drive.shape[3]
    H = law.hidden(P, M, 0 if law.inputs == "added" else U)
    a_s, b_s = TABLEAUS[a["method"]]
    tableau = torch.tensor([*a_s, 0.0, *b_s], dtype=torch.float64) * a["dt"]
    constants = {"S": len(a_s), "ADDED": law.inputs == "added" and drive is not None}
    sizes = {"P": P, "U": U, "M": M} | ({} if law.form == "states" else {"H": H})
    inputs = z0 if drive is None else drive.contiguous()
    models = 1 if drive is None else drive.shape[0]
    return law, constants | sizes | launch(law.form, M, H, U, config), tableau.to(z0), inputs, models


@torch.no_grad()
def forward(z0, parameters, drive, *, field, method, dt, steps, keep_every=1, config=None):
    """((z, z_final), saved): every element of the outputs is written."""
    law, constants, tableau, inputs, models = _prepared(locals(), config)
    E, B, M = z0.shape
    kept = steps // keep_every if keep_every else 0
    z, z_final = z0.new_empty(E, B, kept, M), z0.new_empty(E, B, M)
    kernel = forward_states if law.form == "states" else forward_rows
    kernel[(-(-B // constants["BLOCK_B"]), E)](
        z, z_final, z0.contiguous(), parameters.contiguous(), inputs, tableau, B=B, T=steps, kept=kept,
        keep_every=keep_every, drive_models=models, FIELD=law.function("triton"), KEEPS=kept > 0, **constants,
    )  # fmt: skip
    return (z, z_final), {"z": z}


@torch.no_grad()
def backward(saved, grads, config=None):
    """Gradients of the arguments named in saved["wanted"]."""
    s, wanted, z0, T = saved, saved["wanted"], saved["z0"], saved["steps"]
    law, constants, tableau, inputs, models = _prepared(saved, config)
    (E, B, M), P, U = z0.shape, constants["P"], constants["U"]
    segment = s["keep_every"] or T
    chunk = min(segment, T) if segment <= RECOMPUTED_STATES else math.isqrt(segment - 1) + 1
    blocks = -(-B // constants["BLOCK_B"])
    programs = max(1, min(blocks, PROGRAMS // E))
    rows = E * blocks * constants["BLOCK_B"]
    states = law.form == "states"
    direct = states and segment == 1
    firsts = z0.new_empty(0 if direct else rows * -(-segment // chunk) * M)
    inner = z0.new_empty(0 if direct else rows * chunk * M)
    dz0 = z0.new_empty(E, B, M)
    partial = z0.new_empty(E, programs, P) if states else z0.new_zeros(E, programs, P)
    ddrive = z0.new_empty(E, B, T, U) if "drive" in wanted else None
    tensors = [
        dz0, partial, dz0 if ddrive is None else ddrive, grads["z"], grads["z_final"], s["z"], z0, s["parameters"],
        inputs, tableau, firsts, inner,
    ]  # fmt: skip
    if states:
        constants["DIRECT"] = direct
    else:
        tensors.append(z0.new_empty(rows * constants["S"] * M))
    kernel = backward_states if states else backward_rows
    kernel[(programs, E)](
        *(x.contiguous() for x in tensors), B=B, T=T, kept=s["z"].shape[2], segment=segment, chunk=chunk,
        drive_models=models, blocks=blocks, FIELD=law.function("triton"), VJP=law.function("triton_vjp"),
        WANTS_DRIVE=ddrive is not None, **constants,
    )  # fmt: skip
    if ddrive is not None and s["drive"].shape[0] < E:
        ddrive = ddrive.sum(0, keepdim=True)
    found = {"z0": dz0, "parameters": partial.sum(1), "drive": ddrive}
    return {n: found[n] for n in wanted}
