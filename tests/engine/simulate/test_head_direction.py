"""The head-direction network: who sends where, a compass that follows the heading, shifters tuned to turning."""

from typing import Any

import numpy as np
import pytest

from neurorbit.engine.analysis.heading import circular_error, decode_heading
from neurorbit.engine.data import RateTrials
from neurorbit.engine.simulate import head_direction
from neurorbit.engine.simulate.head_direction import head_direction_weights

SMALL: dict[str, Any] = {"n_compass": 16, "n_shifter": 8, "n_trials": 2, "steps": 10, "silent_steps": 5}


@pytest.fixture(scope="module")
def whole() -> RateTrials:
    return head_direction(n_trials=30, observe_shifters=True)


def decoded(trials: RateTrials) -> np.ndarray:
    """Of the compass alone."""
    assert trials.truth is not None
    compass = trials.truth.population[trials.truth.observed] == 0
    return decode_heading(trials.activity[..., compass], trials.truth.observed_preferred()[compass])


def headings(trials: RateTrials) -> np.ndarray:
    assert trials.headings is not None
    return trials.headings.double().numpy()


def test_who_sends_where() -> None:
    W, W_in, preferred, population = head_direction_weights(24, 16, 0.5, 0.1)
    assert population.tolist() == [0] * 24 + [1] * 16 + [2] * 16 and W_in.shape == (1, 56)
    assert W_in[0, population == 0].tolist() == [0.0] * 24
    assert np.allclose(W_in[0, population == 1], 0.1) and np.allclose(W_in[0, population == 2], -0.1)
    compass = population == 0
    assert not W[np.ix_(~compass, ~compass)].any()
    for sign, which in ((1, population == 1), (-1, population == 2)):
        out, back = W[np.ix_(which, compass)], W[np.ix_(compass, which)]
        towards = np.angle(out @ np.exp(1j * preferred[compass])) - preferred[which]
        assert np.allclose(np.cos(towards - sign * 0.5), 1.0)
        assert np.allclose(np.cos(np.angle(back.T @ np.exp(1j * preferred[compass])) - preferred[which]), 1.0)
    inner = W[np.ix_(compass, compass)]
    assert np.allclose(inner[0, 3], 100 / 24 * (0.065 * np.cos(np.pi / 4) - 0.025)) and np.allclose(inner, inner.T)


def test_the_compass_follows_the_heading(whole: RateTrials) -> None:
    assert whole.activity.shape == (30, 1000, 200)
    error = circular_error(decoded(whole), headings(whole))
    assert np.median(error) < 0.08 and np.median(error[:, -1]) < 0.15
    moved, turned = (np.unwrap(x)[:, -1] - np.unwrap(x)[:, 0] for x in (decoded(whole), headings(whole)))
    assert (moved * turned).sum() / (turned**2).sum() == pytest.approx(1.0, abs=0.02)


def test_the_velocity_acts_through_the_shifters_a_step_later(whole: RateTrials) -> None:
    moved = np.diff(np.unwrap(decoded(whole)), axis=1)[:, 1:]
    v = 0.025 * whole.inputs[..., 0].double().numpy()
    past = np.stack([v[:, 7 - k : 7 - k + moved.shape[1] - 5] for k in range(7)], axis=-1)
    answer = np.linalg.lstsq(past.reshape(-1, 7), moved[:, 5:].ravel(), rcond=None)[0]
    assert abs(answer[0]) < 0.02 and answer[1] > 1.2 and answer.sum() == pytest.approx(1.0, abs=0.03)


def test_shifters_are_tuned_to_heading_and_to_turning(whole: RateTrials) -> None:
    assert whole.truth is not None
    v, x = whole.inputs[..., 0].numpy(), headings(whole)
    for which, sign in ((1, 1.0), (2, -1.0)):
        mine = whole.truth.population == which
        r = whole.activity[..., mine].double().numpy()
        mean = [r[sign * v * s > 1.0].mean() for s in (1.0, -1.0)]
        assert mean[0] > 1.5 * mean[1]
        vector = np.einsum("bt,btn->n", np.exp(1j * x), r)
        assert circular_error(np.angle(vector), whole.truth.preferred[mine]).max() < 0.15


def test_silence_leaves_the_bump_in_place() -> None:
    still = head_direction(n_trials=20, sigma=0.0)
    way = np.unwrap(decoded(still))
    assert np.median(np.abs(way[:, -1] - way[:, 0])) < 0.1
    assert float(still.activity[:, -1].amax(1).min()) > 0.9


def test_the_compass_alone_is_observed_unless_said() -> None:
    alone, both = head_direction(**SMALL, seed=3), head_direction(**SMALL, seed=3, observe_shifters=True)
    assert alone.truth is not None and both.truth is not None
    assert np.array_equal(alone.truth.observed, np.arange(16)) and np.array_equal(both.truth.observed, np.arange(32))
    assert alone.activity.equal(both.activity[..., :16]) and both.n_observed == alone.truth.n_units == 32
    assert np.array_equal(alone.truth.W, both.truth.W) and alone.truth.Wv is None
    assert alone.truth.settings["offset_rad"] == pytest.approx(np.pi / 4)
    other = head_direction(**SMALL, seed=4)
    assert alone.fingerprint() == head_direction(**SMALL, seed=3).fingerprint() != other.fingerprint()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"n_compass": 7}, "n_compass: expected 8 or more, got 7"),
        (
            {"n_compass": 2100, "n_shifter": 999},
            "n_compass: expected at most 4096 units with two populations of shifters, got 2100 and 999 each",
        ),
        ({"n_shifter": 0}, "n_shifter: expected 8 or more, got 0"),
        ({"offset_rad": 2.0}, "offset_rad: expected an angle in rad above 0, at most pi / 2, got 2.0"),
        ({"gain": float("inf")}, "gain: expected a number, got inf"),
        ({"mu": -0.1}, "mu: expected a memory from 0 to 1, got -0.1"),
    ],
)
def test_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError) as found:
        head_direction(**{**SMALL, **settings})
    assert str(found.value) == message
