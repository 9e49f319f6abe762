"""The stacked optimiser against torch's own, model by model."""

import pytest
import torch
from torch import nn

from neurorbit.engine.training.optimiser import StackedAdam, exponential_decay
from neurorbit.engine.training.stack import ParameterStack

RATES = (1e-2, 3e-3, 1e-3)


class Stack(nn.Module):
    def __init__(self, values: dict[str, torch.Tensor]) -> None:
        super().__init__()
        for name, value in values.items():
            self.register_parameter(name, nn.Parameter(value.clone()))


def start(E: int = 3) -> dict[str, torch.Tensor]:
    g = torch.Generator().manual_seed(1)
    return {
        "W": torch.randn(E, 4, 3, generator=g, dtype=torch.float64),
        "h": torch.randn(E, 2, generator=g, dtype=torch.float64),
    }


def losses(W: torch.Tensor, h: torch.Tensor) -> torch.Tensor:
    """Per model, curved differently in each coordinate."""
    scale = torch.arange(1, 5, dtype=W.dtype)[:, None]
    return (W.square() * scale).sum((1, 2)) + (h - 1).pow(4).sum(1) + W[:, 0, 0] * h[:, 0]


def train_stack(
    steps: int, clip: float = 0.0, alive: torch.Tensor | None = None, rectified: bool = True
) -> dict[str, torch.Tensor]:
    module = Stack(start())
    stack = ParameterStack(module.named_parameters())
    optimiser = StackedAdam(stack, rectified=rectified, clip=clip)
    alive = torch.ones(3, dtype=torch.bool) if alive is None else alive
    for step in range(steps):
        stack.differentiate(losses(module.W, module.h).sum())
        optimiser.update(step, torch.tensor(RATES, dtype=torch.float64), optimiser.gradient_norm()[1], alive)
    return {n: p.detach().clone() for n, p in module.named_parameters()}


def train_torch(model: int, steps: int, clip: float = 0.0, rectified: bool = True) -> dict[str, torch.Tensor]:
    module = Stack({n: v[model : model + 1] for n, v in start().items()})
    optimiser = (torch.optim.RAdam if rectified else torch.optim.Adam)(module.parameters(), lr=RATES[model])
    for _ in range(steps):
        optimiser.zero_grad()
        losses(module.W, module.h).sum().backward()
        if clip:
            nn.utils.clip_grad_norm_(module.parameters(), clip)
        optimiser.step()
    return {n: p.detach() for n, p in module.named_parameters()}


@pytest.mark.parametrize("steps", [1, 5, 6, 40])  # the rectified form begins at step 6
@pytest.mark.parametrize("clip", [0.0, 0.5])
@pytest.mark.parametrize("rectified", [True, False])
def test_equals_torch_for_each_model(steps: int, clip: float, rectified: bool) -> None:
    found = train_stack(steps, clip, rectified=rectified)
    for model in range(3):
        expected = train_torch(model, steps, clip, rectified)
        for name in ("W", "h"):
            torch.testing.assert_close(found[name][model], expected[name][0], rtol=1e-12, atol=1e-12)


def test_a_model_that_is_not_alive_stays_bit_for_bit_and_the_others_do_not_notice() -> None:
    all_alive, one_gone = train_stack(20), train_stack(20, alive=torch.tensor([True, False, True]))
    for name, value in start().items():
        assert torch.equal(one_gone[name][1], value[1])
        assert torch.equal(one_gone[name][[0, 2]], all_alive[name][[0, 2]])


def test_a_gradient_that_is_not_finite_does_not_reach_the_parameters() -> None:
    module = Stack(start())
    stack = ParameterStack(module.named_parameters())
    optimiser = StackedAdam(stack, clip=1.0)
    before = stack.values.clone()
    stack.gradients.fill_(1.0)
    stack.gradients[1, 3] = torch.nan
    _, norm = optimiser.gradient_norm()
    optimiser.update(0, torch.full((3,), 0.1, dtype=torch.float64), norm, norm.isfinite())
    assert torch.equal(stack.values[1], before[1])
    assert bool(torch.isfinite(stack.values).all()) and not torch.equal(stack.values[0], before[0])


def test_parameters_are_views_of_the_stack() -> None:
    module = Stack(start())
    stack = ParameterStack(module.named_parameters())
    stack.values[2, -1] = 7.0
    assert module.h[2, 1] == 7.0
    assert stack.named(stack.values)["W"].shape == (3, 4, 3)


def test_the_rate_falls_exponentially_from_each_models_own_to_the_final_one() -> None:
    starts = torch.tensor([1e-3, 1e-2], dtype=torch.float64)
    rates = torch.stack([exponential_decay(starts, 1e-6, epoch, 11) for epoch in range(11)])
    torch.testing.assert_close(rates[0], starts)
    torch.testing.assert_close(rates[-1], torch.full_like(starts, 1e-6))
    ratios = rates[1:] / rates[:-1]
    torch.testing.assert_close(ratios, ratios[:1].expand_as(ratios))
