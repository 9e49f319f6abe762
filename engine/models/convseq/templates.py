"""Templates of a sequence: the Poisson log-likelihood ratio of its spikes around the detections against a flat rate."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from neurorbit.engine.analysis.participation import aligned_counts, lag_smoother
from neurorbit.engine.data import SpikeEvents
from neurorbit.engine.models.convseq.objective import half_high_peaks, robust_peaks
from neurorbit.engine.models.convseq.parting import parted, winners
from neurorbit.engine.models.convseq.responses import Responder

PSEUDO_EVENTS = 2.0  # occurrences at the neuron's mean rate, added to those found
ROUNDS = 6
FEWEST = 3  # first detections: with fewer, those that reach half of the highest are taken


@dataclass(frozen=True, eq=False)
class Template:
    """A filter w [N, W] whose response is a log-likelihood ratio, the detections it was made from in bins of the
    response, and the excess of spikes [N, W] over the flat rate."""

    w: np.ndarray
    detections: np.ndarray
    excess: np.ndarray


def template(events: SpikeEvents, detections: np.ndarray, rate: np.ndarray, width: int, padding: int) -> Template:
    """From detections [D] and each neuron's mean rate [N] in spikes per bin: log(rate around them / mean rate).

    The lag histograms are smoothed and shrunk towards the mean rate; a neuron without spikes gets 0.
    """
    counts = aligned_counts(events, detections - padding, width)
    smooth = counts @ lag_smoother(width, "nearest")
    flat = np.maximum(rate, 1e-12)[:, None]
    around = (smooth + PSEUDO_EVENTS * flat) / (len(detections) + PSEUDO_EVENTS)
    w = np.where(rate[:, None] > 0, np.log(np.maximum(around, 1e-12) / flat), 0.0)
    return Template(w.astype(np.float32), np.asarray(detections), np.where(rate[:, None] > 0, around - flat, 0.0))


def middle(found: Template) -> int:
    """Bins from the window's middle to the middle of the sequence in it: the centre of the information per lag."""
    information = (found.excess * found.w).sum(0)
    above = np.maximum(information - np.quantile(information, 0.1), 0)
    if not above.sum() > 0:
        return 0
    lags = np.arange(len(above)) - (len(above) - 1) / 2
    return round(float((above * lags).sum() / above.sum()))


def refine(
    events: SpikeEvents,
    respond: Responder,
    start: torch.Tensor,
    width: int,
    padding: int,
    weight: torch.Tensor | None = None,
) -> list[list[Template]]:
    """Templates [E][K] from the peaks of the responses start [E, K, T']: detect, align, estimate, and again.

    Each round moves the window so that the sequence lies in its middle. With K > 1 the first detections are parted by
    the neurons that fire in them, and in later rounds the template that stands out most keeps a detection. A round that
    loses more than half of the detections is not taken: the response to a frequent sequence varies so much that its own
    peaks do not stand out. weight [1|E, T'] of zeros and ones keeps to the bins on which a model was trained: nothing
    outside them is looked at. The response to a frequent sequence may be high for so much of the time that none of its
    peaks stands out from its median: then those of half the largest height are the first detections.
    """
    E, K, n = start.shape
    kept = np.ones((E, n), bool) if weight is None else (weight > 0).expand(E, n).cpu().numpy()
    rates = [_rate(events, kept[e], padding, width) for e in range(E)]
    o = start
    previous: list[list[np.ndarray]] = []
    found: list[list[Template]] = []
    for _ in range(ROUNDS):
        peaks = robust_peaks(o, width, weight)
        if not previous:
            few = peaks.sum(-1, keepdim=True) < FEWEST
            peaks = torch.where(few, half_high_peaks(o, width, weight), peaks)
        marked = peaks.cpu().numpy()
        at = [[np.flatnonzero(marked[e, k]) for k in range(K)] for e in range(E)]
        if K > 1:
            values = o.cpu().numpy()
            at = [
                winners(at[e], values[e], width) if previous else parted(events, at[e], values[e], width, padding)
                for e in range(E)
            ]
        for e, k in np.ndindex(E, K) if previous else ():
            if 2 * len(at[e][k]) < len(previous[e][k]):
                at[e][k] = previous[e][k]
        if previous and all(
            np.array_equal(a, b) for x, y in zip(at, previous, strict=True) for a, b in zip(x, y, strict=True)
        ):
            break
        previous = at
        found = [[_centred(events, at[e][k], rates[e], kept[e], width, padding) for k in range(K)] for e in range(E)]
        w = torch.from_numpy(np.stack([[t.w for t in row] for row in found])).to(start.device)
        with torch.no_grad():
            o = respond(w)
    return found


def _centred(
    events: SpikeEvents, at: np.ndarray, rate: np.ndarray, kept: np.ndarray, width: int, padding: int
) -> Template:
    found = template(events, at, rate, width, padding)
    moved = at + middle(found)
    inside = (moved >= 0) & (moved < len(kept))
    moved = moved[inside][kept[moved[inside]]]
    return template(events, moved, rate, width, padding)


def _rate(events: SpikeEvents, kept: np.ndarray, padding: int, width: int) -> np.ndarray:
    """Spikes per bin of each neuron in the bins at the middle of the windows that count."""
    n = events.n_bins
    middles = np.arange(len(kept)) - padding + width // 2
    counted = np.zeros(n, bool)
    inside = (middles >= 0) & (middles < n)
    counted[middles[inside]] = kept[inside]
    spikes = np.bincount(events.neurons, weights=events.counts * counted[events.times], minlength=events.n_neurons)
    return spikes / max(int(counted.sum()), 1)
