"""The settings of an identification that its grid may vary."""

from __future__ import annotations

from neurorbit.engine.models.identification.config import PENALTIES
from neurorbit.engine.training.grid import Grid

GRID = Grid(
    {
        "learning_rate": "training",
        "alpha": "model",
        "noise": "model",
        **dict.fromkeys(PENALTIES, "loss"),
        "hidden": "",
        "rank": "model",
        "sequence_length": "training",
    },
    of_shape=("hidden", "rank", "sequence_length"),
)
