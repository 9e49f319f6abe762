"""Settings of a FINDR fit. Imports no torch, so that the command line starts fast."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

from neurorbit.engine.training.checks import require

Flow = Literal["free", "line", "bistable"]
PUBLISHED_RATES = tuple(10.0**k for k in (-2.0, -1.625, -1.25, -0.875, -0.5))
PUBLISHED_FEATURES, PUBLISHED_ENCODERS = (30, 50, 100), (50, 100, 200)
MOST_LATENTS, MOST_HIDDEN = 32, 512


@dataclass(frozen=True)
class ModelConfig:
    """Flow and observation, beside the sizes."""

    flow: Flow = "free"
    """free: the gated network; line, bistable: two-dimensional attractors of a few parameters, to test a hypothesis."""
    posterior: Literal["own", "tied"] = "own"
    """own: the posterior's drift has weights of its own; tied: those of the flow, and the encoder adds to the gate and
    the first layer, so that spikes teach the flow directly."""
    link: Literal["softplus", "exp"] = "softplus"
    """From latents and baseline to rates."""
    exact_baseline: bool = True
    """Without latents the rates are those of the baseline; otherwise the baseline (Hz) enters a softplus as it is."""
    bias: bool = False
    """Learn a bias per neuron beside the baseline."""
    noise_level: float = 1.0
    """Largest standard deviation of the noise: sigma = noise_level sigmoid(s) (> 0)."""
    noise_start: float = 0.0
    """s at the start."""
    gate_start: float = 0.0
    """Bias of the gates at the start: 0 half open, 2 nearly open."""
    readout_start: Literal["random", "principal"] = "random"
    """Readout at the start: normal weights, or the principal axes of the smoothed rates of the training trials."""
    readout_hz: float = 0.7
    """Standard deviation of random readout weights at the start (> 0)."""
    principal_sd: float = 0.5
    """Standard deviation that the first latent has behind a principal readout at the start (> 0)."""
    tau_s: float = 0.1
    """Time constant of the flow in seconds (> 0)."""
    irrelevant_size: int = 0
    """Hidden units of an autonomous GRU for what is the same in all trials (0: none)."""

    def check(self) -> None:
        """ValueError for a setting out of its range."""
        for name in ("noise_level", "readout_hz", "principal_sd", "tau_s"):
            require(getattr(self, name) > 0, f"model.{name}", "> 0", getattr(self, name))
        if self.posterior == "tied" and self.flow != "free":
            raise ValueError(f"model.posterior: expected own with the flow {self.flow}, got tied")
        for name in ("noise_start", "gate_start"):
            require(math.isfinite(getattr(self, name)), f"model.{name}", "a number", getattr(self, name))
        require(0 <= self.irrelevant_size <= MOST_HIDDEN, "model.irrelevant_size", f"0 to {MOST_HIDDEN}",
                self.irrelevant_size)  # fmt: skip


@dataclass(frozen=True)
class ObjectiveConfig:
    """Loss = negative log-likelihood + beta KL + L2, all per bin; beta = beta_max (1 - annealing^epoch)."""

    beta_max: float = 2.0
    """beta after the annealing (> 0)."""
    annealing: float = 0.99
    """How much of its distance beta keeps per epoch (0: beta_max at once; below 1)."""
    l2: float = 1e-7
    """Of the mean squares of all parameters but the task-irrelevant GRU's (>= 0)."""
    l2_irrelevant: float = 1e-4
    """Of the mean squares of the task-irrelevant GRU (>= 0)."""

    def check(self) -> None:
        """ValueError for a setting out of its range."""
        require(self.beta_max > 0, "loss.beta_max", "> 0", self.beta_max)
        require(0 <= self.annealing < 1, "loss.annealing", "0 to below 1", self.annealing)
        for name in ("l2", "l2_irrelevant"):
            require(getattr(self, name) >= 0, f"loss.{name}", ">= 0", getattr(self, name))

    def beta(self, epoch: int) -> float:
        """beta in an epoch."""
        return self.beta_max * (1.0 - self.annealing**epoch)

    @property
    def annealed(self) -> int:
        """Epoch in which beta has come within 1 % of beta_max; later states alone can be kept as the best."""
        return math.floor(math.log(0.01) / math.log(self.annealing)) if self.annealing > 0 else 0


@dataclass(frozen=True)
class TrainingConfig:
    """Optimiser, schedule of its rate, batches and bookkeeping."""

    optimiser: Literal["adam", "sgd"] = "adam"
    """adam (Kingma & Ba 2015), or the published stochastic gradient descent with momentum."""
    schedule: Literal["auto", "cosine", "restarts", "constant"] = "auto"
    """Course of the rate below its peak: half a cosine down to 0; the published warm restarts, cycles of 190 2^i
    epochs; none. auto: cosine for adam, restarts for sgd."""
    rise_epochs: int = 10
    """Epochs in which the rate rises to its peak, at the start and after restarts (>= 0)."""
    momentum: float = 0.9
    """Of sgd (0 to below 1)."""
    batch_size: int = 25
    """Trials per step and model (>= 1); what is left of the trials of an epoch is left out."""
    gradient_clip: float = 5.0
    """Largest norm of a model's gradient (0: no clipping)."""
    select: Literal["nll", "loss"] = "loss"
    """Which validation measure, after the annealing, decides the state that is kept: the likelihood alone, which is
    best early, while the flow is still poor, or with the KL."""
    evaluate_every: int = 10
    """Epochs between two looks at the validation trials (>= 1)."""
    checkpoint_every: int = 50
    """Epochs between two checkpoints (>= 1); one is also written on SIGTERM and SIGINT, and at the end."""

    def check(self) -> None:
        """ValueError for a setting out of its range."""
        require(0 <= self.momentum < 1, "training.momentum", "0 to below 1", self.momentum)
        for name in ("rise_epochs", "gradient_clip"):
            require(getattr(self, name) >= 0, f"training.{name}", ">= 0", getattr(self, name))
        for name in ("batch_size", "evaluate_every", "checkpoint_every"):
            require(getattr(self, name) >= 1, f"training.{name}", ">= 1", getattr(self, name))


@dataclass(frozen=True)
class GridConfig:
    """Shapes to train one after another; each is a launch of all folds, rates and runs."""

    features: tuple[int, ...] = ()
    """Values of features, one hidden layer each."""
    encoder_size: tuple[int, ...] = ()
    """Values of encoder_size."""
    latent_dim: tuple[int, ...] = ()
    """Values of latent_dim."""


@dataclass(frozen=True)
class FindrConfig:
    """Everything that decides the result of a fit, together with the data. PRESETS holds settings to start from."""

    latent_dim: int = 2
    """Latent dimensions M (1 to 32)."""
    features: tuple[int, ...] = (30,)
    """Units of each hidden layer of the flow (1 to 512)."""
    encoder_size: int = 50
    """Hidden units of each direction of the encoder (1 to 512)."""
    epochs: int = 3000
    """Passes through the training trials (>= 1)."""
    folds: int = 5
    """Parts of the trials: part k tests fold k, part k + 1 chooses, the others train (>= 3)."""
    fold: tuple[int, ...] = ()
    """Folds to fit; all when not given."""
    rates: tuple[float, ...] = (5e-3,)
    """Peak learning rates, each with all folds (> 0)."""
    runs: int = 1
    """Runs from different initial states, each with all folds and rates (>= 1)."""
    seed: int = 0
    """Seed of the first run (>= 0); the others count up from it."""
    fold_seed: int = 0
    """Seed by which the trials are shuffled into parts (>= 0)."""
    baseline: Literal["trial_and_time", "trial", "constant", "given"] = "trial_and_time"
    """Fitted before: by trial and by time within trials, by trial alone, or the mean; given: the file's baseline_hz."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where to train; auto: cuda when there is one."""
    backend: Literal["numba", "triton", "reference"] | None = None
    """Kernels to use; None chooses by device."""
    model: ModelConfig = field(default_factory=ModelConfig)
    loss: ObjectiveConfig = field(default_factory=ObjectiveConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    grid: GridConfig = field(default_factory=GridConfig)

    @property
    def chosen_folds(self) -> tuple[int, ...]:
        """Folds to fit."""
        return self.fold or tuple(range(self.folds))

    def check(self) -> None:
        """ValueError for a setting out of its range."""
        for M in (self.latent_dim, *self.grid.latent_dim):
            require(1 <= M <= MOST_LATENTS, "latent_dim", f"1 to {MOST_LATENTS}", M)
            if self.model.flow != "free":
                require(M == 2, "latent_dim", f"2 for the flow {self.model.flow}", M)
        require(len(self.features) >= 1, "features", "at least one hidden layer", self.features)
        for H in (*self.features, *self.grid.features):
            require(1 <= H <= MOST_HIDDEN, "features", f"1 to {MOST_HIDDEN} units per layer", H)
        for K in (self.encoder_size, *self.grid.encoder_size):
            require(1 <= K <= MOST_HIDDEN, "encoder_size", f"1 to {MOST_HIDDEN}", K)
        for name in ("epochs", "runs"):
            require(getattr(self, name) >= 1, name, ">= 1", getattr(self, name))
        for name in ("seed", "fold_seed"):
            require(0 <= getattr(self, name) < 2**31, name, "0 to 2^31", getattr(self, name))
        require(self.folds >= 3, "folds", ">= 3", self.folds)
        for k in self.fold:
            require(0 <= k < self.folds, "fold", f"0 to {self.folds - 1}", k)
        require(len(set(self.fold)) == len(self.fold), "fold", "each fold once", self.fold)
        require(len(self.rates) >= 1, "rates", "at least one", self.rates)
        for rate in self.rates:
            require(rate > 0, "rates", "> 0", rate)
        self.model.check()
        self.loss.check()
        self.training.check()
