"""What the commands of PLRNN and convSeq say of runs that diverged in training."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from neurorbit.engine.cli.main import main
from neurorbit.engine.simulate import lorenz63

PLRNN = ["--model.hidden-dim", "6", "--training.batch-size", "2", "--training.sequence-length", "10", "--steps", "6"]
PLRNN += ["--device", "cpu", "--training.log-every", "2", "--evaluation.steps", "200"]
CONVSEQ = [
    "--width",
    "40",
    "--epochs",
    "100",
    "--training.log-every",
    "25",
    "--stopping.every",
    "25",
    "--device",
    "cpu",
]
SEARCH = ["--null-filters", "50", "--shuffles", "19", "--significance", "random"]
NONE_LEFT = "every run diverged in training, so there is nothing to measure: fit again"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    np.save(folder / "train.npy", lorenz63(600, noise=0.02, seed=3))
    np.save(folder / "test.npy", lorenz63(400, seed=4))
    plant = ["--seqlen", "24", "--gap_ts", "150", "--neurons", "30", "--steps", "2000", "--rate_hz", "0.2"]
    plant += ["--jitter_std", "2", "--p_drop", "0.05"]
    assert main(["convseq", "simulate", "--out", str(folder / "sim.npz"), *plant]) == 0
    return folder


def refused(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """The one line on stderr of a command that ends with exit code 2."""
    capsys.readouterr()
    assert main(list(words)) == 2
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err.count("\n") == 1, captured.err
    return captured.err


def plrnn(data: Path, run: Path, *words: str) -> int:
    return main(["plrnn", "fit", "--data", str(data / "train.npy"), "--workdir", str(run), *PLRNN, *words])


def test_plrnn_names_them_and_leaves_them_out(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = tmp_path / "run"
    assert plrnn(data, run, "--runs", "2", "--grid.learning-rate", "1e38", "1e-3") == 0
    said = capsys.readouterr().err
    assert "2 of 4 runs diverged, left out of the medians: run 0 (seed 0, training.learning_rate 1e+38); run 1" in said
    assert "Left out, as they diverged in training: run 0, run 1." in (run / "report.html").read_text()
    evaluate = ["plrnn", "evaluate", "--workdir", str(run), "--data", str(data / "test.npy")]
    for state in ("best", "last"):
        assert main([*evaluate, "--state", state, "--json"]) == 0
        found = json.loads(capsys.readouterr().out)
        lost, kept = found["by_settings"]
        assert found["diverged"] == [0, 1] and all(v is None for v in (*lost["median"].values(), *lost["mad"].values()))
        assert found["median"] == kept["median"] and found["mad"] == kept["mad"]
        assert kept["median"]["d_stsp"] == pytest.approx(np.mean([r["d_stsp"] for r in found["runs"][2:]]))
        assert found["runs"][0]["d_stsp"] is not None  # its last good state is measured, but does not count
    assert main(evaluate) == 0
    shown = capsys.readouterr().out
    assert "left out of the medians, diverged in training: run 0, 1" in shown and "1e+38 diverged" in shown


def test_plrnn_generates_with_the_best_that_is_left(data: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    assert plrnn(data, run, "--runs", "1", "--grid.learning-rate", "1e38", "1e-3", "--no-report") == 0
    for name, words in (("best", []), ("second", ["--run", "1"])):
        out = ["--steps", "5", "--out", str(tmp_path / f"{name}.npy")]
        assert main(["plrnn", "generate", "--workdir", str(run), *out, *words]) == 0
    assert np.array_equal(np.load(tmp_path / "best.npy"), np.load(tmp_path / "second.npy"))


def test_plrnn_without_any_run_left(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = tmp_path / "run"
    assert plrnn(data, run, "--runs", "2", "--training.learning-rate", "1e38") == 1
    assert "every run diverged by step" in capsys.readouterr().err and not (run / "report.html").exists()
    for state in ("best", "last"):
        words = ["--workdir", str(run), "--data", str(data / "test.npy"), "--state", state]
        assert f"{run}: {NONE_LEFT}" in refused(capsys, "plrnn", "evaluate", *words)
    out = ["--steps", "5", "--out", str(tmp_path / "x.npy")]
    assert NONE_LEFT in refused(capsys, "plrnn", "generate", "--workdir", str(run), *out)
    assert not (tmp_path / "x.npy").exists()


def test_convseq_names_them_and_detects_with_another(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    words = ["--data", str(data / "sim.npz"), "--workdir", str(run), *CONVSEQ, "--no-report"]
    assert main(["convseq", "fit", *words, "--grid.total-variation", "1e30", "8"]) == 0
    said = capsys.readouterr().err
    assert "1 of 2 runs diverged, left out of the choice of the best run: run 0 (seed 0, total_variation 1e+30)" in said
    out = tmp_path / "found.csv"
    assert main(["convseq", "detect", "--workdir", str(run), "--out", str(out), *SEARCH]) == 0
    runs = {line.split(",")[0] for line in out.read_text().splitlines()[1:]}
    assert runs == {"1"}


def test_convseq_without_any_run_left(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = tmp_path / "run"
    words = ["--data", str(data / "sim.npz"), "--workdir", str(run), *CONVSEQ]
    assert main(["convseq", "fit", *words, "--loss.total-variation", "1e30"]) == 1
    out = tmp_path / "found.csv"
    assert NONE_LEFT in refused(capsys, "convseq", "detect", "--workdir", str(run), "--out", str(out), *SEARCH)
    assert NONE_LEFT in refused(capsys, "convseq", "report", "--workdir", str(run))
    assert not out.exists() and not (run / "report.html").exists()
