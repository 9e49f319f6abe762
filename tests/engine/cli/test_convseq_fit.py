"""neurorbit convseq fit and resume: whole runs on a small recording, and every kind of bad input."""

import csv
import json
import os
import pickle
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from neurorbit.engine.cli.main import main
from neurorbit.engine.data import read_spike_events
from neurorbit.engine.models.convseq import fitting

SMALL = ["--width", "40", "--epochs", "100", "--loss.total-variation", "8", "--training.log-every", "25"]
SMALL += ["--stopping.every", "25", "--stopping.patience", "3", "--device", "cpu"]
SEARCH = ["--detection.null-filters", "50", "--detection.shuffles", "19", "--detection.surrogates", "19"]
PLANT = ["--seqlen", "24", "--gap_ts", "150", "--jitter_std", "2", "--p_drop", "0.05", "--neurons", "30"]
PLANT += ["--steps", "2000", "--rate_hz", "0.2"]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    for name in ("sim.npz", "sim.h5"):
        assert main(["convseq", "simulate", *PLANT, "--out", str(folder / name)]) == 0
    recording = read_spike_events(folder / "sim.npz")
    x = recording.dense().astype(float)
    np.save(folder / "calcium.npy", x + 0.01 * np.random.default_rng(0).random(x.shape))
    return folder


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEURORBIT_CACHE", str(tmp_path / "cache"))


def fit(*words: str | Path) -> int:
    return main(["convseq", "fit", *map(str, words)])


def refused(capsys: pytest.CaptureFixture[str], *words: str | Path) -> str:
    """The one line on stderr of a command that ends with exit code 2."""
    assert main(["convseq", *map(str, words)]) == 2
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err.count("\n") == 1, captured.err
    return captured.err.strip()


def test_a_fit_leaves_tables_figures_and_a_report(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert fit("--data", data / "sim.npz", "--workdir", tmp_path / "run", *SMALL, *SEARCH) == 0
    said = capsys.readouterr().out
    assert "1 run trained for " in said and "13 detections (crossfit), F1 1.00 against the planted sequences" in said
    run = tmp_path / "run"
    detections = list(csv.DictReader((run / "detections.csv").read_text().splitlines()))
    assert len(detections) == 13 and {d["run"] for d in detections} == {"0"}
    gaps = np.diff([float(d["time_bin"]) for d in detections])
    assert np.abs(gaps - 150).max() <= 5
    neurons = list(csv.DictReader((run / "neurons.csv").read_text().splitlines()))
    assert sorted(int(n["neuron"]) for n in neurons) == list(range(30))
    part = [int(n["rank"]) for n in neurons if n["takes_part"] == "1"]
    assert part == list(range(len(part))) and 20 <= len(part) <= 27  # 24 were planted
    assert all(n["rank"] == "" for n in neurons if n["takes_part"] == "0")
    assert len(list((run / "figures").glob("*.png"))) >= 6
    report = (run / "report.html").read_text()
    assert "crossfit" in report and "random" in report and "not calibrated" in report
    assert "<td>model.padding</td><td>20</td>" in report and "<td>loss.total_variation</td><td>8</td>" in report
    record = json.loads((run / "config.json").read_text())
    assert record["system"] == "convseq" and record["data"]["n_neurons"] == 30
    assert len(list((tmp_path / "cache").glob("null_*.json"))) == 1


def test_calcium_is_reported(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = [*SMALL, "--detection.null-filters", "20", "--detection.level", "0.25", "--detection.surrogates", "3"]
    assert fit("--data", data / "calcium.npy", "--workdir", tmp_path / "run", *words, "--epochs", "50") == 0
    assert "(surrogate); " in capsys.readouterr().out
    names = {p.stem for p in (tmp_path / "run" / "figures").iterdir()}
    assert {"responses", "raster", "filters", "histogram", "losses"} <= names
    assert (tmp_path / "run" / "neurons.csv").read_text().count("\n") == 1


def test_blocks_of_time_too_large_for_memory_are_reported_without_a_raster(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fitting, "MOST_EVENTS", 10)
    words = ["--block-bins", "900", "--detection.null-filters", "20"]
    where = ["--data", data / "sim.h5", "--workdir", tmp_path / "run"]
    assert "crossfit needs the recording in memory" in refused(capsys, "fit", *where, *SMALL, *words)
    words += ["--detection.significance", "random"]
    assert fit(*where, *SMALL, *words, "--epochs", "50") == 0
    assert "13 detections (random), F1 1.00 against the planted sequences" in capsys.readouterr().out
    names = {p.stem for p in (tmp_path / "run" / "figures").iterdir()}
    assert names == {"responses", "histogram", "filters", "losses"}


def test_blocks_of_time_get_calibrated_detections_when_their_events_fit_into_memory(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--data", data / "sim.h5", "--workdir", tmp_path / "run", "--block-bins", "900", *SMALL, *SEARCH]
    assert fit(*words) == 0
    assert "13 detections (crossfit), F1 1.00 against the planted sequences" in capsys.readouterr().out
    neurons = tmp_path / "neurons.csv"
    detect = ["convseq", "detect", "--workdir", str(tmp_path / "run"), "--out", str(tmp_path / "d.csv")]
    assert main([*detect, "--neurons", str(neurons), *(w.replace("detection.", "") for w in SEARCH)]) == 0
    assert neurons.read_text() == (tmp_path / "run" / "neurons.csv").read_text()
    assert (tmp_path / "d.csv").read_text() == (tmp_path / "run" / "detections.csv").read_text()


def test_resume_detects_as_the_fit_was_told(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--data", data / "sim.npz", "--workdir", tmp_path / "run", *SMALL, "--epochs", "50", "--no-report"]
    assert fit(*words, "--detection.significance", "random", "--detection.null-filters", "20") == 0
    assert main(["convseq", "resume", "--workdir", str(tmp_path / "run")]) == 0
    assert "(random)" in capsys.readouterr().out


def test_a_backend_that_does_not_run_here_leaves_the_old_run(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--data", data / "sim.npz", "--workdir", tmp_path / "run", *SMALL, "--epochs", "2", "--no-report"]
    assert "triton" in refused(capsys, "fit", *words, "--backend", "triton") and not (tmp_path / "run").exists()
    assert fit(*words) == 0
    before = sorted((p.name, p.stat().st_mtime_ns) for p in (tmp_path / "run").rglob("*"))
    capsys.readouterr()
    refused(capsys, "fit", *words, "--backend", "triton", "--overwrite")
    assert sorted((p.name, p.stat().st_mtime_ns) for p in (tmp_path / "run").rglob("*")) == before


@pytest.mark.parametrize(
    ("words", "runs"),
    [
        (["--filters", "2", "--model.loadings", "--loss.loading-similarity", "1", "--loss.power-entropy", "0.1"], 1),
        (["--model.formulation", "gaussian", "--model.sigma", "4", "--model.learn-sigma", "--runs", "2"], 2),
        (["--grid.total-variation", "8", "1e30", "--grid.learning-rate", "0.1", "0.2"], 4),
    ],
)
def test_other_settings(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], runs: int
) -> None:
    small = [*SMALL, "--epochs", "25", "--no-report"]
    assert fit("--data", data / "sim.npz", "--workdir", tmp_path / "run", *small, *words) == 0
    assert f"{runs} run{'s' * (runs > 1)} trained for 25 steps: " in capsys.readouterr().out
    rows = list(csv.DictReader((tmp_path / "run" / "metrics.csv").read_text().splitlines()))
    assert [int(r["run"]) for r in rows] == list(range(runs))
    finite = [r["loss"] != "" and np.isfinite(float(r["loss"])) for r in rows]
    assert finite == ([True, False] * 2 if runs == 4 else [True] * runs)


def test_without_report(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--data", data / "sim.npz", "--workdir", tmp_path / "run", *SMALL, "--epochs", "3"]
    assert fit(*words, "--no-report") == 0
    assert capsys.readouterr().out == f"1 run trained for 3 steps: {tmp_path / 'run'}\n"
    assert not (tmp_path / "run" / "detections.csv").exists()
    assert "already holds a run" in refused(capsys, "fit", *words)
    (tmp_path / "run" / "detections.csv").write_text("old")
    (tmp_path / "run" / "crossfit").mkdir()
    assert fit(*words, "--no-report", "--overwrite") == 0
    assert not (tmp_path / "run" / "detections.csv").exists() and not (tmp_path / "run" / "crossfit").exists()


def test_all_runs_diverged_is_exit_code_1(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = [*SMALL, "--loss.total-variation", "1e30"]
    assert fit("--data", data / "sim.npz", "--workdir", tmp_path / "run", *words) == 1
    assert "every run diverged" in capsys.readouterr().err


def test_stopped_and_resumed(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["convseq", "fit", "--data", data / "sim.npz", *SMALL, *SEARCH, "--epochs", "5000"]
    words += ["--stopping.patience", "0", "--training.checkpoint-every", "20", "--workdir", tmp_path / "run"]
    process = subprocess.Popen(
        [sys.executable, "-m", "neurorbit.engine.cli.main", *map(str, words)], stderr=subprocess.PIPE, text=True
    )
    first = tmp_path / "run" / "checkpoints" / "step_00000020.json"
    end = time.monotonic() + 120
    while not first.exists():
        assert process.poll() is None and time.monotonic() < end
        time.sleep(0.005)
    os.kill(process.pid, signal.SIGTERM)
    said = process.communicate()[1]
    assert process.returncode == 128 + signal.SIGTERM
    assert "stopped by SIGTERM at step" in said and "neurorbit convseq resume --workdir" in said
    config = tmp_path / "run" / "config.json"
    shorter = json.loads(config.read_text())
    reached = json.loads(max((tmp_path / "run" / "checkpoints").glob("*.json")).read_text())["step"]
    shorter["config"]["epochs"] = reached + 40
    config.write_text(json.dumps(shorter))
    assert main(["convseq", "resume", "--workdir", str(tmp_path / "run"), "--no-report"]) == 0
    assert f"1 run trained for {reached + 40} steps: " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--data", "none.npz"], "none.npz: no such file; check the path"),
        (["--data", "x.txt"], "x.txt: expected a file that ends in one of"),
        (["--data", "sim.npz", "--width", "2001"], "width: expected at most T=2000"),
        (["--data", "sim.npz", "--width", "1"], "width: expected >= 2, got 1"),
        (["--data", "sim.npz", "--filters", "0"], "filters: expected >= 1, got 0"),
        (["--data", "sim.npz", "--epochs", "0"], "epochs: expected >= 1, got 0"),
        (["--data", "sim.npz", "--runs", "0"], "runs: expected >= 1, got 0"),
        (["--data", "sim.npz", "--epochs", "many"], "--epochs"),
        (["--data", "sim.npz", "--speed", "3"], "unknown setting '--speed'"),
        (["--data", "sim.npz", "--detection.level", "1"], "level: expected above 0 and below 1, got 1.0"),
        (["--data", "sim.npz", "--detection.shuffles", "18"], "shuffles: level 0.05 needs 19 or more, got 18"),
        (["--data", "sim.npz", "--detection.level", "0.01"], "surrogates: level 0.01 needs 99 or more, got 39"),
        (["--data", "sim.npz", "--detection.folds", "13"], "13 blocks of 153 bins are too short"),
        (["--data", "sim.npz", "--detection.significance", "sure"], "--detection.significance"),
        (["--data", "sim.npz", "--loss.cross-correlation", "1"], "loss.cross_correlation: compares filters"),
        (["--data", "sim.npz", "--model.padding", "40"], "model.padding: expected 0 to width - 1 = 39, got 40"),
        (["--data", "sim.npz", "--block-bins", "500"], "sim.npz: expected a file that ends in one of .h5, .hdf5"),
        (["--data", "sim.npz", "--key", "y"], "sim.npz has no array 'y'"),
        (["--data", "calcium.npy", "--detection.significance", "crossfit"], "crossfit needs spikes"),
        (["--data", "cut.h5"], "cut.h5: not a readable .h5 file"),
        (["--data", "cut.h5", "--block-bins", "500", "--no-report"], "cut.h5: not a readable .h5 file"),
        (["--data", "gap.npy"], "gap.npy: nan at neuron 1, bin 2"),
        (["--data", "negative.npz"], "negative.npz[counts]: expected 0 or more, got -1 at event 1"),
        (["--data", "outside.npz"], "outside.npz[times]"),
        (["--data", "before.npz"], "before.npz[times]"),
        (["--data", "seconds.npz"], "give bin_s"),
        (["--data", "silent.npy"], "silent.npy: 5 neurons x 500 bins without a single spike"),
        (["--data", "nothing.npz"], "nothing.npz: holds no spike"),
        (["--data", "empty.npy"], "empty.npy"),
        (["--data", "pickled.npy"], "pickled.npy: holds pickled Python objects"),
    ],
)
def test_bad_input(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    words: list[str], message: str,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    for name in ("sim.npz", "sim.h5", "calcium.npy"):
        (tmp_path / name).symlink_to(data / name)
    gap = np.full((5, 500), 0.5)
    gap[1, 2] = np.nan
    np.save("gap.npy", gap)
    np.save("silent.npy", np.zeros((5, 500)))
    np.save("empty.npy", np.zeros((5, 0)))
    np.save("pickled.npy", np.array([None, "x"], dtype=object), allow_pickle=True)
    events: dict[str, Any] = {"neurons": [0, 1], "times": [5, 9], "n_neurons": 5, "n_bins": 500}
    np.savez("negative.npz", **events, counts=[1, -1])
    np.savez("outside.npz", **events | {"times": [5, 500]})
    np.savez("before.npz", **events | {"times": [-1, 5]})
    np.savez("seconds.npz", **events | {"times": [0.5, 1.5]})
    np.savez("nothing.npz", **events | {"neurons": np.zeros(0, int), "times": np.zeros(0, int)})
    Path("x.txt").write_text("1 2")
    with h5py.File("cut.h5", "w") as file:
        file["x"] = np.ones((5, 500))
    Path("cut.h5").write_bytes(Path("cut.h5").read_bytes()[:-500])
    assert message in refused(capsys, "fit", "--workdir", "run", *SMALL, *words)
    assert not Path("run").exists()


def test_unsorted_and_repeated_events_are_one_recording(data: Path, tmp_path: Path) -> None:
    """In any order, with a count of 2 as two events: the same filters."""
    recording = read_spike_events(data / "sim.npz")
    n, t, c = recording.neurons, recording.times, recording.counts.copy()  # type: ignore[union-attr]
    c[:50] = 2
    many = np.random.default_rng(0).permutation(np.repeat(np.arange(len(n)), c))
    sizes = {"n_neurons": 30, "n_bins": 2000}
    np.savez(tmp_path / "a.npz", neurons=n, times=t, counts=c, **sizes)
    np.savez(tmp_path / "b.npz", neurons=n[many], times=t[many], **sizes)
    for name in "ab":
        words = ["--data", tmp_path / f"{name}.npz", "--workdir", tmp_path / name, *SMALL, "--epochs", "5"]
        assert fit(*words, "--no-report") == 0
    a, b = (tmp_path / name / "best.safetensors" for name in "ab")
    assert a.read_bytes() == b.read_bytes()


def test_a_pickled_recording_is_read_when_trusted(data: Path, tmp_path: Path) -> None:
    x = read_spike_events(data / "sim.npz").dense()
    (tmp_path / "p.npy").write_bytes(pickle.dumps(x))
    words = ["--data", tmp_path / "p.npy", "--workdir", tmp_path / "run", *SMALL, "--epochs", "3", "--no-report"]
    assert fit(*words) == 2
    assert fit(*words, "--trust-pickle") == 0


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_may_not_be_written(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tmp_path.chmod(0o500)
    said = refused(capsys, "fit", "--data", data / "sim.npz", "--workdir", tmp_path / "run", *SMALL)
    tmp_path.chmod(0o700)
    assert "could not be made" in said


def test_a_workdir_that_is_a_file(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "run").write_text("")
    said = refused(capsys, "fit", "--data", data / "sim.npz", "--workdir", tmp_path / "run", *SMALL)
    assert f"workdir {tmp_path / 'run'}: could not be made" in said


def test_resume_of_what_is_no_convseq_fit(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "is not a run folder: config.json is missing" in refused(capsys, "resume", "--workdir", tmp_path / "none")
    np.save(tmp_path / "x.npy", np.cumsum(np.random.default_rng(0).standard_normal((300, 2)), 0))
    words = ["plrnn", "fit", "--data", tmp_path / "x.npy", "--workdir", tmp_path / "plrnn", "--steps", "2"]
    words += ["--runs", "1", "--model.hidden-dim", "4", "--training.sequence-length", "10", "--no-report"]
    assert main(list(map(str, words))) == 0
    capsys.readouterr()
    assert "is not the configuration of a convSeq fit" in refused(capsys, "resume", "--workdir", tmp_path / "plrnn")


def test_report_with_a_position(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = tmp_path / "run"
    words = ["--data", data / "sim.npz", "--workdir", run, *SMALL, *SEARCH, "--no-report"]
    assert fit(*words) == 0
    np.save(tmp_path / "x.npy", (np.arange(2000) % 150).astype(float)[None])  # a lap per occurrence
    np.save(tmp_path / "short.npy", np.arange(20.0))
    report = ["report", "--workdir", run, "--position"]
    assert main(["convseq", *map(str, report), str(tmp_path / "x.npy"), "--position-unit", "cm"]) == 0
    assert capsys.readouterr().out.strip().endswith("report.html") and (run / "figures" / "position.png").is_file()
    assert "expected [T=2000]" in refused(capsys, *report, tmp_path / "short.npy")
    assert "one number per bin" in refused(capsys, *report, data / "calcium.npy")
