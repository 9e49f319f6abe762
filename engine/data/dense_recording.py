"""Recordings whose values are no counts: calcium traces, rates."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np

from neurorbit.engine.data.event_checks import bin_width, finite_matrix


@dataclass(frozen=True, eq=False)
class DenseRecording:
    """x [N, T] float32, finite. Build it with `from_array`, which checks it."""

    x: np.ndarray
    bin_s: float | None = None
    name: str = "recording"

    @classmethod
    def from_array(cls, x: Any, *, bin_s: float | None = None, name: str = "recording") -> DenseRecording:
        """A checked float32 copy of x [N, T]."""
        values = finite_matrix(name, x)
        with np.errstate(over="ignore"):
            small = values.astype(np.float32, order="C", copy=True)
        if not np.isfinite(small).all():
            raise ValueError(f"{name}: {np.abs(values).max():.3g} is too large for float32; rescale the data")
        small.flags.writeable = False
        return cls(small, bin_width(f"{name}[bin_s]", bin_s), name)

    @property
    def n_neurons(self) -> int:
        return int(self.x.shape[0])

    @property
    def n_bins(self) -> int:
        return int(self.x.shape[1])

    def dense(self) -> np.ndarray:
        """x itself."""
        return self.x

    def block(self, t0: int, t1: int) -> DenseRecording:
        """Bins t0 .. t1 - 1; zeros where they lie outside the recording."""
        lo, hi = min(max(t0, 0), self.n_bins), max(min(t1, self.n_bins), 0)
        if t1 <= t0:
            raise ValueError(f"t1: expected more than t0={t0}, got {t1}")
        x = np.zeros((self.n_neurons, t1 - t0), np.float32)
        if hi > lo:
            x[:, lo - t0 : hi - t0] = self.x[:, lo:hi]
        return DenseRecording(x, self.bin_s, self.name)

    def shuffled(self, generator: np.random.Generator) -> DenseRecording:
        """A surrogate without structure between neurons: each one's activity moved round by a random number of bins."""
        moves = generator.integers(0, self.n_bins, self.n_neurons)
        places = (np.arange(self.n_bins) - moves[:, None]) % self.n_bins
        return DenseRecording(np.take_along_axis(self.x, places, 1), self.bin_s, self.name)

    def fingerprint(self) -> str:
        """sha256 of shape and values."""
        digest = hashlib.sha256(f"neurorbit dense {self.n_neurons} {self.n_bins}\n".encode())
        digest.update(np.ascontiguousarray(self.x, dtype="<f4").data)
        return digest.hexdigest()
