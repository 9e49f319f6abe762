"""Events as arrays: out of matrices and lists into the one order, and their fingerprint."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np

from neurorbit.engine.data.event_checks import LARGEST, finite_matrix

Events = tuple[np.ndarray, np.ndarray, np.ndarray]  # neurons, times, counts


def frozen(x: np.ndarray) -> np.ndarray:
    """A copy as int32 that nobody changes."""
    y = np.array(x, dtype=np.int32)
    y.flags.writeable = False
    return y


def merged(neurons: np.ndarray, times: np.ndarray, counts: np.ndarray, n_neurons: int, name: str) -> Events:
    """Sorted by time, then neuron; counts of the same neuron and bin added up, zeros left out; frozen."""
    key = times.astype(np.int64) * n_neurons + neurons
    if (key[1:] <= key[:-1]).any():
        order = np.argsort(key, kind="stable")
        key, counts = key[order], counts[order]
        first = np.flatnonzero(np.diff(key, prepend=-1))
        key, counts = key[first], np.add.reduceat(counts, first, dtype=np.int64)
    if (counts > LARGEST).any():
        raise ValueError(f"{name}[counts]: more than 2**31 - 1 spikes of one neuron in one bin")
    kept = counts > 0
    key, counts = (key, counts) if kept.all() else (key[kept], counts[kept])
    return frozen(key % n_neurons), frozen(key // n_neurons), frozen(counts)


def nonzero_counts(name: str, x: Any, first_bin: int = 0) -> Events:
    """The events of a matrix of counts [N, T], sorted and frozen; `first_bin` is where x begins, for the messages."""
    values = finite_matrix(name, x, first_bin)
    times, neurons = np.nonzero(values.T)
    counts = values[neurons, times]
    bad = (counts < 0) | (counts > LARGEST)
    if values.dtype.kind == "f":
        bad |= counts != np.rint(counts)
    if bad.any():
        at = int(bad.argmax())
        raise ValueError(
            f"{name}: expected counts 0, 1, .., got {counts[at]:g} at neuron {neurons[at]}, "
            f"bin {first_bin + times[at]}; real-valued activity is a DenseRecording"
        )
    return frozen(neurons), frozen(times), frozen(counts)


class Fingerprint:
    """sha256 over events that come in pieces, each sorted and merged, in the order of time."""

    def __init__(self) -> None:
        self._parts = tuple(hashlib.sha256() for _ in range(3))

    def add(self, neurons: np.ndarray, times: np.ndarray, counts: np.ndarray) -> Fingerprint:
        for part, x in zip(self._parts, (neurons, times, counts), strict=True):
            part.update(np.ascontiguousarray(x, dtype="<i4").data)
        return self

    def hexdigest(self, n_neurons: int, n_bins: int) -> str:
        words = " ".join(part.hexdigest() for part in self._parts)
        return hashlib.sha256(f"neurorbit events {n_neurons} {n_bins} {words}\n".encode()).hexdigest()
