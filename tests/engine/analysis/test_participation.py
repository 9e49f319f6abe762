"""Which neurons take part in a sequence: planted ones, in their order, and few others."""

import numpy as np
import pytest

from neurorbit.engine.analysis.participation import Participation, aligned_counts, participation
from neurorbit.engine.data import SpikeEvents
from neurorbit.engine.simulate import Planted, plant_sequences

W = 60


def plant(seed: int = 0) -> Planted:
    return plant_sequences(
        seqlen=20, p_drop=0.2, gap_ts=150, jitter_std=2.0, n_neurons=60, n_bins=4000, rate_hz=0.3, seed=seed
    )


def found(planted: Planted, starts: np.ndarray, seed: int = 0, draws: int = 300, shift: int = 0) -> Participation:
    w = np.ones((planted.events.n_neurons, W))
    return participation(w, planted.events, starts, generator=np.random.default_rng(seed), draws=draws, shift=shift)


def starts_of(planted: Planted) -> np.ndarray:
    return np.rint(planted.times - (W - 1) / 2).astype(np.int64)


def test_aligned_counts_are_the_windows_added_up() -> None:
    x = np.random.default_rng(0).poisson(0.2, (4, 100))
    x[:, 40:60] = 0
    starts = np.array([-5, 0, 30, 45, 45, 92, 99, -50, 300])
    wide = np.pad(x, ((0, 0), (60, 300)))
    expected = sum(wide[:, s + 60 : s + 70] for s in starts)
    assert np.array_equal(aligned_counts(SpikeEvents.from_dense(x), starts, 10), expected)
    assert aligned_counts(SpikeEvents.from_dense(x), np.zeros(0, np.int64), 10).sum() == 0


def test_planted_neurons_are_significant_and_few_others() -> None:
    false = total = 0
    for seed in range(3):
        planted = plant(seed)
        part = found(planted, starts_of(planted), seed)
        chosen = set(part.neuron[part.significant(0.05)].tolist())
        assert set(planted.order[0].tolist()) <= chosen
        false, total = false + len(chosen) - 20, total + len(chosen)
    assert false / total <= 0.1


def test_lags_are_those_of_the_sequence() -> None:
    planted = plant()
    part = found(planted, starts_of(planted))
    lag = dict(zip(part.neuron.tolist(), part.lag_bins.tolist(), strict=True))
    ordered = np.array([lag[int(n)] for n in planted.order[0]])
    assert np.abs(ordered - (np.arange(20) - 9.5)).max() <= 4
    assert (np.diff(part.lag_bins) >= 0).all() and sorted(part.neuron.tolist()) == list(range(60))


def test_lags_count_from_the_middle_of_the_sequence_wherever_the_window_lies() -> None:
    planted = plant()
    part = found(planted, starts_of(planted) - 12, shift=12)
    lag = dict(zip(part.neuron.tolist(), part.lag_bins.tolist(), strict=True))
    assert np.abs(np.array([lag[int(n)] for n in planted.order[0]]) - (np.arange(20) - 9.5)).max() <= 4


def test_p_values_hold_their_level_without_a_sequence() -> None:
    """At random times, over many sets of them (the neurons of one set share its overlaps)."""
    events = plant().events.shuffled(np.random.default_rng(1))
    rng, share = np.random.default_rng(2), []
    w = np.ones((60, W))
    for _ in range(60):
        starts = rng.integers(0, 4000 - W, 26)
        share.append(float((participation(w, events, starts, generator=rng, draws=19).p_value <= 0.1).mean()))
    assert np.mean(share) < 0.1 + 3 * np.std(share) / np.sqrt(60) < 0.2


def test_share_is_the_response_that_each_neuron_adds() -> None:
    x = np.zeros((3, 50), int)
    x[0, [10, 30]], x[1, 31], x[2, 5] = 1, 2, 1
    w = np.array([[1.0, 0, 0], [0, 3.0, 0], [1, 1, 1]])
    part = participation(w, SpikeEvents.from_dense(x), np.array([10, 30]), generator=np.random.default_rng(0), draws=9)
    share = dict(zip(part.neuron.tolist(), part.share.tolist(), strict=True))
    assert share == {0: 2 / 8, 1: 6 / 8, 2: 0.0}


def test_without_detections_nobody_takes_part() -> None:
    planted = plant()
    part = found(planted, np.zeros(0, np.int64))
    assert (part.p_value == 1).all() and (part.share == 0).all() and not part.significant().any()
    assert np.isnan(part.lag_bins).all()


def test_silent_neurons_do_not_take_part() -> None:
    planted = plant()
    x = planted.events.dense()
    silent = int(planted.order[0][3])
    x[silent] = 0
    quiet = Planted(SpikeEvents.from_dense(x), planted.times, planted.sequence, planted.order, {})
    part = found(quiet, starts_of(planted))
    assert part.p_value[part.neuron == silent].tolist() == [1.0]
    assert part.neuron[-1] == silent and np.flatnonzero(np.isnan(part.lag_bins)).tolist() == [59]


def test_smallest_p_value() -> None:
    planted = plant()
    assert found(planted, starts_of(planted), draws=49).p_value.min() == pytest.approx(1 / 50)


@pytest.mark.parametrize("level", [0.05, 0.2])
def test_false_discovery_rate_procedure(level: float) -> None:
    """Benjamini & Hochberg by definition: the largest k with p_(k) <= level k / N, and all up to it."""
    rng = np.random.default_rng(0)
    for _ in range(30):
        p = np.concatenate([rng.uniform(0, 1, 20), rng.uniform(0, 0.02, 8)])
        rng.shuffle(p)
        k = max([i for i in range(1, 29) if np.sort(p)[i - 1] <= level * i / 28], default=0)
        part = Participation(np.arange(28), np.zeros(28), np.zeros(28), p)
        assert part.significant(level).tolist() == [bool(k and v <= np.sort(p)[k - 1]) for v in p]


def test_another_number_of_neurons() -> None:
    with pytest.raises(ValueError, match="recording: expected N=5 neurons as in the filter, got 60"):
        participation(np.ones((5, W)), plant().events, np.array([3]), generator=np.random.default_rng(0))
