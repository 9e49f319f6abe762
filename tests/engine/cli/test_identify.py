"""neurorbit identify: whole runs on a small ring, and every kind of bad input, as one line."""

import json
import os
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
from neurorbit.engine.data.write_rates import write_rates
from neurorbit.engine.models.identification import load
from neurorbit.engine.simulate.head_direction import head_direction
from neurorbit.engine.simulate.network_spikes import as_spikes
from neurorbit.engine.simulate.ring_attractor import ring_attractor

RING = ring_attractor(16, n_trials=4, steps=60, silent_steps=60, sigma=6.0, seed=1)
SMALL = ["--steps", "30", "--runs", "2", "--device", "cpu", "--model.rank", "3", "--training.batch-size", "4",
         "--training.sequence-length", "10", "--training.log-every", "10"]  # fmt: skip
MEASURES = {"kernel_correlation", "circulant_share", "heading_error_rad", "bump_drift_rad", "shifter_offsets_rad"}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    write_rates(folder / "ring.npz", RING)
    write_rates(folder / "ring.h5", RING)
    write_rates(folder / "spikes.npz", as_spikes(RING, 200.0))
    published = {"rs": RING.activity, "vs": RING.inputs[..., 0], "xs": RING.headings, "x0": RING.start}
    np.savez(folder / "published.npz", **{n: np.asarray(x) for n, x in published.items()})
    np.savez(folder / "renamed.npz", firing=RING.activity, turning=RING.inputs, azimuth=RING.headings)
    return folder


@pytest.fixture(scope="module")
def run(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    workdir = tmp_path_factory.mktemp("run") / "run"
    assert fit("--data", data / "ring.npz", "--workdir", workdir, "--hidden", "8", *SMALL) == 0
    return workdir


def fit(*words: str | Path) -> int:
    return main(["identify", "fit", *map(str, words)])


def refused(capsys: pytest.CaptureFixture[str], *words: str | Path) -> str:
    """The one line on stderr of a command that ends with exit code 2."""
    assert main(["identify", *map(str, words)]) == 2
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err.count("\n") == 1, captured.err
    return captured.err.strip()


def evaluated(capsys: pytest.CaptureFixture[str], *words: str | Path) -> dict[str, Any]:
    capsys.readouterr()
    assert main(["identify", "evaluate", "--json", "--steps", "50", *map(str, words)]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_a_fit_leaves_figures_a_report_and_measures(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert len(list((run / "figures").glob("*.png"))) >= 6
    assert "kernel" in (run / "report.html").read_text()
    found = evaluated(capsys, "--workdir", run)
    assert [set(r) >= MEASURES for r in found["runs"]] == [True, True] and set(found["median"]) >= MEASURES
    correlations = [r["kernel_correlation"] for r in found["runs"]]
    assert found["median"]["kernel_correlation"] == pytest.approx(np.mean(correlations))
    assert len(found["median"]["shifter_offsets_rad"]) == 2
    assert main(["identify", "evaluate", "--workdir", str(run), "--steps", "50"]) == 0
    shown = capsys.readouterr().out
    [offsets] = [line for line in shown.splitlines() if "shifter offset v < 0, rad" in line]
    median, mad = offsets.split("│")[2:4]
    assert median.strip()[0] in "+-" and mad.strip()[0].isdigit()
    assert "kernel correlation" in shown and "run 1" in shown


def test_evaluated_on_other_trials(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_rates(tmp_path / "other.npz", ring_attractor(16, n_trials=3, steps=60, silent_steps=60, sigma=6.0, seed=9))
    own = evaluated(capsys, "--workdir", run)
    other = evaluated(capsys, "--workdir", run, "--data", tmp_path / "other.npz")
    assert own["runs"][0]["heading_error_rad"] != other["runs"][0]["heading_error_rad"]
    np.savez(tmp_path / "plain.npz", rs=RING.activity, vs=RING.inputs)
    assert main(["identify", "evaluate", "--workdir", str(run), "--data", str(tmp_path / "plain.npz")]) == 0
    said = capsys.readouterr().out
    assert "-: no headings, no known connectivity, or too little to measure" in said
    [row] = [line for line in said.splitlines() if "free run, correlation" in line]
    assert "-" not in row.replace("│", "").split()[3:]
    last = evaluated(capsys, "--workdir", run, "--state", "last")
    assert 0 < last["runs"][0]["loss"] < 1


def test_a_control_is_plotted_beside(data: Path, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    control = tmp_path / "control"
    words = ["--data", data / "ring.npz", "--workdir", control, "--no-separate-inputs", "--no-report", *SMALL]
    assert fit(*words) == 0
    [fitted] = load(control)
    assert fitted.network.n_units == 16 and not (control / "report.html").exists()
    capsys.readouterr()
    assert main(["identify", "plot", "--workdir", str(run), "--control", str(control)]) == 0
    assert capsys.readouterr().out.strip() == str(run / "report.html")
    assert "control" in (run / "report.html").read_text()


@pytest.mark.parametrize(
    ("name", "words", "units"),
    [
        ("ring.h5", ["--separate-inputs", "--hidden", "8"], 24),
        ("published.npz", ["--hidden", "8", "--model.inputs", "quadratic"], 24),
        ("spikes.npz", ["--hidden", "8"], 24),
        ("renamed.npz", ["--rates-key", "firing", "--inputs-key", "turning", "--headings-key", "azimuth",
                         "--preset", "modulated"], 16),
        ("ring.npz", ["--preset", "control"], 16),
        ("ring.npz", ["--preset", "published", "--hidden", "5", "--grid.noise", "0", "0.01"], 21),
    ],
)  # fmt: skip
def test_files_and_forms(
    name: str, words: list[str], units: int, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small = SMALL if "--preset" not in words or "modulated" in words else [*SMALL, "--model.rank", "0"]
    assert fit("--data", data / name, "--workdir", tmp_path / "run", "--no-report", *small, *words) == 0
    [fitted] = load(tmp_path / "run")
    assert fitted.network.n_units == units
    found = evaluated(capsys, "--workdir", tmp_path / "run")
    known = name not in ("published.npz", "renamed.npz")
    assert (found["median"]["kernel_correlation"] is not None) == known
    assert 0 <= found["median"]["heading_error_rad"] <= 3.1416


HOT = ["--training.log-every", "5", "--model.phi", "relu"]


def test_a_fit_of_which_no_run_is_left_is_refused(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--data", data / "ring.npz", "--workdir", tmp_path / "run", "--hidden", "8", *SMALL, *HOT]
    assert fit(*words, "--training.learning-rate", "1e6") == 1
    capsys.readouterr()
    for command in (["evaluate"], ["evaluate", "--state", "last"], ["plot"]):
        said = refused(capsys, *command, "--workdir", tmp_path / "run")
        assert f"{tmp_path / 'run'}: every run diverged in training, so there is nothing to measure" in said
    assert not (tmp_path / "run" / "report.html").exists()


def test_runs_that_diverged_are_named(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = tmp_path / "run"
    words = ["--data", data / "ring.npz", "--workdir", run, "--hidden", "8", *SMALL, *HOT]
    assert fit(*words, "--grid.learning-rate", "1e6", "1e-3") == 0
    said = capsys.readouterr().err
    assert "2 of 4 runs diverged, left out of the medians: run 0 (seed 0, training.learning_rate 1e+06); run 1" in said
    assert "Left out, as they diverged in training: 2 runs of recovered (0, 1)." in (run / "report.html").read_text()
    for state in ("best", "last"):
        found = evaluated(capsys, "--workdir", run, "--state", state)
        lost, kept = found["by_settings"]
        assert found["diverged"] == [0, 1] and lost["settings"] == {"learning_rate": 1e6}
        assert all(v in (None, [None, None]) for v in lost["median"].values())
        assert kept["median"] == found["median"] and kept["runs"] == 2 and kept["median"]["loss"] is not None
    assert main(["identify", "evaluate", "--workdir", str(run)]) == 0
    assert "left out of the medians, diverged in training: run 0, 1" in capsys.readouterr().out


def test_the_table_shows_as_many_runs_as_fit(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["--data", data / "ring.npz", "--workdir", tmp_path / "run", "--hidden", "8", *SMALL, "--no-report"]
    assert fit(*words, "--runs", "9", "--steps", "3") == 0
    shown = {}
    for width in ("80", "200"):
        monkeypatch.setenv("COLUMNS", width)
        capsys.readouterr()
        assert main(["identify", "evaluate", "--workdir", str(tmp_path / "run"), "--steps", "20"]) == 0
        shown[width] = capsys.readouterr().out
        assert "…" not in shown[width]
    assert all(f"run {k}" in shown["200"] for k in range(9)) and "--json" not in shown["200"]
    n = sum(f"run {k} " in shown["80"] for k in range(9))
    assert 2 <= n < 9 and f"the first {n} of 9 runs; --json prints all" in shown["80"]


def test_stopped_and_resumed(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["identify", "fit", "--data", str(data / "ring.npz"), "--workdir", str(tmp_path / "run"), "--hidden", "8"]
    words += [*SMALL, "--steps", "100000", "--training.checkpoint-every", "20", "--no-report"]
    process = subprocess.Popen(
        [sys.executable, "-m", "neurorbit.engine.cli.main", *words], stderr=subprocess.PIPE, stdout=subprocess.PIPE
    )
    end = time.monotonic() + 120
    while not list((tmp_path / "run" / "checkpoints").glob("*.json")):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGTERM)
    _, errors = process.communicate()
    assert process.returncode == 128 + signal.SIGTERM
    said = errors.decode()
    assert f"continue with: neurorbit identify resume --workdir {tmp_path / 'run'}" in said
    content = json.loads((tmp_path / "run" / "config.json").read_text())
    content["config"]["steps"] = content["config"]["steps"] // 100000  # too few: it has made more already
    (tmp_path / "run" / "config.json").write_text(json.dumps(content))
    assert main(["identify", "resume", "--workdir", str(tmp_path / "run"), "--no-report"]) == 0


def test_input_units_are_printed_beside_the_truth(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trials = head_direction(20, 10, n_trials=6, steps=400, silent_steps=100, sigma=2.4, observe_shifters=True)
    write_rates(tmp_path / "x.npz", trials)
    assert main(["identify", "inputs", "--data", str(tmp_path / "x.npz"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["units"] == list(range(20, 40)) and len(found["share"]) == 40
    assert found["truth"] == {"auc": 1.0, "precision": 1.0, "recall": 1.0}
    assert found["judged"] == 40 and found["warnings"] == []
    assert found["samples_per_weight"] == np.median(found["samples"]) / 41 > 10
    assert main(["identify", "inputs", "--data", str(tmp_path / "x.npz")]) == 0
    said = capsys.readouterr().out
    assert said.startswith("20 of 40 units carry an input: 20, 21,") and "auc 1, precision 1, recall 1" in said
    assert "40 of 40 units judged" in said and "warning" not in said
    np.savez(tmp_path / "plain.npz", rs=trials.activity)  # without inputs
    assert main(["identify", "inputs", "--data", str(tmp_path / "plain.npz"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == found | {"truth": None}
    write_rates(tmp_path / "ring.npz", RING)
    assert main(["identify", "inputs", "--data", str(tmp_path / "ring.npz")]) == 0
    said = capsys.readouterr().out
    assert "no truth beside it: this network's inputs scale its connections" in said
    assert "warning: few units, 16 where 30 are wanted" in said
    write_rates(tmp_path / "spikes.npz", as_spikes(RING, 200.0))
    assert "trials: expected rates, got spikes" in refused(capsys, "inputs", "--data", tmp_path / "spikes.npz")
    assert "factors: expected 1 to" in refused(capsys, "inputs", "--data", tmp_path / "x.npz", "--factors", "40")


def bad(folder: Path, **arrays: Any) -> Path:
    np.savez(folder / "bad.npz", **({"rs": RING.activity, "vs": RING.inputs, "xs": RING.headings} | arrays))
    return folder / "bad.npz"


BAD = [
    ({"rs": 5 * RING.activity}, [], "expected rates from 0 to 1, the range of relu_tanh, got 0 to"),
    ({"vs": np.ones((4, 60))}, [], "never varies"),
    ({"vs": RING.inputs[:3]}, [], "expected [B=4, T=60, U]"),
    (
        {"rs": RING.activity[:, :1], "vs": RING.inputs[:, :1], "xs": np.zeros((4, 1))},
        [],
        "expected at least 2 steps per trial, one to start from and one to predict, got 1",
    ),
    ({"rs": RING.activity[0]}, [], "expected [B, T, N], got [60, 16]"),
    ({}, ["--training.sequence-length", "60"], "training.sequence_length: expected at most 59"),
    ({}, ["--hidden", "0"], "separate_inputs: needs hidden units for the inputs to reach, got hidden 0"),
    ({}, ["--hidden", "4090"], "hidden: expected at most 4080"),
    ({}, ["--hidden", "-2"], "hidden: expected 0 to 4095, got -2"),
    ({}, ["--loss.factors", "-0.1"], "loss.factors: expected >= 0, got -0.1"),
    ({}, ["--model.rank", "25"], "model.rank: expected at most N=24"),
    ({}, ["--model.alpha", "1.5"], "model.alpha: expected above 0, at most 1, got 1.5"),
    ({}, ["--rates-key", "firing"], "has no array 'firing'"),
    ({}, ["--preset", "nature"], "--preset: expected one of published, control, modulated, got 'nature'"),
    ({}, ["--hiden", "3"], "hiden"),
]


@pytest.mark.parametrize(("arrays", "words", "message"), BAD, ids=[b[2][:30] for b in BAD])
def test_bad_input_is_one_line(
    arrays: dict[str, Any], words: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = bad(tmp_path, **arrays)
    said = refused(capsys, "fit", "--data", file, "--workdir", tmp_path / "run", "--hidden", "8", *SMALL, *words)
    assert said.startswith("neurorbit identify fit: ") and message in said
    assert not (tmp_path / "run").exists()


def test_folders_that_hold_something_else(
    data: Path, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--data", data / "ring.npz", "--workdir", run]
    assert "already holds a run" in refused(capsys, "fit", *words)
    assert "is not a run folder" in refused(capsys, "evaluate", "--workdir", tmp_path)
    (tmp_path / "config.json").write_text('{"system": "plrnn", "config": {}}')
    assert "is not the configuration of an identification" in refused(capsys, "evaluate", "--workdir", tmp_path)
    said = refused(capsys, "evaluate", "--workdir", run, "--data", data / "spikes.npz")
    assert "expected rates as in the fit, got spikes" in said
    with h5py.File(tmp_path / "wide.h5", "w") as file:
        file["rs"], file["vs"] = np.random.default_rng(0).random((2, 30, 30)), np.random.default_rng(1).random((2, 30))
    assert "got 30; its network has 24 units" in refused(
        capsys, "evaluate", "--workdir", run, "--data", tmp_path / "wide.h5"
    )
