"""write_orbits: what is written is read back; whole or not at all."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from neurorbit.engine.data import check_orbit_path, read_time_series, write_orbits

X = np.random.default_rng(0).standard_normal((30, 3))
ENDINGS = ("npy", "npz", "h5", "hdf5", "csv")


@pytest.mark.parametrize("ending", ENDINGS)
@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**31), T=st.integers(2, 50), N=st.integers(1, 5), single=st.booleans())
def test_what_is_written_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, ending: str, seed: int, T: int, N: int, single: bool
) -> None:
    x = 10.0 ** np.random.default_rng(seed).uniform(-20, 20, (T, N))
    x = x.astype(np.float32) if single else x
    path = write_orbits(tmp_path_factory.getbasetemp() / f"orbit.{ending}", x)
    assert np.array_equal(read_time_series(path).values[0].numpy(), x.astype(np.float32))


@pytest.mark.parametrize("ending", ["npy", "npz", "h5", "hdf5"])
def test_several_orbits(tmp_path: Path, ending: str) -> None:
    x = torch.randn(4, 5, 2)
    series = read_time_series(write_orbits(tmp_path / f"a.{ending}", x))
    assert torch.equal(torch.stack(series.values), x)


def test_arrays_keep_their_type(tmp_path: Path) -> None:
    assert np.array_equal(np.load(write_orbits(tmp_path / "a.npy", X)), X)
    assert np.load(write_orbits(tmp_path / "a.npz", X.astype(np.float32)))["x"].dtype == np.float32


def test_csv_keeps_every_digit_and_names_the_columns(tmp_path: Path) -> None:
    lines = write_orbits(tmp_path / "a.csv", X[None]).read_text().splitlines()
    assert lines[0] == "x1,x2,x3"
    assert np.array_equal(np.array([[float(c) for c in line.split(",")] for line in lines[1:]]), X)


@pytest.mark.parametrize("ending", ENDINGS)
def test_an_older_file_is_replaced(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"a.{ending}"
    write_orbits(path, X)
    write_orbits(path, X[:7])
    assert read_time_series(path).lengths == (7,)
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


FULL_DISK = """
import resource, sys
import numpy as np
from neurorbit.engine.data import write_orbits
resource.setrlimit(resource.RLIMIT_FSIZE, (20000, 20000))
for path in sys.argv[1:]:
    try:
        write_orbits(path, np.random.default_rng(0).standard_normal((20000, 3)))
    except OSError as error:
        print(error)
"""


@pytest.mark.skipif(os.name != "posix", reason="limits the size of files by setrlimit, which only POSIX has")
def test_a_write_that_fails_midway_leaves_the_older_file(tmp_path: Path) -> None:
    paths = [write_orbits(tmp_path / f"a.{ending}", X) for ending in ENDINGS]
    before = [path.read_bytes() for path in paths]
    run = subprocess.run([sys.executable, "-c", FULL_DISK, *map(str, paths)], capture_output=True, text=True)
    messages = run.stdout.splitlines()
    assert len(messages) == len(paths), run.stderr
    for path, message in zip(paths, messages, strict=True):
        assert message.startswith(f"{path}: could not be written (") and len(message) < 250
        assert message.endswith("); free space or choose another place")
    assert [path.read_bytes() for path in paths] == before
    assert sorted(tmp_path.iterdir()) == sorted(paths)


def test_an_interrupted_write_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(fd: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_orbits(tmp_path / "a.npy", X)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("a.txt", ValueError, "expected a name that ends in one of .npy, .npz, .h5, .hdf5, .csv"),
        ("a", ValueError, "expected a name that ends in"),
        ("nowhere/a.npy", FileNotFoundError, "nowhere does not exist; create it first"),
        ("folder.npy", IsADirectoryError, "is a folder; name a file in it"),
    ],
)
def test_refused_paths(tmp_path: Path, name: str, error: type[Exception], message: str) -> None:
    (tmp_path / "folder.npy").mkdir()
    for attempt in (lambda: check_orbit_path(tmp_path / name), lambda: write_orbits(tmp_path / name, X)):
        with pytest.raises(error) as caught:
            attempt()
        assert message in str(caught.value) and str(tmp_path / name) in str(caught.value)


def test_a_folder_without_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: not mode & os.W_OK)  # root may write everywhere
    with pytest.raises(PermissionError, match="may not be written; choose another place"):
        check_orbit_path(tmp_path / "a.npy")


@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        (X[:, 0], ValueError, r"^x: expected \[T, N\] or \[S, T, N\], got \[30\]"),
        (X.astype(complex), TypeError, "^x: expected real numbers, got complex128"),
        (np.stack([X, X]), ValueError, r"a\.csv: a \.csv file holds one orbit, got 2; write \.npy, \.npz or \.h5"),
    ],
)
def test_refused_arrays(tmp_path: Path, x: np.ndarray, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        write_orbits(tmp_path / "a.csv", x)
    assert list(tmp_path.iterdir()) == []
