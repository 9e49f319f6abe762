"""The ring attractor: its weights by hand, a bump that follows the heading, and stays where it is in silence."""

from typing import Any

import numpy as np
import pytest

from neurorbit.engine.analysis.heading import circular_error, decode_heading
from neurorbit.engine.data import RateTrials
from neurorbit.engine.simulate import ring_attractor
from neurorbit.engine.simulate.ring_attractor import ring_weights

SMALL: dict[str, Any] = {"n": 32, "n_trials": 3, "steps": 20, "silent_steps": 10}


@pytest.fixture(scope="module")
def ring() -> RateTrials:
    return ring_attractor(n_trials=40)


def decoded(trials: RateTrials) -> np.ndarray:
    assert trials.truth is not None
    return decode_heading(trials.activity, trials.truth.observed_preferred())


def headings(trials: RateTrials) -> np.ndarray:
    assert trials.headings is not None
    return trials.headings.double().numpy()


def test_weights_by_hand() -> None:
    W, Wv = ring_weights(100)
    for i, j, d in ((3, 13, 10), (13, 3, -10), (95, 5, 10), (5, 95, -10), (0, 49, 49)):
        assert W[i, j] == pytest.approx(0.1 * np.cos(0.06 * abs(d)) - 0.03, abs=1e-7)
        assert Wv[i, j] == pytest.approx(0.02 * 0.1 * 0.06 * np.sin(0.06 * abs(d)) * d, abs=1e-8)
    assert np.array_equal(W, W.T) and np.array_equal(Wv, -Wv.T)
    assert W[0, 50] == pytest.approx(0.1 * np.cos(3.0) - 0.03) and Wv[0, 50] == 0.0


def test_a_larger_ring_is_the_same_ring_with_more_neurons() -> None:
    (W, Wv), (X, Xv) = ring_weights(100), ring_weights(200)
    assert np.allclose(2 * X[::2, ::2], W, atol=1e-6) and np.allclose(2 * Xv[::2, ::2], Wv, atol=1e-8)


def test_a_bump_forms(ring: RateTrials) -> None:
    assert ring.activity.shape == (40, 1000, 100) and ring.inputs.shape == (40, 1000, 1)
    peak, active = ring.activity.amax(2), (ring.activity > 0.01).sum(2)
    assert 0.85 < float(peak.min()) and float(peak.max()) < 0.95
    assert 35 <= int(active.min()) and int(active.max()) <= 45  # of 100: one bump
    edges = np.diff((ring.activity > 0.2).int().numpy(), axis=2, append=(ring.activity[..., :1] > 0.2).int()) != 0
    assert (edges.sum(2) == 2).all()


def test_the_bump_follows_the_heading(ring: RateTrials) -> None:
    error = circular_error(decoded(ring), headings(ring))
    assert np.median(error) < 0.08 and np.median(error[:, -1]) < 0.15
    moved, turned = (np.unwrap(x)[:, -1] - np.unwrap(x)[:, 0] for x in (decoded(ring), headings(ring)))
    assert np.abs(turned).max() > 2 * np.pi
    assert (moved * turned).sum() / (turned**2).sum() == pytest.approx(1.02, abs=0.015)


def test_a_step_shows_the_velocity_that_made_it(ring: RateTrials) -> None:
    """activity[t] holds the motion of inputs[t]: neither the one before nor the one after explains it as well."""
    moved = np.diff(np.unwrap(decoded(ring)), axis=1)[:, 1:-1]
    v = 0.025 * ring.inputs[..., 0].double().numpy()
    left = [np.abs(moved - v[:, 1 + s : 1 + s + moved.shape[1]]).mean() for s in (0, 1, 2)]
    assert left[1] < 0.2 * min(left[0], left[2])


def test_silence_leaves_the_bump_in_place() -> None:
    still = ring_attractor(n_trials=40, sigma=0.0)
    assert still.inputs.abs().max() == 0.0
    way = np.unwrap(decoded(still))
    assert np.median(np.abs(way[:, -1] - way[:, 0])) < 0.1 and np.abs(way - way[:, :1]).max() < 0.5
    assert circular_error(way[:, 0], headings(still)[:, 0]).max() < 0.02


def test_the_seed_fixes_everything_and_the_truth_tells_all() -> None:
    one, two, other = (ring_attractor(**SMALL, seed=s) for s in (4, 4, 5))
    assert one.fingerprint() == two.fingerprint() != other.fingerprint()
    assert np.array_equal(headings(one), headings(two))
    truth = one.truth
    assert truth is not None and truth.Wv is not None and truth.Wv.shape == (1, 32, 32)
    assert (truth.system, truth.settings["seed"], truth.settings["a"]) == ("ring", 4, 0.02)
    assert np.array_equal(truth.observed, np.arange(32)) and np.allclose(np.diff(truth.preferred), 2 * np.pi / 32)
    assert np.array_equal(truth.W, ring_weights(32)[0]) and one.dt_s == 0.025


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"n": 100_000}, "n: expected at most 4096, got 100000"),
        ({"n": 7}, "n: expected 8 or more, got 7"),
        ({"n_trials": 0}, "n_trials: expected 1 or more, got 0"),
        ({"steps": 0}, "steps: expected 1 or more, got 0"),
        ({"silent_steps": -1}, "silent_steps: expected 0 or more, got -1"),
        ({"noise": -0.1}, "noise: expected a length of 0 or more, got -0.1"),
        ({"alpha": 0.0}, "alpha: expected a leak above 0, at most 1, got 0.0"),
        ({"sigma": float("nan")}, "sigma: expected a standard deviation in rad/s, 0 or more, got nan"),
        ({"mu": 1.5}, "mu: expected a memory from 0 to 1, got 1.5"),
        ({"dt_s": 0.0}, "dt_s: expected a width in seconds above 0, got 0.0"),
        ({"k": float("inf")}, "k: expected a number, got inf"),
        ({"seed": -1}, "seed: expected 0 or more, got -1"),
    ],
)
def test_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError) as found:
        ring_attractor(**{**SMALL, **settings})
    assert str(found.value) == message
