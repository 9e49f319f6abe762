"""Settings of a convSeq fit. Imports no torch, so that the command line starts fast."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from neurorbit.engine.training.checks import require
from neurorbit.engine.training.config import LoopConfig

Significance = Literal["crossfit", "surrogate", "random"]


@dataclass(frozen=True)
class FilterConfig:
    """Shape and form of the filters."""

    formulation: Literal["free", "gaussian"] = "free"
    """free: softmax over the lags of a free array per neuron; gaussian: one bump per neuron with a learned middle."""
    padding: int | None = None
    """Empty bins P before and after the recording (0 to width - 1); half the width when not given."""
    loadings: bool = False
    """A factor sigmoid(l) per neuron and filter."""
    sigma: float = 16.0
    """Standard deviation of the gaussian filters in bins (> 0)."""
    learn_sigma: bool = False
    """Learn the standard deviation of each gaussian filter."""

    def check(self, width: int) -> None:
        """ValueError for a setting out of its range."""
        require(self.sigma > 0, "model.sigma", "> 0", self.sigma)
        if self.padding is not None:
            require(0 <= self.padding < width, "model.padding", f"0 to width - 1 = {width - 1}", self.padding)
        if self.learn_sigma and self.formulation != "gaussian":
            raise ValueError(f"model.learn_sigma: needs model.formulation gaussian, got {self.formulation}")


@dataclass(frozen=True)
class LossConfig:
    """Factors of the terms beside minus the variance of the responses; 0 switches a term off."""

    total_variation: float | None = None
    """Factor of the mean squared difference of neighbouring bins of a response (>= 0). When not given, 200 for filters
    of 200 bins, and 200 (width / 200)^2 for others, so that a sequence in shorter bins is treated alike."""
    filter_variation: float = 0.0
    """Factor of the mean squared difference of neighbouring lags of a filter (>= 0)."""
    cross_correlation: float = 0.0
    """Factor of the mean eighth power of the cross-correlations of two responses, lags -100 to 100 (>= 0)."""
    response_similarity: float = 0.0
    """Factor of the mean cosine similarity of two smoothed responses (>= 0)."""
    filter_similarity: float = 0.0
    """Factor of the mean squared cross-correlation of two filters over all lags (>= 0)."""
    loading_similarity: float = 0.0
    """Factor of the mean correlation of the loadings of two filters (>= 0; needs model.loadings)."""
    power_entropy: float = 0.0
    """Factor of minus the entropy of the responses' power across filters (>= 0)."""

    def factors(self, width: int) -> dict[str, float]:
        """The factor of each term for filters of `width` bins."""
        given = {name: getattr(self, name) for name in TERMS}
        variation = 200.0 * (width / 200) ** 2 if self.total_variation is None else self.total_variation
        return given | {"total_variation": variation}

    def check(self, loadings: bool) -> None:
        """ValueError for a setting out of its range."""
        for name in TERMS:
            value = getattr(self, name)
            require(value is None or value >= 0, f"loss.{name}", ">= 0", value)
        if self.loading_similarity > 0 and not loadings:
            raise ValueError("loss.loading_similarity: needs model.loadings, which is off")


TERMS = (
    "total_variation",
    "filter_variation",
    "cross_correlation",
    "response_similarity",
    "filter_similarity",
    "loading_similarity",
    "power_entropy",
)
PAIRWISE = ("cross_correlation", "response_similarity", "filter_similarity", "loading_similarity", "power_entropy")


@dataclass(frozen=True)
class StoppingConfig:
    """A model whose detections no longer change is finished."""

    every: int = 100
    """Steps between two looks at the detections (>= 1)."""
    patience: int = 10
    """Looks without a change after which a model is finished (0: train to the last step)."""

    def check(self) -> None:
        """ValueError for a setting out of its range."""
        require(self.every >= 1, "stopping.every", ">= 1", self.every)
        require(self.patience >= 0, "stopping.patience", ">= 0", self.patience)


@dataclass(frozen=True)
class DetectionConfig:
    """How detections are told from chance."""

    significance: Significance | None = None
    """crossfit: each block of time is searched with templates made without it; surrogate: the optimisation is rerun on
    recordings with shuffled intervals; random: the published threshold, which is not calibrated. When not given,
    crossfit for spikes and surrogate for real-valued activity. In another recording than that of the fit, crossfit and
    surrogate compare with shuffles of that recording."""
    level: float = 0.05
    """Chance of any false detection in the recording (above 0, below 1)."""
    folds: int = 5
    """Blocks of time of crossfit (>= 2)."""
    shuffles: int = 200
    """Shuffled recordings that crossfit's templates are applied to (>= 1 / level - 1)."""
    surrogates: int = 39
    """Shuffled recordings on which surrogate reruns the optimisation (>= 1 / level - 1)."""
    null_filters: int = 15_000
    """Random filters of the published null distribution (>= 2)."""
    compare: bool = False
    """Find out how many detections each significance gives, not only the one in use and random."""

    def check(self) -> None:
        """ValueError for a setting out of its range."""
        if not 0 < self.level < 1:
            raise ValueError(f"level: expected above 0 and below 1, got {self.level}")
        for name, least in (("folds", 2), ("null_filters", 2)):
            if getattr(self, name) < least:
                raise ValueError(f"{name}: expected {least} or more, got {getattr(self, name)}")
        for name in ("shuffles", "surrogates"):
            if getattr(self, name) < 1 / self.level - 1 - 1e-9:
                raise ValueError(f"{name}: level {self.level:g} needs {1 / self.level - 1:.0f} or more, got "
                                 f"{getattr(self, name)}")  # fmt: skip


@dataclass(frozen=True)
class AdamConfig(LoopConfig):
    """Adam and bookkeeping. The learning rate stays as it is unless it is given a final value."""

    learning_rate: float = 0.1
    """Learning rate at the first step (> 0)."""
    learning_rate_final: float = 0.0
    """Learning rate at the last step (0: as at the first); between the two it decays exponentially."""
    log_every: int = 100
    checkpoint_every: int = 1000
    batches_per_epoch: int = 50
    """Training steps between two changes of a learning rate that decays (>= 1)."""


@dataclass(frozen=True)
class GridConfig:
    """Values to train side by side, every combination of them; each combination with all runs."""

    learning_rate: tuple[float, ...] = ()
    """Values of training.learning_rate."""
    total_variation: tuple[float, ...] = ()
    """Values of loss.total_variation."""
    filter_variation: tuple[float, ...] = ()
    """Values of loss.filter_variation."""
    cross_correlation: tuple[float, ...] = ()
    """Values of loss.cross_correlation."""


@dataclass(frozen=True)
class ConvseqConfig:
    """Everything that decides the result of a fit, together with the recording."""

    epochs: int = 4000
    """Most training steps (>= 1); each sees the whole recording."""
    filters: int = 1
    """Filters K per model (>= 1), one per sequence looked for."""
    width: int = 200
    """Lags W of a filter in bins (>= 2)."""
    runs: int = 1
    """Independent runs per setting (>= 1), trained as one ensemble."""
    seed: int = 0
    """Seed of the first run (>= 0); the others count up from it."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where to train; auto: cuda when there is one."""
    backend: Literal["numba", "triton", "reference"] | None = None
    """Kernel to use; None chooses by device."""
    block_bins: int = 0
    """Bins of a block of time, for recordings larger than memory (.h5 files); 0: the whole recording at once."""
    model: FilterConfig = field(default_factory=FilterConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    training: AdamConfig = field(default_factory=AdamConfig)
    stopping: StoppingConfig = field(default_factory=StoppingConfig)
    grid: GridConfig = field(default_factory=GridConfig)

    @property
    def padding(self) -> int:
        """P."""
        return self.width // 2 if self.model.padding is None else self.model.padding

    def check(self) -> None:
        """ValueError for a setting out of its range."""
        require(self.epochs >= 1, "epochs", ">= 1", self.epochs)
        require(self.filters >= 1, "filters", ">= 1", self.filters)
        require(self.width >= 2, "width", ">= 2", self.width)
        require(self.runs >= 1, "runs", ">= 1", self.runs)
        require(0 <= self.seed < 2**53, "seed", "0 to 2^53", self.seed)
        require(self.block_bins >= 0, "block_bins", ">= 0", self.block_bins)
        self.model.check(self.width)
        self.loss.check(self.model.loadings)
        self.training.check()
        self.stopping.check()
        if self.filters == 1:
            for name in PAIRWISE:
                if getattr(self.loss, name) > 0:
                    raise ValueError(f"loss.{name}: compares filters, needs filters >= 2, got 1")
