"""The truth in a simulated recording's file."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from neurorbit.engine.data import SpikeEvents, write_spike_events
from neurorbit.engine.data.planted_truth import find_truth, read_truth
from neurorbit.engine.simulate import plant_sequences

EVENTS = SpikeEvents.from_dense(np.eye(3, 40, dtype=int))


@pytest.mark.parametrize("ending", ["npz", "h5", "hdf5"])
def test_what_was_planted_comes_back(tmp_path: Path, ending: str) -> None:
    planted = plant_sequences(seqlen=8, gap_ts=50, n_neurons=30, n_bins=600, rate_hz=0.3, n_sequences=3)
    found = read_truth(write_spike_events(tmp_path / f"a.{ending}", planted.events, planted.truth()))
    assert np.array_equal(found.times, planted.times) and found.times.dtype == np.float64
    assert np.array_equal(found.sequence, planted.sequence) and np.array_equal(found.order, planted.order)


def test_files_without_a_truth(tmp_path: Path) -> None:
    bare = write_spike_events(tmp_path / "a.npz", EVENTS)
    np.save(tmp_path / "x.npy", np.eye(3))
    assert find_truth(bare) is None and find_truth(tmp_path / "x.npy") is None
    for path in (bare, tmp_path / "x.npy"):
        with pytest.raises(ValueError, match="holds no truth_times: expected a file that `neurorbit convseq simulate`"):
            read_truth(path)
    with pytest.raises(FileNotFoundError, match="no such file; check the path"):
        read_truth(tmp_path / "b.npz")


def test_times_alone_are_one_sequence(tmp_path: Path) -> None:
    found = read_truth(write_spike_events(tmp_path / "a.npz", EVENTS, {"truth_times": np.array([3, 20])}))
    assert found.times.tolist() == [3.0, 20.0] and found.sequence.tolist() == [0, 0] and found.order.shape == (0, 0)


@pytest.mark.parametrize(
    "changed",
    [
        {"truth_times": np.zeros((2, 2))},
        {"truth_times": np.array([1.0, np.nan])},
        {"truth_times": np.array(["a", "b"])},
        {"truth_sequence": np.array([0])},
        {"truth_sequence": np.array([0, -1])},
        {"truth_sequence": np.array([0.0, 0.5])},
        {"truth_order": np.arange(4)},
        {"truth_order": np.array([[0.5, 1.0]])},
    ],
)
def test_an_edited_truth_is_refused(tmp_path: Path, changed: dict[str, Any]) -> None:
    truth = {
        "truth_times": np.array([3.0, 20.0]),
        "truth_sequence": np.array([0, 0]),
        "truth_order": np.eye(1, 3, dtype=int),
    }
    path = tmp_path / "a.npz"
    np.savez(path, **(truth | changed))
    with pytest.raises(ValueError, match="truth_") as error:
        read_truth(path)
    assert str(path) in str(error.value)
