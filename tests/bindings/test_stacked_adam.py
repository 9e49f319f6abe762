"""Passes over the flat parameters: compiled ones against torch's, and what they leave alone."""

from __future__ import annotations

import pytest
import torch

from neurorbit.bindings import stacked_adam
from neurorbit.bindings.stacked_adam import adam_update, penalty_and_norm

SIZES = [(1, 1), (3, 17), (2, 40_000), (5, 16_384)]
DTYPES = (torch.float32, torch.float64)


def buffers(E, P, dtype, count=4):
    g = torch.Generator().manual_seed(E * P)
    found = [torch.randn(E, P, generator=g, dtype=torch.float64).to(dtype) for _ in range(count)]
    return found if count < 4 else [*found[:3], found[3].square()]


@pytest.fixture(params=("compiled", "torch"))
def form(request, monkeypatch):
    if request.param == "torch":
        monkeypatch.setattr(stacked_adam, "_compiled", lambda values: None)
    elif stacked_adam._kernel() is None:
        pytest.skip("numba is not installed")
    return request.param


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize(("E", "P"), SIZES)
def test_penalty_and_norm_from_the_formulas(form, E, P, dtype):
    values, gradients = buffers(E, P, dtype, 2)
    factors = torch.linspace(0, 2, P, dtype=dtype)
    exact = gradients.double() + 2 * factors.double() * values.double()
    penalty, norm = penalty_and_norm(values, gradients, factors)
    torch.testing.assert_close(gradients, exact.to(dtype))
    torch.testing.assert_close(
        penalty, (factors.double() * values.double().square()).sum(1).to(dtype), rtol=1e-5, atol=0
    )
    torch.testing.assert_close(norm, exact.norm(dim=1).to(dtype), rtol=1e-5, atol=0)
    before = gradients.clone()
    none, norm = penalty_and_norm(values, gradients)
    assert torch.equal(gradients, before) and not none.any()
    torch.testing.assert_close(norm, before.norm(dim=1), rtol=1e-5, atol=0)


def by_hand(values, gradients, mean, square, norm, rate, *, betas, eps, clip, divided, largest):
    """The same in float64."""
    if clip:
        gradients = gradients * torch.minimum(clip / (norm + 1e-6), torch.ones_like(norm))[:, None]
    mean = betas[0] * mean + (1 - betas[0]) * gradients
    square = betas[1] * square + (1 - betas[1]) * gradients**2
    change = rate[:, None] * mean / (square.sqrt() + eps if divided else 1)
    return values - change.clamp(-largest, largest), mean, square


@pytest.mark.parametrize("divided", (True, False))
@pytest.mark.parametrize("clip", (0.0, 0.5))
@pytest.mark.parametrize("largest", (1e6, 1e-3))
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize(("E", "P"), SIZES)
def test_update_from_the_formulas(form, E, P, dtype, clip, divided, largest):
    state, rate = buffers(E, P, dtype), torch.linspace(0.0, 1e-2, E, dtype=dtype)
    options = dict(betas=(0.9, 0.99), eps=1e-6, clip=clip, divided=divided, largest=largest)
    norm = state[1].norm(dim=1)
    expected = by_hand(*(x.double() for x in (*state, norm, rate)), **options)
    adam_update(*state, norm, rate, torch.ones(E, dtype=torch.bool), **options)
    for found, exact in zip((state[0], *state[2:]), expected, strict=True):
        torch.testing.assert_close(found, exact.to(dtype), rtol=2e-6, atol=1e-7)


def test_a_dead_model_stays_whatever_its_gradients(form):
    state = buffers(3, 50, torch.float32)
    state[1][1] = torch.nan
    before = [x.clone() for x in state]
    norm = state[1].norm(dim=1)
    options = dict(betas=(0.9, 0.99), eps=1e-6, clip=1.0, divided=True, largest=1e6)
    adam_update(*state, norm, torch.full((3,), 0.1), norm.isfinite(), **options)
    for i in (0, 2, 3):
        assert torch.equal(state[i][1], before[i][1])
    for e in (0, 2):
        assert not torch.equal(state[0][e], before[0][e]) and state[0][e].isfinite().all()
    assert all(x[[0, 2]].isfinite().all() for x in state[2:])


def test_a_gradient_that_is_no_number_shows_in_the_norm(form):
    values, gradients = buffers(2, 40_000, torch.float32, 2)
    gradients[1, 20_000] = torch.inf
    _, norm = penalty_and_norm(values, gradients, torch.ones(40_000))
    assert norm.isfinite().tolist() == [True, False]


def test_same_bits_on_any_number_of_threads():
    before, found = torch.get_num_threads(), []
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            state = buffers(3, 40_000, torch.float32)
            penalty, norm = penalty_and_norm(state[0], state[1], torch.ones(40_000))
            adam_update(*state, norm, torch.full((3,), 0.1), torch.ones(3, dtype=torch.bool), betas=(0.9, 0.99),
                        eps=1e-6, clip=1.0, divided=True, largest=1e6)  # fmt: skip
            found.append((penalty, norm, *state))
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(a, b) for other in found[1:] for a, b in zip(found[0], other, strict=True))
