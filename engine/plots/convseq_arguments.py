"""Arguments of the sequence figures: what a recording, detections and filters must look like."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from neurorbit.engine.plots.arguments import Array, Values, as_array


class EventsLike(Protocol):
    """Spikes as events, such as SpikeEvents."""

    @property
    def neurons(self) -> Array: ...
    @property
    def times(self) -> Array: ...
    @property
    def counts(self) -> Array: ...
    @property
    def n_neurons(self) -> int: ...
    @property
    def n_bins(self) -> int: ...
    @property
    def bin_s(self) -> float | None: ...


class DenseLike(Protocol):
    """Real-valued activity, such as DenseRecording."""

    @property
    def x(self) -> Any: ...
    @property
    def n_neurons(self) -> int: ...
    @property
    def n_bins(self) -> int: ...
    @property
    def bin_s(self) -> float | None: ...


Recording = EventsLike | DenseLike


class DetectionsLike(Protocol):
    """The detections of one run in one recording, such as analysis.Detections."""

    @property
    def time_bin(self) -> Array: ...
    @property
    def sequence(self) -> Array: ...
    @property
    def height_sd(self) -> Array: ...
    @property
    def p_value(self) -> Array: ...
    @property
    def significance(self) -> str: ...
    @property
    def threshold(self) -> Array: ...
    @property
    def level(self) -> float | None: ...  # None: the threshold promises nothing
    @property
    def width(self) -> int: ...
    @property
    def statistic(self) -> Array: ...
    @property
    def null_edges(self) -> Array | None: ...
    @property
    def null_counts(self) -> Array | None: ...
    @property
    def other_counts(self) -> dict[str, int]: ...


class ParticipationLike(Protocol):
    """The neurons of one sequence, such as analysis.Participation."""

    @property
    def neuron(self) -> Array: ...
    @property
    def lag_bins(self) -> Array: ...  # from the middle of the sequence
    @property
    def share(self) -> Array: ...
    @property
    def p_value(self) -> Array: ...


class NullLike(Protocol):
    """Histogram of a null distribution."""

    @property
    def edges(self) -> Array: ...
    @property
    def counts(self) -> Array: ...


@dataclass(frozen=True)
class NullHistogram:
    """A NullLike from its arrays."""

    edges: Array
    counts: Array


class ThresholdNullLike(NullLike, Protocol):
    """The published null of random filters, such as models.convseq.Null."""

    @property
    def threshold(self) -> float: ...


@dataclass(frozen=True)
class SequenceTruth:
    """What was planted: middle times [D] in bins, the filter that should find each [D], neurons in firing order."""

    times: Values
    sequence: Values | None = None
    order: Values | None = None

    def times_of(self, k: int) -> Array:
        """The middle times of sequence k in bins."""
        times = one_row("truth.times", self.times)
        if self.sequence is None:
            return times
        sequence = one_row("truth.sequence", self.sequence)
        if sequence.shape != times.shape:
            raise ValueError(f"truth.sequence: expected [D={len(times)}] as in times, got {list(sequence.shape)}")
        return times[sequence == k]

    def order_of(self, k: int) -> Array | None:
        """The neurons of sequence k in firing order, padding left out; None where fewer than two are known."""
        if self.order is None:
            return None
        order = np.asarray(self.order)
        order = order[None] if order.ndim == 1 else order
        known: Array = order[k][order[k] >= 0].astype(int) if k < len(order) else np.zeros(0, int)
        return known if len(known) > 1 else None


def one_row(name: str, values: Values) -> Array:
    """A float64 copy [D]; D may be 0."""
    array = np.asarray(values.detach().cpu() if hasattr(values, "detach") else values)
    return np.zeros(0) if array.size == 0 and array.ndim == 1 else as_array(name, array, "D")


def response_rows(name: str, value: Values) -> Array:
    """Responses [K, T]; one response [T] is taken as K = 1."""
    rank = getattr(value, "ndim", None)
    return as_array(name, value, "T")[None] if rank == 1 else as_array(name, value, "KT")


def filter_rows(name: str, value: Values) -> Array:
    """Filters [K, N, W]; one filter [N, W] is taken as K = 1."""
    rank = getattr(value, "ndim", None)
    return as_array(name, value, "NW")[None] if rank == 2 else as_array(name, value, "KNW")


def same_shape(name: str, array: Array, other: str, expected: Array) -> None:
    """Refuse an array whose shape is not another one's."""
    if array.shape != expected.shape:
        raise ValueError(f"{name}: expected {list(expected.shape)} as in {other}, got {list(array.shape)}")


def peak_lags(w: Array) -> Array:
    """The lag [N] at which each row of a filter [N, W] is largest."""
    lags: Array = np.argmax(w, axis=-1)
    return lags


def by_lag(w: Array) -> Array:
    """Neurons [N] of a filter [N, W] by their peak lag; equal lags keep their order."""
    order: Array = np.argsort(peak_lags(w), kind="stable")
    return order


def members(participation: ParticipationLike, level: float) -> Array:
    """Which rows [N] are significant at `level`, by Benjamini and Hochberg's rule over the neurons."""
    p = one_row("participation.p_value", participation.p_value)
    if not p.size:
        return np.zeros(0, bool)
    order = np.argsort(p, kind="stable")
    passed = np.flatnonzero(p[order] <= level * np.arange(1, p.size + 1) / p.size)
    chosen = np.zeros(p.size, bool)
    chosen[order[: passed[-1] + 1 if passed.size else 0]] = True
    return chosen
