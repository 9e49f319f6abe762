"""Damaged files of events: read as what they then say, or refused in one line; nothing else may happen."""

import warnings
from pathlib import Path

import h5py
import numpy as np
import pytest
import scipy.io
from hypothesis import given, settings
from hypothesis import strategies as st

from neurorbit.engine.data import (
    DenseRecording,
    SpikeEvents,
    open_event_blocks,
    read_spike_events,
    write_spike_events,
)

EVENTS = SpikeEvents.from_dense(np.random.default_rng(0).poisson(0.2, (5, 40)), bin_s=0.05)
FORMATS = ("npy", "npz", "npz-list", "mat", "h5", "h5-list")


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("pristine")
    x = EVENTS.dense()
    np.save(folder / "npy.npy", x)
    np.savez(folder / "npz.npz", x=x)
    scipy.io.savemat(folder / "mat.mat", {"x": x})
    write_spike_events(folder / "npz-list.npz", EVENTS)
    write_spike_events(folder / "h5-list.h5", EVENTS, {"truth_times": np.arange(3.0)})
    with h5py.File(folder / "h5.h5", "w") as file:
        file.create_dataset("x", data=x, chunks=(5, 10), compression="gzip", fletcher32=True)
    return {path.stem: path.read_bytes() for path in folder.iterdir()}


def read_damaged(path: Path, data: bytes) -> SpikeEvents | DenseRecording | None:
    """The recording when the file can be read, None when it is refused in one line that names it."""
    path.write_bytes(data)
    try:
        found = read_spike_events(path)
    except (ValueError, TypeError) as error:
        assert str(path) in str(error) and "\n" not in str(error) and len(str(error)) < 600
        return None
    if isinstance(found, SpikeEvents):
        assert len(found) > 0 and found.counts.min() >= 1
        assert found.times.min() >= 0 and found.times.max() < found.n_bins
        assert found.neurons.min() >= 0 and found.neurons.max() < found.n_neurons
    else:
        assert np.isfinite(found.x).all()
    return found


@pytest.mark.parametrize("name", FORMATS)
def test_undamaged(pristine: dict[str, bytes], tmp_path: Path, name: str) -> None:
    found = read_damaged(tmp_path / f"a.{name.split('-')[0]}", pristine[name])
    assert found is not None and found.fingerprint() == EVENTS.fingerprint()


@pytest.mark.parametrize("name", FORMATS)
@settings(max_examples=30, deadline=None)
@given(fraction=st.floats(0, 1, exclude_max=True))
def test_a_truncated_file_is_refused(
    pristine: dict[str, bytes], tmp_path_factory: pytest.TempPathFactory, name: str, fraction: float
) -> None:
    data = pristine[name]
    path = tmp_path_factory.getbasetemp() / f"cut.{name.split('-')[0]}"
    assert read_damaged(path, data[: int(fraction * len(data))]) is None
    if name.startswith("h5"):
        with pytest.raises(ValueError) as caught:
            open_event_blocks(path, block_bins=10, width=5, padding=2)
        assert str(path) in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["npy", "npz", "npz-list", "mat"])
@settings(max_examples=60, deadline=None)
@given(edits=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=4))
def test_altered_bytes_are_read_or_refused(
    pristine: dict[str, bytes], tmp_path_factory: pytest.TempPathFactory, name: str, edits: list[tuple[float, int]]
) -> None:
    data = bytearray(pristine[name])
    for fraction, byte in edits:
        data[int(fraction * len(data))] = byte
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the libraries' own remarks on what they read
        found = read_damaged(tmp_path_factory.getbasetemp() / f"altered.{name.split('-')[0]}", bytes(data))
    if (
        name == "npz" and found is not None and (found.n_neurons, found.n_bins) == (5, 40)
    ):  # a checksum guards the values
        assert found.fingerprint() == EVENTS.fingerprint()


@pytest.mark.parametrize(("old", "new"), [(b")", b"("), (b"'<", b"'0"), (b"'<", b"',"), (b" 'f", b"b'f")])
def test_a_header_that_is_no_python(pristine: dict[str, bytes], tmp_path: Path, old: bytes, new: bytes) -> None:
    """An open bracket, type names that are no types, a key of bytes: numpy fails in its parser of Python."""
    assert old in pristine["npy"][:128]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert read_damaged(tmp_path / "a.npy", pristine["npy"].replace(old, new, 1)) is None


@settings(max_examples=60, deadline=None)
@given(at=st.floats(0, 1, exclude_max=True), byte=st.integers(1, 255), word=st.sampled_from(["times", "neurons"]))
def test_altered_values_of_a_list_are_read_or_refused(
    pristine: dict[str, bytes], tmp_path_factory: pytest.TempPathFactory, at: float, byte: int, word: str
) -> None:
    """Any byte of the stored integers: whole or in blocks, what is read lies inside the recording."""
    path = tmp_path_factory.getbasetemp() / "list.h5"
    path.write_bytes(pristine["h5-list"])
    with h5py.File(path, "r") as file:
        offset, size = file[word].id.get_offset(), file[word].id.get_storage_size()
    data = bytearray(pristine["h5-list"])
    data[offset + int(at * size)] ^= byte
    found = read_damaged(path, bytes(data))
    try:
        blocks = open_event_blocks(path, block_bins=10, width=5, padding=2)
    except ValueError as error:
        assert str(path) in str(error) and "\n" not in str(error)
        return
    assert found is not None and blocks.fingerprint() == found.fingerprint()
    assert all(e.times.max(initial=0) < e.n_bins and e.times.min(initial=0) >= 0 for _, _, e in blocks)


@pytest.mark.parametrize("ending", ["npy", "npz", "mat", "h5", "nwb"])
@settings(max_examples=40, deadline=None)
@given(data=st.binary(max_size=300))
def test_random_bytes_are_refused(tmp_path_factory: pytest.TempPathFactory, ending: str, data: bytes) -> None:
    assert read_damaged(tmp_path_factory.getbasetemp() / f"random.{ending}", data) is None
