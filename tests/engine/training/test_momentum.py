"""Momentum against torch's own, model by model; the schedule with warm restarts at places known by hand."""

import math

import pytest
import torch
from torch import nn

from neurorbit.engine.training.momentum import StackedSgd
from neurorbit.engine.training.schedules import half_cosine, warm_restarts
from neurorbit.engine.training.stack import ParameterStack

RATES = (1e-2, 3e-3, 1e-3)


def values() -> torch.Tensor:
    return torch.randn(3, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def loss(W: torch.Tensor) -> torch.Tensor:
    return (W.square() * torch.arange(1, 5, dtype=W.dtype)).sum(1) + W[:, 0].pow(4)


def train_stack(clip: float, alive: torch.Tensor) -> torch.Tensor:
    W = nn.Parameter(values())
    stack = ParameterStack([("W", W)])
    optimiser = StackedSgd(stack, momentum=0.8, clip=clip)
    for step in range(30):
        stack.differentiate(loss(W).sum())
        optimiser.update(step, torch.tensor(RATES, dtype=torch.float64), optimiser.gradient_norm()[1], alive)
    return W.detach().clone()


@pytest.mark.parametrize("clip", [0.0, 0.5])
def test_equals_torch_for_each_model(clip: float) -> None:
    found = train_stack(clip, torch.ones(3, dtype=torch.bool))
    for model, rate in enumerate(RATES):
        W = nn.Parameter(values()[model : model + 1])
        optimiser = torch.optim.SGD([W], lr=rate, momentum=0.8)
        for _ in range(30):
            optimiser.zero_grad()
            loss(W).sum().backward()
            if clip:
                nn.utils.clip_grad_norm_([W], clip)
            optimiser.step()
        torch.testing.assert_close(found[model], W.detach()[0], rtol=1e-12, atol=1e-12)


def test_a_model_that_is_not_alive_stays_bit_for_bit_and_the_others_do_not_notice() -> None:
    whole, gone = train_stack(0.5, torch.ones(3, dtype=torch.bool)), train_stack(0.5, torch.tensor([True, False, True]))
    assert torch.equal(gone[1], values()[1])
    assert torch.equal(gone[[0, 2]], whole[[0, 2]])


def test_a_gradient_that_is_not_finite_does_not_reach_a_model_that_has_stopped() -> None:
    W = nn.Parameter(values())
    stack = ParameterStack([("W", W)])
    optimiser = StackedSgd(stack)
    stack.gradients.fill_(1.0)
    stack.gradients[1] = torch.nan
    alive = torch.tensor([True, False, True])
    for step in range(2):
        optimiser.update(step, torch.full((3,), 0.1, dtype=torch.float64), optimiser.gradient_norm()[1], alive)
    assert torch.equal(W.detach()[1], values()[1])
    torch.testing.assert_close(W.detach()[0], values()[0] - 0.1 * (1 + 1.9))


def test_momentum_out_of_range() -> None:
    with pytest.raises(ValueError, match="momentum: expected 0 to below 1, got 1"):
        StackedSgd(ParameterStack([("W", nn.Parameter(values()))]), momentum=1.0)


@pytest.mark.parametrize(
    ("epoch", "factor"),
    [(0, 0.0), (5, 0.5), (10, 1.0), (100, 0.5), (190, 0.0), (195, 0.5), (200, 1.0), (190 + 195, 0.5), (570, 0.0),
     (580, 1.0), (1330 + 10, 1.0), (2850, 0.0)],
)  # fmt: skip
def test_cycles_of_190_380_760_and_1520_epochs(epoch: float, factor: float) -> None:
    assert warm_restarts(epoch) == pytest.approx(factor, abs=1e-12)


def test_half_a_cosine() -> None:
    assert [half_cosine(x) for x in (0.0, 0.5, 1.0, 2.0)] == pytest.approx([1.0, 0.5, 0.0, 0.0])
    assert half_cosine(1 / 3) == pytest.approx(0.5 + 0.5 * math.cos(math.pi / 3))
