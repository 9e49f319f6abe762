"""Definition of rollout_leaky_rnn in plain torch: the law that the numba and Triton twins are held to."""

import torch
from torch import Tensor

from neurorbit.kernels.noise_common import normal_noise

PHI = {
    "relu_tanh": lambda x: torch.relu(torch.tanh(x)),
    "relu": torch.relu,
    "tanh": torch.tanh,
    "softplus": lambda x: torch.logaddexp(x, torch.zeros_like(x)),
}


def weighted(u: Tensor, W, L, Q, v_t, Wv) -> Tensor:
    """u (W + sum_d v_d Wv_d) for u [E, B, N]."""
    q = u @ W if L is None else (u @ L) @ Q.mT
    if v_t is not None:
        q = q + torch.einsum("ebd,edbn->ebn", v_t.expand(u.shape[0], -1, -1), u[:, None] @ Wv)
    return q


def forward(
    u0, W, L, Q, drive, b, v, Wv, alpha, noise, noise_seed, noise_stream, noise_sd, lengths,
    *, phi, unit_norm, steps, first_step=0,
):  # fmt: skip
    """The rollout: (u [E, B, T, N], r [E, B, T, N], u_final [E, B, N])."""
    u, states, rates = u0, [], []
    a = alpha[:, None, None]
    for t in range(steps):
        q = weighted(u, W, L, Q, None if v is None else v[:, :, t], Wv)
        if drive is not None:
            q = q + drive[:, :, t]
        if b is not None:
            q = q + b[:, None]
        r = PHI[phi](q)
        new = (1 - a) * u + a * r
        if noise is not None:
            new = new + noise[:, :, t]
        if noise_seed is not None:
            eps = normal_noise(noise_seed, noise_stream, first_step + t, u.shape[2], u.dtype)
            new = new + noise_sd[:, None, None] * eps
        if unit_norm:
            norm = torch.linalg.vector_norm(new, dim=-1, keepdim=True)
            new = new / torch.where(norm > 0, norm, torch.ones_like(norm))
        active = torch.ones_like(u0[..., :1], dtype=torch.bool) if lengths is None else (t < lengths)[..., None]
        zero = torch.zeros_like(new)
        states.append(torch.where(active, new, zero))
        rates.append(torch.where(active, r, zero))
        u = torch.where(active, new, u)
    return torch.stack(states, 2), torch.stack(rates, 2), u
