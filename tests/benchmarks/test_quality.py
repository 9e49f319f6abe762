"""The quality benchmarks fit, evaluate and judge; here on tiny data."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from benchmarks.quality import lorenz63 as lorenz_quality
from benchmarks.quality.reconstruction import extended, judged, pe_20_data, run, standardised_points
from benchmarks.quality.settings import changed
from neurorbit.engine.models.plrnn import PRESETS
from neurorbit.engine.simulate import Lorenz63, lorenz63


@pytest.fixture
def files(tmp_path):
    for name, seed in (("train", 0), ("test", 1)):
        np.save(tmp_path / f"{name}.npy", lorenz63(1500, seed=seed).astype(np.float32))
    return ["--train", str(tmp_path / "train.npy"), "--test", str(tmp_path / "test.npy"), "--device", "cpu"]


def test_targets_are_closed_ranges():
    targets = {"a": (0.0, 1.0), "b": (0.9, 1.1), "c": (0.0, 1.0), "d": (0.0, 1.0)}
    found = judged({"a": 1.0, "b": 0.8, "c": None}, targets)
    assert {name: one["met"] for name, one in found.items()} == {"a": True, "b": False, "c": False, "d": False}


def test_known_points_in_units_of_the_data():
    orbit = torch.tensor([[0.0, 10.0], [2.0, 30.0]], dtype=torch.float64)
    sd = 2**0.5
    expected = torch.tensor([[-1 / sd, 0.0], [0.0, 1 / sd]], dtype=torch.float64)
    torch.testing.assert_close(standardised_points([[0.0, 20.0], [1.0, 30.0]], orbit), expected)
    wings = standardised_points(Lorenz63().fixed_points(), torch.as_tensor(lorenz63(20_000)))
    torch.testing.assert_close(wings[1, :2], -wings[2, :2], atol=0.2, rtol=0)


def test_result_names_command_commit_and_steps(files, tmp_path, capsys):
    out = tmp_path / "out/result.json"
    arguments = [*files, "--runs", "2", "--steps", "4", "--workdir", str(tmp_path / "run"), "--json", str(out)]
    extra = lorenz_quality.find_fixed_points
    result = run("lorenz63", lorenz_quality.TARGETS, runs=5, extra=extra, arguments=arguments)
    assert json.loads(out.read_text()) == json.loads(json.dumps(result))
    assert result["steps"] == [4]
    assert result["state"] == "last"
    assert len(result["runs"]) == len(result["fixed_points"]["runs"]) == 2
    assert result["command"].startswith("python -m benchmarks.quality.lorenz63 --train")
    for one in result["fixed_points"]["runs"]:
        assert len(one["distance"]) == len(one["unstable"]) == 3 and one["near"] == sum(
            d < 0.2 for d in one["distance"]
        )
    assert result["parameters_per_model"] == 3 + 3 + 3 * 100 + 100 * 3 + 100
    assert set(result["targets"]) == {"d_stsp", "d_h", "lyapunov_max"}
    assert {"commit", "date", "versions", "median", "mad", "variants"} <= set(result)
    again = run("lorenz63", lorenz_quality.TARGETS, runs=5, arguments=arguments)
    assert again["resumed"] is True
    assert again["median"] == result["median"]
    assert '"steps": [' in capsys.readouterr().out


def test_the_true_points_are_unstable_in_the_directions_named():
    system = Lorenz63()
    for (x, y, z), unstable in zip(system.fixed_points(), lorenz_quality.UNSTABLE, strict=True):
        J = [[-system.sigma, system.sigma, 0], [system.rho - z, -1, -x], [y, x, -system.beta]]
        assert (np.linalg.eigvals(J).real > 0).sum() == unstable


def test_prediction_error_in_units_of_the_data(files, tmp_path):
    for name in ("train", "test"):
        x = np.load(tmp_path / f"{name}.npy")
        np.save(tmp_path / f"{name}.npy", 100 * (x - x.mean(0)) / x.std(0) + 7)
    arguments = [*files, "--runs", "2", "--steps", "4"]
    result = run("ecg", {"pe_20_data": (0.0, 1e9)}, runs=2, more=pe_20_data, arguments=arguments)
    for one in (*result["runs"], result["median"]):
        assert one["pe_20_data"] == pytest.approx(1e4 * one["pe_20"], rel=1e-2)  # N - 1 in a standard deviation
    assert result["targets"]["pe_20_data"]["met"] is True
    assert result["mad"]["pe_20_data"] == pytest.approx(1e4 * result["mad"]["pe_20"], rel=1e-2)


def test_missing_data_is_named(tmp_path):
    with pytest.raises(SystemExit, match="no such file: name the data with --train and --test"):
        run("ecg", {}, runs=1, arguments=["--train", str(tmp_path / "no.npy")])


def test_settings_other_than_the_presets(files):
    words = ["--set", "training.observation_noise=0.03", "evaluation.every_epochs=0", "grid.alpha=[0.1, 0.2]"]
    result = run("ecg", {}, runs=1, arguments=[*files, "--steps", "2", *words])
    assert result["config"]["training"]["observation_noise"] == 0.03
    assert result["config"]["grid"]["alpha"] == (0.1, 0.2)
    assert len(result["runs"]) == 2
    kept = PRESETS["ecg"].training
    assert result["config"]["training"]["learning_rate"] == kept.learning_rate
    assert changed(PRESETS["ecg"], ["model.cell=alrnn"]).model.cell == "alrnn"


@pytest.mark.parametrize("text", ["training.noise=1", "training", "steps.no=1", "no=1"])
def test_an_unknown_setting_is_named(text):
    with pytest.raises(ValueError, match=f"--set: expected NAME=VALUE with the name of a setting, got '{text}'"):
        changed(PRESETS["ecg"], [text])


def test_a_setting_of_another_type_is_named():
    with pytest.raises(ValueError, match="config: steps: expected a int"):
        changed(PRESETS["ecg"], ["steps=many"])


def test_further_measures_leave_out_the_runs_that_diverged():
    measures = {"runs": [{"run": e} for e in range(4)], "diverged": [0], "median": {"d_h": 0.1}, "mad": {"d_h": 0.0}}
    found = extended(measures, {"pe_20_data": [99.0, 1.0, 2.0, 4.0]})
    assert found["median"] == {"d_h": 0.1, "pe_20_data": 2.0} and found["mad"] == {"d_h": 0.0, "pe_20_data": 1.0}
    assert [one["pe_20_data"] for one in found["runs"]] == [99.0, 1.0, 2.0, 4.0]
