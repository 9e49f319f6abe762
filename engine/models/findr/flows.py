"""Drifts of E models: the gated network of prior and posterior, and attractors of a few parameters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from neurorbit.bindings.latent_sde_elbo import DrivenDrift
from neurorbit.bindings.rollout_gated_sde import GatedWeights, gated_drift, rollout_gated_sde
from neurorbit.engine.models.findr.initialise import bias, lecun, on_latents, stacked


class GatedFlow(nn.Module):
    """f(z, x) = g (-z + h): g = sigmoid(z Wg + bg + x Vg), h = tanh of a network with silu layers, x in the first one.

    Args:
        latent_dim: M. features: units of the hidden layers. n_inputs: size D of x. seeds: one per model. part: which
            draws of a seed.
    """

    def __init__(
        self,
        latent_dim: int,
        features: Sequence[int],
        n_inputs: int,
        seeds: Sequence[int],
        part: int,
        backend: str | None,
    ) -> None:
        super().__init__()
        M, widths = latent_dim, tuple(features)
        self.depth, self.backend = len(widths), backend

        def draw(g: torch.Generator) -> dict[str, Tensor]:
            found = {"Wg": on_latents(g, M, M), "bg": bias(g, M)}
            for k, (rows, columns) in enumerate(zip((M, *widths), widths, strict=False)):
                found[f"W{k + 1}"] = on_latents(g, rows, columns) if k == 0 else lecun(g, rows, columns)
                found[f"b{k + 1}"] = bias(g, columns)
            found |= {"Wo": lecun(g, widths[-1], M), "bo": bias(g, M)}
            if n_inputs:
                found["V"] = lecun(g, n_inputs, M + widths[0])
            return found

        self.own = stacked(seeds, part, draw)

    def weights(self) -> GatedWeights:
        """As the rollout takes them."""
        own = self.own
        further = tuple((own[f"W{k}"], own[f"b{k}"]) for k in range(2, self.depth + 1))
        return GatedWeights(own["Wg"], own["bg"], own["W1"], own["b1"], own["Wo"], own["bo"], further)

    def driven(self) -> DrivenDrift:
        """These weights and those of what drives the drift."""
        return DrivenDrift(self.weights(), self.own["V"] if "V" in self.own else None)

    def along(self, z: Tensor, z0: Tensor, x: Tensor | None, lengths: Tensor | None) -> Tensor:
        """Drifts [E, B, T, M] at the states before z [E, B, T, M]."""
        return gated_drift(z, self.weights(), z0=z0, lengths=lengths, backend=self.backend, **self._signals(x))

    def at(self, z: Tensor, x: Tensor | None = None) -> Tensor:
        """Drifts [E, B, T, M] at states [E, B, T, M]; x [E or 1, B, T, D], 0 when None."""
        return gated_drift(z, self.weights(), backend=self.backend, **self._signals(x))

    def roll_out(
        self, z0: Tensor, x: Tensor | None, a: float, sigma: Tensor, noise_seed: Tensor | None, lengths: Tensor | None,
        steps: int, first_step: int = 0, *, e: Tensor | None = None, V: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:  # fmt: skip
        """States and drifts [E, B, T, M]; noise from the stream of each sequence's number, none without a seed.

        x [E or 1, B, T, U] and after it e [E, B, T, S] drive it through V [E, U + S, M + H], its own when None.
        """
        E, B, _ = z0.shape
        noise = {}
        if noise_seed is not None:
            streams = torch.arange(B, device=z0.device).expand(E, B)
            noise = {"sigma": sigma, "noise_seed": noise_seed, "noise_stream": streams}
        found = rollout_gated_sde(z0, self.weights(), a=a, lengths=lengths, steps=steps, first_step=first_step,
                                  backend=self.backend, **noise, **self._signals(x, e, V))  # fmt: skip
        return found.z, found.mu

    def _signals(self, x: Tensor | None, e: Tensor | None = None, V: Tensor | None = None) -> dict[str, Tensor]:
        """What drives the drift, as its functions take it; nothing where there is nothing."""
        if V is None and "V" in self.own:
            V = self.own["V"]
        known = {"x": x, "e": e, "V": V}
        return {} if V is None or (x is None and e is None) else {n: v for n, v in known.items() if v is not None}


class AttractorFlow(nn.Module):
    """A line or two sinks along the first of two latents; the second one decays.

    line: f = (v_1 u, -d z_2 + v_2 u). bistable: f = (k z_1 (1 - (z_1 / r)^2) + v_1 u, -d z_2 + v_2 u): sinks at +-r.
    Parameters: log d, log k, log r, V [E, U, 2].
    """

    def __init__(self, kind: str, n_inputs: int, seeds: Sequence[int], part: int) -> None:
        super().__init__()
        self.kind = kind

        def draw(g: torch.Generator) -> dict[str, Tensor]:
            found = {"log_d": bias(g, 1)}
            if kind == "bistable":
                found |= {"log_k": bias(g, 1), "log_r": bias(g, 1)}
            if n_inputs:
                found["V"] = lecun(g, n_inputs, 2)
            return found

        self.own = stacked(seeds, part, draw)

    def at(self, z: Tensor, x: Tensor | None = None) -> Tensor:
        """Drifts [E, B, T, 2] at states [E, B, T, 2]; x [E or 1, B, T, U], 0 when None."""
        return attractor_drift(self.kind, dict(self.own.items()), z, x)

    def along(self, z: Tensor, z0: Tensor, x: Tensor | None, lengths: Tensor | None) -> Tensor:
        """Drifts [E, B, T, 2] at the states before z."""
        mu = self.at(torch.cat((z0[:, :, None], z[:, :, :-1]), 2), x)
        if lengths is None:
            return mu
        t = torch.arange(z.shape[2], device=z.device)
        return mu * (t < lengths[..., None])[..., None]

    def roll_out(
        self, z0: Tensor, x: Tensor | None, a: float, sigma: Tensor, noise_seed: Tensor | None, lengths: Tensor | None,
        steps: int, first_step: int = 0,
    ) -> tuple[Tensor, Tensor]:  # fmt: skip
        """States and drifts [E, B, T, 2], one step after the other; the noise is drawn from torch's own generator."""
        E, B, M = z0.shape
        eps = torch.zeros(E, B, steps, M)
        if noise_seed is not None:
            for e, seed in enumerate(noise_seed.tolist()):
                eps[e] = torch.randn(B, steps, M, generator=torch.Generator().manual_seed(seed + first_step))
        z, path, drifts = z0, [], []
        scaled = eps.to(z0) * (a**0.5 * sigma)[:, None, None]
        for t in range(steps):
            mu = self.at(z[:, :, None], None if x is None else x[:, :, t : t + 1])[:, :, 0]
            z = z + a * mu + scaled[:, :, t]
            path.append(z)
            drifts.append(mu)
        states, mus = torch.stack(path, 2), torch.stack(drifts, 2)
        if lengths is not None:
            valid = (torch.arange(steps, device=z0.device) < lengths[..., None])[..., None]
            states, mus = states * valid, mus * valid
        return states, mus


def attractor_drift(kind: str, own: Mapping[str, Tensor], z: Tensor, x: Tensor | None) -> Tensor:
    """Drifts [E, B, T, 2] of the parameters of an AttractorFlow."""
    size = {name: value.exp()[:, None] for name, value in own.items() if name != "V"}  # [E, 1, 1]
    z1, z2 = z.unbind(-1)
    along = torch.zeros_like(z1)
    if kind == "bistable":
        along = size["log_k"] * z1 * (1 - (z1 / size["log_r"]).square())
    f = torch.stack((along, -size["log_d"] * z2), -1)
    if x is None or "V" not in own:
        return f
    return f + torch.einsum("ebtu,eum->ebtm", x.expand(len(f), *x.shape[1:]), own["V"])
