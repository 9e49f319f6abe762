"""Measures of a network whose weights are the true ones, and of wrong ones; input units found from activity alone."""

import dataclasses
import math
from typing import Any

import numpy as np
import pytest
import torch

from neurorbit.engine.data.rate_trials import RateTrials
from neurorbit.engine.models.identification import (
    FittedIdentification,
    GridConfig,
    IdentificationConfig,
    NetworkConfig,
)
from neurorbit.engine.models.identification.input_units import infer_input_units, score_input_units
from neurorbit.engine.models.identification.measures import centre_of_angles, evaluate_runs
from neurorbit.engine.models.identification.members import GRID
from neurorbit.engine.models.identification.network import LeakyRnn
from neurorbit.engine.models.identification.prepared import Scaling
from neurorbit.engine.simulate.head_direction import head_direction
from neurorbit.engine.simulate.torus_attractor import torus_attractor

COMPASS, SHIFTERS = 40, 20
QUIET = head_direction(COMPASS, SHIFTERS, n_trials=4, steps=300, silent_steps=200, noise=0.0, seed=3)
ALL = head_direction(COMPASS, SHIFTERS, n_trials=12, steps=400, silent_steps=200, seed=1, observe_shifters=True)
NUMBERS = {"kernel_correlation", "kernel_correlation_modes", "circulant_share", "heading_error_rad",
           "network_error_rad", "bump_drift_rad", "shifter_offsets_rad"}  # fmt: skip


def known(trials: RateTrials, W: Any, W_in: Any, **changes: Any) -> FittedIdentification:
    """A fitted ensemble with given weights: W [E, N, N], W_in [U, reached]."""
    W = torch.as_tensor(np.asarray(W), dtype=torch.float32)
    model = NetworkConfig(rank=0, alpha=1.0, **changes)
    hidden = W.shape[1] - trials.n_observed
    config = IdentificationConfig(hidden=hidden, separate_inputs=hidden > 0, runs=len(W), model=model)
    network = LeakyRnn(
        model, W.shape[1], trials.n_observed, n_inputs=trials.n_inputs, separate_inputs=hidden > 0,
        seeds=range(len(W)),
    )  # fmt: skip
    with torch.no_grad():
        network.W.copy_(W)
        if network.W_in is not None:
            network.W_in.copy_(torch.as_tensor(W_in, dtype=torch.float32))
    loss = torch.arange(len(W), dtype=torch.float32)
    return FittedIdentification(
        config, tuple(GRID.members(config)), network.requires_grad_(False), Scaling("rates", 1.0), loss,
        torch.zeros(len(W), dtype=torch.bool),
    )  # fmt: skip


def test_the_true_network_is_recognised() -> None:
    assert QUIET.truth is not None and QUIET.truth.W_in is not None
    W = QUIET.truth.W
    found = evaluate_runs([known(QUIET, W[None], QUIET.truth.W_in[:, COMPASS:])], QUIET, steps=250)
    [run] = found["runs"]
    assert run["kernel_correlation"] > 0.99 and run["kernel_correlation_modes"] > 0.99  # by estimated headings
    assert run["activity_correlation"] > 0.99
    assert run["circulant_share"] > 1 - 1e-9
    assert run["network_error_rad"] < 0.1  # the same network, but its shifters start from 0
    assert run["heading_error_rad"] < 0.15 and run["bump_drift_rad"] < 0.1
    forward, backward = run["shifter_offsets_rad"]
    assert forward == pytest.approx(math.pi / 4, abs=0.1) and backward == pytest.approx(-math.pi / 4, abs=0.1)
    assert run["shifter_agreement"] == 1 and run["shifter_share"] == 1 and run["observed_shifter_share"] == 0
    assert found["median"]["shifter_offsets_rad"] == [forward, backward]
    assert found["mad"]["kernel_correlation"] == 0 and set(found["median"]) >= NUMBERS


def test_runs_are_told_apart_and_a_network_without_shifters_does_not_follow() -> None:
    truth = QUIET.truth
    assert truth is not None and truth.W_in is not None
    rng = np.random.default_rng(0)
    cut, random = truth.W.copy(), rng.normal(size=truth.W.shape) / 9
    cut[COMPASS:] = 0
    fitted = known(QUIET, np.stack([truth.W, cut, random]), truth.W_in[:, COMPASS:])
    found = evaluate_runs([fitted], QUIET, steps=250)
    true, still, wrong = found["runs"]
    assert [r["run"] for r in found["runs"]] == [0, 1, 2] and [r["loss"] for r in found["runs"]] == [0, 1, 2]
    assert still["kernel_correlation"] == true["kernel_correlation"]
    assert true["heading_error_rad"] < 0.15 < 0.5 < still["heading_error_rad"]
    assert still["shifter_offsets_rad"] == [None, None]
    assert abs(wrong["kernel_correlation"]) < 0.6 and wrong["circulant_share"] < 0.2
    assert found["median"]["heading_error_rad"] == sorted(r["heading_error_rad"] for r in found["runs"])[1]


def test_a_network_that_leaves_the_finite_numbers_gets_the_largest_error() -> None:
    W = np.zeros((1, COMPASS, COMPASS)) + 10.0
    with np.errstate(all="ignore"):
        found = evaluate_runs([known(QUIET, W, np.zeros((1, COMPASS)), phi="relu")], QUIET, steps=250)
    [run] = found["runs"]
    assert run["heading_error_rad"] == pytest.approx(math.pi) and run["bump_drift_rad"] >= math.pi
    assert run["shifter_offsets_rad"] == [None, None] and run["shifter_share"] is None


def test_runs_that_diverged_are_named_and_left_out_of_the_medians() -> None:
    truth = QUIET.truth
    assert truth is not None and truth.W_in is not None
    rng = np.random.default_rng(0)
    W = np.stack([rng.normal(size=truth.W.shape) / 9, truth.W, truth.W])
    fitted = known(QUIET, W, truth.W_in[:, COMPASS:])
    fitted = dataclasses.replace(fitted, diverged=torch.tensor([True, False, False]))
    found = evaluate_runs([fitted], QUIET, steps=250)
    first, second, _ = found["runs"]
    assert found["diverged"] == [0] and fitted.surviving == [1, 2] and fitted.best_run == 1
    assert found["median"]["kernel_correlation"] == second["kernel_correlation"] > 0.9 > first["kernel_correlation"]
    assert found["mad"]["kernel_correlation"] == 0 and found["median"]["loss"] == 1.5
    gone = dataclasses.replace(fitted, diverged=torch.ones(3, dtype=torch.bool))
    assert evaluate_runs([gone, fitted], QUIET, steps=250)["diverged"] == [0, 1, 2, 3]
    with pytest.raises(ValueError, match="every run diverged in training, so there is nothing to measure: fit again"):
        evaluate_runs([gone, gone], QUIET, steps=250)


def test_each_setting_of_a_grid_has_its_median() -> None:
    truth = QUIET.truth
    assert truth is not None and truth.W_in is not None
    config = IdentificationConfig(hidden=2 * SHIFTERS, runs=2, grid=GridConfig(noise=(0.0, 0.1)))
    W = np.stack([truth.W, truth.W, 0 * truth.W, 0 * truth.W])
    alike = known(QUIET, W, truth.W_in[:, COMPASS:])
    fitted = dataclasses.replace(alike, config=config, members=tuple(GRID.members(config)))
    found = evaluate_runs([fitted], QUIET, steps=50)
    first, second = found["by_settings"]
    assert first["settings"] == {"noise": 0.0} and second["settings"] == {"noise": 0.1}
    assert first["runs"] == second["runs"] == 2 and first["median"]["loss"] == 0.5 and second["median"]["loss"] == 2.5
    assert first["median"]["kernel_correlation"] > 0.9 and second["median"]["kernel_correlation"] is None
    wide = dataclasses.replace(fitted, config=dataclasses.replace(config, hidden=3))
    both = evaluate_runs([fitted, wide], QUIET, steps=50)
    assert [r["settings"] for r in both["runs"][::4]] == [{"noise": 0.0, "hidden": h} for h in (2 * SHIFTERS, 3)]
    assert len(both["by_settings"]) == 4 and "by_settings" not in evaluate_runs([alike], QUIET, steps=50)


def test_offsets_of_several_runs_meet_on_the_circle() -> None:
    both = centre_of_angles(torch.tensor([[3.0, 1.0], [-3.0, 1.2], [math.nan, 1.4]]))
    assert abs(both.median[0]) == pytest.approx(math.pi) and both.mad[0] == pytest.approx(math.pi - 3)
    assert both.median[1] == pytest.approx(1.2) and both.mad[1] == pytest.approx(0.2)


def test_what_is_said_of_a_measure_is_of_those_that_are_given() -> None:
    found = evaluate_runs([known(QUIET, np.eye(COMPASS)[None], np.zeros((1, COMPASS)))], QUIET, steps=20)
    assert set(found["variants"]) <= set(found["median"]) and "sheet" not in str(found["variants"])


def test_what_the_data_cannot_tell_is_none() -> None:
    W = np.eye(COMPASS)[None]
    unknown = dataclasses.replace(QUIET, truth=None)
    [run] = evaluate_runs([known(QUIET, W, np.zeros((1, COMPASS)))], unknown, steps=20)["runs"]
    assert run["kernel_correlation"] is None and run["circulant_share"] is not None
    blind = dataclasses.replace(unknown, headings=None)
    [run] = evaluate_runs([known(QUIET, W, np.zeros((1, COMPASS)))], blind, steps=20)["runs"]
    assert all(run[n] is None or run[n] == [None, None] for n in NUMBERS)
    assert 0 < run["activity_correlation"] < 0.99
    short = dataclasses.replace(blind, activity=blind.activity[:, :1], inputs=blind.inputs[:, :1])
    with pytest.raises(ValueError, match=f"{blind.name}: expected trials of at least 2 steps for a free run, got 1"):
        evaluate_runs([known(QUIET, W, np.zeros((1, COMPASS)))], short)
    with pytest.raises(ValueError, match="steps: expected at least 2, got 1"):
        evaluate_runs([known(QUIET, W, np.zeros((1, COMPASS)))], blind, steps=1)


def test_of_the_observed_units_only_compass_units_count() -> None:
    assert ALL.truth is not None and ALL.truth.W_in is not None
    [run] = evaluate_runs([known(ALL, ALL.truth.W[None], ALL.truth.W_in)], ALL, steps=250)["runs"]
    assert run["kernel_correlation"] > 0.999 and run["circulant_share"] > 1 - 1e-9
    assert run["shifter_share"] == run["observed_shifter_share"] == pytest.approx(0.5)  # of all units
    assert run["shifter_offsets_rad"][0] == pytest.approx(math.pi / 4, abs=0.1)


def test_grid_cells_are_measured_on_their_sheet() -> None:
    torus = torus_attractor(16, n_trials=2, steps=100, silent_steps=50, noise=0.0, seed=0)
    assert torus.truth is not None
    shuffled = np.random.default_rng(0).permutation(256)
    fitted = known(torus, np.stack([torus.truth.W, torus.truth.W[shuffled]]), np.zeros((2, 256)))
    found = evaluate_runs([fitted], torus, steps=90)
    right, wrong = found["runs"]
    assert set(found["variants"]) == set(found["median"]) - {"loss"} and "ring" not in str(found["variants"])
    assert right["grid_share"] is None and right["grid_score"] is None  # 2 s of walking fill no map
    for name in ("kernel_correlation", "kernel_correlation_modes"):
        assert right[name] > 1 - 1e-9 and abs(wrong[name]) < 0.7
    assert set(right) >= {"grid_score", "grid_share", "activity_correlation"} and "circulant_share" not in right


def test_units_that_carry_the_input_are_found_from_activity_alone() -> None:
    assert ALL.truth is not None
    truth = ALL.truth.population > 0
    found = infer_input_units(dataclasses.replace(ALL, inputs=torch.zeros_like(ALL.inputs), headings=None, truth=None))
    score = score_input_units(found, truth)
    assert (score.auc, score.precision, score.recall) == (1, 1, 1)
    signs = np.sign(found.loading[truth, 0])
    assert abs(signs[:SHIFTERS].sum()) == SHIFTERS and (signs[SHIFTERS:] == -signs[0]).all()  # two populations
    assert found.share[truth].min() > 0.5 and found.share[~truth].max() < 0.1
    assert found.n_weights == 81 and found.judged.all() and found.samples.min() >= 162


def test_where_nothing_carries_the_input_nothing_is_found() -> None:
    without = head_direction(40, 20, n_trials=12, steps=400, silent_steps=200, gain=0.0, seed=1, observe_shifters=True)
    found = infer_input_units(without)
    assert not found.carries.any()
    score = score_input_units(found, without.truth.population > 0)  # type: ignore[union-attr]
    assert math.isnan(score.precision) and score.recall == 0


def test_short_recordings_hide_inputs_rather_than_invent_them() -> None:
    """300 steps a side of 30 units and no input: the noise of the network alone, which spreads through its weights."""
    short: dict[str, Any] = {"n_trials": 2, "steps": 300, "silent_steps": 100, "observe_shifters": True}
    for seed in range(12):
        found = infer_input_units(head_direction(14, 8, gain=0.0, seed=seed, **short))
        assert not found.carries.any(), seed
    [words] = [w for w in found.warnings() if "short data" in w]
    assert found.samples_per_weight == pytest.approx(299 / 31) and "9.6 steps per fitted weight" in words
    assert any("units were not judged" in w for w in found.warnings())
    few = infer_input_units(head_direction(10, 8, seed=0, **short))
    assert any("few units, 26" in w for w in few.warnings())
    none = infer_input_units(head_direction(40, 20, **{**short, "steps": 100}))
    [words] = none.warnings()
    assert not none.judged.any() and "no unit could be judged: 162 active steps are needed" in words


def test_where_the_units_that_carry_the_input_were_not_observed_none_is_found() -> None:
    unseen = head_direction(40, 20, n_trials=12, steps=400, silent_steps=200, seed=1)
    assert not infer_input_units(unseen).carries.any()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"lags": 0}, r"lags: expected 1 to T - 2 = 398, got 0"),
        ({"n_factors": 80}, r"n_factors: expected 1 to N - 1 = 79, got 80"),
        ({"least_share": 2.0}, r"least_share: expected a share from 0 to below 1, got 2.0"),
        ({"level": math.nan}, r"level: expected a share from 0 to below 1, got nan"),
    ],
)
def test_inference_that_cannot_be(options: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        infer_input_units(ALL, **options)  # type: ignore[arg-type]


def test_one_trial_is_not_enough_for_the_inference() -> None:
    one = dataclasses.replace(ALL, activity=ALL.activity[:1], inputs=ALL.inputs[:1])
    with pytest.raises(ValueError, match="trials: expected two or more"):
        infer_input_units(one)
