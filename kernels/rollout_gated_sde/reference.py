"""Definition of rollout_gated_sde in plain torch: the law that the numba and Triton twins are held to."""

import torch
from torch import Tensor

from neurorbit.kernels.noise_common import normal_noise
from neurorbit.kernels.rollout_gated_sde.spec import layers_of


def unpack(weights: Tensor, M: int, hidden) -> list[tuple[Tensor, Tensor]]:
    """(W [E, inputs, outputs], b [E, 1, outputs]) of each layer."""
    layers, start = [], 0
    for inputs, outputs in layers_of(M, hidden):
        middle, end = start + inputs * outputs, start + (inputs + 1) * outputs
        layers.append((weights[:, start:middle].unflatten(1, (inputs, outputs)), weights[:, None, middle:end]))
        start = end
    return layers


def driven(drive, x, e, V, lengths):
    """What is added before the gate and the first hidden layer, [E or 1, B, T, D]: the drive, and x and e times V."""
    if V is None:
        return drive
    rows = torch.cat([t.expand(len(V), *t.shape[1:]) for t in (x, e) if t is not None], 3)
    if lengths is not None:  # later steps may hold anything
        late = torch.arange(rows.shape[2], device=rows.device) >= lengths[..., None]
        rows = torch.where(late[..., None], torch.zeros_like(rows), rows)
    found = (rows.flatten(1, 2) @ V).unflatten(1, rows.shape[1:3])
    return found if drive is None else found + drive


def drift(z: Tensor, layers, drive_t) -> Tensor:
    """g (-z + h) for z [E, B, M], g the gate and h the end of the hidden layers."""
    (W, b), *others = layers
    q = z @ W + b
    if drive_t is not None:
        q = q + drive_t
    gate, x = q.split((z.shape[2], q.shape[2] - z.shape[2]), dim=2)
    for W, b in others:
        x = (x * torch.sigmoid(x)) @ W + b
    return torch.sigmoid(gate) * (torch.tanh(x) - z)


def forward(
    weights, z0, path, drive, x, e, V, a, sigma, noise, noise_seed, noise_stream, lengths, *, hidden, steps,
    first_step=0,
):  # fmt: skip
    """(z [E, B, T, M], mu [E, B, T, M], z_final [E, B, M]); with a path z has no steps and z_final no states."""
    start = path[:, :, 0] if z0 is None else z0
    drive = driven(drive, x, e, V, lengths)
    layers = unpack(weights, start.shape[2], hidden)
    state, states, drifts = start, [], []
    zero = torch.zeros_like(start)
    share = a[:, None, None]
    for t in range(steps):
        active = torch.ones_like(start[..., :1], dtype=torch.bool) if lengths is None else (t < lengths)[..., None]
        if path is not None and (z0 is None or t > 0):
            state = torch.where(active, path[:, :, t if z0 is None else t - 1], zero)
        drive_t = None if drive is None else torch.where(active, drive[:, :, t], torch.zeros_like(drive[:, :, t]))
        mu = drift(state, layers, drive_t)
        drifts.append(torch.where(active, mu, zero))
        if path is None:
            new = state + share * mu
            if sigma is not None:
                eps = noise[:, :, t] if noise is not None else None
                if eps is None:
                    eps = normal_noise(noise_seed, noise_stream, first_step + t, start.shape[2], start.dtype)
                new = new + share.sqrt() * sigma[:, None] * torch.where(active, eps, torch.zeros_like(eps))
            states.append(torch.where(active, new, zero))
            state = torch.where(active, new, state)
    if path is not None:
        return start.new_empty(*start.shape[:2], 0, start.shape[2]), torch.stack(drifts, 2), start[..., :0]
    return torch.stack(states, 2), torch.stack(drifts, 2), state
