"""Eager torch: nn.GRU over packed sequences, a loop over the bins for the flow, dense rates, torch's Adam."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from neurorbit.bindings.poisson_readout import FLOOR_HZ

Parameters = dict[str, Tensor]


class EagerFindr(nn.Module):
    """One model with the parameters of ours; `loss` of a batch is the negative log-likelihood and the KL per bin."""

    def __init__(self, parameters: Parameters, bin_s: float, tau_s: float, noise_level: float) -> None:
        super().__init__()
        self.bin_s, self.a, self.noise_level = bin_s, bin_s / tau_s, noise_level
        W, b = parameters["encoder.own.W"], parameters["encoder.own.b"]
        K = W.shape[1]
        W_in, b_in = parameters["encoder.W_in.0.W"], parameters["encoder.own.b_in"]
        self.gru = nn.GRU(W_in.shape[0], K, batch_first=True, bidirectional=True)
        with torch.no_grad():
            for k, end in enumerate(("", "_reverse")):
                half = slice(3 * K * k, 3 * K * (k + 1))
                getattr(self.gru, f"weight_ih_l0{end}").copy_(W_in[:, half].T)
                getattr(self.gru, f"bias_ih_l0{end}").copy_(b_in[half])
                getattr(self.gru, f"weight_hh_l0{end}").copy_(W[k].T)
                getattr(self.gru, f"bias_hh_l0{end}").copy_(b[k])
        others = {n: v for n, v in parameters.items() if not n.startswith("encoder")}
        self.own = nn.ParameterDict({n.replace(".", "_"): nn.Parameter(v.clone()) for n, v in others.items()})

    def drift(self, part: str, z: Tensor, drive: Tensor) -> Tensor:
        """The gated drift; drive is x V."""
        p, M = self.own, z.shape[-1]
        g = torch.sigmoid(z @ p[f"{part}_own_Wg"] + p[f"{part}_own_bg"] + drive[..., :M])
        h = F.silu(z @ p[f"{part}_own_W1"] + p[f"{part}_own_b1"] + drive[..., M:])
        return g * (torch.tanh(h @ p[f"{part}_own_Wo"] + p[f"{part}_own_bo"]) - z)

    def terms(self, y: Tensor, u: Tensor, lengths: Tensor, by_trial: Tensor, by_bin: Tensor, eps: Tensor) -> Tensor:
        """(negative log-likelihood, KL) per bin."""
        B, T, _ = y.shape
        x = torch.cat((y.float(), u), -1)
        packed = nn.utils.rnn.pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
        e, _ = nn.utils.rnn.pad_packed_sequence(self.gru(packed)[0], batch_first=True, total_length=T)
        sigma = self.noise_level * torch.sigmoid(self.own["s"])
        drive = torch.cat((u, e), -1) @ self.own["posterior_own_V"]
        prior = u @ self.own["flow_own_V"]
        z, path, mus, before = y.new_zeros(B, len(sigma), dtype=torch.float32), [], [], []
        for t in range(T):
            mu = self.drift("posterior", z, drive[:, t])
            before.append(z)
            z = z + self.a * mu + self.a**0.5 * sigma * eps[:, t]
            path.append(z)
            mus.append(mu)
        valid = (torch.arange(T) < lengths[:, None]).float()
        theta = self.drift("flow", torch.stack(before, 1), prior)
        kl = (self.a / 2 * ((theta - torch.stack(mus, 1)) / sigma).square()).sum(-1)
        inside = torch.stack(path, 1) @ self.own["readout_0_C"].T + by_trial[:, None] + by_bin
        expected = self.bin_s * (F.softplus(inside) + FLOOR_HZ)
        cost = (expected - y * expected.log() + torch.lgamma(y + 1.0)).sum(-1)
        return torch.stack(((cost * valid).sum(), (kl * valid).sum())) / valid.sum()
