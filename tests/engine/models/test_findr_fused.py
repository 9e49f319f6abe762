"""FINDR's gradient without a graph against autograd's, for one and several sessions, and where there is none."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from test_findr_model import SMALL, TRIALS, objective

from neurorbit.engine.data.spike_trials import SpikeTrials
from neurorbit.engine.models.findr import fused
from neurorbit.engine.models.findr.config import ModelConfig
from neurorbit.engine.simulate.decision import decision
from neurorbit.engine.training.stack import ParameterStack

FUSED = {
    "plain": {},
    "bias, two layers": {"model": ModelConfig(bias=True), "features": (6, 5)},
    "exp": {"model": ModelConfig(link="exp")},
    "tied": {"model": ModelConfig(posterior="tied")},
}


@pytest.mark.parametrize("inputs", (True, False))
@pytest.mark.parametrize("changes", FUSED.values(), ids=list(FUSED))
def test_the_gradient_is_that_of_autograd(changes, inputs):
    trials = TRIALS if inputs else SpikeTrials.from_arrays(TRIALS.counts, TRIALS.lengths, bin_s=TRIALS.bin_s)
    o = objective(dataclasses.replace(SMALL, **changes), trials)
    stack = ParameterStack(o.module.named_parameters())
    for step in (0, 3 * o.batches.per_epoch + 1):
        terms = o.gradients(step, stack)
        found = stack.gradients.clone()
        expected = o.terms(step)
        stack.differentiate(torch.stack(expected).sum())
        for a, b in zip(terms, expected, strict=True):
            torch.testing.assert_close(a, b.detach(), rtol=1e-6, atol=1e-7)
        scale = stack.gradients.abs().max()
        torch.testing.assert_close(found / scale, stack.gradients / scale, rtol=1e-5, atol=1e-6)
        assert stack.gradients.abs().sum() > 0


@pytest.mark.parametrize("model", [ModelConfig(irrelevant_size=3), ModelConfig(flow="line")])
def test_no_such_way_for_the_other_models(model):
    o = objective(dataclasses.replace(SMALL, model=model))
    stack = ParameterStack(o.module.named_parameters())
    assert o.gradients(0, stack) is None and not stack.gradients.any()


def test_the_definition_as_backend_gives_the_same():
    o, other = objective(SMALL), objective(dataclasses.replace(SMALL, backend="reference"))
    stack, twin = ParameterStack(o.module.named_parameters()), ParameterStack(other.module.named_parameters())
    for a, b in zip(o.gradients(0, stack), other.gradients(0, twin), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)
    scale = stack.gradients.abs().max()
    torch.testing.assert_close(stack.gradients / scale, twin.gradients / scale, rtol=1e-3, atol=1e-5)


def test_sessions_take_turns_and_leave_each_others_weights_alone():
    other = decision(n_trials=24, n_neurons=4, shortest=6, longest=14, seed=4)
    o = objective(SMALL, TRIALS, other)
    stack = ParameterStack(o.module.named_parameters())
    seen = set()
    for step in range(o.batches.per_epoch):
        session, _ = o.batches.draw(step)
        seen.add(session)
        o.gradients(step, stack)
        found = stack.gradients.clone()
        stack.differentiate(torch.stack(o.terms(step)).sum())
        scale = stack.gradients.abs().max()
        torch.testing.assert_close(found / scale, stack.gradients / scale, rtol=1e-5, atol=1e-6)
        assert not stack.named(found)[f"readout.{1 - session}.C"].any()
        assert stack.named(found)[f"readout.{session}.C"].any()
    assert seen == {0, 1}


@pytest.mark.parametrize("posterior", ("own", "tied"))
@pytest.mark.parametrize("few", (1, 2))
def test_a_few_models_at_a_time_have_the_same_bits_as_all(few, posterior, monkeypatch):
    o = objective(dataclasses.replace(SMALL, model=ModelConfig(posterior=posterior)))
    assert len(o.members) == 3
    stack = ParameterStack(o.module.named_parameters())
    terms = o.gradients(0, stack)
    gradients = stack.gradients.clone()
    step_bytes = 8 * 4 * TRIALS.n_bins * SMALL.encoder_size * 4
    monkeypatch.setattr(fused, "_KEPT_BYTES", few * step_bytes)
    other = ParameterStack(o.module.named_parameters())
    found = o.gradients(0, other)
    assert len(o._fused[0]._parts) == -(-3 // few)
    assert all(torch.equal(a, b) for a, b in zip(terms, found, strict=True))
    assert torch.equal(other.gradients, gradients)
