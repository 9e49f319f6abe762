"""Writing events, with the truth that a simulation knows, whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from neurorbit.engine.data.spike_events import SpikeEvents
from neurorbit.engine.data.write import check_writable, hdf5_bytes, npz_bytes
from neurorbit.engine.whole_files import write_atomically

_WRITERS = {".npz": npz_bytes, ".h5": hdf5_bytes, ".hdf5": hdf5_bytes}
EVENT_KEYS = ("neurons", "times", "counts", "n_neurons", "n_bins", "bin_s")


def write_spike_events(
    path: str | os.PathLike[str], events: SpikeEvents, truth: Mapping[str, np.ndarray] | None = None
) -> Path:
    """Writes a .npz, .h5 or .hdf5 file that `read_spike_events` and, HDF5, `open_event_blocks` read.

    Keys: neurons, times, counts [J] int32 sorted by time, then neuron; n_neurons, n_bins, and bin_s when it is known;
    the arrays of `truth` under their own names.
    """
    path = check_spike_path(path)
    arrays = {
        "neurons": events.neurons,
        "times": events.times,
        "counts": events.counts,
        "n_neurons": np.array(events.n_neurons),
        "n_bins": np.array(events.n_bins),
    }
    if events.bin_s is not None:
        arrays["bin_s"] = np.array(events.bin_s)
    for key, x in (truth or {}).items():
        values = np.asarray(x)
        if key in EVENT_KEYS:
            raise ValueError(f"truth: '{key}' is a key of the events themselves; choose another name")
        if values.dtype.kind not in "fiubU":
            raise TypeError(f"truth[{key}]: expected numbers or a text, got {values.dtype}")
        arrays[key] = values
    return write_atomically(path, _WRITERS[path.suffix.lower()](arrays))


def check_spike_path(path: str | os.PathLike[str]) -> Path:
    """The path, or an error that says why `write_spike_events` could not write there."""
    return check_writable(path, _WRITERS)
