"""Recordings in HDF5 files of which stretches of time are read: lists of events and matrices."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import h5py
import numpy as np

from neurorbit.engine.data.event_arrays import Events, Fingerprint, frozen, merged, nonzero_counts
from neurorbit.engine.data.event_checks import size_of, time_bins, whole_numbers, within
from neurorbit.engine.data.stored_array import reading

STEP = 1 << 16  # events that are looked at together when a file is checked
ELEMENTS = 1 << 22  # elements of a matrix likewise


class EventSource(Protocol):
    """A checked recording; only a few steps of it were in memory at a time."""

    name: str
    bin_s: float | None
    n_neurons: int
    n_bins: int
    n_spikes: int
    fingerprint: str

    def read(self, start: int, stop: int) -> Events:
        """The events of bins start .. stop - 1, sorted and merged."""
        ...


class StoredList:
    """Data sets neurons, times and perhaps counts, sorted by time."""

    def __init__(
        self, path: Path, prefix: str, sizes: Mapping[str, Any], has_counts: bool, bin_s: float | None
    ) -> None:
        self.path, self.prefix, self.bin_s = path, prefix, bin_s
        self.name = f"{path}[{prefix.rstrip('/')}]" if prefix else f"{path}"
        self._words = ("neurons", "times", "counts") if has_counts else ("neurons", "times")
        with reading(path), h5py.File(path, "r") as file:
            shapes = [file[prefix + word].shape for word in self._words]
        for word, shape in zip(self._words, shapes, strict=True):
            if len(shape) != 1 or shape != shapes[0]:
                raise ValueError(f"{self.name}[{word}]: expected [J], as many as neurons, got {list(shape)}")
        self.n_events = shapes[0][0]
        if self.n_events == 0:
            raise ValueError(f"{self.name}: holds no spike")
        self._steps = [(a, min(a + STEP, self.n_events)) for a in range(0, self.n_events, STEP)]
        largest = 0
        if "n_neurons" not in sizes:
            largest = max(int(self._column("neurons", a, b).max()) for a, b in self._steps)
        self.n_neurons = size_of(f"{self.name}[n_neurons]", sizes.get("n_neurons"), largest)
        latest = int(self._part(self.n_events - 1, self.n_events)[1][0])
        self.n_bins = size_of(f"{self.name}[n_bins]", sizes.get("n_bins"), latest)
        self._check()

    def _check(self) -> None:
        """One pass: order and range of the events, how many spikes, fingerprint, the time of every STEP-th event."""
        digest, self.n_spikes, firsts, latest = Fingerprint(), 0, [], 0
        waiting = (np.zeros(0, np.int64),) * 3  # of a bin that may go on in the next step
        for a, b in self._steps:
            part = self._part(a, b)
            within(f"{self.name}[neurons]", part[0], self.n_neurons, "N", "raise n_neurons, count from 0", a)
            within(f"{self.name}[times]", part[1], self.n_bins, "T", "raise n_bins, sort the events by time", a)
            backwards = np.diff(part[1], prepend=latest) < 0
            if backwards.any():
                at = a + int(backwards.argmax())
                raise ValueError(
                    f"{self.name}[times]: event {at} lies before event {at - 1}; blocks need events sorted by time, as "
                    "write_spike_events writes them"
                )
            firsts.append(int(part[1][0]))
            latest = int(part[1][-1])
            neurons, times, counts = (np.concatenate(x) for x in zip(waiting, part, strict=True))
            cut = len(times) if b == self.n_events else int(np.searchsorted(times, latest))
            waiting = (neurons[cut:], times[cut:], counts[cut:])
            events = merged(neurons[:cut], times[:cut], counts[:cut], self.n_neurons, self.name)
            digest.add(*events)
            self.n_spikes += int(events[2].sum(dtype=np.int64))
        self._firsts = np.array(firsts)
        self.fingerprint = digest.hexdigest(self.n_neurons, self.n_bins)

    def read(self, start: int, stop: int) -> Events:
        return merged(*self._part(self._place(start), self._place(stop)), self.n_neurons, self.name)

    def _place(self, t: int) -> int:
        """How many events come before bin t."""
        step = int(np.searchsorted(self._firsts, t)) - 1
        if step < 0:
            return 0
        a, b = self._steps[step]
        return a + int(np.searchsorted(self._bins(a, b), t))

    def _part(self, a: int, b: int) -> Events:
        who = whole_numbers(f"{self.name}[neurons]", self._column("neurons", a, b), "neuron numbers", a)
        if "counts" not in self._words:
            return who, self._bins(a, b), np.ones_like(who)
        many = whole_numbers(f"{self.name}[counts]", self._column("counts", a, b), "counts", a)
        if (many < 0).any():
            at = int((many < 0).argmax())
            raise ValueError(f"{self.name}[counts]: expected 0 or more, got {many[at]} at event {a + at}")
        return who, self._bins(a, b), many

    def _bins(self, a: int, b: int) -> np.ndarray:
        return time_bins(f"{self.name}[times]", self._column("times", a, b), self.bin_s, a)

    def _column(self, word: str, a: int, b: int) -> np.ndarray:
        with reading(self.path), h5py.File(self.path, "r") as file:
            column: np.ndarray = file[self.prefix + word][a:b]
        return column


class StoredMatrix:
    """A data set [N, T] of counts, or [T, N] when transposed."""

    def __init__(self, path: Path, key: str, bin_s: float | None, transpose: bool) -> None:
        self.path, self.key, self.bin_s, self.transpose = path, key, bin_s, transpose
        self.name = f"{path}[{key}]"
        with reading(path), h5py.File(path, "r") as file:
            shape = file[key].shape
        if len(shape) != 2 or 0 in shape:
            raise ValueError(f"{self.name}: expected [N, T], got {list(shape)}")
        self.n_neurons, self.n_bins = shape[::-1] if transpose else shape
        step = max(1, ELEMENTS // self.n_neurons)
        digest, self.n_spikes = Fingerprint(), 0
        for a in range(0, self.n_bins, step):
            events = self.read(a, min(a + step, self.n_bins))
            digest.add(*events)
            self.n_spikes += int(events[2].sum(dtype=np.int64))
        self.fingerprint = digest.hexdigest(self.n_neurons, self.n_bins)

    def read(self, start: int, stop: int) -> Events:
        with reading(self.path), h5py.File(self.path, "r") as file:
            x = file[self.key][start:stop].T if self.transpose else file[self.key][:, start:stop]
        neurons, times, counts = nonzero_counts(self.name, x, start)
        return neurons, frozen(times + start), counts
