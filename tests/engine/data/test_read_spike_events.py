"""read_spike_events and write_spike_events: every format and layout, every refusal."""

import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import scipy.io
import scipy.sparse
from hypothesis import given, settings
from hypothesis import strategies as st

from neurorbit.engine.data import DenseRecording, SpikeEvents, read_spike_events, write_spike_events

X = (np.random.default_rng(0).random((7, 40)) < 0.2).astype(np.uint8)
X[2, 5] = 3
EVENTS = SpikeEvents.from_dense(X, bin_s=0.05)
LIST = {"neurons": EVENTS.neurons, "times": EVENTS.times, "counts": EVENTS.counts, "n_neurons": 7, "n_bins": 40}
CALCIUM = np.random.default_rng(1).standard_normal((7, 40))


def save_npz(path: Path, arrays: dict[str, Any]) -> None:
    np.savez(path, **arrays)


def save_h5(path: Path, arrays: dict[str, Any]) -> None:
    with h5py.File(path, "w") as file:
        for key, x in arrays.items():
            file[key] = x


def save_mat(path: Path, arrays: dict[str, Any]) -> None:
    scipy.io.savemat(path, arrays)


Save = Callable[[Path, dict[str, Any]], None]
KEYED = [
    pytest.param("a.npz", save_npz, id="npz"),
    pytest.param("a.h5", save_h5, id="h5"),
    pytest.param("a.hdf5", save_h5, id="hdf5"),
    pytest.param("a.mat", save_mat, id="mat"),
]


def read_events(path: Path, *args: Any, **keywords: Any) -> SpikeEvents:
    found = read_spike_events(path, *args, **keywords)
    assert isinstance(found, SpikeEvents)
    return found


def refusal(path: Path, *args: Any, error: type[Exception] = ValueError, **keywords: Any) -> str:
    """The message, which is one line and names the file."""
    with pytest.raises(error) as caught:
        read_spike_events(path, *args, **keywords)
    message = str(caught.value)
    assert str(path) in message and "\n" not in message
    return message


@pytest.mark.parametrize("dtype", ["u1", "i8", "?", "f4", "f8", ">f4"])
def test_npy_matrix(tmp_path: Path, dtype: str) -> None:
    np.save(tmp_path / "a.npy", (X > 0).astype(dtype))
    events = read_events(tmp_path / "a.npy", bin_s=0.05)
    assert np.array_equal(events.dense(), X > 0) and events.bin_s == 0.05
    assert np.array_equal(read_events(tmp_path / "a.npy", transpose=True).dense(), (X > 0).T)


@pytest.mark.parametrize(("name", "save"), KEYED)
class TestKeyedFiles:
    def test_the_only_matrix_needs_no_key(self, tmp_path: Path, name: str, save: Save) -> None:
        save(tmp_path / name, {"fs": np.array([[20.0]]), "x": X, "bin_s": 0.05})
        events = read_events(tmp_path / name)
        assert events.fingerprint() == EVENTS.fingerprint() and events.bin_s == 0.05
        assert events.name == f"{tmp_path / name}[x]"

    def test_several_matrices_need_a_key(self, tmp_path: Path, name: str, save: Save) -> None:
        save(tmp_path / name, {"one": X[:, :20], "two": X})
        assert "'one' [7, 20], 'two' [7, 40]" in refusal(tmp_path / name)
        assert read_events(tmp_path / name, "two").fingerprint() == EVENTS.fingerprint()

    def test_lists_of_events_come_first(self, tmp_path: Path, name: str, save: Save) -> None:
        save(tmp_path / name, {**LIST, "bin_s": 0.05, "truth_order": np.zeros((2, 3))})
        events = read_events(tmp_path / name)
        assert events.fingerprint() == EVENTS.fingerprint() and events.bin_s == 0.05

    def test_sizes_of_a_list_may_be_missing(self, tmp_path: Path, name: str, save: Save) -> None:
        save(tmp_path / name, {"neurons": np.array([3, 0, 3]), "times": np.array([9, 2, 9])})
        events = read_events(tmp_path / name)
        assert (events.n_neurons, events.n_bins, events.counts.tolist()) == (4, 10, [1, 2])

    def test_times_in_seconds(self, tmp_path: Path, name: str, save: Save) -> None:
        save(tmp_path / name, {**LIST, "times": (EVENTS.times + 0.5) * 0.05})
        assert read_events(tmp_path / name, bin_s=0.05).fingerprint() == EVENTS.fingerprint()
        assert "[times]: floats are seconds and need a bin width; give bin_s" in refusal(tmp_path / name)

    def test_real_values_make_a_dense_recording(self, tmp_path: Path, name: str, save: Save) -> None:
        save(tmp_path / name, {"x": CALCIUM})
        found = read_spike_events(tmp_path / name, bin_s=0.1)
        assert isinstance(found, DenseRecording)
        assert np.array_equal(found.x, CALCIUM.astype(np.float32)) and found.bin_s == 0.1

    def test_columns_of_neuron_time_and_count(self, tmp_path: Path, name: str, save: Save) -> None:
        columns = np.stack([EVENTS.neurons, EVENTS.times, EVENTS.counts], axis=1)
        save(tmp_path / name, {"events": columns[::-1], "flat": np.stack([EVENTS.neurons, EVENTS.times * 0.1], 1)})
        events = read_events(tmp_path / name, "events")
        assert np.array_equal(events.dense(), X[: events.n_neurons, : events.n_bins])
        assert (read_events(tmp_path / name, "flat", bin_s=0.1).times == EVENTS.times).all()
        assert read_events(tmp_path / name, "events", transpose=True).n_neurons == 3  # three neurons after all

    def test_stated_and_asked_bin_width(self, tmp_path: Path, name: str, save: Save) -> None:
        save(tmp_path / name, {**LIST, "bin_s": 0.05})
        assert read_events(tmp_path / name, bin_s=0.05).bin_s == 0.05
        assert "says 0.05 s, 0.1 s asked for; leave bin_s out" in refusal(tmp_path / name, bin_s=0.1)
        save(tmp_path / name, {**LIST, "bin_s": -1.0})
        assert "[bin_s]: expected a width in seconds above 0" in refusal(tmp_path / name)

    def test_missing_key(self, tmp_path: Path, name: str, save: Save) -> None:
        save(tmp_path / name, {"x": X})
        assert "has no array 'y'; it has 'x' [7, 40]" in refusal(tmp_path / name, "y")

    def test_nothing_to_read(self, tmp_path: Path, name: str, save: Save) -> None:
        save(tmp_path / name, {"a": np.array([1]), "b": np.array([1, 2])})
        assert "expected a matrix [N, T] or the events neurons and times, found" in refusal(tmp_path / name)

    def test_bad_values_are_named(self, tmp_path: Path, name: str, save: Save) -> None:
        bad = {"gap": CALCIUM.copy(), "minus": X.astype(int) - 1, "silent": 0 * X, "deep": np.zeros((2, 3, 4))}
        bad["gap"][3, 8] = np.nan
        bad["minus as floats"] = X - 1.0
        save(tmp_path / name, bad)
        assert "[gap]: nan at neuron 3, bin 8; fill gaps with 0" in refusal(tmp_path / name, "gap")
        for minus in ("minus", "minus as floats"):
            assert f"[{minus}]: expected counts 0, 1, .., got -1" in refusal(tmp_path / name, minus)
        assert "[silent]: 7 neurons x 40 bins without a single spike" in refusal(tmp_path / name, "silent")
        assert "[deep]: expected [N, T], got [2, 3, 4]" in refusal(tmp_path / name, "deep")

    def test_bad_events_are_named(self, tmp_path: Path, name: str, save: Save) -> None:
        save(tmp_path / name, {**LIST, "n_bins": 30})
        assert "[times]: expected 0 to T - 1 = 29, got 3" in refusal(tmp_path / name)
        save(tmp_path / name, {**LIST, "times": EVENTS.times[:-1]})
        assert f"[times]: expected [J={len(EVENTS)}] as in neurons" in refusal(tmp_path / name)
        save(tmp_path / name, {**LIST, "n_neurons": 2.5})
        assert "[n_neurons]: expected a whole number from 1" in refusal(tmp_path / name)

    def test_complex_numbers(self, tmp_path: Path, name: str, save: Save) -> None:
        save(tmp_path / name, {"x": X * 1j})
        assert "[x]: expected real numbers, got complex128" in refusal(tmp_path / name, error=TypeError)

    def test_events_cannot_be_transposed(self, tmp_path: Path, name: str, save: Save) -> None:
        save(tmp_path / name, LIST)
        assert refusal(tmp_path / name, transpose=True).startswith("transpose: ")

    def test_cut_short(self, tmp_path: Path, name: str, save: Save) -> None:
        path = tmp_path / name
        save(path, {"x": np.ones((60, 400))})
        data = path.read_bytes()
        for keep in (1, 100, 600, len(data) // 2, len(data) - 10):
            path.write_bytes(data[:keep])
            assert "write it again" in refusal(path)


def test_groups_of_an_hdf5_file(tmp_path: Path) -> None:
    save_h5(tmp_path / "a.h5", {f"day{d}/{k}": v for d in (1, 2) for k, v in LIST.items()})
    assert read_events(tmp_path / "a.h5", "day2").fingerprint() == EVENTS.fingerprint()
    assert read_events(tmp_path / "a.h5", "/day1/").fingerprint() == EVENTS.fingerprint()
    assert "has no array 'day3'; it has 'day1/counts'" in refusal(tmp_path / "a.h5", "day3")


def test_units_of_an_nwb_file(tmp_path: Path) -> None:
    times, ends = np.array([0.01, 0.26, 0.12, 0.13]), np.array([2, 2, 4])
    save_h5(tmp_path / "a.nwb", {"units/spike_times": times, "units/spike_times_index": ends, "units/id": [4, 5, 6]})
    events = read_events(tmp_path / "a.nwb", bin_s=0.05)
    assert np.argwhere(events.dense()).tolist() == [[0, 0], [0, 5], [2, 2]] and events.counts.tolist() == [1, 2, 1]
    assert read_events(tmp_path / "a.nwb", "units", bin_s=0.05).n_neurons == 3
    assert "holds times in seconds, which need a bin width; give bin_s" in refusal(tmp_path / "a.nwb")
    save_h5(tmp_path / "b.nwb", {"units/spike_times": times, "units/spike_times_index": [2, 9]})
    assert "spike_times_index does not end the units of 4 spike_times" in refusal(tmp_path / "b.nwb", bin_s=0.05)


def test_a_matlab_cell_of_spike_times(tmp_path: Path) -> None:
    cell = np.empty((1, 3), dtype=object)
    cell[0, 0], cell[0, 1], cell[0, 2] = np.array([0.01, 0.26]), np.zeros((0, 0)), np.array([[0.12], [0.13]])
    save_mat(tmp_path / "a.mat", {"spikes": cell})
    events = read_events(tmp_path / "a.mat", bin_s=0.05)
    assert np.argwhere(events.dense()).tolist() == [[0, 0], [0, 5], [2, 2]]
    assert "[spikes]: holds times in seconds" in refusal(tmp_path / "a.mat")


def test_sparse_matlab_matrix(tmp_path: Path) -> None:
    save_mat(tmp_path / "a.mat", {"x": scipy.sparse.csc_matrix(X.astype(float))})
    assert read_events(tmp_path / "a.mat").fingerprint() == EVENTS.fingerprint()


class TestPickles:
    def test_a_pickle_is_not_loaded(self, tmp_path: Path) -> None:
        class Bomb:
            def __reduce__(self) -> tuple[Any, ...]:
                return (Path.touch, (tmp_path / "exploded",))

        np.save(tmp_path / "a.npy", np.array([Bomb()], dtype=object), allow_pickle=True)
        (tmp_path / "raw.npy").write_bytes(pickle.dumps(Bomb()))
        save_npz(tmp_path / "a.npz", {"x": np.array([[Bomb(), 1]], dtype=object)})
        for name in ("a.npy", "raw.npy"):
            message = refusal(tmp_path / name)
            assert "pickled Python objects, which can run code" in message and "give --trust-pickle" in message
        assert "pickled Python objects" in refusal(tmp_path / "a.npz")
        assert not (tmp_path / "exploded").exists()

    @pytest.mark.parametrize("kind", ["object", "dict", "list", "sparse", "plain"])
    def test_a_trusted_pickle(self, tmp_path: Path, kind: str) -> None:
        """A matrix as objects, in a dictionary, in a list beside a vector, sparse; the flag where none is needed."""
        value: Any = np.empty((), dtype=object)
        value[()] = {"dict": {"x": X, "when": np.arange(3)}, "list": (np.arange(3), X),
                     "sparse": scipy.sparse.csr_matrix(X)}.get(kind)  # fmt: skip
        value = X.astype(object) if kind == "object" else X if kind == "plain" else value
        np.save(tmp_path / "a.npy", value, allow_pickle=kind != "plain")
        events = read_events(tmp_path / "a.npy", bin_s=0.05, trust_pickle=True)
        assert events.fingerprint() == EVENTS.fingerprint()
        if kind != "plain":
            assert "give --trust-pickle" in refusal(tmp_path / "a.npy")

    def test_trusted_spike_trains_need_a_bin_width(self, tmp_path: Path) -> None:
        trains = np.empty(3, dtype=object)
        trains[:] = [np.array([0.01, 0.26]), np.zeros(0), np.array([0.12])]
        np.save(tmp_path / "a.npy", trains, allow_pickle=True)
        events = read_events(tmp_path / "a.npy", bin_s=0.05, trust_pickle=True)
        assert np.argwhere(events.dense()).tolist() == [[0, 0], [0, 5], [2, 2]]
        assert "which need a bin width; give bin_s" in refusal(tmp_path / "a.npy", trust_pickle=True)

    @pytest.mark.parametrize("keep", [60, 140, 300])
    def test_a_trusted_pickle_cut_short(self, tmp_path: Path, keep: int) -> None:
        np.save(tmp_path / "a.npy", np.array([{"x": X}], dtype=object), allow_pickle=True)
        (tmp_path / "a.npy").write_bytes((tmp_path / "a.npy").read_bytes()[:keep])
        assert "write it again" in refusal(tmp_path / "a.npy", trust_pickle=True)


class TestPaths:
    def test_refused_paths(self, tmp_path: Path) -> None:
        (tmp_path / "a.xlsx").write_bytes(b"x")
        (tmp_path / "empty.npy").write_bytes(b"")
        (tmp_path / "text.npy").write_text("1,2\n")
        np.save(tmp_path / "a.npy", X)
        assert refusal(tmp_path / "b.npy", error=FileNotFoundError).endswith("no such file; check the path")
        assert "is a folder; name a file in it" in refusal(tmp_path)
        assert "ends in one of .npy, .npz, .mat, .h5, .hdf5, .nwb" in refusal(tmp_path / "a.xlsx")
        assert "is empty (0 bytes)" in refusal(tmp_path / "empty.npy")
        assert "is not a .npy file" in refusal(tmp_path / "text.npy")
        assert refusal(tmp_path / "a.npy", "x").startswith("key: ")

    def test_a_file_without_permission(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        np.save(tmp_path / "a.npy", X)
        monkeypatch.setattr(os, "access", lambda path, mode: not mode & os.R_OK)  # root may read every file
        assert "may not be read" in refusal(tmp_path / "a.npy", error=PermissionError)


class TestDenseRecording:
    def test_block_and_fingerprint(self) -> None:
        recording = DenseRecording.from_array(CALCIUM, bin_s=0.1)
        assert (recording.n_neurons, recording.n_bins) == (7, 40)
        block = recording.block(-3, 5)
        assert np.array_equal(block.x[:, 3:], recording.x[:, :5]) and (block.x[:, :3] == 0).all()
        assert (recording.block(38, 44).x[:, 2:] == 0).all() and recording.block(60, 62).n_bins == 2
        assert recording.fingerprint() == DenseRecording.from_array(CALCIUM.astype(np.float32)).fingerprint()
        assert recording.fingerprint() != DenseRecording.from_array(CALCIUM.reshape(40, 7)).fingerprint()

    @pytest.mark.parametrize(
        ("x", "error", "message"),
        [
            (CALCIUM * 1e300, ValueError, "is too large for float32; rescale the data"),
            (CALCIUM[0], ValueError, r"expected \[N, T\], got \[40\]"),
            (CALCIUM + 1j, TypeError, "expected real numbers"),
            (np.where(CALCIUM > 2, np.inf, CALCIUM), ValueError, "inf at neuron"),
        ],
    )
    def test_refusals(self, x: np.ndarray, error: type[Exception], message: str) -> None:
        with pytest.raises(error, match=message):
            DenseRecording.from_array(x)


@pytest.mark.parametrize("ending", ["npz", "h5", "hdf5"])
@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**31), N=st.integers(1, 9), T=st.integers(1, 50), bin_s=st.none() | st.floats(1e-3, 1.0))
def test_what_is_written_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, ending: str, seed: int, N: int, T: int, bin_s: float | None
) -> None:
    generator = np.random.default_rng(seed)
    n = generator.integers(1, 30)
    neurons, times = generator.integers(0, N, n), generator.integers(0, T, n)
    events = SpikeEvents.from_events(neurons, times, n_neurons=N, n_bins=T, bin_s=bin_s)
    truth = {"truth_times": generator.random(3), "settings": np.array('{"seed": 1}')}
    path = write_spike_events(tmp_path_factory.getbasetemp() / f"events.{ending}", events, truth)
    found = read_events(path)
    assert found.fingerprint() == events.fingerprint() and found.bin_s == bin_s


def test_truth_is_stored_beside_the_events(tmp_path: Path) -> None:
    truth = {"truth_times": np.array([1.5, 7.0]), "settings": np.array('{"seed": 1}')}
    with np.load(write_spike_events(tmp_path / "a.npz", EVENTS, truth)) as stored:
        assert stored["truth_times"].tolist() == [1.5, 7.0] and str(stored["settings"]) == '{"seed": 1}'
        assert stored["neurons"].dtype == np.int32 and stored["bin_s"] == 0.05
    with h5py.File(write_spike_events(tmp_path / "a.h5", EVENTS, truth)) as stored:
        assert stored["truth_times"][()].tolist() == [1.5, 7.0] and stored["settings"].asstr()[()] == '{"seed": 1}'
        assert stored["n_bins"][()] == 40


def test_refused_writes(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"a\.npy: expected a name that ends in one of \.npz, \.h5, \.hdf5"):
        write_spike_events(tmp_path / "a.npy", EVENTS)
    with pytest.raises(ValueError, match=r"^truth: 'times' is a key of the events themselves"):
        write_spike_events(tmp_path / "a.npz", EVENTS, {"times": np.zeros(3)})
    with pytest.raises(TypeError, match=r"^truth\[who\]: expected numbers or a text, got object"):
        write_spike_events(tmp_path / "a.npz", EVENTS, {"who": np.array([None])})
    assert list(tmp_path.iterdir()) == []


def test_a_write_that_fails_leaves_the_older_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(fd: int) -> None:
        raise OSError(28, "No space left on device")

    paths = [write_spike_events(tmp_path / f"a.{ending}", EVENTS) for ending in ("npz", "h5")]
    before = [path.read_bytes() for path in paths]
    monkeypatch.setattr(os, "fsync", full)
    for path in paths:
        with pytest.raises(OSError, match=r"could not be written \(No space left on device\); free space or choose"):
            write_spike_events(path, EVENTS.block(0, 9))
    assert [path.read_bytes() for path in paths] == before and len(list(tmp_path.iterdir())) == 2
