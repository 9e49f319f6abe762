"""Observations in: reading, checking, standardising, drawing windows; orbits and events out."""

from neurorbit.engine.data.dense_recording import DenseRecording
from neurorbit.engine.data.read import read_time_series
from neurorbit.engine.data.spike_events import SpikeEvents
from neurorbit.engine.data.standardiser import Standardiser
from neurorbit.engine.data.time_series import TimeSeries
from neurorbit.engine.data.windows import Windows, WindowSampler
from neurorbit.engine.data.write import check_orbit_path, write_orbits

__all__ = [
    "DenseRecording",
    "SpikeEvents",
    "Standardiser",
    "TimeSeries",
    "WindowSampler",
    "Windows",
    "check_orbit_path",
    "read_time_series",
    "write_orbits",
]
