"""The functions inside the Triton kernels against NumPy in float64, in a process that runs with TRITON_INTERPRET=1."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import triton
import triton.language as tl

from neurorbit.kernels import triton_functions_common as functions
from neurorbit.kernels.noise_common import normal_noise

CASES = {  # the function, its truth, from where to where, units in the last place that it may be off
    "exponential": (functions.exponential, np.exp, -79.0, 79.0, 2.0),
    "expm1": (functions.expm1, np.expm1, -79.0, 40.0, 3.0),
    "sigmoid": (functions.sigmoid, lambda x: 1 / (1 + np.exp(-x)), -60.0, 60.0, 2.5),
    "tanh": (functions.tanh, np.tanh, -12.0, 12.0, 4.0),
    "near 0": (functions.tanh, np.tanh, -1e-3, 1e-3, 4.0),
    "logarithm": (functions.logarithm, np.log, 1e-6, 1e6, 2.0),
    "twice_atanh": (functions.twice_atanh, lambda x: 2 * np.arctanh(x), -1 / 3, 1 / 3, 3.0),
}


@triton.jit
def apply(y, x, F: tl.constexpr, N: tl.constexpr):
    i = tl.arange(0, N)
    tl.store(y + i, F(tl.load(x + i)))


@triton.jit
def apply_two(y, x, F: tl.constexpr, N: tl.constexpr):
    i = tl.arange(0, N)
    value, slope = F(tl.load(x + i))
    tl.store(y + i, value)
    tl.store(y + N + i, slope)


@triton.jit
def softplus_and_slope(x):
    value, above, below = functions.softplus_parts(x)
    return value, above / below


@triton.jit
def draw(y, seed, stream, step, R: tl.constexpr, N: tl.constexpr):
    r, n = tl.arange(0, R), tl.arange(0, N)
    like = tl.zeros((R, N), y.dtype.element_ty)
    found = functions.drawn(tl.load(seed), tl.load(stream + r), tl.load(step), n, like)
    tl.store(y + r[:, None] * N + n[None, :], found)


def off(found: torch.Tensor, truth: np.ndarray) -> float:
    """The largest error in units in the last place."""
    spacing = np.spacing(np.abs(truth).astype(found.numpy().dtype)).astype(np.float64)
    return float((np.abs(found.double().numpy() - truth) / spacing).max())


@pytest.mark.parametrize("name", CASES)
def test_in_the_last_places(name: str) -> None:
    function, truth, low, high, units = CASES[name]
    x = torch.from_numpy(np.random.default_rng(0).uniform(low, high, 4096).astype(np.float32))
    y = torch.full_like(x, torch.nan)
    apply[(1,)](y, x, F=function, N=4096)
    assert off(y, truth(x.double().numpy())) <= units
    y, x = y.double(), x.double()
    apply[(1,)](y, x, F=function, N=4096)
    np.testing.assert_allclose(y.numpy(), truth(x.numpy()), rtol=2e-15)


@pytest.mark.parametrize("dtype", (torch.float32, torch.float64))
def test_values_with_their_slopes(dtype: torch.dtype) -> None:
    x = torch.linspace(-30, 30, 256, dtype=dtype)
    t, y, rtol = x.double().numpy(), torch.empty(2, 256, dtype=dtype), 8 * torch.finfo(dtype).eps
    apply_two[(1,)](y, x, F=functions.tanh_and_slope, N=256)
    np.testing.assert_allclose(y[0].numpy(), np.tanh(t), rtol=rtol)
    np.testing.assert_allclose(y[1].numpy(), 1 / np.cosh(t) ** 2, rtol=rtol)
    apply_two[(1,)](y, x, F=softplus_and_slope, N=256)
    np.testing.assert_allclose(y[0].numpy(), np.logaddexp(0, t), rtol=rtol)
    np.testing.assert_allclose(y[1].numpy(), 1 / (1 + np.exp(-t)), rtol=rtol)


def test_ends_of_the_range() -> None:
    x = torch.tensor([-torch.inf, -200.0, -0.0, 0.0, 200.0, torch.inf, torch.nan, 1e-30])
    y = torch.empty_like(x)
    apply[(1,)](y, x, F=functions.sigmoid, N=8)
    assert y[:2].max() < 1e-34 and y[2:6].tolist() == [0.5, 0.5, 1.0, 1.0] and bool(y[6].isnan())
    apply[(1,)](y, x, F=functions.tanh, N=8)
    assert y[:6].tolist() == [-1, -1, 0, 0, 1, 1] and bool(y[6].isnan()) and float(y[7]) == pytest.approx(1e-30)


@pytest.mark.parametrize("dtype", (torch.float32, torch.float64))
def test_draws_are_those_of_the_definition(dtype: torch.dtype) -> None:
    seed, stream = torch.tensor([-5]), torch.tensor([0, 1, 2**40 + 3, -7])
    y = torch.empty(4, 128, dtype=dtype)
    draw[(1,)](y, seed, stream, torch.tensor([9]), R=4, N=128)
    expected = normal_noise(seed, stream[None], 9, 128, torch.float64)[0]
    torch.testing.assert_close(y.double(), expected, rtol=0, atol=20 * torch.finfo(dtype).eps)
