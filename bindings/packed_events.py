"""Events of one or more recordings in the two orders that the kernels read: by time, and by neuron."""

from __future__ import annotations

import importlib
from typing import NamedTuple

import torch
from torch import Tensor

from neurorbit.bindings.dispatch import available_backends

INTEGERS = (torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8)
LARGEST = 2**31 - 1


class PackedEvents(NamedTuple):
    """J events of R recordings; made by `pack_events`, which checks them."""

    neurons: Tensor  # [J] int32, sorted by recording, then time
    times: Tensor  # [J] int32, bins
    counts: Tensor  # [J] int32
    starts: Tensor  # [R + 1] int64: events of recording r are starts[r] .. starts[r + 1]
    times_by_neuron: Tensor  # [J] int32, sorted by recording, then neuron, then time
    counts_by_neuron: Tensor  # [J] int32
    neuron_starts: Tensor  # [R * N + 1] int64
    n_neurons: int
    n_bins: int


def _whole(name: str, value: Tensor, like: Tensor | None) -> Tensor:
    if not isinstance(value, Tensor):
        raise TypeError(f"{name}: expected a tensor, got {type(value).__name__}")
    if value.dtype not in INTEGERS:
        mend = ": convert time stamps to bins first, (t / bin_s).floor().long()" if name == "times" else ""
        raise TypeError(f"{name}: expected an integer dtype, got {value.dtype}{mend}")
    if value.ndim != 1:
        raise ValueError(f"{name}: expected [J], got {list(value.shape)}")
    if like is not None and value.shape != like.shape:
        raise ValueError(f"{name}: expected [J={like.numel()}] as neurons, got {list(value.shape)}")
    if like is not None and value.device != like.device:
        raise ValueError(f"{name}: expected device {like.device} as neurons, got {value.device}")
    return value


def _inside(name: str, value: Tensor, low: int, high: int, meaning: str) -> None:
    if value.numel():
        least, most = (int(v) for v in torch.aminmax(value))
        if least < low or most > high:
            raise ValueError(f"{name}: expected {low} to {meaning}, got {least} to {most}")


def _size(name: str, value: int, most: int = LARGEST) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name}: expected a whole number, got {type(value).__name__}")
    if not 1 <= value <= most:
        raise ValueError(f"{name}: expected 1 to {most}, got {value}")
    return value


def _by_time(recordings: Tensor | None, times: Tensor, neurons: Tensor, T: int, N: int) -> Tensor | None:
    """The stable order by recording, time and neuron; None when the events are in it already."""
    key = times.long() if recordings is None else recordings * T + times
    key = key * N + neurons
    return None if bool((key[1:] >= key[:-1]).all()) else torch.sort(key, stable=True).indices


def _by_row(rows: Tensor, times: Tensor, counts: Tensor, starts: Tensor) -> tuple[Tensor, Tensor]:
    """Times and counts in the order of rows; those of one row stay in the order of time."""
    if rows.device.type == "cpu" and available_backends()["numba"] is True:
        one_pass = importlib.import_module("neurorbit.kernels.event_projection.numba_order").by_row
        found: tuple[Tensor, Tensor] = one_pass(rows, times, counts, starts)
        return found
    order = torch.sort(rows, stable=True).indices
    return times[order], counts[order]


def pack_events(
    neurons: Tensor,
    times: Tensor,
    counts: Tensor | None = None,
    *,
    n_neurons: int,
    n_bins: int,
    recordings: Tensor | None = None,
    n_recordings: int = 1,
) -> PackedEvents:
    """Sort and check events once, for any number of calls of `event_projection`.

    Args:
        neurons: neuron of each event, [J], any integer dtype, in 0 .. n_neurons - 1; in any order.
        times: its bin, [J], in 0 .. n_bins - 1. Time stamps in seconds are refused: bin them first.
        counts: spikes in that bin, [J], at least 1; all 1 when None. Events of the same neuron and bin stay apart and
            add up in the responses.
        n_neurons, n_bins: N and T of each recording.
        recordings: recording of each event, [J], in 0 .. n_recordings - 1; all 0 when None.
        n_recordings: R, 1 or the number of models.

    Returns:
        PackedEvents on the device of the arguments.

    Raises:
        ValueError: shapes, ranges, devices. TypeError: types and dtypes.
    """
    _whole("neurons", neurons, None)
    _whole("times", times, neurons)
    counts = _whole("counts", torch.ones_like(times) if counts is None else counts, neurons)
    N, T, R = _size("n_neurons", n_neurons), _size("n_bins", n_bins), _size("n_recordings", n_recordings)
    if recordings is None and R > 1:
        raise ValueError(f"recordings: is required when n_recordings is {R}")
    _inside("neurons", neurons, 0, N - 1, f"n_neurons - 1 = {N - 1}")
    _inside("times", times, 0, T - 1, f"n_bins - 1 = {T - 1}")
    _inside("counts", counts, 1, LARGEST, f"{LARGEST}")
    if R * N > LARGEST or R * T * N > 2**62:
        raise ValueError(f"n_recordings, n_neurons, n_bins: {R} x {N} x {T} is too large: use blocks of time")
    if recordings is not None:
        _inside("recordings", _whole("recordings", recordings, neurons), 0, R - 1, f"n_recordings - 1 = {R - 1}")
        recordings = recordings.long()
    times, neurons, counts = times.int(), neurons.int(), counts.int()
    order = _by_time(recordings, times, neurons, T, N)
    if order is not None:
        times, neurons, counts = times[order], neurons[order], counts[order]
        recordings = None if recordings is None else recordings[order]
    rows = neurons if recordings is None else recordings * N + neurons
    none = rows.new_zeros(1, dtype=torch.int64)
    starts = none.new_tensor([0, len(times)])
    if recordings is not None:
        starts = torch.cat([none, torch.bincount(recordings, minlength=R).cumsum(0)])
    neuron_starts = torch.cat([none, torch.bincount(rows, minlength=R * N).cumsum(0)])
    times, neurons, counts = times.contiguous(), neurons.contiguous(), counts.contiguous()
    times_by_neuron, counts_by_neuron = _by_row(rows, times, counts, neuron_starts)
    return PackedEvents(neurons, times, counts, starts, times_by_neuron, counts_by_neuron, neuron_starts, N, T)


def check_packed(events: PackedEvents) -> None:
    """Types and sizes of packed events; their order and values are `pack_events`'s to check."""
    if not isinstance(events, PackedEvents):
        raise TypeError(f"events: expected PackedEvents from pack_events, got {type(events).__name__}")
    J, R = events.neurons.numel(), events.starts.numel() - 1
    sizes = {"starts": (torch.int64, R + 1), "neuron_starts": (torch.int64, R * events.n_neurons + 1)}
    for name, value in zip(PackedEvents._fields[:7], events[:7], strict=True):
        dtype, size = sizes.get(name, (torch.int32, J))
        if not isinstance(value, Tensor) or value.dtype != dtype:
            got = value.dtype if isinstance(value, Tensor) else type(value).__name__
            raise TypeError(f"events.{name}: expected a tensor of {dtype}, got {got}: use pack_events")
        if value.shape != (size,):
            raise ValueError(f"events.{name}: expected [{size}], got {list(value.shape)}: use pack_events")
