"""Damaged files: read as what they then say, or refused in one line; nothing else may happen."""

import warnings
from pathlib import Path

import h5py
import numpy as np
import pytest
import scipy.io
import scipy.sparse
from hypothesis import given, settings
from hypothesis import strategies as st

from neurorbit.engine.data import read_time_series

X = np.arange(60.0).reshape(20, 3)
FORMATS = ("npy", "npz", "npz-deflated", "mat", "mat-deflated", "h5", "csv")


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("pristine")
    np.save(folder / "npy.npy", X)
    np.savez(folder / "npz.npz", x=X)
    np.savez_compressed(folder / "npz-deflated.npz", x=X)
    scipy.io.savemat(folder / "mat.mat", {"x": X})
    scipy.io.savemat(folder / "mat-deflated.mat", {"x": X}, do_compression=True)
    np.savetxt(folder / "csv.csv", X, delimiter=",")
    with h5py.File(folder / "h5.h5", "w") as file:
        file.create_dataset("x", data=X, chunks=(5, 3), compression="gzip", fletcher32=True)
    return {path.stem: path.read_bytes() for path in folder.iterdir()}


def read_damaged(path: Path, data: bytes) -> np.ndarray | None:
    """The values when the file can be read, None when it is refused in one line that names it."""
    path.write_bytes(data)
    try:
        series = read_time_series(path)
    except (ValueError, TypeError) as error:
        assert str(path) in str(error) and "\n" not in str(error) and len(str(error)) < 500
        return None
    x = series.values[0].numpy()
    assert x.dtype == np.float32 and x.ndim == 2 and not np.isinf(x).any()
    return x


@pytest.mark.parametrize("name", FORMATS)
def test_undamaged(pristine: dict[str, bytes], tmp_path: Path, name: str) -> None:
    assert np.array_equal(read_damaged(tmp_path / f"a.{name.split('-')[0]}", pristine[name]), X)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", [f for f in FORMATS if f != "csv"])
@settings(max_examples=60, deadline=None)
@given(fraction=st.floats(0, 1, exclude_max=True))
def test_a_truncated_binary_file_is_refused(
    pristine: dict[str, bytes], tmp_path_factory: pytest.TempPathFactory, name: str, fraction: float
) -> None:
    data = pristine[name]
    path = tmp_path_factory.getbasetemp() / f"truncated.{name.split('-')[0]}"
    assert read_damaged(path, data[: int(fraction * len(data))]) is None


@pytest.mark.parametrize("name", [f for f in FORMATS if f != "h5"])
@settings(max_examples=200, deadline=None)
@given(edits=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=4))
def test_altered_bytes_are_read_or_refused(
    pristine: dict[str, bytes], tmp_path_factory: pytest.TempPathFactory, name: str, edits: list[tuple[float, int]]
) -> None:
    data = bytearray(pristine[name])
    for fraction, byte in edits:
        data[int(fraction * len(data))] = byte
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the libraries' own remarks on what they read
        x = read_damaged(tmp_path_factory.getbasetemp() / f"altered.{name.split('-')[0]}", bytes(data))
    if "-deflated" in name and x is not None:  # a checksum guards the values
        assert np.array_equal(x, X) or x.shape != X.shape


def with_byte(data: bytes, at: int, byte: int) -> bytes:
    return data[:at] + bytes([byte]) + data[at + 1 :]


def matlab_v5(tmp_path: Path, x: object) -> bytes:
    scipy.io.savemat(tmp_path / "whole.mat", {"x": x})
    return (tmp_path / "whole.mat").read_bytes()


def test_matlab_damage_that_ends_scipys_process(tmp_path: Path) -> None:
    """A type of element that does not exist, a complex part that is not there, columns of a sparse matrix astray."""
    dense, sparse = matlab_v5(tmp_path, X), matlab_v5(tmp_path, scipy.sparse.csc_matrix(X))
    cells = np.empty((1, 2), dtype=object)
    cells[0, 0], cells[0, 1] = X, X
    cell = matlab_v5(tmp_path, cells)
    jc = sparse.index(np.array([0, 19, 39, 59], "<i4").tobytes())  # 59 non-zeros: X[0, 0] is 0
    for data in (
        with_byte(dense, 176, 8),
        with_byte(dense, 176, 200),
        with_byte(dense, 145, 0x08),
        with_byte(sparse, jc + 6, 200),
        with_byte(sparse, jc - 8, 1),
        with_byte(cell, 163, 36),
        with_byte(cell, 144, 6),
    ):
        assert read_damaged(tmp_path / "a.mat", data) is None
    for data in (dense, sparse, cell):
        x = read_damaged(tmp_path / "a.mat", data)
        assert x is not None and np.array_equal(x, X)


@settings(max_examples=100, deadline=None)
@given(at=st.floats(0, 1, exclude_max=True), byte=st.integers(1, 255))
def test_altered_values_of_a_checked_hdf5_file_are_refused(
    pristine: dict[str, bytes], tmp_path_factory: pytest.TempPathFactory, at: float, byte: int
) -> None:
    """Bytes of the compressed chunks, which their checksum guards; the metadata of HDF5 has none."""
    path = tmp_path_factory.getbasetemp() / "chunks.h5"
    path.write_bytes(pristine["h5"])
    with h5py.File(path, "r") as file:
        chunk = file["x"].id.get_chunk_info(1)
    data = bytearray(pristine["h5"])
    data[chunk.byte_offset + int(at * chunk.size)] ^= byte
    assert read_damaged(path, bytes(data)) is None


@pytest.mark.parametrize("ending", ["npy", "npz", "mat", "h5", "csv"])
@settings(max_examples=60, deadline=None)
@given(data=st.binary(max_size=300))
def test_random_bytes_are_refused_or_numbers(
    tmp_path_factory: pytest.TempPathFactory, ending: str, data: bytes
) -> None:
    x = read_damaged(tmp_path_factory.getbasetemp() / f"random.{ending}", data)
    assert x is None or ending == "csv"
