"""The encoder: a bidirectional GRU over counts and inputs, with input weights of its own for each session."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from neurorbit.bindings.latent_sde_elbo import GruWeights
from neurorbit.bindings.rollout_gru import rollout_gru
from neurorbit.engine.models.findr.initialise import bias, lecun, orthogonal_gates, stacked


class Encoder(nn.Module):
    """E encoders: outputs e [E, B, T, 2 K], forward then backward; the backward direction starts at each trial's end.

    Args:
        n_neurons: N of each session. n_inputs: U. size: K. seeds: one per model.
    """

    def __init__(
        self, n_neurons: Sequence[int], n_inputs: int, size: int, seeds: Sequence[int], backend: str | None = None
    ) -> None:
        super().__init__()
        self.size, K, self.backend = size, size, backend
        self.W_in = nn.ModuleList(
            stacked(seeds, 100 + s, lambda g, rows=N + n_inputs: {"W": lecun(g, rows, 6 * K)})  # type: ignore[misc]
            for s, N in enumerate(n_neurons)
        )
        self.own = stacked(
            seeds, 1,
            lambda g: {
                "W": torch.stack([orthogonal_gates(g, K) for _ in range(2)]),
                "b_in": bias(g, 6 * K),
                "b": bias(g, 2, 3 * K),
            },
        )  # fmt: skip

    def weights(self, session: int = 0) -> GruWeights:
        """As the rollout takes them."""
        own, gates = self.own, (2, 3 * self.size)
        W_in = self.W_in[session]["W"].unflatten(2, gates)  # type: ignore[index]
        return GruWeights(W_in, own["b_in"].unflatten(1, gates), own["W"], own["b"])

    def forward(self, counts: Tensor, inputs: Tensor | None, lengths: Tensor, session: int = 0) -> Tensor:
        """counts [E or 1, B, T, N], whole or as expected (floats), inputs [E or 1, B, T, U], lengths [E or 1, B].

        What follows a trial's end has no effect.
        """
        W_in, b_in, W, b = self.weights(session)
        y: Tensor | None = counts
        if counts.is_floating_point():  # signals, whose rows of the weights follow one another
            y, known = None, [t for t in (counts, inputs) if t is not None]
            models = max(len(t) for t in known)
            inputs = torch.cat([t.expand(models, -1, -1, -1) for t in known], 3)
        h = rollout_gru(None, W, b, y=y, x=inputs, W_in=W_in, b_in=b_in, lengths=lengths, backend=self.backend).h
        return h.flatten(3)
