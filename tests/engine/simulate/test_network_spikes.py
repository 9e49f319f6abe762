"""Spikes in place of rates, and units left out."""

from typing import Any

import numpy as np
import pytest

from neurorbit.engine.data import RateTrials
from neurorbit.engine.simulate import as_spikes, ring_attractor, with_hidden

RNG = np.random.default_rng(0)
R, V = RNG.random((20, 300, 5)), RNG.standard_normal((20, 300))


def trials(rates: Any = R, **options: Any) -> RateTrials:
    return RateTrials.from_arrays(rates, V, **{"dt_s": 0.05, "headings": V, "start": 1.0, **options})


def test_counts_have_the_mean_and_variance_of_poisson() -> None:
    spikes = as_spikes(trials(), 40.0, seed=1)
    assert (spikes.kind, spikes.rate_hz, spikes.dt_s, spikes.activity.shape) == ("spikes", 40.0, 0.05, R.shape)
    expected, counts = 2.0 * R, spikes.activity.double().numpy()
    away = (counts - expected) / np.sqrt(expected)
    assert abs(away.mean()) < 4 / np.sqrt(R.size) and away.var() == pytest.approx(1.0, abs=0.05)
    assert abs(np.corrcoef(away[..., 0].ravel(), away[..., 1].ravel())[0, 1]) < 4 / np.sqrt(R.size / 5)


def test_everything_else_stays_and_the_seed_fixes_the_spikes() -> None:
    x = trials()
    spikes = as_spikes(x, 40.0, seed=1)
    assert x.headings is not None and spikes.headings is not None and spikes.start is not None
    assert spikes.headings.equal(x.headings) and spikes.inputs.equal(x.inputs) and spikes.start.item() == 1.0
    assert spikes.fingerprint() == as_spikes(x, 40.0, seed=1).fingerprint() != as_spikes(x, 40.0).fingerprint()


def test_gaps_stay_gaps() -> None:
    holes = R.copy()
    holes[3, 100:110, 2] = np.nan
    x = trials(holes)
    assert as_spikes(x, 40.0).missing.equal(x.missing) and int(x.missing.sum()) == 10


def test_hidden_units_are_left_out_with_their_place_in_the_truth() -> None:
    ring = ring_attractor(16, n_trials=2, steps=10, silent_steps=5)
    half = with_hidden(ring, 0.5, seed=2)
    assert half.truth is not None and ring.truth is not None
    seen = half.truth.observed
    assert len(seen) == 8 and (np.diff(seen) > 0).all() and half.activity.equal(ring.activity[..., seen])
    assert np.array_equal(half.truth.W, ring.truth.W) and half.truth.settings["unobserved"] == 0.5
    again = with_hidden(half, 0.25, seed=2)
    assert again.truth is not None and len(again.truth.observed) == 6
    assert again.activity.equal(ring.activity[..., again.truth.observed])
    assert np.array_equal(again.truth.observed_preferred(), ring.truth.preferred[again.truth.observed])
    other = with_hidden(ring, 0.5, seed=3)
    assert other.truth is not None and other.truth.observed.tolist() != seen.tolist()
    assert with_hidden(ring, 0.0).fingerprint() == ring.fingerprint()


def test_spikes_of_hidden_units_note_both() -> None:
    found = as_spikes(with_hidden(ring_attractor(16, n_trials=2, steps=10, silent_steps=5), 0.25), 100.0, seed=7)
    assert found.truth is not None and len(found.truth.observed) == found.n_observed == 12
    settings = found.truth.settings
    assert [settings[k] for k in ("spikes_hz", "spikes_seed", "unobserved", "unobserved_seed")] == [100.0, 7, 0.25, 0]


def test_refused() -> None:
    cases: list[tuple[Any, str]] = [
        (lambda: as_spikes(as_spikes(trials(), 40.0), 40.0), "trials: expected rates, these are spikes already"),
        (lambda: as_spikes(trials(dt_s=None), 40.0), "trials: have no dt_s, the width of a step in seconds"),
        (lambda: as_spikes(trials(R - 0.5), 40.0), "trials: expected rates of 0 or more, got -0.49"),
        (lambda: as_spikes(trials(), 2e6), "rate_hz: expected a rate of 0 or more, at most 1e+06, got 2000000.0"),
        (lambda: as_spikes(trials(), -1.0), "rate_hz: expected a rate of 0 or more, got -1.0"),
        (lambda: as_spikes(trials(), 0.0), "rate_hz: 0 Hz gave no spike; raise it"),
        (lambda: as_spikes(trials(), 40.0, seed=-1), "seed: expected 0 or more, got -1"),
        (lambda: with_hidden(trials(), 0.95), "share: 0.95 hides all 5 units; leave at least one"),
        (lambda: with_hidden(trials(), 1.5), "share: expected a share from 0 to 1, got 1.5"),
    ]
    for call, message in cases:
        with pytest.raises(ValueError) as found:
            call()
        assert message in str(found.value)
