"""convSeq as a Problem for the training loop."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import max_pool1d

from neurorbit.engine.models.convseq import losses
from neurorbit.engine.models.convseq.config import TERMS, ConvseqConfig
from neurorbit.engine.models.convseq.filters import SequenceFilters
from neurorbit.engine.models.convseq.members import Member
from neurorbit.engine.models.convseq.responses import Responder
from neurorbit.engine.training.stack import ParameterStack

ROBUST_SD = 4.0  # height of a peak over the median of its response, in robust standard deviations
SAME_WITHIN = 5  # bins that a detection may move and still be the same


class ConvseqObjective:
    """Minus the variance of the responses and its penalties, for an ensemble on one recording or one each.

    Args:
        config: settings; members: the models.
        respond: responses to the recordings.
        n_neurons: N.
        weight: [1|E, T'] of zeros and ones: bins of the response that count; all when None.
    """

    def __init__(
        self,
        config: ConvseqConfig,
        members: Sequence[Member],
        respond: Responder,
        n_neurons: int,
        device: torch.device,
        weight: Tensor | None = None,
    ) -> None:
        self.config, self.respond, self.weight = config, respond, weight
        self.labels = tuple(m.label for m in members)
        self.module = SequenceFilters(config, n_neurons, [m.seed for m in members]).to(device)
        self.learning_rate = torch.tensor([m.learning_rate for m in members], dtype=torch.float64, device=device)
        factors = {n: torch.tensor([m.factors[n] for m in members], device=device) for n in TERMS}
        self.factors = {n: v for n, v in factors.items() if bool((v > 0).any())}
        self.term_names = ("loss", *self.factors)
        self.measure_names: tuple[str, ...] = ()
        self.penalty: Tensor | None = None
        E = len(members)
        self._response: Tensor | None = None  # [E, K, T'] of the last step
        self._peaks: Tensor | None = None  # [E, K, T'] of the last look, uint8
        self._unchanged = torch.zeros(E, dtype=torch.int64, device=device)  # looks
        self._detections = torch.zeros(E, device=device)

    def terms(self, step: int) -> list[Tensor]:
        """Minus the variance of the responses, and the penalties in use; each [E]."""
        w = self.module()
        o = self.respond(w)
        self._response = o.detach()
        if self._peaks is None:
            self._peaks = torch.zeros(o.shape, dtype=torch.uint8, device=o.device)
        variance, variation = losses.peakedness(o, self.weight)
        found = [-variance.sum(1)]
        seen = o if self.weight is None else _counted(o, self.weight[:, None])
        for name, factor in self.factors.items():
            if name == "total_variation":
                term = variation.sum(1)
            elif name == "filter_variation":
                term = losses.filter_variation(w)
            elif name == "cross_correlation":
                term = losses.cross_correlation(seen)
            elif name == "response_similarity":
                term = losses.response_similarity(seen)
            elif name == "filter_similarity":
                term = losses.filter_similarity(w)
            elif name == "loading_similarity":
                term = losses.loading_similarity(self.module.loadings.sigmoid())
            else:
                term = losses.power_entropy(variance)
            found.append(factor * term)
        return found

    def gradients(self, step: int, stack: ParameterStack) -> None:
        """By autograd."""

    def where(self, step: int, model: int) -> str:
        """Every step sees the whole recording."""
        return ""

    @torch.no_grad()
    def after_update(self, step: int) -> None:
        """Constrains the filters; looks at the detections every few steps."""
        self.module.constrain()
        stopping = self.config.stopping
        if not stopping.patience or (step + 1) % stopping.every:
            return
        assert self._response is not None and self._peaks is not None
        peaks = robust_peaks(self._response, self.config.width, self.weight)
        same = (_without(peaks, self._peaks) | _without(self._peaks, peaks)).sum((1, 2)) == 0
        same |= self._unchanged >= stopping.patience  # who is finished stays finished
        self._unchanged.copy_(torch.where(same, self._unchanged + 1, 0))
        self._peaks.copy_(peaks)
        self._detections.copy_(peaks.sum((1, 2)))

    def finished(self) -> Tensor | None:
        """Models whose detections have not changed for as many looks as the patience says."""
        patience = self.config.stopping.patience
        return None if not patience else self._unchanged >= patience

    def evaluate(self) -> dict[str, Tensor]:
        """No measures: the truth is not known."""
        return {}

    def logged(self) -> dict[str, Tensor]:
        """Peaks of the responses at the last look."""
        return {"detections": self._detections} if self.config.stopping.patience else {}

    def state(self) -> dict[str, Tensor]:
        """What early stopping remembers."""
        if not self.config.stopping.patience:
            return {}
        if self._peaks is None:
            with torch.no_grad():
                self._peaks = torch.zeros_like(self.respond(self.module()), dtype=torch.uint8)
        return {"peaks": self._peaks, "unchanged": self._unchanged, "detections": self._detections}

    def constants(self) -> dict[str, Tensor]:
        """None: the filters are all."""
        return {}


def robust_peaks(o: Tensor, width: int, weight: Tensor | None = None) -> Tensor:
    """Highest bins within +- (W - 1) of o [E, K, T'] that stand out from its median, uint8."""
    middle = o.median(-1, keepdim=True).values
    spread = 1.4826 * (o - middle).abs().median(-1, keepdim=True).values
    return _peaks_above(o, middle + ROBUST_SD * spread, width, weight)


def half_high_peaks(o: Tensor, width: int, weight: Tensor | None = None) -> Tensor:
    """As robust_peaks, above half the way from the median to the highest bin that counts."""
    middle = o.median(-1, keepdim=True).values
    top = (o if weight is None else o.masked_fill(weight[:, None] == 0, -torch.inf)).amax(-1, keepdim=True)
    return _peaks_above(o, (middle + top) / 2, width, weight)


def _peaks_above(o: Tensor, threshold: Tensor, width: int, weight: Tensor | None) -> Tensor:
    high = (o > threshold) & (o == max_pool1d(o, 2 * width - 1, stride=1, padding=width - 1))
    return (high if weight is None else high & (weight[:, None] > 0)).to(torch.uint8)


def _counted(o: Tensor, weight: Tensor) -> Tensor:
    """o with its mean in the bins that do not count, so that they add nothing to a correlation."""
    mean = (o * weight).sum(-1, keepdim=True) / weight.sum(-1, keepdim=True)
    return torch.where(weight > 0, o, mean)


def _without(peaks: Tensor, others: Tensor) -> Tensor:
    """Peaks that have none of the others near."""
    near = max_pool1d(others.float(), 2 * SAME_WITHIN + 1, stride=1, padding=SAME_WITHIN)
    return (peaks > 0) & (near == 0)
