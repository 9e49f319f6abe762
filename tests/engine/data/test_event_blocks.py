"""Blocks of time from HDF5: together they are the recording, one at a time they are small."""

import tracemalloc
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neurorbit.engine.data import SpikeEvents, open_event_blocks, read_spike_events, write_spike_events

RECORDING = SpikeEvents.from_dense(np.random.default_rng(0).poisson(0.3, (6, 300)), bin_s=0.05)
SIZES: dict[str, int] = {"block_bins": 50, "width": 20, "padding": 10}


def response(x: np.ndarray, w: np.ndarray, padding: int) -> np.ndarray:
    """o[t] = sum_n sum_lag w[n, lag] x[n, t - P + lag], written out."""
    wide = np.pad(x, ((0, 0), (padding, padding)))
    W = w.shape[1]
    return np.array([(w * wide[:, t : t + W]).sum() for t in range(wide.shape[1] - W + 1)])


@pytest.fixture
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files are checked seven events, or elements, at a time."""
    monkeypatch.setattr("neurorbit.engine.data.event_sources.STEP", 7)
    monkeypatch.setattr("neurorbit.engine.data.event_sources.ELEMENTS", 7)


@pytest.fixture(params=["list", "seconds", "matrix", "transposed"])
def stored(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, dict[str, Any]]:
    """RECORDING in each of the layouts, and what opens it."""
    path = tmp_path / "a.h5"
    if request.param == "list":
        return write_spike_events(path, RECORDING), {}
    if request.param == "seconds":
        write_spike_events(path, RECORDING)
        with h5py.File(path, "r+") as file:
            del file["times"]
            file["times"] = (RECORDING.times + 0.5) * 0.05
        return path, {}
    with h5py.File(path, "w") as file:
        x = RECORDING.dense()
        file.create_dataset("x", data=x.T if request.param == "transposed" else x, chunks=(2, 2), compression="gzip")
    return path, {"bin_s": 0.05, "transpose": request.param == "transposed"}


@pytest.mark.usefixtures("small_steps")
@pytest.mark.parametrize(
    ("block_bins", "width", "padding"),
    [(50, 20, 10), (301, 20, 10), (1, 300, 0), (7, 1, 0), (64, 300, 150), (9, 3, 40)],
)
def test_blocks_give_the_response_of_the_whole(
    stored: tuple[Path, dict[str, Any]], block_bins: int, width: int, padding: int
) -> None:
    blocks = open_event_blocks(stored[0], block_bins=block_bins, width=width, padding=padding, **stored[1])
    w = np.random.default_rng(1).standard_normal((6, width))
    whole = response(RECORDING.dense(), w, padding)
    assert blocks.n_outputs == len(whole) == 300 + 2 * padding - width + 1
    assert (blocks.n_neurons, blocks.n_bins, blocks.bin_s) == (6, 300, 0.05)
    assert blocks.fingerprint() == RECORDING.fingerprint() and blocks.n_spikes == RECORDING.n_spikes
    for _ in range(2):  # again from the start
        ends = [0]
        for t0, t1, events in blocks:
            assert t0 == ends[-1] and 0 < t1 - t0 <= block_bins and events.n_bins == t1 - t0 + width - 1
            assert np.allclose(response(events.dense(), w, 0), whole[t0:t1], atol=1e-12)
            assert events.fingerprint() == RECORDING.block(t0 - padding, t1 - padding + width - 1).fingerprint()
            ends.append(t1)
        assert ends[-1] == len(whole) and len(ends) - 1 == len(blocks)


@settings(deadline=None, max_examples=50)
@given(
    events=st.lists(st.tuples(st.integers(0, 4), st.integers(0, 40), st.integers(0, 3)), min_size=1),
    step=st.integers(1, 9),
    with_counts=st.booleans(),
)
def test_unmerged_lists_are_merged(
    tmp_path_factory: pytest.TempPathFactory, events: list[tuple[int, int, int]], step: int, with_counts: bool
) -> None:
    """Several events of a neuron in one bin, neurons of a bin in any order, counts of zero, across steps."""
    neurons, times, counts = np.array(sorted(events, key=lambda e: e[1])).T
    path = tmp_path_factory.getbasetemp() / "merge.h5"
    with h5py.File(path, "w") as file:
        file["neurons"], file["times"] = neurons, times
        if with_counts:
            file["counts"] = counts
    if with_counts and not counts.any():
        with pytest.raises(ValueError, match="holds no spike"):
            open_event_blocks(path, block_bins=3, width=1, padding=0)
        return
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("neurorbit.engine.data.event_sources.STEP", step)
        blocks = open_event_blocks(path, block_bins=3, width=1, padding=0)
        whole = read_spike_events(path)
        assert isinstance(whole, SpikeEvents) and blocks.fingerprint() == whole.fingerprint()
        assert np.array_equal(np.concatenate([e.dense() for _, _, e in blocks], axis=1), whole.dense())


def test_never_more_than_a_block_in_memory(tmp_path: Path) -> None:
    """Two million events, 24 MB: the peak while they are read in blocks stays below a third of them."""
    J, path = 2_000_000, tmp_path / "long.h5"
    generator = np.random.default_rng(0)
    with h5py.File(path, "w") as file:
        file["neurons"] = generator.integers(0, 1000, J).astype(np.int32)
        file["times"] = np.sort(generator.integers(0, 1_000_000, J)).astype(np.int32)
        file["n_neurons"], file["n_bins"] = 1000, 1_000_000
    tracemalloc.start()
    blocks = open_event_blocks(path, block_bins=10_000, width=200, padding=100)
    n = 0
    for _, _, events in blocks:
        n += int(np.count_nonzero(events.times < 10_000))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert n == pytest.approx(J, rel=0.01) and len(blocks) == 101
    assert peak < 12 * J / 3, peak


@pytest.mark.parametrize(
    ("change", "keywords", "message"),
    [
        (
            {"times": [5, 4, 6]},
            {},
            r"\[times\]: event 1 lies before event 0; blocks need events sorted by time, as write_",
        ),
        ({"times": [4, 5, 60]}, {}, r"\[times\]: expected 0 to T - 1 = 39, got 60 at event 2"),
        ({"times": [-4, 5, 6]}, {}, r"\[times\]: expected 0 to T - 1 = 39, got -4 at event 0"),
        ({"times": [4.0, 5.0, 6.0]}, {}, r"\[times\]: floats are seconds and need a bin width"),
        ({"times": [4, 5]}, {}, r"\[times\]: expected \[J\], as many as neurons, got \[2\]"),
        ({"neurons": [0, 1, 9]}, {}, r"\[neurons\]: expected 0 to N - 1 = 4, got 9 at event 2"),
        ({"neurons": [0, 1.5, 2]}, {}, r"\[neurons\]: expected whole neuron numbers, got 1.5 at event 1"),
        ({"counts": [1, 1, -1]}, {}, r"\[counts\]: expected 0 or more, got -1 at event 2"),
        ({"counts": [0, 0, 0]}, {}, ": holds no spike"),
        ({"neurons": [], "times": [], "counts": []}, {}, ": holds no spike"),
        ({}, {"width": 41}, "^width: expected at most the T=40 bins of .*a.h5, got W=41; shorten the filter"),
        ({}, {"width": 0}, "^width: expected 1 or more, got 0"),
        ({}, {"block_bins": 0}, "^block_bins: expected 1 or more, got 0"),
        ({}, {"padding": -1}, "^padding: expected 0 or more, got -1"),
        ({}, {"transpose": True}, "^transpose: .*a.h5 holds events"),
        ({}, {"key": "other"}, "^key: .*a.h5 has no array 'other'; it has 'counts'"),
    ],
)
def test_refused_lists(tmp_path: Path, change: dict[str, Any], keywords: dict[str, Any], message: str) -> None:
    arrays = {"neurons": [0, 1, 2], "times": [4, 5, 6], "counts": [1, 2, 1], "n_neurons": 5, "n_bins": 40, **change}
    with h5py.File(tmp_path / "a.h5", "w") as file:
        for key, x in arrays.items():
            file[key] = x
    with pytest.raises(ValueError, match=message) as caught:
        open_event_blocks(tmp_path / "a.h5", **{"block_bins": 10, "width": 5, "padding": 2, **keywords})
    assert "\n" not in str(caught.value)


@pytest.mark.usefixtures("small_steps")
@pytest.mark.parametrize(
    ("at", "value", "message"),
    [
        ((2, 33), 0.5, r"\[x\]: expected counts 0, 1, .., got 0.5 at neuron 2, bin 33"),
        ((2, 33), -1.0, r"\[x\]: expected counts 0, 1, .., got -1 at neuron 2, bin 33"),
        ((1, 39), np.nan, r"\[x\]: nan at neuron 1, bin 39"),
        (slice(None), 0.0, "holds no spike"),
    ],
)
def test_refused_matrices(tmp_path: Path, at: Any, value: float, message: str) -> None:
    x = np.ones((3, 40))
    x[at] = value
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["x"] = x
    with pytest.raises(ValueError, match=message):
        open_event_blocks(tmp_path / "a.h5", **SIZES)


def test_only_hdf5_and_only_whole_files(tmp_path: Path) -> None:
    path = write_spike_events(tmp_path / "a.npz", RECORDING)
    with pytest.raises(ValueError, match=r"a\.npz: expected a file that ends in one of \.h5, \.hdf5"):
        open_event_blocks(path, **SIZES)
    path = write_spike_events(tmp_path / "a.h5", RECORDING)
    data = path.read_bytes()
    for keep in (10, 2000, len(data) - 100):
        path.write_bytes(data[:keep])
        with pytest.raises(ValueError, match="write it again"):
            open_event_blocks(path, **SIZES)


def test_whole_numbers_are_asked_for(tmp_path: Path) -> None:
    path = write_spike_events(tmp_path / "a.h5", RECORDING)
    with pytest.raises(TypeError, match=r"^block_bins: expected a whole number, got 10.0"):
        open_event_blocks(path, **{**SIZES, "block_bins": 10.0})  # type: ignore[arg-type]


def test_a_group_of_the_file(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        for key in ("neurons", "times", "counts", "n_neurons", "n_bins"):
            file[f"day1/{key}"] = getattr(RECORDING, key)
    blocks = open_event_blocks(tmp_path / "a.h5", "day1", **SIZES)
    assert blocks.fingerprint() == RECORDING.fingerprint() and blocks.name.endswith("a.h5[day1]")
