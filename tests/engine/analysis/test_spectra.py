"""Power spectra against scipy, distances of sines whose spectra are known."""

import math

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter1d

from neurorbit.engine.analysis import d_h, power_spectrum_smoothed


def sine(frequency: float, phase: float = 0.0, steps: int = 10_000) -> torch.Tensor:
    t = torch.arange(steps, dtype=torch.float64)
    return torch.sin(2 * math.pi * frequency * t / steps + phase)[:, None]


@pytest.mark.parametrize(("steps", "sigma"), [(1001, 20.0), (400, 3.5), (60, 20.0)])  # the last: window wider than F
def test_spectrum_equals_scipy(steps: int, sigma: float) -> None:
    x = torch.randn(2, steps, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 5 + 1
    v = x.numpy()
    v = (v - v.mean(1, keepdims=True)) / v.std(1, keepdims=True)
    expected = gaussian_filter1d(np.abs(np.fft.rfft(v, axis=1)) ** 2, sigma, axis=1, mode="reflect", truncate=4.0)
    expected = expected / expected.sum(1, keepdims=True)
    np.testing.assert_allclose(power_spectrum_smoothed(x, sigma).numpy(), expected, rtol=1e-9)


def test_shifted_and_scaled_sine_is_at_distance_zero() -> None:
    assert d_h(sine(500), 3 * sine(500, phase=1.0) + 7).item() == pytest.approx(0, abs=1e-5)


def test_distant_sines_are_at_distance_one() -> None:
    assert d_h(sine(500), sine(2000)).item() == pytest.approx(1, abs=1e-5)


def test_neighbouring_sines_are_at_the_distance_of_their_gaussians() -> None:
    # smoothed lines are Gaussians with sd 20 a distance d apart: the overlap of their roots is exp(-d^2 / (8 sigma^2))
    expected = math.sqrt(1 - math.exp(-(40**2) / (8 * 20**2)))
    assert d_h(sine(500), sine(540)).item() == pytest.approx(expected, abs=2e-3)


def test_distance_is_the_mean_over_dimensions() -> None:
    true = torch.cat([sine(500), sine(500)], 1)
    assert d_h(true, torch.cat([sine(500), sine(2000)], 1)).item() == pytest.approx(0.5, abs=1e-5)


def test_diverged_models_are_nan_and_still_ones_far_away() -> None:
    true = sine(500)
    still = torch.full_like(true, 0.1)
    spoilt = true.clone()
    spoilt[9000:] = torch.inf
    found = d_h(true, torch.stack([true, still, spoilt, true]))
    assert found[1] == 1
    assert found[2].isnan()
    assert found[0] == found[3]
    assert found[0] < 1e-6


def test_rows_with_nan_are_left_out() -> None:
    true, gen = sine(500), sine(520)
    holes = torch.cat([true[:100], torch.full((5, 1), torch.nan), true[100:]])
    longer = torch.cat([gen, torch.ones(5, 1, dtype=torch.float64)])
    assert d_h(holes, longer) == d_h(true, gen)


def test_bad_arguments_are_named() -> None:
    with pytest.raises(ValueError, match="x_gen: expected at least T=10000 rows"):
        d_h(sine(500), sine(500)[:-1])
    with pytest.raises(ValueError, match="sigma:"):
        d_h(sine(500), sine(500), sigma=0)


@pytest.mark.parametrize("sigma", [5.0, 20.0, 60.0])
def test_two_recordings_of_one_noise_are_at_the_distance_of_their_periodograms(sigma: float) -> None:
    # a periodogram's bins are exponential: smoothed over 2 sigma sqrt(pi) of them, their relative variance v is 1 over
    # that, and a small squared Hellinger distance is an eighth of the mean squared relative difference: 2 v / 8
    generator = torch.Generator().manual_seed(5)
    x, y = torch.randn(2, 20_000, 12, generator=generator, dtype=torch.float64)
    expected = math.sqrt(1 / (8 * sigma * math.sqrt(math.pi)))
    assert d_h(x, y, sigma=sigma).item() == pytest.approx(expected, rel=0.03)
