"""WindowSampler: a function of (seed, step), uniform, inside the sequences."""

import numpy as np
import pytest
import scipy.stats
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from neurorbit.engine.data import TimeSeries, WindowSampler
from neurorbit.engine.data.windows import BLOCK


def ramp(*lengths: int, n: int = 2, inputs: bool = False) -> TimeSeries:
    """Sequences whose value at every step names sequence and step: 1000 s + t in variable 0, its negative after it."""
    x = [1000.0 * s + np.arange(T) for s, T in enumerate(lengths)]
    values = [np.stack([v, *[-v] * (n - 1)], 1) for v in x]
    return TimeSeries.from_arrays(values, [v[:, :1] + 0.5 for v in values] if inputs else None)


@settings(deadline=None)
@given(st.lists(st.integers(5, 40), min_size=1, max_size=4), st.integers(1, 5), st.integers(1, 7), st.integers(0, 3000))
def test_windows_are_stretches_of_one_sequence(lengths: list[int], length: int, batch: int, step: int) -> None:
    x, u = WindowSampler(ramp(*lengths, inputs=True), length, batch, [0, 1, 2]).draw(step)
    assert x.shape == (3, batch, length, 2) and x.dtype == torch.float32
    assert torch.equal(x[..., 1], -x[..., 0])
    assert torch.equal(x[..., 0], x[..., :1, 0] + torch.arange(length))
    sequence, t = (x[..., 0] // 1000).long(), x[..., 0] % 1000
    assert (sequence == sequence[..., :1]).all()
    assert (t < torch.tensor(lengths)[sequence]).all()
    assert u is not None and torch.equal(u, x[..., :1] + 0.5)


def test_every_place_is_drawn_equally_often() -> None:
    sampler = WindowSampler(ramp(30, 8, 12), 5, 16, [11, 12])
    starts = torch.stack([sampler.draw(step).x[:, :, 0, 0] for step in range(2 * BLOCK)])
    for e in range(2):
        places, counts = starts[:, e].unique(return_counts=True)
        assert len(places) == 26 + 4 + 8  # T - length + 1 of each sequence
        assert scipy.stats.chisquare(counts.numpy()).pvalue > 0.01


def test_draws_of_models_and_of_steps_are_independent() -> None:
    seeds = [*range(10), 2**63]
    sampler = WindowSampler(ramp(1000), 1, 64, seeds)
    draws = np.stack([sampler.draw(s).x[:, :, 0, 0].numpy() for s in range(BLOCK - 50, BLOCK + 50)])
    for rows in (draws.reshape(100, -1), draws.swapaxes(0, 1).reshape(len(seeds), -1)):
        correlation = np.corrcoef(rows) - np.eye(len(rows))
        in_standard_deviations = correlation * np.sqrt(rows.shape[1])
        assert np.abs(in_standard_deviations).max() < 5.0


@settings(deadline=None)
@given(st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=5), st.integers(0, 10 * BLOCK))
def test_a_model_alone_sees_what_it_sees_in_an_ensemble(seeds: list[int], step: int) -> None:
    together = WindowSampler(ramp(50), 4, 3, seeds).draw(step).x
    for e, seed in enumerate(seeds):
        assert torch.equal(together[e], WindowSampler(ramp(50), 4, 3, [seed]).draw(step).x[0])


def test_a_resumed_run_sees_what_an_uninterrupted_one_sees() -> None:
    whole, resumed = (WindowSampler(ramp(400), 4, 3, [5, 6]) for _ in range(2))
    drawn = [whole.draw(step).x for step in range(BLOCK + 20)]
    for step in (BLOCK + 19, 3, BLOCK - 1, BLOCK, 0):
        assert torch.equal(resumed.draw(step).x, drawn[step])


def test_the_stream_is_the_one_stored_runs_were_trained_with() -> None:
    """A resumed run depends on these numbers; they follow from Philox's bits, which are fixed for good."""
    x = WindowSampler(ramp(1000), 1, 4, [0, 42]).draw(0).x[:, :, 0, 0]
    y = WindowSampler(ramp(1000), 1, 4, [0, 42]).draw(BLOCK).x[:, :, 0, 0]
    assert x.int().tolist() == [[71, 950, 133, 141], [643, 323, 296, 340]]
    assert y.int().tolist() == [[729, 656, 169, 693], [920, 599, 142, 137]]


def test_windows_start_at_observed_rows() -> None:
    x = np.arange(100.0)[:, None] + np.zeros(3)
    x[10:30, 0] = np.nan  # one missing
    x[30:50] = np.nan  # all missing
    starts = WindowSampler(TimeSeries.from_arrays(x), 20, 1, [0]).starts.tolist()
    assert starts == [*range(10), *range(50, 81)]


def test_where_most_rows_have_gaps_the_better_half_may_start_a_window() -> None:
    x = np.random.default_rng(0).standard_normal((200, 8))
    x[np.random.default_rng(1).random(x.shape) < 0.4] = np.nan
    series = TimeSeries.from_arrays(x)
    starts = WindowSampler(series, 1, 1, [0]).starts
    missing = np.isnan(x).sum(1)
    assert 100 <= len(starts) < 200
    assert missing[starts.numpy()].max() < np.delete(missing, starts.numpy()).min()


def test_a_window_of_the_whole_sequence_is_drawn_every_time() -> None:
    series = ramp(9)
    x = WindowSampler(series, 9, 2, [0]).draw(7).x
    assert torch.equal(x, series.values[0].expand(1, 2, 9, 2))


def test_windows_are_copies() -> None:
    series = ramp(9)
    WindowSampler(series, 9, 2, [0]).draw(0).x.fill_(-1.0)
    assert series.values[0].min() == -8.0


@pytest.mark.parametrize(
    ("series", "length", "message"),
    [
        (ramp(20), 21, "x: expected at least 21 steps for a window, got [T=20, N=2]; choose windows of at most 20"),
        (ramp(30, 20, 40), 25, "x: sequence 1 of 3: expected at least 25 steps for a window, got [T=20, N=2]"),
        (ramp(4, n=9), 5, "or transpose x if it is [N, T]"),
    ],
)
def test_sequences_shorter_than_the_window_are_refused(series: TimeSeries, length: int, message: str) -> None:
    with pytest.raises(ValueError) as caught:
        WindowSampler(series, length, 1, [0])
    assert message in str(caught.value)


def test_unobserved_starts_are_refused() -> None:
    x = np.full((10, 2), np.nan)
    x[8:] = 1.0
    with pytest.raises(ValueError, match=r"^x: every row at which a window of 5 steps could start is NaN throughout"):
        WindowSampler(TimeSeries.from_arrays(x), 5, 1, [0])


@pytest.mark.parametrize(
    ("length", "batch_size", "seeds", "message"),
    [
        (0, 1, [0], "length: expected 1 or more, got 0"),
        (1, 0, [0], "batch_size: expected 1 or more, got 0"),
        (1, 1, [], "seeds: expected one seed per model, got none"),
        (1, 1, [0, -1], "seeds: expected integers from 0 to 2**64 - 1, got -1"),
    ],
)
def test_bad_arguments_are_named(length: int, batch_size: int, seeds: list[int], message: str) -> None:
    with pytest.raises(ValueError) as caught:
        WindowSampler(ramp(10), length, batch_size, seeds)
    assert str(caught.value) == message


@pytest.mark.gpu
def test_the_same_windows_on_the_device() -> None:
    on_cpu = WindowSampler(ramp(50, 60, inputs=True), 7, 5, [3, 4]).draw(300)
    on_gpu = WindowSampler(ramp(50, 60, inputs=True), 7, 5, [3, 4], device="cuda").draw(300)
    assert on_gpu.x.is_cuda and torch.equal(on_gpu.x.cpu(), on_cpu.x)
    assert on_cpu.u is not None and on_gpu.u is not None and torch.equal(on_gpu.u.cpu(), on_cpu.u)
