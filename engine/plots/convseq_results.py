"""Everything that one run found in one recording, and every figure of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from neurorbit.engine.plots.arguments import Array, Values
from neurorbit.engine.plots.convseq_arguments import (
    DetectionsLike,
    NullHistogram,
    ParticipationLike,
    Recording,
    SequenceTruth,
    ThresholdNullLike,
    filter_rows,
    members,
    one_row,
    peak_lags,
    response_rows,
    same_shape,
)
from neurorbit.engine.plots.convseq_filters import order_recovered, sequence_filters, sequence_participation
from neurorbit.engine.plots.convseq_histogram import response_histogram
from neurorbit.engine.plots.convseq_losses import loss_terms
from neurorbit.engine.plots.convseq_position import detections_over_position
from neurorbit.engine.plots.convseq_raster import sorted_raster
from neurorbit.engine.plots.convseq_responses import sequence_responses
from neurorbit.engine.plots.convseq_stages import Snapshots, training_stages

MAX_SEQUENCES = 6
FEWEST_SHOWN = 10


@dataclass(frozen=True)
class SequenceResults:
    """One run of a sequence model on one recording; what is not given is not drawn.

    recording: SpikeEvents or DenseRecording; one read in blocks of time gets no raster.
    w [K, N, W], response [K, T']: after training; *_before: before.
    detections, participation (one per filter), null, score: what engine.analysis returns. padding: W // 2 when None.
    truth: planted sequences, numbered as the filters that should find them. position [T]: of the animal.
    metrics: rows of metrics.csv; run: whose curve is emphasised. settings: what the report lists.
    """

    recording: Recording
    w: Values
    response: Values
    detections: DetectionsLike
    w_before: Values | None = None
    response_before: Values | None = None
    padding: int | None = None
    participation: Sequence[ParticipationLike] = ()
    null: ThresholdNullLike | None = None
    truth: SequenceTruth | None = None
    score: Any = None
    position: Values | None = None
    position_unit: str = ""
    metrics: Sequence[Mapping[str, Any]] = ()
    run: int | None = None
    snapshots: Snapshots | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)

    def checked(self) -> tuple[Array, Array]:
        """w [K, N, W] and response [K, T'], whose shapes agree with each other and with the recording."""
        w, response = filter_rows("w", self.w), response_rows("response", self.response)
        K, N, W = w.shape
        if self.recording.n_neurons != N:
            raise ValueError(f"w: expected [K, N={self.recording.n_neurons}, W] as in the recording, got {[K, N, W]}")
        length = self.recording.n_bins + 2 * self.pad(W) - W + 1
        if response.shape != (K, length):
            raise ValueError(
                f"response: expected [K={K}, T'={length}] for {self.recording.n_bins} bins, W={W} and padding "
                f"{self.pad(W)}, got {list(response.shape)}"
            )
        if self.participation and len(self.participation) != K:
            raise ValueError(f"participation: expected K={K}, one per filter, got {len(self.participation)}")
        if self.position is not None and np.shape(self.position) != (self.recording.n_bins,):
            got = list(np.shape(self.position))
            raise ValueError(f"position: expected [T={self.recording.n_bins}] as in the recording, got {got}")
        same_shape("detections.statistic", response_rows("statistic", self.detections.statistic), "response", response)
        return w, response

    def pad(self, W: int) -> int:
        """The padding."""
        return W // 2 if self.padding is None else self.padding

    def own_statistic(self) -> bool:
        """Whether something else than the response itself was thresholded."""
        statistic = response_rows("detections.statistic", self.detections.statistic)
        return not np.allclose(statistic, response_rows("response", self.response), rtol=1e-4, atol=1e-6)

    @property
    def level(self) -> float:
        """False discovery rate over neurons: the level of the detections, 0.05 where these have none."""
        return 0.05 if self.detections.level is None else self.detections.level

    def times_of(self, k: int) -> Array:
        """The detections of filter k in bins."""
        times: Array = one_row("time_bin", self.detections.time_bin)[one_row("sequence", self.detections.sequence) == k]
        return times


def sequence_figures(results: SequenceResults) -> dict[str, Figure]:
    """Every figure that the results allow, by name; those of one sequence alone end in its number when K > 1."""
    w, response = results.checked()
    K, _, W = w.shape
    found, bin_s, level = results.detections, results.recording.bin_s, results.level
    own = results.own_statistic()
    figures = {
        "responses": sequence_responses(
            response, results.response_before, statistic=found.statistic if own else None, threshold=found.threshold,
            times=found.time_bin, sequence=found.sequence, truth=results.truth, shift=W / 2 - results.pad(W),
            bin_s=bin_s,
        )
    }  # fmt: skip
    limits = _thresholds(found)
    if results.null is not None:
        name = "random, mean + 5 sd"
        figures["histogram"] = response_histogram(
            response, null=results.null, thresholds={name: results.null.threshold, **({} if own else _other(limits))}
        )
    elif not own:
        figures["histogram"] = response_histogram(response, thresholds=limits)
    if own:
        null = None
        if found.null_edges is not None and found.null_counts is not None:
            null = NullHistogram(found.null_edges, found.null_counts)
        figures["statistic"] = response_histogram(
            found.statistic, thresholds=limits, label="detection statistic", null_label="shuffled recordings",
            null=null,
        )  # fmt: skip
    figures["filters"] = sequence_filters(w, results.w_before, bin_s=bin_s)
    orders = [results.truth.order_of(k) if results.truth is not None else None for k in range(K)]
    for k in range(min(K, MAX_SEQUENCES)):
        suffix = f"_{k}" if K > 1 else ""
        times = results.times_of(k)
        if hasattr(results.recording, "x") or hasattr(results.recording, "times"):
            figures[f"raster{suffix}"] = sorted_raster(
                results.recording, w[k], times, sequence=k, neurons=_shown(results, k, level),
                truth_times=() if results.truth is None else results.truth.times_of(k), shift=_shift(results, k, w[k]),
            )  # fmt: skip
        order = orders[k]
        if results.participation and order is not None and _firing(results.participation[k], order) > 1:
            figures[f"order{suffix}"] = order_recovered(results.participation[k], order, width=W, bin_s=bin_s)
        if results.position is not None and times.size:
            figures[f"position{suffix}"] = detections_over_position(
                times, results.position, sequence=k, bin_s=bin_s, position_unit=results.position_unit
            )
    if results.participation:
        figures["participation"] = sequence_participation(
            list(results.participation), width=W, level=level, orders=list(orders), bin_s=bin_s
        )
    if results.metrics:
        figures["losses"] = loss_terms(results.metrics, run=results.run)
    if results.snapshots is not None:
        figures["stages"] = training_stages(results.snapshots, bin_s=bin_s)
    return figures


def _thresholds(found: DetectionsLike) -> dict[str, float]:
    values = one_row("detections.threshold", found.threshold)
    if len(np.unique(values)) == 1:
        return {found.significance: float(values[0])}
    return {f"{found.significance}, filter {k}": float(v) for k, v in enumerate(values[:4])}


def _other(limits: dict[str, float]) -> dict[str, float]:
    return {name: value for name, value in limits.items() if not name.startswith("random")}


def _firing(part: ParticipationLike, order: Array) -> int:
    """How many of the planted neurons fire at the detections."""
    lag = one_row("lag_bins", part.lag_bins)
    return int((np.isin(np.asarray(part.neuron, dtype=int), order) & np.isfinite(lag)).sum())


def _shift(results: SequenceResults, k: int, w: Array) -> float:
    """Bins from the middle of a filter's window to that of its sequence, as its neurons tell; 0 where they do not."""
    if not results.participation:
        return 0.0
    part = results.participation[k]
    chosen = members(part, results.level)
    peak = peak_lags(w)[np.asarray(part.neuron, dtype=int)] - w.shape[1] / 2
    return float(np.median((peak - one_row("lag_bins", part.lag_bins))[chosen])) if chosen.sum() > 2 else 0.0


def _shown(results: SequenceResults, k: int, level: float) -> Array | None:
    """The neurons of a raster: those that take part, all where these are few or not known."""
    if not results.participation:
        return None
    part = results.participation[k]
    chosen = np.asarray(part.neuron, dtype=int)[members(part, level)]
    return chosen if len(chosen) >= FEWEST_SHOWN else None
