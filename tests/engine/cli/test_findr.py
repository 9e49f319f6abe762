"""neurorbit findr: whole runs on small trials, figures, samples, and bad input as one line."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from neurorbit.engine.cli.main import main
from neurorbit.engine.data.read_trials import read_trials
from neurorbit.engine.data.write_trials import write_trials
from neurorbit.engine.models.findr import load
from neurorbit.engine.simulate.decision import decision

SMALL = ["--features", "6", "--encoder-size", "4", "--epochs", "4", "--folds", "4", "--device", "cpu",
         "--training.batch-size", "8", "--training.evaluate-every", "2"]  # fmt: skip
SMALL_BATCH = ["--training.batch-size", "8", "--device", "cpu"]
MEASURES = {"nll", "bits_per_spike", "co_bits_per_spike", "psth_r2", "prior_psth_r2"}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    trials = decision(n_trials=48, n_neurons=8, shortest=20, longest=30, gain_hz=20.0, seed=1)
    write_trials(folder / "a.npz", trials)
    write_trials(folder / "b.npz", decision(n_trials=40, n_neurons=5, shortest=20, longest=25, seed=2))
    old = {"spikes": trials.counts.numpy(), "clicks": np.asarray(trials.inputs), "lengths": trials.lengths.numpy()}
    np.savez(folder / "old.npz", **old)
    return folder


@pytest.fixture(scope="module")
def run(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    workdir = tmp_path_factory.mktemp("run") / "run"
    assert findr("fit", "--datapath", data / "a.npz", "--workdir", workdir, "--fold", "0", "2", *SMALL) == 0
    return workdir


def findr(*words: str | Path) -> int:
    return main(["findr", *map(str, words)])


def refused(capsys: pytest.CaptureFixture[str], *words: str | Path) -> str:
    """The one line on stderr of a command that ends with exit code 2."""
    assert findr(*words) == 2
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err.count("\n") == 1, captured.err
    return captured.err.strip()


def evaluated(capsys: pytest.CaptureFixture[str], *words: str | Path) -> dict[str, Any]:
    capsys.readouterr()
    assert findr("evaluate", "--json", "--samples", "2", *words) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_a_fit_leaves_figures_a_report_and_measures(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = {p.stem for p in (run / "figures").glob("*.png")}
    assert names >= {
        "flow",
        "flow_beside_truth",
        "inputs",
        "trajectories",
        "psths",
        "agreement",
        "measures",
        "training",
    }
    settings = json.loads((run / "config.json").read_text())["config"]
    assert settings["model"]["posterior"] == "tied" and settings["baseline"] == "trial"  # the preset fast
    report = (run / "report.html").read_text()
    assert "eigenvalues" in report and "true rates" in report
    found = evaluated(capsys, "--workdir", run)
    assert [row["fold"] for row in found["folds"]] == [0, 2]
    assert all(set(row[part]) == MEASURES for row in found["folds"] for part in ("validation", "test"))
    mean = np.mean([row["test"]["nll"] for row in found["folds"]])
    assert found["mean"]["test"]["nll"] == pytest.approx(mean)
    assert findr("evaluate", "--workdir", run, "--samples", "1") == 0
    assert "fold 2" in capsys.readouterr().out


def test_plot_draws_the_model_of_a_fold(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (run / "report.html").unlink()
    assert findr("plot", "--workdir", run, "--fold", "2") == 0
    assert "fold 2, rate" in (run / "report.html").read_text()
    capsys.readouterr()
    assert "fold: expected one of 0, 2, got 1" in refused(capsys, "plot", "--workdir", run, "--fold", "1")


def test_samples_with_spikes_are_data_for_a_fit(run: Path, data: Path, tmp_path: Path) -> None:
    out = tmp_path / "sample.npz"
    assert (
        findr("sample", "--workdir", run, "--out", out, "--spikes", "--trials", "12", "--inputs", data / "old.npz") == 0
    )
    trials = read_trials(out)
    assert trials.counts.shape == (12, 29, 8) and trials.n_inputs == 2
    assert np.load(out)["z"].shape == (12, 29, 2)
    words = ("--zero-inputs", "--trials", "3", "--bins", "40", "--no-noise", "--fold", "2")
    assert findr("sample", "--workdir", run, "--out", tmp_path / "still.npz", *words) == 0
    z = np.load(tmp_path / "still.npz")["z"]
    assert z.shape == (3, 40, 2) and np.array_equal(z[0], z[2]) and np.abs(z).max() > 0


def test_latent_dimensions_of_a_grid_have_a_figure(data: Path, tmp_path: Path) -> None:
    words = ["--datapath", data / "a.npz", "--workdir", tmp_path / "dims", *SMALL, "--fold", "0", "--preset", "fast"]
    assert findr("fit", *words, "--grid.latent-dim", "1", "3") == 0
    assert (tmp_path / "dims" / "figures" / "dimensions.png").is_file()
    [one, three] = load(tmp_path / "dims")
    assert (one.network.s.shape, three.network.s.shape) == ((1, 1), (1, 3))
    assert one.config.model.readout_start == "principal" and one.config.training.rise_epochs == 0


def test_a_grid_of_several_sessions(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--datapath", data / "a.npz", "--datapath", data / "b.npz", "--workdir", tmp_path / "grid", *SMALL,
             "--grid.features", "4", "5", "--grid.encoder-size", "3", "--rates", "0.01", "0.1", "--fold", "1",
             "--no-report"]  # fmt: skip
    assert findr("grid", *words) == 0
    fits = load(tmp_path / "grid")
    assert [(f.config.features, f.config.encoder_size, f.config.training.optimiser) for f in fits] == [
        ((4,), 3, "sgd"), ((5,), 3, "sgd")]  # fmt: skip
    assert fits[0].network.n_neurons == (8, 5) and len(fits[0].members) == 2
    assert findr("resume", "--workdir", tmp_path / "grid", "--no-report") == 0
    every = evaluated(capsys, "--workdir", tmp_path / "grid", "--all-models")
    assert [(row["shape"], row["model"]) for row in every["folds"]] == [(0, 0), (0, 1), (1, 0), (1, 1)]


BAD: dict[str, tuple[list[str], str]] = {
    "no file": (["fit", "--datapath", "none.npz", "--workdir", "W"], "none.npz"),
    "no data": (["fit", "--workdir", "W"], "datapath"),
    "an unknown setting": (["fit", "--datapath", "A", "--workdir", "W", "--lattice", "3"], "lattice"),
    "a setting out of range": (["fit", "--datapath", "A", "--workdir", "W", "--folds", "2"], "folds: expected >= 3"),
    "too few trials": (
        ["fit", "--datapath", "A", "--workdir", "W", "--folds", "60"], "expected at least as many trials as folds, 60"
    ),
    "no such preset": (["fit", "--datapath", "A", "--workdir", "W", "--preset", "slow"], "expected one of published"),
    "no run": (["evaluate", "--workdir", "W"], "is not a run folder"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_one_line(name: str, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words, message = BAD[name]
    places = {"A": str(data / "a.npz"), "W": str(tmp_path / "w")}
    assert message in refused(capsys, *(places.get(w, w) for w in words))
    assert not (tmp_path / "w").exists()


def put(at: Any, value: float) -> Any:
    """A change of an array of the file at one place."""

    def change(x: np.ndarray) -> np.ndarray:
        y = x.astype(float)
        y[at] = value
        return y

    return change


BAD_ARRAYS: dict[str, tuple[str, Any, str]] = {
    "a trial of length 0": ("lengths", put(3, 0), "[lengths]: expected whole numbers from 1 to T=30, got 0 in trial 3"),
    "a trial longer than T": ("lengths", put(3, 31), "[lengths]: expected whole numbers from 1 to T=30, got 31"),
    "counts after the end": ("lengths", put(3, 1), "after the end of that trial, which is 1 bins long; pad with 0"),
    "a negative count": ("spikes", put((1, 2, 3), -1), "[spikes]: expected counts of spikes, whole numbers of 0 or"),
    "a fraction of a count": ("spikes", put((1, 2, 3), 0.5), "got 0.5 at [1, 2, 3]; are these rates?"),
    "no spike at all": ("spikes", put(..., 0), "[spikes]: not one spike in 48 trials of 8 neurons"),
    "one trial": ("", slice(0, 1), "[spikes]: expected at least as many trials as folds, 5, got 1"),
    "fewer trials than folds": ("", slice(0, 4), "[spikes]: expected at least as many trials as folds, 5, got 4"),
    "inputs of fewer bins": ("externalinputs", lambda x: x[:, :-1], "[externalinputs]: expected [B=48, T=30, U] as"),
    "inputs of fewer trials": ("externalinputs", lambda x: x[:-1], "[externalinputs]: expected [B=48, T=30, U] as"),
    "NaN inputs": ("externalinputs", put((2, 3, 0), np.nan), "[externalinputs]: NaN at [2, 3, 0]; inputs must be"),
    "an onset that is none": ("times", put(3, np.nan), "[times]: expected finite seconds, got nan for trial 3"),
    "one neuron, two axes": ("spikes", lambda x: x[..., :1], "principal axes need M=2 neurons or more, got N=1"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD_ARRAYS)
def test_bad_arrays_are_one_line_and_nothing_is_written(
    name: str, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    key, change, message = BAD_ARRAYS[name]
    names = ("spikes", "lengths", "externalinputs", "times")
    with np.load(data / "a.npz") as file:
        arrays = {n: file[n] for n in names}
    arrays = arrays | {key: change(arrays[key])} if key else {n: x[change] for n, x in arrays.items()}
    np.savez(tmp_path / "x.npz", **arrays)
    said = refused(capsys, "fit", "--datapath", tmp_path / "x.npz", "--workdir", tmp_path / "w", *SMALL_BATCH)
    assert message in said and not (tmp_path / "w").exists()


def test_equal_onsets_silent_neurons_one_neuron_and_a_flow_that_explodes(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with np.load(data / "a.npz") as file:
        arrays = {n: file[n] for n in ("spikes", "lengths", "externalinputs", "times")}
    arrays["times"][:20], arrays["spikes"][..., 3] = 7.0, 0
    np.savez(tmp_path / "x.npz", **arrays)
    words = ("--fold", "0", *SMALL, "--no-report")
    fitted = ("fit", "--datapath", tmp_path / "x.npz", "--workdir", tmp_path / "w", "--rates", "0.001", "1e30")
    assert findr(*fitted, *words) == 0
    said = capsys.readouterr().err
    assert "1 of 8 neurons never fire (3)" in said
    assert "model 1 (fold 0, rate 1e+30, seed 0) stopped at step 1: its" in said and "model 0" not in said
    every = evaluated(capsys, "--workdir", tmp_path / "w", "--all-models")["folds"]
    assert all(np.isfinite(row["validation"]["nll"]) for row in every)
    np.savez(tmp_path / "one.npz", **(arrays | {"spikes": arrays["spikes"][..., :1]}))
    one = ("fit", "--datapath", tmp_path / "one.npz", "--workdir", tmp_path / "one", "--model.readout-start", "random")
    assert findr(*one, *words) == 0
    [row] = evaluated(capsys, "--workdir", tmp_path / "one")["folds"]
    assert np.isfinite(row["test"]["bits_per_spike"]) and row["test"]["co_bits_per_spike"] is None


@pytest.mark.parametrize("key", ["spikes", "lengths"])
def test_a_file_without_a_key(key: str, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with np.load(data / "old.npz") as file:
        np.savez(tmp_path / "x.npz", **{n: file[n] for n in file if n != key})
    words = ("fit", "--datapath", tmp_path / "x.npz", "--workdir", tmp_path / "w")
    assert f"has no array {key!r}" in refused(capsys, *words)


def test_the_settings_load_no_torch() -> None:
    words = "import sys; import neurorbit.engine.cli.findr_fit; print('torch' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", words], capture_output=True, text=True, check=True)
    assert found.stdout == "False\n"
