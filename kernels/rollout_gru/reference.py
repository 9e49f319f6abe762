"""Definition of rollout_gru in plain torch: the law that the numba and Triton twins are held to."""

import torch


def driven(drive, y, x, W_in, b_in, lengths, like):
    """What reaches the gates in every bin [E, B, T, D, 3 H]: the drive, and counts and signals times their weights."""
    if W_in is None:
        return drive
    known = [t.to(like.dtype) for t in (y, x) if t is not None]
    models = max(t.shape[0] for t in known)
    rows = torch.cat([t.expand(models, *t.shape[1:]) for t in known], 3)
    if lengths is not None:  # later bins may hold anything
        late = torch.arange(rows.shape[2], device=rows.device) >= lengths[..., None]
        rows = torch.where(late[..., None], torch.zeros_like(rows), rows)
    found = (rows.flatten(1, 2) @ W_in.flatten(2)).unflatten(1, rows.shape[1:3]).unflatten(3, W_in.shape[2:])
    if b_in is not None:
        found = found + b_in[:, None, None]
    return found if drive is None else found + drive


def forward(W, drive, b, y, x, W_in, b_in, h0, lengths):
    """The rollout: (h [E, B, T, D, H], h_final [E, B, D, H])."""
    drive = driven(drive, y, x, W_in, b_in, lengths, W)
    E, B, T, D, _ = drive.shape
    H = W.shape[2]
    if lengths is None:
        lengths = torch.full((1, B), T, device=drive.device)
    outputs, finals = [], []
    for d in range(D):
        state = drive.new_zeros(E, B, H) if h0 is None else h0[:, :, d]
        states = [None] * T
        for t in range(T) if d == 0 else reversed(range(T)):
            y = state @ W[:, d]
            if b is not None:
                y = y + b[:, d, None]
            x_r, x_z, x_n = drive[:, :, t, d].split(H, -1)
            y_r, y_z, y_n = y.split(H, -1)
            r, z = torch.sigmoid(x_r + y_r), torch.sigmoid(x_z + y_z)
            n = torch.tanh(x_n + r * y_n)
            active = (t < lengths)[..., None]
            state = torch.where(active, (1 - z) * n + z * state, state)
            states[t] = torch.where(active, state, torch.zeros_like(state))
        outputs.append(torch.stack(states, 2))
        finals.append(state)
    return torch.stack(outputs, 3), torch.stack(finals, 2)
