"""Planted sequences: the truth is in the recording, the rate is that of the background, the seed fixes everything."""

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neurorbit.engine.data import SpikeEvents
from neurorbit.engine.simulate import Planted, plant_sequences
from neurorbit.engine.simulate.planted_sequences import exchange, poisson_background

SMALL: dict[str, Any] = {
    "seqlen": 12, "gap_ts": 40, "jitter_std": 1.5, "n_neurons": 60, "n_bins": 2000, "rate_hz": 1.0,
}  # fmt: skip


def lags(planted: Planted, reach: int) -> np.ndarray:
    """Spike counts [D, L, 2 reach + 1] of the members around their expected bins."""
    x = np.pad(planted.events.dense(), ((0, 0), (reach, reach)))
    L = planted.order.shape[1]
    starts = (planted.times - (L - 1) / 2).astype(int)
    expected = starts[:, None] + np.arange(L)
    windows = expected[..., None] + np.arange(2 * reach + 1)
    return x[planted.order[planted.sequence][..., None], windows]


def test_without_jitter_and_drops_every_member_fires_in_its_bin() -> None:
    planted = plant_sequences(**{**SMALL, "jitter_std": 0.0}, p_drop=0.0, seed=3)
    assert (lags(planted, 0) >= 1).all()
    assert len(planted.times) == 50 and (np.diff(planted.times) == 40).all()
    assert planted.times[0] == 14 + 5.5  # in the middle of the first gap


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 2**32), rate_hz=st.floats(0.01, 5.0), jitter=st.floats(0, 20), K=st.integers(1, 5))
def test_the_number_of_spikes_stays_that_of_the_background(seed: int, rate_hz: float, jitter: float, K: int) -> None:
    background = poisson_background(60, 500, rate_hz, 0.05, np.random.default_rng(seed))
    keywords: dict[str, Any] = {"seqlen": 12, "gap_ts": 40, "jitter_std": jitter, "n_sequences": K, "seed": seed}
    planted = plant_sequences(background, **keywords)
    most = len(planted.times) * 12
    if background.n_spikes >= most:
        assert planted.events.n_spikes == background.n_spikes
    else:  # more planted than there is to exchange
        assert background.n_spikes <= planted.events.n_spikes <= most
    assert (planted.events.n_neurons, planted.events.n_bins, planted.events.bin_s) == (60, 500, 0.05)


def test_a_dense_background_keeps_every_bins_spikes() -> None:
    """Where each bin has a spike to give, the exchange is bin by bin."""
    x = np.ones((60, 500), int)
    planted = plant_sequences(SpikeEvents.from_dense(x), seqlen=12, gap_ts=40, jitter_std=2.0)
    assert (planted.events.dense().sum(0) == 60).all()
    assert planted.events.counts.max() == 1  # a planted spike takes the place of the neuron's own


def test_a_binary_background_of_spare_spikes_stays_binary() -> None:
    background = SpikeEvents.from_dense(np.random.default_rng(0).random((60, 2000)) < 0.05)
    planted = plant_sequences(background, seqlen=12, gap_ts=40, jitter_std=2.0, p_drop=0.0)
    assert planted.events.counts.max() == 1


def test_where_a_bin_has_no_spike_to_give_the_nearest_one_gives() -> None:
    background = SpikeEvents.from_events([0] * 5, [0, 10, 20, 30, 199], n_neurons=2, n_bins=200)
    generator = np.random.default_rng(0)
    for planted, kept in (
        ([18], [0, 10, 30, 199]),
        ([11], [0, 20, 30, 199]),
        ([18, 11, 12], [30, 199]),
        ([30], [0, 10, 20, 199]),
    ):
        x = exchange(background, np.ones(len(planted), int), np.array(planted), generator).dense()
        assert np.flatnonzero(x[0]).tolist() == kept and np.flatnonzero(x[1]).tolist() == sorted(planted)


def test_drops_and_jitter_have_the_asked_for_size() -> None:
    planted = plant_sequences(**{**SMALL, "rate_hz": 0.02, "jitter_std": 3.0, "n_bins": 40000}, p_drop=0.3, seed=1)
    counts = lags(planted, 15)
    assert (counts.sum(-1) > 0).mean() == pytest.approx(0.7, abs=0.02)
    lag = np.arange(-15, 16)
    weights = counts.sum((0, 1)) / counts.sum()
    assert (weights * lag).sum() == pytest.approx(0.0, abs=0.1)
    assert np.sqrt((weights * lag**2).sum()) == pytest.approx(np.sqrt(9 + 1 / 12), abs=0.15)  # rounding adds 1/12


def test_sequences_take_turns_and_share_no_neuron() -> None:
    planted = plant_sequences(**SMALL, n_sequences=4)
    assert planted.order.shape == (4, 12) and len(np.unique(planted.order)) == 48
    rounds = planted.sequence[:48].reshape(12, 4)
    assert (np.sort(rounds, axis=1) == np.arange(4)).all() and len(np.unique(rounds, axis=0)) > 3
    assert (np.diff(planted.times) == 40).all()


def test_sequences_with_neurons_of_their_own_choice() -> None:
    planted = plant_sequences(**SMALL, n_sequences=8, disjoint=False)
    assert planted.order.shape == (8, 12)
    assert all(len(set(row)) == 12 for row in planted.order.tolist()) and len(np.unique(planted.order)) < 60
    with pytest.raises(ValueError, match=r"^n_sequences: 8 sequences of 12 neurons need 96, the background has 60"):
        plant_sequences(**SMALL, n_sequences=8)


def test_the_seed_fixes_everything() -> None:
    first, again, other = (plant_sequences(**SMALL, n_sequences=2, seed=s) for s in (5, 5, 6))
    assert first.events.fingerprint() == again.events.fingerprint() != other.events.fingerprint()
    assert np.array_equal(first.order, again.order) and np.array_equal(first.sequence, again.sequence)
    assert not np.array_equal(first.order, other.order)


def test_the_background_loses_its_structure_and_keeps_its_neurons() -> None:
    """A background in which a sequence repeats: nothing of it is left, rates and intervals are there in a new order."""
    x = np.zeros((50, 4000), int)
    for n in range(50):
        x[n, np.sort(np.random.default_rng(n).permutation(4000)[: 20 + n])] = 1
    planted = plant_sequences(SpikeEvents.from_dense(x), seqlen=1, gap_ts=3900, p_drop=1.0, seed=2)
    found = planted.events.dense()
    assert sorted(found.sum(1)) == sorted(x.sum(1)) and not np.array_equal(found.sum(1), x.sum(1))
    of = {row.sum(): row for row in x}
    for row in found:
        intervals = [np.sort(np.diff(np.flatnonzero(r))) for r in (row, of[row.sum()])]
        assert np.array_equal(*intervals) and not np.array_equal(row, of[row.sum()])


def test_poisson_background_has_the_variance_of_poisson_counts() -> None:
    x = poisson_background(200, 5000, 4.0, 0.05, np.random.default_rng(0)).dense()
    assert x.mean() == pytest.approx(0.2, rel=0.01) and x.var() == pytest.approx(0.2, rel=0.01)


def test_truth_for_a_file() -> None:
    planted = plant_sequences(**SMALL, n_sequences=2, seed=9)
    truth = planted.truth()
    assert set(truth) == {"truth_times", "truth_sequence", "truth_order", "settings"}
    stated = json.loads(str(truth["settings"]))
    assert stated["seed"] == 9 and stated["seqlen"] == 12 and stated["n_sequences"] == 2
    assert stated["background"] == "poisson" and stated["n_bins"] == 2000


@pytest.mark.parametrize(
    ("keywords", "error", "message"),
    [
        ({"seqlen": 61}, ValueError, r"^seqlen: expected at most the N=60 neurons of the background, got 61"),
        ({"seqlen": 0}, ValueError, "^seqlen: expected 1 or more, got 0"),
        ({"seqlen": 3.0}, TypeError, "^seqlen: expected a whole number, got 3.0"),
        ({"p_drop": 1.1}, ValueError, "^p_drop: expected a probability from 0 to 1, got 1.1"),
        ({"p_drop": -0.1}, ValueError, "^p_drop: expected a probability from 0 to 1, got -0.1"),
        ({"p_drop": "half"}, TypeError, "^p_drop: expected a probability from 0 to 1, got 'half'"),
        ({"jitter_std": -1.0}, ValueError, "^jitter_std: expected a standard deviation in bins, 0 or more, got -1.0"),
        ({"jitter_std": float("nan")}, ValueError, "^jitter_std: .* got nan"),
        ({"gap_ts": 0}, ValueError, "^gap_ts: expected 1 or more, got 0"),
        ({"gap_ts": 2001}, ValueError, "^gap_ts: the background's 2000 bins hold no gap of 2001 with a sequence of 12"),
        ({"n_bins": 11}, ValueError, "^gap_ts: the background's 11 bins hold no gap of 40"),
        ({"n_sequences": 0}, ValueError, "^n_sequences: expected 1 or more, got 0"),
        ({"n_neurons": 0}, ValueError, "^n_neurons: expected 1 or more, got 0"),
        ({"rate_hz": -1.0}, ValueError, "^rate_hz: expected a rate of 0 or more, got -1.0"),
        ({"rate_hz": 0.0}, ValueError, "^rate_hz: 60 neurons x 2000 bins of 0.05 s at 0 Hz gave no spike; raise it"),
        ({"bin_s": 0.0}, ValueError, "^bin_s: expected a bin width in seconds above 0, got 0.0"),
        ({"seed": -1}, ValueError, "^seed: expected 0 or more, got -1"),
    ],
)
def test_bad_arguments_are_named(keywords: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        plant_sequences(**{**SMALL, **keywords})
