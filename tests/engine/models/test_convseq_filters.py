"""The two formulations of the filters, and their seeds."""

import math
from typing import Any

import pytest
import torch

from neurorbit.engine.models.convseq.config import ConvseqConfig, FilterConfig
from neurorbit.engine.models.convseq.filters import SequenceFilters


def filters(seeds: list[int], K: int = 2, N: int = 3, W: int = 7, **model: Any) -> SequenceFilters:
    return SequenceFilters(ConvseqConfig(filters=K, width=W, model=FilterConfig(**model)), N, seeds)


def test_free_filters_are_a_softmax_over_lags() -> None:
    module = filters([0, 1])
    e = module.values.detach().exp()
    assert module().shape == (2, 2, 3, 7)
    assert torch.allclose(module(), e / e.sum(-1, keepdim=True), rtol=1e-6)


def test_gaussian_filters_are_bumps_over_lags_from_1() -> None:
    module = filters([0], formulation="gaussian", sigma=2.0)
    with torch.no_grad():
        module.mu.copy_(torch.tensor([[[1.0, 3.0, 6.5], [2.0, 7.0, 4.0]]]))
    w, mu = module().detach(), module.mu.detach()
    for k in range(2):
        for n in range(3):
            for lag in range(1, 8):
                expected = math.exp(-((lag - float(mu[0, k, n])) ** 2) / (2 * 2.0**2))
                assert w[0, k, n, lag - 1].item() == pytest.approx(expected, rel=1e-5)
    assert w[0, 0].argmax(-1).tolist()[:2] == [0, 2]


def test_middles_stay_in_the_window() -> None:
    module = filters([0], formulation="gaussian")
    assert bool(((module.mu >= 1) & (module.mu <= 7)).all())
    with torch.no_grad():
        module.mu.copy_(torch.tensor([[[-5.0, 0.99, 1.0], [6.5, 7.01, 1e9]]]))
    module.constrain()
    assert module.mu.tolist() == [[[1.0, 1.0, 1.0], [6.5, 7.0, 7.0]]]


def test_sigma_is_a_parameter_only_when_learned() -> None:
    assert set(dict(filters([0], formulation="gaussian").named_parameters())) == {"mu"}
    learned = filters([0], formulation="gaussian", learn_sigma=True, sigma=3.0)
    assert set(dict(learned.named_parameters())) == {"mu", "log_sigma"}
    assert torch.allclose(learned.log_sigma.exp(), torch.tensor(3.0))
    learned().square().sum().backward()
    assert learned.log_sigma.grad is not None and bool((learned.log_sigma.grad > 0).all())  # wider is more


@pytest.mark.parametrize("formulation", ["free", "gaussian"])
def test_loadings_scale_each_neuron(formulation: str) -> None:
    bare, loaded = (filters([4], formulation=formulation, loadings=on) for on in (False, True))
    assert torch.allclose(loaded(), bare() * 0.5, rtol=1e-6)  # sigmoid(0)
    with torch.no_grad():
        loaded.loadings[0, 1, 2] = 3.0
    assert torch.allclose(loaded()[0, 1, 2], bare()[0, 1, 2] / (1 + math.exp(-3.0)), rtol=1e-6)
    assert torch.allclose(loaded()[0, 1, :2], bare()[0, 1, :2] * 0.5, rtol=1e-6)


@pytest.mark.parametrize("formulation", ["free", "gaussian"])
def test_a_model_depends_on_its_own_seed_alone(formulation: str) -> None:
    before = torch.random.get_rng_state()
    together = filters([5, 6, 5], formulation=formulation)()
    assert torch.equal(torch.random.get_rng_state(), before)
    assert torch.equal(together[0], together[2]) and not torch.equal(together[0], together[1])
    assert torch.equal(filters([6], formulation=formulation)()[0], together[1])
