"""read_time_series: every format, key and refusal."""

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
import torch

from neurorbit.engine.data import TimeSeries, read_time_series

X = np.random.default_rng(0).standard_normal((20, 3)).astype(np.float32)
Y = np.random.default_rng(1).standard_normal((15, 3)).astype(np.float32)
U = np.random.default_rng(2).standard_normal((20, 2)).astype(np.float32)


def save_npz(path: Path, arrays: dict[str, Any]) -> None:
    with path.open("wb") as stream:
        np.savez(stream, **arrays)


def save_h5(path: Path, arrays: dict[str, Any]) -> None:
    with h5py.File(path, "w") as file:
        for key, x in arrays.items():
            file[key] = x


def save_mat(path: Path, arrays: dict[str, Any]) -> None:
    scipy.io.savemat(path, arrays)


def save_mat73(path: Path, arrays: dict[str, Any]) -> None:
    """As MATLAB's save -v7.3 lays a file out: a text header, axes reversed, the class as an attribute."""
    with h5py.File(path, "w", userblock_size=512) as file:
        for key, x in arrays.items():
            if isinstance(x, list):
                refs = []
                for i, item in enumerate(x):
                    file[f"#refs#/{key}{i}"] = item.T
                    refs.append(file[f"#refs#/{key}{i}"].ref)
                file.create_dataset(key, data=np.array([refs], dtype=h5py.ref_dtype).T, dtype=h5py.ref_dtype)
                file[key].attrs["MATLAB_class"] = np.bytes_("cell")
            else:
                file[key] = np.asarray(x).T
                word = {"f8": "double", "f4": "single", "i8": "int64", "u2": "char"}[np.asarray(x).dtype.str[1:]]
                file[key].attrs["MATLAB_class"] = np.bytes_(word)
    with path.open("r+b") as stream:
        stream.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64")


Save = Callable[[Path, dict[str, Any]], None]
KEYED = [
    pytest.param("a.npz", save_npz, id="npz"),
    pytest.param("a.h5", save_h5, id="h5"),
    pytest.param("a.HDF5", save_h5, id="hdf5"),
    pytest.param("a.mat", save_mat, id="mat-v5"),
    pytest.param("a.mat", save_mat73, id="mat-v7.3"),
]


def same(series: TimeSeries, *x: np.ndarray) -> bool:
    return len(series.values) == len(x) and all(
        np.array_equal(taken.numpy(), given, equal_nan=True) for taken, given in zip(series.values, x, strict=True)
    )


def refusal(path: Path, *args: Any, error: type[Exception] = ValueError, **kwargs: Any) -> str:
    """The message, which is one line and names the file."""
    with pytest.raises(error) as caught:
        read_time_series(path, *args, **kwargs)
    message = str(caught.value)
    assert str(path) in message and "\n" not in message
    return message


def test_npy(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", X)
    assert same(read_time_series(tmp_path / "a.npy"), X)
    assert same(read_time_series(str(tmp_path / "a.npy"), transpose=False), X)


@pytest.mark.parametrize("dtype", ["<f8", ">f8", ">f4", "i2", "?"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_npy_of_other_types_and_orders(tmp_path: Path, dtype: str, order: str) -> None:
    x = np.asarray((X > 0), dtype=dtype, order=order)  # type: ignore[call-overload]
    np.save(tmp_path / "a.npy", x)
    assert same(read_time_series(tmp_path / "a.npy"), (X > 0).astype(np.float32))


@pytest.mark.parametrize(("name", "save"), KEYED)
class TestKeyedFiles:
    def test_the_only_array_needs_no_key(self, tmp_path: Path, name: str, save: Save) -> None:
        save(tmp_path / name, {"x": X})
        assert same(read_time_series(tmp_path / name), X)

    def test_what_cannot_be_a_series_is_no_candidate(self, tmp_path: Path, name: str, save: Save) -> None:
        save(tmp_path / name, {"rate_hz": np.array([[30.0]]), "x": X})
        assert same(read_time_series(tmp_path / name), X)

    def test_several_arrays_need_a_key(self, tmp_path: Path, name: str, save: Save) -> None:
        save(tmp_path / name, {"one": X, "two": Y})
        message = refusal(tmp_path / name)
        assert message.startswith("key: ") and "'one' [20, 3], 'two' [15, 3]" in message
        assert same(read_time_series(tmp_path / name, "two"), Y)

    def test_several_keys_are_sequences(self, tmp_path: Path, name: str, save: Save) -> None:
        save(tmp_path / name, {"one": X, "two": Y, "u1": U, "u2": U[:15], "other": X})
        series = read_time_series(tmp_path / name, "two, one", "u2,u1")
        assert same(series, Y, X)
        assert series.inputs is not None and np.array_equal(series.inputs[1].numpy(), U)

    def test_inputs_are_no_candidates(self, tmp_path: Path, name: str, save: Save) -> None:
        save(tmp_path / name, {"stimulus": U, "x": X})
        series = read_time_series(tmp_path / name, inputs_key="stimulus")
        assert same(series, X) and series.n_inputs == 2

    def test_three_axes_are_sequences(self, tmp_path: Path, name: str, save: Save) -> None:
        x = np.random.default_rng(3).standard_normal((4, 6, 2)).astype(np.float32)
        save(tmp_path / name, {"x": x})
        assert same(read_time_series(tmp_path / name), *x)
        assert same(read_time_series(tmp_path / name, transpose=True), *x.swapaxes(1, 2))

    def test_transpose(self, tmp_path: Path, name: str, save: Save) -> None:
        save(tmp_path / name, {"one": X.T, "two": Y.T, "u": U.T})
        series = read_time_series(tmp_path / name, "one", "u", transpose=True)
        assert same(series, X) and series.n_inputs == 2
        assert same(read_time_series(tmp_path / name, "one,two", transpose=True), X, Y)

    def test_missing_key(self, tmp_path: Path, name: str, save: Save) -> None:
        save(tmp_path / name, {"x": X})
        assert "key: " in (message := refusal(tmp_path / name, "y")) and "no array 'y'; it has 'x' [20, 3]" in message
        assert refusal(tmp_path / name, "x", "u").startswith("inputs_key: ")

    def test_values_are_checked_under_the_name_of_the_array(self, tmp_path: Path, name: str, save: Save) -> None:
        bad, gone = X.copy(), X.copy()
        bad[2, 1], gone[:, 0] = np.inf, np.nan
        save(tmp_path / name, {"bad": bad, "gone": gone, "x": X, "short": U[:9]})
        assert f"{name}[bad]: infinite at [2, 1]" in refusal(tmp_path / name, "bad")
        assert "[gone]: variable 0 is NaN throughout" in refusal(tmp_path / name, "gone")
        assert "[short]: expected [T=20, U=2], got [9, 2]" in refusal(tmp_path / name, "x", "short")

    def test_no_array_at_all(self, tmp_path: Path, name: str, save: Save) -> None:
        save(tmp_path / name, {})
        assert "expected an array [T, N], found no array" in refusal(tmp_path / name)

    def test_truncated(self, tmp_path: Path, name: str, save: Save) -> None:
        path = tmp_path / name
        save(path, {"x": np.zeros((4000, 3))})
        data = path.read_bytes()
        for keep in (1, 100, 600, len(data) // 2, len(data) - 10):
            path.write_bytes(data[:keep])
            assert "write it again" in refusal(path, "x")

    def test_empty(self, tmp_path: Path, name: str, save: Save) -> None:
        (tmp_path / name).write_bytes(b"")
        assert "is empty (0 bytes)" in refusal(tmp_path / name)

    def test_another_kind_of_file(self, tmp_path: Path, name: str, save: Save) -> None:
        (tmp_path / name).write_text("1,2,3\n4,5,6\n" * 100)
        assert "write it again" in refusal(tmp_path / name)


@pytest.mark.parametrize(("name", "save"), [KEYED[0], KEYED[1]])
def test_half_precision_and_complex_numbers(tmp_path: Path, name: str, save: Save) -> None:
    save(tmp_path / name, {"half": X.astype(np.float16), "complex": X.astype(complex)})
    assert "[half]: expected float32, float64 or integers, got float16" in refusal(
        tmp_path / name, "half", error=TypeError
    )
    assert "[complex]: expected real numbers" in refusal(tmp_path / name, "complex", error=TypeError)


@pytest.mark.parametrize(("name", "save"), [KEYED[0], KEYED[1]])
def test_wrong_rank(tmp_path: Path, name: str, save: Save) -> None:
    save(tmp_path / name, {"flat": X[:, 0], "deep": np.zeros((2, 2, 2, 2))})
    assert "found 'deep' [2, 2, 2, 2], 'flat' [20]" in refusal(tmp_path / name) or "found 'flat'" in refusal(
        tmp_path / name
    )
    assert "[flat]: expected [T, N], got [20]; a single variable has the shape [T, 1]" in refusal(
        tmp_path / name, "flat"
    )
    assert "[deep]: expected [T, N] or [S, T, N], got [2, 2, 2, 2]" in refusal(tmp_path / name, "deep")


class TestNumpyFiles:
    def test_a_pickle_is_not_loaded(self, tmp_path: Path) -> None:
        class Bomb:
            def __reduce__(self) -> tuple[Any, ...]:
                return (Path.touch, (tmp_path / "exploded",))

        np.save(tmp_path / "a.npy", np.array([Bomb()], dtype=object), allow_pickle=True)
        save_npz(tmp_path / "a.npz", {"x": np.array([Bomb()], dtype=object)})
        (tmp_path / "raw.npy").write_bytes(pickle.dumps(Bomb()))
        for name in ("a.npy", "a.npz", "raw.npy"):
            message = refusal(tmp_path / name)
            assert "pickled Python objects" in message and "save plain float32 arrays" in message
        assert not (tmp_path / "exploded").exists()

    def test_object_arrays_beside_the_data_do_no_harm(self, tmp_path: Path) -> None:
        save_npz(tmp_path / "a.npz", {"x": X, "names": np.array(["a", None], dtype=object)})
        assert same(read_time_series(tmp_path / "a.npz"), X)

    def test_npz_under_the_name_npy(self, tmp_path: Path) -> None:
        save_npz(tmp_path / "a.npy", {"x": X})
        assert "rename it to .npz" in refusal(tmp_path / "a.npy")

    def test_npy_with_a_key(self, tmp_path: Path) -> None:
        np.save(tmp_path / "a.npy", X)
        assert refusal(tmp_path / "a.npy", "x").startswith("key: ")
        assert refusal(tmp_path / "a.npy", None, "u").startswith("inputs_key: ")

    def test_truncated_npy_says_how_much_is_missing(self, tmp_path: Path) -> None:
        np.save(tmp_path / "a.npy", X)
        data = (tmp_path / "a.npy").read_bytes()
        (tmp_path / "a.npy").write_bytes(data[:-7])
        assert "is truncated: [20, 3] float32 takes 240 bytes, 233 are there" in refusal(tmp_path / "a.npy")

    def test_a_header_that_promises_too_much(self, tmp_path: Path) -> None:
        np.save(tmp_path / "a.npy", X)
        data = (tmp_path / "a.npy").read_bytes().replace(b"(20, 3), }          ", b"(99999999999999, 3)}")
        (tmp_path / "a.npy").write_bytes(data)
        assert "is truncated: [99999999999999, 3]" in refusal(tmp_path / "a.npy")


class TestMatlabFiles:
    @pytest.mark.parametrize("save", [save_mat, save_mat73])
    def test_a_cell_is_a_list_of_sequences(self, tmp_path: Path, save: Save) -> None:
        cell: Any = [X, Y]
        if save is save_mat:
            cell = np.empty((1, 2), dtype=object)
            cell[0, 0], cell[0, 1] = X, Y
        save(tmp_path / "a.mat", {"trials": cell})
        assert same(read_time_series(tmp_path / "a.mat"), X, Y)

    def test_text_and_structures_are_no_candidates(self, tmp_path: Path) -> None:
        save_mat(tmp_path / "a.mat", {"note": "written by hand", "x": X, "settings": {"rate": 3.0}})
        assert same(read_time_series(tmp_path / "a.mat"), X)
        assert "[note]: expected an array of numbers, got text" in refusal(tmp_path / "a.mat", "note", error=TypeError)

    def test_sparse_and_logical(self, tmp_path: Path) -> None:
        dense = (X > 0.5).astype(np.float32)
        save_mat(tmp_path / "a.mat", {"s": scipy.sparse.csc_matrix(dense.astype(float)), "l": dense.astype(bool)})
        assert same(read_time_series(tmp_path / "a.mat", "s"), dense)
        assert same(read_time_series(tmp_path / "a.mat", "l"), dense)

    def test_complex(self, tmp_path: Path) -> None:
        save_mat(tmp_path / "a.mat", {"x": X + 1j})
        assert "[x]: expected real numbers" in refusal(tmp_path / "a.mat", error=TypeError)

    def test_empty_matrix(self, tmp_path: Path) -> None:
        with h5py.File(tmp_path / "a.mat", "w", userblock_size=512) as file:
            file["x"] = np.array([0, 3], dtype=np.uint64)
            file["x"].attrs["MATLAB_class"] = np.bytes_("double")
            file["x"].attrs["MATLAB_empty"] = np.uint8(1)
        assert "got [0, 3]: it is empty" in refusal(tmp_path / "a.mat", "x")


class TestHdf5Files:
    def test_groups(self, tmp_path: Path) -> None:
        save_h5(tmp_path / "a.h5", {"session1/calcium": X, "session2/calcium": Y})
        assert "'session1/calcium' [20, 3], 'session2/calcium' [15, 3]" in refusal(tmp_path / "a.h5")
        assert same(read_time_series(tmp_path / "a.h5", "/session2/calcium"), Y)
        assert same(read_time_series(tmp_path / "a.h5", "session1/calcium,/session2/calcium"), X, Y)
        assert "no array 'session1'" in refusal(tmp_path / "a.h5", "session1")

    def test_text_is_no_candidate(self, tmp_path: Path) -> None:
        save_h5(tmp_path / "a.h5", {"x": X, "names": [["a", "b"]]})
        assert same(read_time_series(tmp_path / "a.h5"), X)

    def test_the_file_is_closed_again(self, tmp_path: Path) -> None:
        save_h5(tmp_path / "a.h5", {"x": X})
        read_time_series(tmp_path / "a.h5")
        with h5py.File(tmp_path / "a.h5", "r+") as file:
            file["y"] = Y

    def test_many_keys_are_listed_in_short(self, tmp_path: Path) -> None:
        save_h5(tmp_path / "a.h5", {f"trial{i:02d}": X for i in range(40)})
        assert "'trial11' [20, 3] and 28 more" in refusal(tmp_path / "a.h5")


class TestPaths:
    def test_no_such_file(self, tmp_path: Path) -> None:
        assert refusal(tmp_path / "a.npy", error=FileNotFoundError).endswith("no such file; check the path")

    def test_a_folder(self, tmp_path: Path) -> None:
        assert "is a folder" in refusal(tmp_path)

    def test_an_unknown_ending(self, tmp_path: Path) -> None:
        (tmp_path / "a.xlsx").write_bytes(b"x")
        assert "ends in one of .npy, .npz, .mat, .h5, .hdf5, .csv" in refusal(tmp_path / "a.xlsx")

    def test_a_file_without_permission(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        np.save(tmp_path / "a.npy", X)
        monkeypatch.setattr(os, "access", lambda path, mode: not mode & os.R_OK)  # root may read every file
        assert "may not be read" in refusal(tmp_path / "a.npy", error=PermissionError)


def test_float64_values_beyond_float32(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", X.astype(float) * 1e300)
    assert "is too large for float32" in refusal(tmp_path / "a.npy")


def test_missing_observations_stay_missing(tmp_path: Path) -> None:
    x = X.copy()
    x[3:9, 1] = np.nan
    np.save(tmp_path / "a.npy", x)
    assert torch.equal(read_time_series(tmp_path / "a.npy").values[0].isnan(), torch.from_numpy(np.isnan(x)))
