"""Neurons that know a position: rates follow the tuning, the truth is in the recording."""

import json
from typing import Any

import numpy as np
import pytest

from neurorbit.engine.simulate import track_runs, tuning_train


class TestTuningTrain:
    def test_rates_are_cosines(self) -> None:
        train = tuning_train(n_neurons=8, n_bins=60000, rate_hz=10.0, depth=0.8, hold_s=0.1, seed=1)
        x = train.events.dense() / 0.05
        for angle, rates in zip(train.preferred, x, strict=True):
            d = train.position - angle
            assert rates.mean() == pytest.approx(10.0, rel=0.05)
            assert 2 * (rates * np.cos(d)).mean() == pytest.approx(8.0, rel=0.08)
            assert 2 * (rates * np.sin(d)).mean() == pytest.approx(0.0, abs=0.5)

    def test_the_mouse_teleports(self) -> None:
        position = tuning_train(n_bins=60000, hold_s=0.5, seed=3).position
        jumps = np.flatnonzero(np.diff(position))
        assert len(jumps) == pytest.approx(60000 * 0.05 / 0.5, rel=0.05)
        assert position.min() >= 0 and position.max() < 2 * np.pi
        landed = position[jumps + 1]
        assert abs(np.exp(1j * landed).mean()) < 0.03  # uniform on the circle
        assert abs(np.corrcoef(np.cos(landed[1:]), np.cos(landed[:-1]))[0, 1]) < 0.04

    def test_preferred_angles_cover_the_circle(self) -> None:
        train = tuning_train(n_neurons=12, n_bins=500)
        assert np.allclose(np.sort(train.preferred), 2 * np.pi * np.arange(12) / 12)
        assert not np.allclose(np.diff(train.preferred), 2 * np.pi / 12)

    def test_no_tuning_and_the_seed(self) -> None:
        first, again, other = (tuning_train(n_bins=500, depth=0.0, seed=s) for s in (1, 1, 2))
        assert first.events.fingerprint() == again.events.fingerprint() != other.events.fingerprint()
        assert np.array_equal(first.truth()["position"], again.position)
        assert json.loads(str(first.truth()["settings"]))["depth"] == 0.0


class TestTrackRuns:
    def test_position_is_a_triangle(self) -> None:
        runs = track_runs(n_bins=1000, run_s=5.0)  # 100 bins
        assert np.allclose(runs.position[:100], (np.arange(100) + 0.5) / 100)
        assert np.allclose(runs.position[100:200], runs.position[:100][::-1])
        assert np.allclose(runs.position[200:], runs.position[:-200])

    def test_every_whole_run_is_an_occurrence(self) -> None:
        runs = track_runs(n_bins=1050, run_s=5.0)
        assert runs.times.tolist() == [49.5 + 100 * i for i in range(10)]
        assert runs.sequence.tolist() == [0, 1] * 5
        assert np.allclose(np.interp(runs.times, np.arange(1050), runs.position), 0.5)

    def test_cells_fire_in_their_fields_in_the_stated_order(self) -> None:
        runs = track_runs(n_neurons=20, n_bins=8000, run_s=5.0, base_hz=0.0, rate_hz=40.0, seed=2)
        x = runs.events.dense()
        mean = (x * runs.position).sum(1) / x.sum(1)
        inside = (runs.centre > 0.1) & (runs.centre < 0.9)  # at the ends half of the field is cut off
        assert np.abs(mean - runs.centre)[inside].max() < 0.01
        assert np.array_equal(runs.order[0], np.argsort(runs.centre)) and np.array_equal(
            runs.order[1], runs.order[0][::-1]
        )
        assert not np.array_equal(runs.order[0], np.arange(20))
        phase = np.arange(100)
        forward = x.reshape(20, 40, 2, 100).sum(1)[:, 0]
        backward = x.reshape(20, 40, 2, 100).sum(1)[:, 1]
        for found, order in ((forward, runs.order[0]), (backward, runs.order[1])):
            middle = (found * phase).sum(1) / found.sum(1)
            assert (np.diff(middle[order]) > 0).all()

    def test_peak_and_width_of_a_field(self) -> None:
        runs = track_runs(n_neurons=11, n_bins=100_000, run_s=10.0, base_hz=0.0, rate_hz=10.0, field=0.04, seed=5)
        cell = int(np.argmin(np.abs(runs.centre - 0.5)))
        x = runs.events.dense()[cell]
        spread = np.sqrt((x * (runs.position - runs.centre[cell]) ** 2).sum() / x.sum())
        assert spread == pytest.approx(0.04, rel=0.03)
        assert x.mean() / 0.05 == pytest.approx(10.0 * 0.04 * np.sqrt(2 * np.pi), rel=0.03)

    def test_truth_and_seed(self) -> None:
        first, again, other = (track_runs(n_bins=500, seed=s) for s in (1, 1, 2))
        assert first.events.fingerprint() == again.events.fingerprint() != other.events.fingerprint()
        assert set(first.truth()) == {
            "position", "truth_times", "truth_sequence", "truth_order", "truth_centre", "settings",
        }  # fmt: skip


@pytest.mark.parametrize(
    ("generator", "keywords", "error", "message"),
    [
        (tuning_train, {"n_neurons": 0}, ValueError, r"^n_neurons: expected 1 or more, got 0"),
        (tuning_train, {"n_bins": 10.0}, TypeError, r"^n_bins: expected a whole number, got 10.0"),
        (tuning_train, {"depth": 1.5}, ValueError, r"^depth: expected a share from 0 to 1, got 1.5"),
        (tuning_train, {"rate_hz": float("nan")}, ValueError, r"^rate_hz: expected a rate of 0 or more, got nan"),
        (
            tuning_train,
            {"rate_hz": 0},
            ValueError,
            r"^rate_hz: 100 neurons x 18137 bins at 0 Hz gave no spike; raise it",
        ),
        (tuning_train, {"hold_s": 0.01}, ValueError, r"^hold_s: expected at least one bin of 0.05 s, got 0.01"),
        (tuning_train, {"seed": -1}, ValueError, r"^seed: expected 0 or more, got -1"),
        (track_runs, {"run_s": 0.05}, ValueError, r"^run_s: expected a run of 2 to T=18137 bins of 0.05 s, got 0.05 s"),
        (track_runs, {"run_s": 1e6}, ValueError, r"^run_s: expected a run of 2 to T=18137 bins"),
        (track_runs, {"field": 0.0}, ValueError, r"^field: expected a share of the track above 0, got 0.0"),
        (track_runs, {"base_hz": -1.0}, ValueError, r"^base_hz: expected a rate of 0 or more, got -1.0"),
        (track_runs, {"bin_s": -1.0}, ValueError, r"^bin_s: expected a bin width in seconds above 0, got -1.0"),
        (track_runs, {"rate_hz": 0, "base_hz": 0}, ValueError, r"^rate_hz: 60 neurons .* gave no spike; raise it"),
    ],
)
def test_bad_arguments_are_named(
    generator: Any, keywords: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        generator(**keywords)
