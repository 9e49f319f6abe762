"""Definition of rollout_plrnn in plain torch: the law that the numba and Triton twins are held to."""

import torch
from torch import Tensor
from torch.nn.functional import relu


def activation(
    q: Tensor,  # [E, ..., K]
    *,
    cell: str,
    h2: Tensor | None,
    alpha: Tensor | None,
    thresholds: Tensor | None,
    n_relu: int,
) -> Tensor:
    """Basis functions phi(q) of the cell, [E, ..., K]."""
    lead = (q.shape[0],) + (1,) * (q.ndim - 2)
    if cell in ("plrnn", "plrnn-mc"):
        return relu(q)
    if cell == "shallow":
        return relu(q + h2.reshape(*lead, -1))
    if cell == "shallow-clipped":
        return relu(q + h2.reshape(*lead, -1)) - relu(q)
    if cell == "alrnn":
        n_linear = q.shape[-1] - n_relu
        return torch.cat([q[..., :n_linear], relu(q[..., n_linear:])], -1)
    bases = relu(q.unsqueeze(-1) - thresholds.reshape(*lead, *thresholds.shape[1:]))  # [E, ..., M, D]
    if cell == "dendritic-clipped":
        bases = bases - relu(q).unsqueeze(-1)
    return (bases * alpha.reshape(*lead, 1, -1)).sum(-1)


def step(z: Tensor, A, W1, h1, *, cell, W2=None, h2=None, alpha=None, thresholds=None, n_relu=0) -> Tensor:
    """One step z -> A z + W1 phi(q(z)) + h1 without input, for z [E, ..., M]."""
    E, M = A.shape
    lead = (E,) + (1,) * (z.ndim - 2)
    q = z
    if cell.startswith("shallow"):
        q = torch.einsum("ehm,e...m->e...h", W2, z)
    elif cell == "plrnn-mc":
        q = z - z.mean(-1, keepdim=True)
    phi = activation(q, cell=cell, h2=h2, alpha=alpha, thresholds=thresholds, n_relu=n_relu)
    return A.reshape(*lead, M) * z + torch.einsum("emk,e...k->e...m", W1, phi) + h1.reshape(*lead, M)


def forward(
    z0, A, W1, h1, W2, h2, alpha, thresholds, drive, z_hat, forcing_alpha, forcing_interval, lengths,
    *, cell, n_relu, steps, first_step=0, keep_every=1,
):  # fmt: skip
    """The rollout: (z [E, B, T // keep_every, M] before forcing, z_final [E, B, M] after it)."""
    kept, z = [], z0
    if z_hat is not None:
        n_forced = z_hat.shape[-1]
        observed = ~z_hat.isnan()
        signal = z_hat.nan_to_num()
        a = forcing_alpha[:, None, None]
    for t in range(steps):
        new = step(z, A, W1, h1, cell=cell, W2=W2, h2=h2, alpha=alpha, thresholds=thresholds, n_relu=n_relu)
        if drive is not None:
            new = new + drive[:, :, t]
        active = None if lengths is None else (t < lengths)[..., None]
        if keep_every and (t + 1) % keep_every == 0:
            kept.append(new if active is None else torch.where(active, new, torch.zeros_like(new)))
        if z_hat is not None:
            due = ((first_step + t + 1) % forcing_interval == 0)[:, None, None]
            forced = torch.where(
                due & observed[:, :, t], (1 - a) * new[..., :n_forced] + a * signal[:, :, t], new[..., :n_forced]
            )
            new = torch.cat([forced, new[..., n_forced:]], -1)
        z = new if active is None else torch.where(active, new, z)
    empty = z0.new_empty(*z0.shape[:2], 0, z0.shape[2])
    return (torch.stack(kept, 2) if kept else empty), z
