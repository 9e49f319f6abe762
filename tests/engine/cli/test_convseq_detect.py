"""neurorbit convseq detect: the recording of the fit or another one of its neurons, to a CSV file."""

import csv
from pathlib import Path

import numpy as np
import pytest

from neurorbit.engine.cli.main import main
from neurorbit.engine.data import SpikeEvents, read_spike_events, write_spike_events

SMALL = ["--width", "40", "--epochs", "100", "--loss.total-variation", "8", "--stopping.patience", "0"]
SMALL += ["--training.log-every", "50", "--device", "cpu", "--runs", "2", "--no-report"]
SEARCH = ["--null-filters", "50", "--shuffles", "19", "--surrogates", "19"]
PLANT = ["--seqlen", "24", "--gap_ts", "150", "--jitter_std", "2", "--p_drop", "0.05", "--neurons", "30"]
PLANT += ["--steps", "4000", "--rate_hz", "0.2"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recording of 4000 bins in halves, and a fit of the first."""
    folder = tmp_path_factory.mktemp("data")
    assert main(["convseq", "simulate", *PLANT, "--out", str(folder / "whole.npz")]) == 0
    whole = read_spike_events(folder / "whole.npz")
    assert isinstance(whole, SpikeEvents)
    write_spike_events(folder / "first.npz", whole.block(0, 2000))
    write_spike_events(folder / "second.npz", whole.block(2000, 4000))
    write_spike_events(folder / "fewer.npz", SpikeEvents.from_dense(whole.dense()[:29]))
    words = ["--data", str(folder / "first.npz"), "--workdir", str(folder / "run"), *SMALL]
    assert main(["convseq", "fit", *words]) == 0
    return folder


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEURORBIT_CACHE", str(tmp_path / "cache"))


def detect(*words: str | Path) -> int:
    return main(["convseq", "detect", *map(str, words)])


def refused(capsys: pytest.CaptureFixture[str], *words: str | Path) -> str:
    """The one line on stderr of a command that ends with exit code 2."""
    capsys.readouterr()
    assert detect(*words) == 2
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err.count("\n") == 1, captured.err
    return captured.err.strip()


def rows(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.read_text().splitlines()))


@pytest.mark.parametrize("significance", ["crossfit", "surrogate", "random"])
def test_the_recording_of_the_fit_and_another_one(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], significance: str
) -> None:
    words = ["--workdir", folder / "run", "--significance", significance, *SEARCH]
    truth = np.load(folder / "whole.npz")["truth_times"]
    for data, expected in ((None, truth[truth < 1990]), ("second.npz", truth[truth > 2010] - 2000)):
        capsys.readouterr()
        out = tmp_path / f"{data}.csv"
        assert detect(*words, "--out", out, *(["--data", folder / data] if data else [])) == 0
        found = np.array([float(r["time_bin"]) for r in rows(out)])
        hits = (np.abs(found[:, None] - expected[None]) <= 10).any(0)
        assert hits.mean() >= 0.9 and len(found) <= len(expected) + 1
        assert all(float(r["time_s"]) == pytest.approx((float(r["time_bin"]) + 0.5) * 0.05) for r in rows(out))
        said = capsys.readouterr().out
        assert said.startswith(f"{len(found)} detections of 1 sequence ({significance}")
        assert said.endswith(f": {out}\n") and ("random gives" in said) == (significance != "random")


def test_a_named_run(folder: Path, tmp_path: Path) -> None:
    words = ["--workdir", folder / "run", "--significance", "random", *SEARCH]
    for run in range(2):
        assert detect(*words, "--run", str(run), "--out", tmp_path / f"{run}.csv") == 0
        assert {r["run"] for r in rows(tmp_path / f"{run}.csv")} == {str(run)}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--level", "0"], "level: expected above 0 and below 1, got 0.0"),
        (["--level", "2"], "level: expected above 0 and below 1, got 2.0"),
        (["--level", "0.01"], "shuffles: level 0.01 needs 99 or more, got 19"),
        (["--surrogates", "3"], "surrogates: level 0.05 needs 19 or more, got 3"),
        (["--folds", "1"], "folds: expected 2 or more, got 1"),
        (["--folds", "13"], "13 blocks of 153 bins are too short"),
        (["--null-filters", "0"], "null_filters: expected 2 or more, got 0"),
        (["--significance", "none"], "--significance"),
        (["--run", "2"], "run: expected 0 to 1, got 2"),
        (["--fast"], "unknown setting '--fast'"),
        (["--data", "fewer.npz"], "expected N=30 neurons as in the fit, got 29"),
        (["--data", "none.npz"], "none.npz: no such file; check the path"),
        (["--workdir", "none"], "none: is not a run folder: config.json is missing"),
        (["--workdir", "plrnn"], "is not the configuration of a convSeq fit"),
        (["--out", "d.txt"], "d.txt: expected a name that ends in one of .csv"),
        (["--out", "nowhere/d.csv"], "the folder nowhere does not exist; create it first"),
    ],
)
def test_bad_input(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    words: list[str], message: str,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    Path("fewer.npz").symlink_to(folder / "fewer.npz")
    Path("plrnn").mkdir()
    Path("plrnn/config.json").write_text('{"system": "plrnn", "format": 1, "config": {}, "data": {}}')
    given = ["--workdir", folder / "run", "--out", "d.csv", *SEARCH]
    assert message in refused(capsys, *given, *words)
    assert not Path("d.csv").exists()


def test_a_recording_that_has_changed_since_the_fit(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "x.npz").write_bytes((folder / "first.npz").read_bytes())
    words = ["--data", str(tmp_path / "x.npz"), "--workdir", str(tmp_path / "run"), *SMALL, "--epochs", "2"]
    assert main(["convseq", "fit", *words]) == 0
    (tmp_path / "x.npz").write_bytes((folder / "second.npz").read_bytes())
    said = refused(capsys, "--workdir", tmp_path / "run", "--out", tmp_path / "d.csv", *SEARCH)
    assert "x.npz: differs from the one the fit began with" in said


def test_a_damaged_null_is_refused(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--workdir", folder / "run", "--significance", "random", "--out", tmp_path / "d.csv", *SEARCH]
    assert detect(*words) == 0
    (null,) = (tmp_path / "cache").iterdir()
    null.write_bytes(null.read_bytes()[:-9])
    assert f"{null}: is not JSON" in refused(capsys, *words)
