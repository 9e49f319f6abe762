"""SpikeEvents: what goes in comes out, surrogates keep what they promise, bad events are named."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import scipy.sparse
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from neurorbit.engine.data import SpikeEvents

ONE = SpikeEvents.from_dense(np.array([[0, 2, 0, 1], [0, 0, 0, 0], [1, 3, 0, 0]]), bin_s=0.05)


@st.composite
def event_lists(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, np.ndarray, int, int]:
    N, T = draw(st.integers(1, 6)), draw(st.integers(1, 30))
    events = draw(st.lists(st.tuples(st.integers(0, N - 1), st.integers(0, T - 1), st.integers(1, 4)), min_size=1))
    neurons, times, counts = np.array(events).T
    return neurons, times, counts, N, T


def dense_of(neurons: np.ndarray, times: np.ndarray, counts: np.ndarray, N: int, T: int) -> np.ndarray:
    x = np.zeros((N, T), int)
    np.add.at(x, (neurons, times), counts)
    return x


def is_canonical(events: SpikeEvents) -> bool:
    key = events.times.astype(np.int64) * events.n_neurons + events.neurons
    types = {x.dtype for x in (events.neurons, events.times, events.counts)}
    return bool((np.diff(key) > 0).all() and (events.counts >= 1).all()) and types == {np.dtype(np.int32)}


def test_events_of_a_matrix() -> None:
    assert ONE.neurons.tolist() == [2, 0, 2, 0]
    assert ONE.times.tolist() == [0, 1, 1, 3]
    assert ONE.counts.tolist() == [1, 2, 3, 1]
    assert (ONE.n_neurons, ONE.n_bins, ONE.bin_s, len(ONE), ONE.n_spikes) == (3, 4, 0.05, 4, 7)


@settings(deadline=None)
@given(event_lists(), st.randoms(use_true_random=False))
def test_events_in_any_order_and_matrix_are_the_same_recording(lists: Any, random: Any) -> None:
    neurons, times, counts, N, T = lists
    order = list(range(len(neurons)))
    random.shuffle(order)
    events = SpikeEvents.from_events(neurons[order], times[order], counts[order], n_neurons=N, n_bins=T)
    assert is_canonical(events) and np.array_equal(events.dense(), dense_of(neurons, times, counts, N, T))
    again = SpikeEvents.from_dense(events.dense())
    assert is_canonical(again) and again.fingerprint() == events.fingerprint()
    split = SpikeEvents.from_events(np.repeat(neurons, counts), np.repeat(times, counts), n_neurons=N, n_bins=T)
    assert split.fingerprint() == events.fingerprint()


@pytest.mark.parametrize("kind", ["uint8", "bool", "float32", "float64", "tensor", "sparse"])
def test_matrices_of_every_kind(kind: str) -> None:
    x = np.array([[0, 1, 0], [1, 1, 0]])
    given = {"tensor": torch.from_numpy(x), "sparse": scipy.sparse.csr_array(x)}.get(kind)
    events = SpikeEvents.from_dense(x.astype(kind) if given is None else given)
    assert np.array_equal(events.dense(), x)


def test_the_fingerprint_knows_the_data_and_nothing_else() -> None:
    same = SpikeEvents.from_events([0, 0, 2, 2], [3, 1, 1, 0], [1, 2, 3, 1], n_neurons=3, n_bins=4, name="other")
    assert same.fingerprint() == ONE.fingerprint() and len(ONE.fingerprint()) == 64
    others = [
        SpikeEvents.from_events(ONE.neurons, ONE.times, ONE.counts, n_neurons=4, n_bins=4),
        SpikeEvents.from_events(ONE.neurons, ONE.times, ONE.counts, n_neurons=3, n_bins=5),
        SpikeEvents.from_events(ONE.neurons, ONE.times, n_neurons=3, n_bins=4),
        SpikeEvents.from_events(ONE.neurons[:3], ONE.times[:3], ONE.counts[:3], n_neurons=3, n_bins=4),
    ]
    assert len({e.fingerprint() for e in (ONE, *others)}) == 5


def test_nobody_changes_a_recording() -> None:
    for array in (ONE.neurons, ONE.times, ONE.counts):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 7


@settings(deadline=None)
@given(event_lists(), st.integers(-40, 40), st.integers(1, 60))
def test_a_block_is_a_slice_with_empty_bins_outside(lists: Any, t0: int, length: int) -> None:
    neurons, times, counts, N, T = lists
    events = SpikeEvents.from_events(neurons, times, counts, n_neurons=N, n_bins=T)
    wide = np.zeros((N, 200), int)
    wide[:, 60 : 60 + T] = events.dense()
    block = events.block(t0, t0 + length)
    assert block.n_bins == length and np.array_equal(block.dense(), wide[:, 60 + t0 : 60 + t0 + length])


@settings(deadline=None)
@given(event_lists(), st.integers(0, 2**32))
def test_a_surrogate_keeps_spikes_intervals_and_counts(lists: Any, seed: int) -> None:
    neurons, times, counts, N, T = lists
    events = SpikeEvents.from_events(neurons, times, counts, n_neurons=N, n_bins=T)
    shuffled = events.shuffled(np.random.default_rng(seed))
    assert is_canonical(shuffled) and shuffled.n_bins == T
    assert shuffled.times.min() >= 0 and shuffled.times.max() < T
    for before, after in zip(events.dense(), shuffled.dense(), strict=True):
        assert sorted(before) == sorted(after)
        intervals = [np.sort(np.diff(np.flatnonzero(x))) for x in (before, after)]
        assert np.array_equal(*intervals)


def test_surrogates_come_in_every_order_equally_often() -> None:
    """Intervals 1, 2, 4 in 10 bins: six orders times three first bins; counts 1, 1, 1, 5 in four."""
    events = SpikeEvents.from_events([1, 1, 1, 1], [0, 1, 3, 7], [1, 1, 5, 1], n_neurons=3, n_bins=10)
    generator = np.random.default_rng(0)
    seen: dict[bytes, int] = {}
    n = 7200
    for _ in range(n):
        row = events.shuffled(generator).dense()[1]
        seen[row.tobytes()] = seen.get(row.tobytes(), 0) + 1
    assert len(seen) == 6 * 3 * 4
    chi2 = sum((k - n / 72) ** 2 for k in seen.values()) / (n / 72)
    assert chi2 < 115  # 71 degrees of freedom: exceeded with probability 0.0007


def test_neurons_are_shuffled_independently_and_reproducibly() -> None:
    generator = np.random.default_rng(0)
    x = generator.random((40, 3000)) < 0.05
    events = SpikeEvents.from_dense(np.concatenate((x, x)))
    first, second = (events.shuffled(np.random.default_rng(s)).dense() for s in (1, 2))
    assert np.array_equal(first, events.shuffled(np.random.default_rng(1)).dense())
    for a, b in ((first, second), (first[:40], first[40:]), (first, events.dense())):
        chance = np.mean([x.mean() * y.mean() for x, y in zip(a, b, strict=True)])
        assert (a * b).mean() == pytest.approx(chance, rel=0.15)


def test_silent_neurons_and_a_neuron_that_never_rests() -> None:
    x = np.zeros((3, 50), int)
    x[1] = 1
    events = SpikeEvents.from_dense(x)
    assert np.array_equal(events.shuffled(np.random.default_rng(0)).dense(), x)
    assert events.n_neurons == 3 and len(events) == 50


def test_permuted_neurons() -> None:
    order = np.array([2, 0, 1])
    assert np.array_equal(ONE.permuted(order).dense(), ONE.dense()[order])
    assert is_canonical(ONE.permuted(order))
    with pytest.raises(ValueError, match=r"^order: expected each of 0 .. N - 1 = 2 once"):
        ONE.permuted(np.array([0, 0, 1]))


class TestSeconds:
    def test_a_bin_is_half_open_and_a_stamp_on_an_edge_opens_the_next(self) -> None:
        k = np.arange(2000)
        events = SpikeEvents.from_events(np.zeros(2000, int), k * 0.05, bin_s=0.05)
        assert np.array_equal(events.times, k)  # k * 0.05 / 0.05 is below k for some
        assert SpikeEvents.from_events([0, 0], [0.049, 0.0999], bin_s=0.05).times.tolist() == [0, 1]

    def test_trains(self) -> None:
        trains = {"b": np.array([0.26, 0.02]), "a": [], "c": torch.tensor([0.26, 0.27, 0.5])}
        events = SpikeEvents.from_timestamps(trains, 0.1)
        expected = np.zeros((3, 6), int)
        expected[0, [0, 2]], expected[2, 2], expected[2, 5] = 1, 2, 1
        assert np.array_equal(events.dense(), expected) and events.bin_s == 0.1
        assert SpikeEvents.from_timestamps(list(trains.values()), 0.1).fingerprint() == events.fingerprint()

    def test_start_and_stop(self) -> None:
        events = SpikeEvents.from_timestamps([[10.0, 10.35, 11.0]], 0.1, start_s=10.0, stop_s=11.0)
        assert events.n_bins == 10 and events.times.tolist() == [0, 3, 9]
        assert SpikeEvents.from_timestamps([[10.0]], 0.1, start_s=10.0, stop_s=11.01).n_bins == 11

    @pytest.mark.parametrize(
        ("trains", "keywords", "message"),
        [
            ([[0.1], [-0.2]], {}, r"trains\[1\]: a spike at -0.2 s, outside the recording from 0 to its end"),
            ([[0.1, 2.5]], {"stop_s": 2.0}, r"trains\[0\]: a spike at 2.5 s, outside the recording from 0 to 2 s"),
            ([[0.1]], {"start_s": 2.0, "stop_s": 1.0}, "expected stop_s above start_s=2, got 1"),
            ([[0.1, np.nan]], {}, r"trains\[0\]: expected finite seconds, got nan at event 1"),
            ({"pyr7": [[0.1]]}, {}, r"trains\[pyr7\]: expected times \[J\], got \[1, 1\]"),
            ([[1e12]], {}, r"trains\[0\]: more than 2\*\*31 bins of 0.05 s; are the times in seconds"),
            ([], {}, "trains: expected at least one neuron"),
            ([[], []], {}, "trains: holds no spike"),
        ],
    )
    def test_refusals(self, trains: Any, keywords: dict[str, float], message: str) -> None:
        with pytest.raises(ValueError, match=message):
            SpikeEvents.from_timestamps(trains, 0.05, **keywords)

    def test_tsgroup(self) -> None:
        """A mapping from index to objects with .t, and a time support in two pieces, as pynapple lays it out."""

        class Group(dict):  # type: ignore[type-arg]
            time_support = SimpleNamespace(start=np.array([5.0, 8.0]), end=np.array([6.0, 9.0]))

        group = Group({3: SimpleNamespace(t=np.array([5.0, 8.55])), 1: SimpleNamespace(t=np.array([9.0]))})
        events = SpikeEvents.from_tsgroup(group, 0.5)
        assert events.n_bins == 8 and np.argwhere(events.dense()).tolist() == [[0, 0], [0, 7], [1, 7]]
        with pytest.raises(TypeError, match=r"group: expected a TsGroup, whose members have .t in seconds, got dict"):
            SpikeEvents.from_tsgroup({0: [1.0]}, 0.5)


@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        (
            [[0, -1]],
            ValueError,
            r"expected counts 0, 1, .., got -1 at neuron 0, bin 1; real-valued activity is a Dense",
        ),
        ([[0, 0], [0.5, 1]], ValueError, r"expected counts 0, 1, .., got 0.5 at neuron 1, bin 0"),
        ([[0, np.nan]], ValueError, r"nan at neuron 0, bin 1; fill gaps with 0 or cut those bins out"),
        ([[0, np.inf]], ValueError, r"inf at neuron 0, bin 1"),
        ([[1, 1j]], TypeError, r"expected real numbers, got complex128"),
        ([["a", "b"]], TypeError, r"expected an array of numbers, got <U1"),
        ([0, 1], ValueError, r"expected \[N, T\], got \[2\]"),
        (np.zeros((3, 0)), ValueError, r"expected \[N, T\], got \[3, 0\]: it is empty"),
        (np.zeros((3, 7)), ValueError, r"3 neurons x 7 bins without a single spike"),
        ([[0, 1], [1]], ValueError, r"rows differ in length"),
        (np.ma.array([[0, 1]], mask=[[0, 1]]), ValueError, r"is masked in places"),
        ([[0, 2.0**40]], ValueError, r"expected counts 0, 1, .., got 1.09951e\+12"),
    ],
)
def test_refused_matrices(x: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=rf"^recording: {message}"):
        SpikeEvents.from_dense(x)


@pytest.mark.parametrize(
    ("keywords", "error", "message"),
    [
        (
            {"times": [0, 1, 10]},
            ValueError,
            r"\[times\]: expected 0 to T - 1 = 9, got 10 at event 2; raise n_bins, or lea",
        ),
        ({"times": [0, -1, 2]}, ValueError, r"\[times\]: expected 0 to T - 1 = 9, got -1 at event 1"),
        ({"times": [0, 0.5, 1]}, ValueError, r"\[times\]: floats are seconds and need a bin width; give bin_s"),
        ({"times": [0, 0.5, 1], "bin_s": 0.05}, ValueError, r"\[times\]: expected 0 to T - 1 = 9, got 10 at event 1"),
        ({"times": [0, -0.1, 0], "bin_s": 0.05}, ValueError, r"\[times\]: expected 0 to T - 1 = 9, got -2 at event 1"),
        ({"times": [0, 1]}, ValueError, r"\[times\]: expected \[J=3\] as in neurons, got \[2\]"),
        ({"times": [0, 2**40, 1]}, ValueError, r"\[times\]: expected bins below 2\*\*31, got 1099511627776 at event 1"),
        (
            {"neurons": [0, 1, 4]},
            ValueError,
            r"\[neurons\]: expected 0 to N - 1 = 3, got 4 at event 2; raise n_neurons",
        ),
        ({"neurons": [0, 1.5, 2]}, ValueError, r"\[neurons\]: expected whole neuron numbers, got 1.5 at event 1"),
        ({"neurons": [[0, 1, 2]]}, ValueError, r"\[neurons\]: expected neuron numbers \[J\], got \[1, 3\]"),
        ({"counts": [1, -2, 1]}, ValueError, r"\[counts\]: expected 0 or more, got -2 at event 1"),
        ({"counts": [1, 1, 2.5]}, ValueError, r"\[counts\]: expected whole counts, got 2.5 at event 2"),
        ({"counts": [1, np.nan, 2]}, ValueError, r"\[counts\]: expected whole counts, got nan at event 1"),
        ({"counts": [1, 1j, 2]}, TypeError, r"\[counts\]: expected real numbers, got complex128"),
        ({"counts": [0, 0, 0]}, ValueError, ": holds no spike"),
        ({"counts": [2**31 - 1] * 3, "times": [1] * 3, "neurons": [1] * 3}, ValueError, "more than 2"),
        ({"neurons": [], "times": []}, ValueError, ": holds no spike"),
        ({"n_neurons": 0}, ValueError, r"\[n_neurons\]: expected a whole number from 1 to 2\*\*31 - 1, got 0"),
        ({"n_bins": 2.5}, ValueError, r"\[n_bins\]: expected a whole number from 1"),
        ({"n_bins": "many"}, ValueError, r"\[n_bins\]: expected one whole number, got 'many'"),
        ({"bin_s": 0.0}, ValueError, r"\[bin_s\]: expected a width in seconds above 0, got 0.0"),
        ({"bin_s": np.nan}, ValueError, r"\[bin_s\]: expected a width in seconds above 0"),
    ],
)
def test_refused_events(keywords: dict[str, Any], error: type[Exception], message: str) -> None:
    good: dict[str, Any] = {"neurons": [0, 1, 2], "times": [0, 1, 2], "n_neurons": 4, "n_bins": 10}
    with pytest.raises(error, match=message) as caught:
        SpikeEvents.from_events(**{**good, **keywords})
    assert str(caught.value).startswith("events") and "\n" not in str(caught.value)


def test_sizes_follow_the_largest_indices() -> None:
    events = SpikeEvents.from_events([0, 4], [9, 2], [1, 0])
    assert (events.n_neurons, events.n_bins, len(events)) == (5, 10, 1)
