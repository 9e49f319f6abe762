"""Settings of the training loop: those of every system, and of systems that train on sequences."""

from __future__ import annotations

from dataclasses import dataclass

from neurorbit.engine.training.checks import require


@dataclass(frozen=True)
class LoopConfig:
    """Learning rate and bookkeeping, the same for every system."""

    learning_rate: float = 1e-3
    """Learning rate at the first epoch (> 0)."""
    learning_rate_final: float = 1e-6
    """Learning rate at the last epoch (0: as at the first); between the two it decays exponentially per epoch."""
    gradient_clip: float = 0.0
    """Largest norm of a model's gradient (0: no clipping)."""
    log_every: int = 500
    """Steps between two rows per run in metrics.csv (>= 1)."""
    checkpoint_every: int = 5000
    """Steps between two checkpoints (>= 1); one is also written on SIGTERM and SIGINT, and at the end."""
    batches_per_epoch: int = 50
    """Steps per epoch (>= 1)."""

    def check(self) -> None:
        """ValueError for a setting out of its range."""
        require(self.learning_rate > 0, "training.learning_rate", "> 0", self.learning_rate)
        for name in ("learning_rate_final", "gradient_clip"):
            require(getattr(self, name) >= 0, f"training.{name}", ">= 0", getattr(self, name))
        for name in ("log_every", "checkpoint_every", "batches_per_epoch"):
            require(getattr(self, name) >= 1, f"training.{name}", ">= 1", getattr(self, name))


@dataclass(frozen=True)
class TrainingConfig(LoopConfig):
    """Optimiser, batches of sequences and bookkeeping."""

    batch_size: int = 16
    """Sequences per step and model, drawn with replacement (>= 1)."""
    sequence_length: int = 200
    """Predicted steps per sequence; a window holds one more (>= 1)."""
    observation_noise: float = 0.0
    """Standard deviation of Gaussian noise added to each batch, in units of the standardised data (>= 0)."""

    def check(self) -> None:
        """ValueError for a setting out of its range."""
        super().check()
        require(self.observation_noise >= 0, "training.observation_noise", ">= 0", self.observation_noise)
        for name in ("batch_size", "sequence_length"):
            require(getattr(self, name) >= 1, f"training.{name}", ">= 1", getattr(self, name))
