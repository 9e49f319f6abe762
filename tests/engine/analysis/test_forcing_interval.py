"""The forcing interval of signals whose memory is known."""

import math

import pytest
import torch

from neurorbit.engine.analysis import estimate_forcing_interval
from neurorbit.engine.analysis.forcing_interval import autocorrelation, mutual_information


def sine(period: float, steps: int = 4000) -> torch.Tensor:
    t = torch.arange(steps, dtype=torch.float64)
    return torch.stack([torch.sin(2 * math.pi * t / period), torch.cos(2 * math.pi * t / period)], -1)


def test_sine_is_at_its_minimum_after_half_a_period() -> None:
    assert estimate_forcing_interval(sine(40), method="autocorrelation") == 20


def test_mutual_information_of_a_sine_is_least_after_a_quarter_period() -> None:
    # noise, since a bare sine tells its future at any lag but for the sign; x_{t+lag} is the cosine of x_t at 7.07
    x = sine(20 * math.sqrt(2), 20_000)
    x = x + 0.2 * torch.randn(x.shape, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    assert estimate_forcing_interval(x) == 7


def test_autocorrelation_of_an_ar1_process() -> None:
    noise = torch.randn(100_000, 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    x = torch.empty_like(noise)
    x[0] = noise[0]
    values, state = noise[:, 0].tolist(), 0.0
    for t, e in enumerate(values):
        state = 0.8 * state + e
        x[t, 0] = state
    found = autocorrelation([x], 5)[:, 0]
    torch.testing.assert_close(found, 0.8 ** torch.arange(6, dtype=torch.float64), atol=0.02, rtol=0)


def test_autocorrelation_equals_the_sum_over_known_pairs() -> None:
    g = torch.Generator().manual_seed(1)
    sequences = [
        torch.randn(50, 2, generator=g, dtype=torch.float64),
        torch.randn(31, 2, generator=g, dtype=torch.float64),
    ]
    sequences[0][7, 0] = sequences[1][3:6, 1] = torch.nan
    found = autocorrelation(sequences, 10)
    mean = torch.cat(sequences).nanmean(0)
    for lag in (0, 1, 4, 10):
        pairs = torch.cat([(s[: len(s) - lag] - mean) * (s[lag:] - mean) for s in sequences])
        zero = torch.cat([(s - mean) ** 2 for s in sequences]).nanmean(0)
        torch.testing.assert_close(found[lag], pairs.nanmean(0) / zero)


def test_information_about_oneself_is_the_entropy_of_equal_bins() -> None:
    x = torch.rand(20_000, 1, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    curve = mutual_information([x], 3, 16)
    assert curve[0, 0].item() == pytest.approx(math.log(16), abs=1e-3)
    assert curve[1, 0].item() < 0.02  # independent rows


def test_gaps_and_several_sequences_do_not_move_the_minimum() -> None:
    x = sine(40)
    x[torch.rand(len(x), generator=torch.Generator().manual_seed(3)) < 0.1] = torch.nan
    assert estimate_forcing_interval([x[:1500], x[1500:]], method="autocorrelation") == 20


def test_without_a_minimum_inside_the_smallest_value_counts() -> None:
    x = torch.linspace(0, 1, 400, dtype=torch.float64)[:, None].exp()
    assert estimate_forcing_interval(x, method="autocorrelation", max_lag=30) == 30


def test_bad_arguments_are_named() -> None:
    with pytest.raises(ValueError, match="method: expected one of"):
        estimate_forcing_interval(sine(40), method="zero")
    with pytest.raises(ValueError, match="max_lag:"):
        estimate_forcing_interval(sine(40), max_lag=4000)
    with pytest.raises(ValueError, match="one N"):
        estimate_forcing_interval([sine(40), sine(40)[:, :1]])
    with pytest.raises(ValueError, match="bins:"):
        estimate_forcing_interval(sine(40), bins=1)
    with pytest.raises(TypeError, match="x: expected real numbers"):
        estimate_forcing_interval(sine(40).to(torch.complex128))
