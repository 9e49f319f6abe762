"""The settings of a PLRNN configuration that its grid may vary."""

from __future__ import annotations

from neurorbit.engine.training.grid import Grid

GRID = Grid(
    {
        "learning_rate": "training",
        "alpha": "forcing",
        "interval": "forcing",
        "latent": "regularisation",
        "observation": "regularisation",
        "manifold": "regularisation",
        "stability": "regularisation",
        "latent_dim": "model",
        "hidden_dim": "model",
        "sequence_length": "training",
    },
    of_shape=("latent_dim", "hidden_dim", "sequence_length"),
)
