"""A recording in an HDF5 file, read in blocks of time: one block is in memory, never the whole."""

from __future__ import annotations

import os
from collections.abc import Iterator

import numpy as np

from neurorbit.engine.data.event_arrays import frozen
from neurorbit.engine.data.event_checks import bin_width
from neurorbit.engine.data.event_sources import EventSource, StoredList, StoredMatrix
from neurorbit.engine.data.hdf5_file import hdf5_arrays
from neurorbit.engine.data.read_spikes import event_list_prefix, matrix_key, stated_bin_width
from neurorbit.engine.data.readable import check_readable
from neurorbit.engine.data.spike_events import SpikeEvents


class EventBlocks:
    """Blocks (t0, t1, events) of the response o[t0:t1], in order; can be iterated again and again.

    The response of filters of W bins with padding P has T' = T + 2P - W + 1 elements, and o[t0:t1] looks at the bins
    t0 - P .. t1 - 1 - P + W - 1. These are the block's events: bin t0 - P of the recording is its bin 0, its length is
    t1 - t0 + W - 1, bins outside the recording are empty. So `event_projection` with padding 0 gives o[t0:t1].
    """

    def __init__(self, source: EventSource, block_bins: int, width: int, padding: int) -> None:
        for name, value, least in (("block_bins", block_bins, 1), ("width", width, 1), ("padding", padding, 0)):
            if isinstance(value, bool) or not isinstance(value, int | np.integer):
                raise TypeError(f"{name}: expected a whole number, got {value!r}")
            if value < least:
                raise ValueError(f"{name}: expected {least} or more, got {value}")
        if width > source.n_bins:
            raise ValueError(
                f"width: expected at most the T={source.n_bins} bins of {source.name}, got W={width}; "
                "shorten the filter"
            )
        self._source = source
        self.block_bins, self.width, self.padding = int(block_bins), int(width), int(padding)
        self.n_neurons, self.n_bins, self.n_spikes = source.n_neurons, source.n_bins, source.n_spikes
        self.bin_s, self.name = source.bin_s, source.name
        self.n_outputs = self.n_bins + 2 * self.padding - self.width + 1

    def __len__(self) -> int:
        return -(-self.n_outputs // self.block_bins)

    def __iter__(self) -> Iterator[tuple[int, int, SpikeEvents]]:
        for t0 in range(0, self.n_outputs, self.block_bins):
            t1 = min(t0 + self.block_bins, self.n_outputs)
            yield t0, t1, self._events(t0 - self.padding, t1 - t0 + self.width - 1)

    def _events(self, first: int, length: int) -> SpikeEvents:
        start, stop = max(first, 0), min(first + length, self.n_bins)
        nothing = (frozen(np.zeros(0)),) * 3
        neurons, times, counts = self._source.read(start, stop) if stop > start else nothing
        shifted = frozen(times.astype(np.int64) - first)
        return SpikeEvents(neurons, shifted, counts, self.n_neurons, length, self.bin_s, self.name)

    def fingerprint(self) -> str:
        """That of the whole recording read at once."""
        return self._source.fingerprint


def open_event_blocks(
    path: str | os.PathLike[str],
    key: str | None = None,
    *,
    block_bins: int,
    width: int,
    padding: int,
    bin_s: float | None = None,
    transpose: bool = False,
) -> EventBlocks:
    """Blocks of the recording of counts in an HDF5 file: events sorted by time, or a matrix [N, T].

    Everything is checked here, in one pass through the file; keys are those of `read_spike_events`.

    Args:
        block_bins: elements of the response per block, at most. width: W, bins of a filter. padding: P.
    Raises:
        OSError, ValueError, TypeError: one line that names the file, what is wrong and the mend.
    """
    path = check_readable(path, (".h5", ".hdf5"))
    arrays = hdf5_arrays(path)
    prefix = event_list_prefix(arrays, key)
    bin_s = stated_bin_width(path, arrays, prefix or "", bin_width("bin_s", bin_s))
    source: EventSource
    if prefix is None:
        source = StoredMatrix(path, matrix_key(path, arrays, key), bin_s, transpose)
    elif transpose:
        raise ValueError(f"transpose: {path} holds events, there is nothing to transpose; leave it out")
    else:
        sizes = {word: arrays[prefix + word].load() for word in ("n_neurons", "n_bins") if prefix + word in arrays}
        source = StoredList(path, prefix, sizes, prefix + "counts" in arrays, bin_s)
    if source.n_spikes == 0:
        raise ValueError(f"{source.name}: holds no spike")
    return EventBlocks(source, block_bins, width, padding)
