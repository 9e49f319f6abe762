"""Random training windows, a function of (seed, step) alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from neurorbit.engine.data.time_series import TimeSeries, sequence_array

BLOCK = 256  # steps drawn at a time; part of the definition of the stream, as is STREAM
STREAM = 0x57494E44  # second key word, keeps these draws apart from other uses of a seed


class Windows(NamedTuple):
    """x [E, B, L, N] observations, u [E, B, L, U] inputs of the same steps or None."""

    x: Tensor
    u: Tensor | None


class WindowSampler:
    """Windows of `length` steps, drawn with replacement, uniformly over the places where one may start.

    A window may start where it ends before its sequence does and where its first row, from which a model takes its
    initial state, has at least one observation and no more missing ones than the median of such rows. The draws of
    model e at a step depend on seeds[e] and the step alone: an ensemble sees what its models would see alone, and a
    resumed run what an uninterrupted one would have seen.
    """

    def __init__(
        self,
        series: TimeSeries,
        length: int,
        batch_size: int,
        seeds: Sequence[int],
        *,
        device: torch.device | str | None = None,
    ) -> None:
        for name, value in (("length", length), ("batch_size", batch_size)):
            if value < 1:
                raise ValueError(f"{name}: expected 1 or more, got {value}")
        if len(seeds) == 0:
            raise ValueError("seeds: expected one seed per model, got none")
        for seed in seeds:
            if not 0 <= seed < 2**64:
                raise ValueError(f"seeds: expected integers from 0 to 2**64 - 1, got {seed}")
        for i, T in enumerate(series.lengths):
            if length > T:
                which = "x" if len(series.lengths) == 1 else f"x: sequence {i} of {len(series.lengths)}"
                raise ValueError(
                    f"{which}: expected at least {length} steps for a window, got [T={T}, N={series.n_observed}]; "
                    f"choose windows of at most {T}"
                    + (", or transpose x if it is [N, T]" if series.n_observed > T else "")
                )
        self.length = length
        self.batch_size = batch_size
        self.seeds = tuple(int(seed) for seed in seeds)
        self.starts = _possible_starts(series, length).to(device)
        self._x = _overlapping(sequence_array(series.values).to(device), length)
        self._u = None if series.inputs is None else _overlapping(sequence_array(series.inputs).to(device), length)
        self._block = -1
        self._drawn = torch.empty(0)

    def draw(self, step: int) -> Windows:
        """The windows of training step `step` (0, 1, ...) for every model."""
        if step < 0:
            raise ValueError(f"step: expected 0 or more, got {step}")
        block, row = divmod(step, BLOCK)
        if block != self._block:
            self._drawn = self.starts[torch.from_numpy(self._draw_block(block)).to(self.starts.device)]
            self._block = block
        rows = self._drawn[row].reshape(-1)  # [E B]
        batch = (len(self.seeds), self.batch_size, self.length)
        x = self._x.index_select(0, rows).view(*batch, -1)
        u = None if self._u is None else self._u.index_select(0, rows).view(*batch, -1)
        return Windows(x, u)

    def _draw_block(self, block: int) -> np.ndarray:
        """Which of the possible starts, [BLOCK, E, B] int64; raw bits, since numpy's own integers may change."""
        n = np.uint64(self.starts.numel())
        drawn = np.empty((BLOCK, len(self.seeds), self.batch_size), dtype=np.int64)
        for e, seed in enumerate(self.seeds):
            key, counter = np.array([seed, STREAM], np.uint64), np.array([0, 0, block, 0], np.uint64)
            bits = np.random.Philox(key=key, counter=counter).random_raw(BLOCK * self.batch_size)
            drawn[:, e] = (((bits >> np.uint64(32)) * n) >> np.uint64(32)).reshape(BLOCK, -1)
        return drawn


def _possible_starts(series: TimeSeries, length: int) -> Tensor:
    """Rows of the concatenated series where a window may start, int64."""
    starts, missing, first = [], [], 0
    for x in series.values:
        here = x[: len(x) - length + 1]
        starts.append(torch.arange(first, first + len(here)))
        missing.append(here.isnan().sum(1))
        first += len(x)
    rows, n_missing = torch.cat(starts), torch.cat(missing)
    seen = n_missing < series.n_observed
    if not seen.any():
        raise ValueError(
            f"x: every row at which a window of {length} steps could start is NaN throughout; choose a shorter window"
        )
    rows, n_missing = rows[seen], n_missing[seen]
    return rows[n_missing <= n_missing.median()]


def _overlapping(x: Tensor, length: int) -> Tensor:
    """View [T - length + 1, length, N] of x [T, N] whose row t is the window that starts at t."""
    T, N = x.shape
    return x.contiguous().as_strided((T - length + 1, length, N), (N, N, 1))
