"""Spikes of a recorded population as events (neuron, time bin, count)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from neurorbit.engine.data.event_arrays import Fingerprint, frozen, merged, nonzero_counts
from neurorbit.engine.data.event_checks import bin_width, bins_of, seconds_of, size_of, time_bins, whole_numbers, within

if TYPE_CHECKING:
    from neurorbit.bindings.event_projection import PackedEvents


@dataclass(frozen=True, eq=False)
class SpikeEvents:
    """Events sorted by time, then neuron, none twice. Build it with a `from_...`, which checks everything."""

    neurons: np.ndarray  # [J] int32
    times: np.ndarray  # [J] int32, bins
    counts: np.ndarray  # [J] int32, 1 or more
    n_neurons: int
    n_bins: int
    bin_s: float | None = None
    name: str = "events"

    @classmethod
    def from_dense(cls, x: Any, *, bin_s: float | None = None, name: str = "recording") -> SpikeEvents:
        """The non-zero elements of counts x [N, T]: integers, booleans, or floats that are whole."""
        events = nonzero_counts(name, x)
        N, T = np.shape(x)
        if len(events[0]) == 0:
            raise ValueError(f"{name}: {N} neurons x {T} bins without a single spike")
        return cls(*events, N, T, bin_width(f"{name}[bin_s]", bin_s), name)

    @classmethod
    def from_events(
        cls,
        neurons: Any,
        times: Any,
        counts: Any = None,
        *,
        n_neurons: int | None = None,
        n_bins: int | None = None,
        bin_s: float | None = None,
        name: str = "events",
    ) -> SpikeEvents:
        """Events in any order; counts of the same neuron and bin are added up, counts of 0 are left out.

        Args:
            neurons: [J] from 0. times: [J]; integers are bins from 0, floats are seconds from 0 and need bin_s.
            counts: [J], all 1 when None. n_neurons, n_bins: the largest index and one when None.
            bin_s: width of a bin in seconds.
        """
        width = bin_width(f"{name}[bin_s]", bin_s)
        who = whole_numbers(f"{name}[neurons]", neurons, "neuron numbers")
        when = time_bins(f"{name}[times]", times, width)
        many = np.ones_like(who) if counts is None else whole_numbers(f"{name}[counts]", counts, "counts")
        for word, x in (("times", when), ("counts", many)):
            if len(x) != len(who):
                raise ValueError(f"{name}[{word}]: expected [J={len(who)}] as in neurons, got [{len(x)}]")
        if (many < 0).any():
            at = int((many < 0).argmax())
            raise ValueError(f"{name}[counts]: expected 0 or more, got {many[at]} at event {at}")
        N = size_of(f"{name}[n_neurons]", n_neurons, int(who.max(initial=-1)))
        T = size_of(f"{name}[n_bins]", n_bins, int(when.max(initial=-1)))
        within(f"{name}[neurons]", who, N, "N", "raise n_neurons, count from 0")
        within(f"{name}[times]", when, T, "T", "raise n_bins, or leave out spikes outside the recording")
        if not (many > 0).any():
            raise ValueError(f"{name}: holds no spike")
        return cls(*merged(who, when, many, N, name), N, T, width, name)

    @classmethod
    def from_timestamps(
        cls,
        trains: Mapping[Any, Any] | Sequence[Any],
        bin_s: float,
        *,
        start_s: float = 0.0,
        stop_s: float | None = None,
        name: str = "trains",
    ) -> SpikeEvents:
        """Spike times in seconds, one array per neuron in the order given; bin 0 begins at start_s.

        The recording ends at stop_s, rounded up to a whole bin, or with the last spike. A spike at stop_s itself is in
        the last bin. Spikes before start_s or after stop_s are an error.
        """
        width = bin_width(f"{name}[bin_s]", bin_s)
        if width is None:
            raise ValueError(f"{name}: times in seconds need a bin width; give bin_s")
        labelled = list(trains.items()) if isinstance(trains, Mapping) else list(enumerate(trains))
        if not labelled:
            raise ValueError(f"{name}: expected at least one neuron, got none")
        if stop_s is not None and not stop_s > start_s:
            raise ValueError(f"{name}: expected stop_s above start_s={start_s:g}, got {stop_s:g}")
        found = [seconds_of(f"{name}[{label}]", t) for label, t in labelled]
        for (label, _), t in zip(labelled, found, strict=True):
            late = t > stop_s if stop_s is not None else np.zeros(len(t), bool)
            if (outside := late | (t < start_s)).any():
                raise ValueError(
                    f"{name}[{label}]: a spike at {t[int(outside.argmax())]:g} s, outside the recording from "
                    f"{start_s:g} to {'its end' if stop_s is None else f'{stop_s:g} s'}; set start_s and stop_s"
                )
        n_bins = None
        if stop_s is not None:
            n_bins = max(1, -int(bins_of(f"{name}[stop_s]", np.array([-(stop_s - start_s)]), width)[0]))
        bins = [bins_of(f"{name}[{label}]", t, width, start_s) for (label, _), t in zip(labelled, found, strict=True)]
        when = np.concatenate(bins)
        who = np.repeat(np.arange(len(bins)), [len(b) for b in bins])
        if n_bins is not None:
            when = np.minimum(when, n_bins - 1)
        return cls.from_events(who, when, n_neurons=len(bins), n_bins=n_bins, bin_s=width, name=name)

    @classmethod
    def from_tsgroup(cls, group: Any, bin_s: float, *, name: str = "group") -> SpikeEvents:
        """A pynapple TsGroup: its neurons in the order of its index, from the start to the end of its time support.

        What lies between the intervals of a time support in several pieces becomes empty bins.
        """
        try:
            trains = {label: np.asarray(group[label].t, dtype=np.float64) for label in group.keys()}
        except (AttributeError, KeyError, TypeError) as error:
            raise TypeError(f"{name}: expected a TsGroup, whose members have .t in seconds, got "
                            f"{type(group).__name__}") from error  # fmt: skip
        support = getattr(group, "time_support", None)
        if support is None:
            return cls.from_timestamps(trains, bin_s, name=name)
        start, end = np.asarray(support.start, np.float64), np.asarray(support.end, np.float64)
        return cls.from_timestamps(trains, bin_s, start_s=float(start.min()), stop_s=float(end.max()), name=name)

    def __len__(self) -> int:
        return len(self.neurons)

    @property
    def n_spikes(self) -> int:
        return int(self.counts.sum(dtype=np.int64))

    def dense(self) -> np.ndarray:
        """Counts [N, T] int32."""
        x = np.zeros((self.n_neurons, self.n_bins), np.int32)
        x[self.neurons, self.times] = self.counts
        return x

    def block(self, t0: int, t1: int) -> SpikeEvents:
        """Bins t0 .. t1 - 1 as a recording of its own whose bin 0 is t0; bins outside this one are empty."""
        if t1 <= t0:
            raise ValueError(f"t1: expected more than t0={t0}, got {t1}")
        a, b = np.searchsorted(self.times, (t0, t1))
        times = frozen(self.times[a:b].astype(np.int64) - t0)
        return replace(self, neurons=self.neurons[a:b], times=times, counts=self.counts[a:b], n_bins=t1 - t0)

    def packed(self, device: torch.device | str | None = None) -> PackedEvents:
        """The form that `event_projection` reads, on a device."""
        from neurorbit.bindings.event_projection import pack_events

        neurons, times, counts = (torch.tensor(x, device=device) for x in (self.neurons, self.times, self.counts))
        return pack_events(neurons, times, counts, n_neurons=self.n_neurons, n_bins=self.n_bins)

    def fingerprint(self) -> str:
        """sha256 of the events and the size of the recording; neither bin_s nor the name takes part."""
        return Fingerprint().add(self.neurons, self.times, self.counts).hexdigest(self.n_neurons, self.n_bins)

    @cached_property
    def _by_neuron(self) -> tuple[np.ndarray, np.ndarray]:
        """Positions of the events sorted by neuron, then time; where each neuron begins [N + 1]."""
        order = np.argsort(self.neurons, kind="stable")
        return order, np.searchsorted(self.neurons[order], np.arange(self.n_neurons + 1))

    def shuffled(self, generator: np.random.Generator) -> SpikeEvents:
        """A surrogate without structure between neurons: intervals between spikes permuted, each neuron for itself.

        A neuron that fires in m different bins has m - 1 intervals, each 1 or more. They come in a random order, from
        a first bin drawn uniformly from those that leave the last spike inside the recording. The m counts are
        permuted too, independently of the intervals. So every neuron keeps its spikes, its intervals and its counts.
        """
        order, starts = self._by_neuron
        J = len(order)
        times, sizes = self.times[order].astype(np.int64), np.diff(starts)
        first, filled = starts[:-1][sizes > 0], sizes > 0
        intervals = np.diff(times, prepend=0)
        intervals[first] = 0
        owner = self.neurons[order]

        keys = generator.random(J)
        keys[first] = -1.0  # a neuron's first place holds no interval
        intervals = intervals[np.argsort(owner + 0.5 * keys, kind="stable")]
        span = times[starts[1:][filled] - 1] - times[first]
        begin = generator.integers(0, self.n_bins - span)
        total = np.cumsum(intervals)
        moved = total - np.repeat(total[first] - begin, sizes[filled])
        counts = self.counts[order]
        if J and counts.min() != counts.max():
            counts = counts[np.argsort(owner + 0.5 * generator.random(J), kind="stable")]
        place = np.argsort(moved * self.n_neurons + owner, kind="stable")
        return replace(self, neurons=frozen(owner[place]), times=frozen(moved[place]), counts=frozen(counts[place]))

    def permuted(self, order: np.ndarray) -> SpikeEvents:
        """Neuron order[i] of this recording becomes neuron i."""
        if not np.array_equal(np.sort(order), np.arange(self.n_neurons)):
            raise ValueError(f"order: expected each of 0 .. N - 1 = {self.n_neurons - 1} once")
        place = np.argsort(order)
        who, when, many = merged(place[self.neurons], self.times, self.counts, self.n_neurons, self.name)
        return replace(self, neurons=who, times=when, counts=many)
