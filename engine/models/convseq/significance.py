"""Thresholds: crossfit and surrogate, which promise a chance of false detections, and the published one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from neurorbit.engine.analysis.detections import Detections, peak_bins
from neurorbit.engine.data import SpikeEvents
from neurorbit.engine.models.convseq.null import Null
from neurorbit.engine.models.convseq.responses import Responder, responder
from neurorbit.engine.models.convseq.templates import ROUNDS, Template, middle, refine, template

ALIGN_WITHIN = 0.5  # of a width: largest shift between the templates of two folds


NULL_SHOWN = 20  # further shuffled recordings for the histogram of a statistic's null distribution
NULL_BINS, NULL_REACH = 400, 20.0  # its bins, and its reach in standard deviations


class Window(NamedTuple):
    """What places a response in the recording: filters of `width` bins, the padding, the width of a bin in seconds."""

    width: int
    padding: int
    bin_s: float | None


def by_null(o: np.ndarray, null: Null, shifts: Sequence[int], window: Window) -> Detections:
    """The published rule: responses o [K, T'] of trained filters above mean + 5 sd of random filters' responses.

    It promises nothing: trained filters exceed it on recordings without any sequence. shifts [K]: bins from the
    response's peak to the middle of the sequence.
    """
    K = len(o)
    bins = [peak_bins(o[k], null.threshold, window.width) for k in range(K)]
    heights = np.concatenate([o[k][b] for k, b in enumerate(bins)])
    return _detections(
        o,
        bins,
        shifts,
        window,
        p_value=null.exceeding(heights),
        significance="random",
        threshold=np.full(K, null.threshold),
        level=None,
        mean=np.full(K, null.mean),
        sd=np.full(K, null.sd),
        histogram=(null.edges, null.counts),
    )


def by_surrogates(
    o: np.ndarray,
    surrogate: np.ndarray,
    shifts: Sequence[int],
    window: Window,
    *,
    level: float,
) -> Detections:
    """Responses o [K, T'] above what the same optimisation reaches on recordings with shuffled intervals.

    surrogate [S, K, T'] are the responses of filters trained on S surrogates. Only a share `level` of the surrogates
    exceed the threshold anywhere with any filter, so that the chance of any false detection is `level`.
    """
    K = len(o)
    largest = np.sort(surrogate.max((1, 2)))
    threshold = upper(largest, level)
    bins = [peak_bins(o[k], threshold, window.width) for k in range(K)]
    heights = np.concatenate([o[k][b] for k, b in enumerate(bins)])
    return _detections(
        o,
        bins,
        shifts,
        window,
        p_value=_family_p(heights, largest),
        p_any=float(_family_p(o.max(), largest)),
        significance="surrogate",
        threshold=np.full(K, threshold),
        level=level,
        mean=np.full(K, surrogate.mean()),
        sd=np.full(K, surrogate.std()),
        histogram=_histogram(surrogate),
    )


def fold_weights(n: int, folds: int, width: int) -> tuple[np.ndarray, Tensor]:
    """Edges [F + 1] of F blocks of the T' = n bins of a response, and the bins [F, T'] each fold is trained on: those
    further than a width from its own block."""
    if folds < 2:
        raise ValueError(f"folds: expected 2 or more, got {folds}")
    if n < 4 * folds * width:
        raise ValueError(
            f"folds: {folds} blocks of {n // folds} bins are too short for filters of {width} bins (4 widths each are "
            "needed): use fewer folds, narrower filters, or significance surrogate"
        )
    edges = np.linspace(0, n, folds + 1).astype(np.int64)
    weight = torch.ones(folds, n)
    for f in range(folds):
        weight[f, max(0, edges[f] - width) : edges[f + 1] + width] = 0
    return edges, weight


def fold_templates(
    events: SpikeEvents, respond: Responder, main: Tensor, o: Tensor, weight: Tensor, window: Window
) -> tuple[list[list[Template]], list[Template]]:
    """Templates [F][K] of each fold, from the bins it was trained on alone, and those [K] of the whole recording.

    main [1, K, T'] are the responses of the filters trained on all bins: they give the sequences their numbers and
    the fold's templates their place in the window; o [F, K, T'] those of the folds; weight [F, T'] of fold_weights.
    """
    whole = refine(events, respond, main, window.width, window.padding)[0]
    return _named(refine(events, respond, o, window.width, window.padding, weight), whole), whole


def by_templates(
    events: SpikeEvents,
    folds: list[list[Template]],
    edges: np.ndarray,
    window: Window,
    *,
    level: float,
    generator: np.random.Generator,
    device: torch.device | str = "cpu",
    backend: str | None = None,
    shuffles: int,
) -> Detections:
    """Each block of time searched with the templates of its fold, which must have been made without it.

    Args:
        events: where to look.
        folds: templates [F][K]; edges [F + 1]: the blocks of bins of the response.
        level: chance of any detection in the whole recording when the intervals of each neuron come in random order.
        generator: shuffles the intervals; shuffles: how often.
    """
    padding = window.padding
    w = torch.from_numpy(np.stack([[t.w for t in row] for row in folds])).to(device)
    blocks = [slice(int(a), int(b)) for a, b in pairwise(edges)]
    with torch.no_grad():
        found = _in_blocks(responder(events, padding, device, backend)(w), blocks)
    F, K = len(folds), len(folds[0])
    total, squares = np.zeros((F, K)), np.zeros((F, K))
    highest = np.empty((shuffles, F, K))
    for s in range(shuffles):
        respond = responder(events.shuffled(generator), padding, device, backend)
        for f, values in enumerate(_in_blocks(respond(w), blocks)):
            total[f] += values.sum(1)
            squares[f] += np.square(values).sum(1)
            highest[s, f] = values.max(1)
    draws = shuffles * np.diff(edges)[:, None]
    mean = total / draws
    sd = np.sqrt(np.maximum(squares / draws - mean**2, 1e-24))
    largest = np.sort(((highest - mean) / sd).max((1, 2)))
    null_edges = np.linspace(-NULL_REACH, NULL_REACH, NULL_BINS + 1)
    null_counts = np.zeros(NULL_BINS, np.int64)
    for _ in range(NULL_SHOWN):  # only now is the scale known
        respond = responder(events.shuffled(generator), padding, device, backend)
        for f, values in enumerate(_in_blocks(respond(w), blocks)):
            null_counts += np.histogram((values - mean[f][:, None]) / sd[f][:, None], null_edges)[0]
    z = np.concatenate([(found[f] - mean[f][:, None]) / sd[f][:, None] for f in range(F)], 1)
    threshold = upper(largest, level)
    bins = [peak_bins(z[k], threshold, window.width) for k in range(K)]
    heights = np.concatenate([z[k][b] for k, b in enumerate(bins)])
    return _detections(
        z,
        bins,
        [0] * K,
        window,
        p_value=_family_p(heights, largest),
        p_any=float(_family_p(z.max(), largest)),
        significance="crossfit",
        threshold=np.full(K, threshold),
        level=level,
        mean=np.zeros(K),
        sd=np.ones(K),
        histogram=(null_edges, null_counts),
    )


def sequence_shifts(events: SpikeEvents, bins: Sequence[np.ndarray], window: Window) -> list[int]:
    """Bins from the peaks [K] of each response to the middle of its sequence, from the spikes around them."""
    rate = np.bincount(events.neurons, weights=events.counts, minlength=events.n_neurons) / events.n_bins
    found = []
    for at in bins:
        total = 0
        for _ in range(ROUNDS):  # a sequence may reach beyond the window at first
            step = middle(template(events, at + total, rate, window.width, window.padding)) if len(at) else 0
            total += step
            if step == 0:
                break
        found.append(total)
    return found


def _named(folds: list[list[Template]], whole: list[Template]) -> list[list[Template]]:
    """Each fold's templates in the order of the whole recording's, moved in lag to where they match those best."""
    found = []
    for row in folds:
        best = [[_match(a, b) for b in row] for a in whole]  # [K][K] (similarity, lag)
        rows, columns = linear_sum_assignment(-np.array([[m[0] for m in line] for line in best]))
        named: list[Template] = [row[0]] * len(whole)
        for i, j in zip(rows, columns, strict=True):
            lag = best[i][j][1]
            named[i] = Template(_moved(row[j].w, lag), row[j].detections - lag, _moved(row[j].excess, lag))
        found.append(named)
    return found


def _match(a: Template, b: Template) -> tuple[float, int]:
    """Largest cosine similarity of the excesses of two templates over lags, and the lag of b that gives it."""
    W = a.excess.shape[1]
    n = 2 * W
    spectrum = np.fft.rfft(a.excess, n) * np.fft.rfft(b.excess, n).conj()
    product = np.fft.irfft(spectrum.sum(0), n)
    lags = np.arange(-int(ALIGN_WITHIN * W), int(ALIGN_WITHIN * W) + 1)
    norm = max(float(np.linalg.norm(a.excess) * np.linalg.norm(b.excess)), 1e-12)
    at = int(product[lags].argmax())
    return float(product[lags[at]]) / norm, int(lags[at])


def _moved(x: np.ndarray, lag: int) -> np.ndarray:
    """x [N, W] moved by `lag` bins to later lags; zeros come in."""
    found = np.zeros_like(x)
    W = x.shape[1]
    if lag >= 0:
        found[:, lag:] = x[:, : W - lag]
    else:
        found[:, :lag] = x[:, -lag:]
    return found


def _in_blocks(o: Tensor, blocks: Sequence[slice]) -> list[np.ndarray]:
    """Each fold's responses [K, n] in its own block, of o [F, K, T']."""
    return [o[f, :, block].cpu().numpy().astype(np.float64) for f, block in enumerate(blocks)]


def upper(largest: np.ndarray, level: float) -> float:
    """Value that one more draw like the sorted ones exceeds with a chance of at most `level`."""
    S = len(largest)
    rank = math.ceil((1 - level) * (S + 1) - 1e-9)
    if rank > S:
        raise ValueError(
            f"level: {level:g} needs at least {math.ceil(1 / level) - 1} surrogates, got {S}: give more, or raise it"
        )
    return float(largest[rank - 1])


def _histogram(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    counts, edges = np.histogram(values, NULL_BINS)
    return edges, counts


def _family_p(heights: np.ndarray | float, largest: np.ndarray) -> np.ndarray:
    """Chance that the largest value of a recording without structure is as high, from the sorted surrogates."""
    return (1 + len(largest) - np.searchsorted(largest, heights, side="left")) / (1 + len(largest))


def _detections(
    statistic: np.ndarray,
    bins: Sequence[np.ndarray],
    shifts: Sequence[int],
    window: Window,
    *,
    p_value: np.ndarray,
    mean: np.ndarray,
    sd: np.ndarray,
    significance: str,
    threshold: np.ndarray,
    level: float | None,
    histogram: tuple[np.ndarray, np.ndarray],
    p_any: float | None = None,
) -> Detections:
    """Detections sorted by time; the window of bin t of a response has its middle at t - P + (W - 1) / 2."""
    filters = np.repeat(np.arange(len(bins)), [len(b) for b in bins])
    at = np.concatenate(bins).astype(np.int64)
    times = at + np.asarray(shifts)[filters] - window.padding + (window.width - 1) / 2
    heights = (statistic[filters, at] - mean[filters]) / sd[filters]
    order = np.lexsort((filters, times))
    return Detections(
        time_bin=times[order],
        sequence=filters[order],
        height_sd=heights[order],
        p_value=np.asarray(p_value, np.float64)[order],
        significance=significance,
        threshold=threshold,
        level=level,
        width=window.width,
        bin_s=window.bin_s,
        statistic=statistic,
        null_mean=mean,
        null_sd=sd,
        null_edges=histogram[0],
        null_counts=histogram[1],
        p_any=p_any,
    )
