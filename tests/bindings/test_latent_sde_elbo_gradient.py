"""The bound's gradient without a graph: that of the graph, in every form of the weights."""

from __future__ import annotations

import pytest
import torch
from test_latent_sde_elbo import CASES, EVERYTHING, arguments, one_node, parameters, with_gradients
from torch import Tensor

from neurorbit.bindings.latent_sde_elbo import latent_sde_elbo, latent_sde_elbo_gradient
from neurorbit.bindings.rollout_gated_sde import (
    GatedWeights,
    PackedWeights,
    gated_drift,
    packed_weights,
    rollout_gated_sde,
)


def weights_of(values) -> tuple[Tensor, Tensor]:
    """As `with_gradients` weighs the terms."""
    shape = len(values["C"]), values["y"].shape[1]
    weight = torch.linspace(0.3, 1.7, shape[0] * shape[1]).to(values["C"]).view(shape)
    return weight, -weight


def flat(found) -> list[Tensor]:
    """The gradients in the order of `parameters`."""
    return parameters(found._asdict())


def packed(values):
    """The same arguments with packed weights."""
    M = values["C"].shape[2]
    drifts = {
        n: values[n]._replace(weights=PackedWeights(*packed_in(values[n].weights, M))) for n in ("posterior", "prior")
    }
    return values | drifts


def packed_in(weights: GatedWeights, M: int):
    row, hidden = packed_weights(weights)
    return row, M, hidden


@pytest.mark.parametrize("backend", (None, "reference"))
@pytest.mark.parametrize("name", CASES)
def test_it_is_the_gradient_of_the_graph(name, backend):
    values = arguments(**CASES[name]) | {"backend": backend}
    terms, expected = with_gradients(lambda v: latent_sde_elbo(**v), values)
    found = latent_sde_elbo_gradient(*weights_of(values), **values)
    torch.testing.assert_close(found.nll, terms.nll.detach(), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(found.kl, terms.kl.detach(), rtol=1e-12, atol=1e-12)
    every = flat(found)
    assert len(every) == len(expected)
    for gradient, known in zip(every, expected, strict=True):
        torch.testing.assert_close(gradient, known, rtol=1e-10, atol=1e-11)
    assert not any(x.requires_grad for x in (found.nll, found.kl, *every))


def test_leaves_that_require_a_gradient_change_nothing():
    values = arguments(present="x lengths bias noise_seed")
    first = latent_sde_elbo_gradient(*weights_of(values), **values)
    for p in parameters(values):
        p.requires_grad_()
    second = latent_sde_elbo_gradient(*weights_of(values), **values)
    assert all(torch.equal(a, b) for a, b in zip(flat(first), flat(second), strict=True))


def test_unchecked_calls_have_the_same_bits_and_checked_ones_still_refuse():
    values = arguments(present="x lengths bias noise_seed", counts=torch.int16)
    first = latent_sde_elbo_gradient(*weights_of(values), **values)
    second = latent_sde_elbo_gradient(*weights_of(values), check=False, **values)
    assert all(torch.equal(a, b) for a, b in zip(flat(first), flat(second), strict=True))
    values["y"][0, 0, 0, 0] = -1
    with pytest.raises(ValueError, match="expected counts >= 0"):
        latent_sde_elbo_gradient(*weights_of(values), **values)


@pytest.mark.parametrize("hidden", ((5,), (4, 3)))
def test_packed_weights_are_the_weights(hidden):
    values = arguments(present="x lengths noise_seed", hidden=hidden)
    expected = latent_sde_elbo_gradient(*weights_of(values), **values)
    found = latent_sde_elbo_gradient(*weights_of(values), **packed(values))
    assert torch.equal(found.nll, expected.nll) and torch.equal(found.kl, expected.kl)
    for part in ("posterior", "prior"):
        row, _ = packed_weights(getattr(expected, part).weights)
        assert torch.equal(getattr(found, part).weights.row, row)


def test_the_drifts_own_functions_take_packed_weights():
    values = arguments(present="x")
    (weights, V), x = values["prior"], values["x"]
    row = PackedWeights(*packed_in(weights, 2))
    z0 = torch.zeros(2, 4, 2, dtype=torch.float64)
    for a, b in zip(
        rollout_gated_sde(z0, weights, x=x, V=V, a=0.1), rollout_gated_sde(z0, row, x=x, V=V, a=0.1), strict=True
    ):
        assert torch.equal(a, b)
    z = torch.ones(2, 4, 7, 2, dtype=torch.float64)
    assert torch.equal(gated_drift(z, weights, x=x, V=V), gated_drift(z, row, x=x, V=V))
    with pytest.raises(ValueError, match=r"weights.row: expected \[E, P="):
        gated_drift(z, row._replace(row=row.row[:, 1:]))


def test_packed_weights_through_the_definition():
    values = packed(arguments(present="x lengths noise_seed"))
    expected = latent_sde_elbo_gradient(*weights_of(values), **values)
    found = latent_sde_elbo_gradient(*weights_of(values), **values, backend="reference")
    pairs = [(getattr(found, n), getattr(expected, n)) for n in ("nll", "kl", "C", "sigma")]
    for a, b in [*pairs, (found.posterior.V, expected.posterior.V)]:
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-10)
    torch.testing.assert_close(found.prior.weights.row, expected.prior.weights.row, rtol=1e-9, atol=1e-10)
    assert found.prior.weights.hidden == (5,)


@pytest.mark.parametrize(
    ("weight", "error", "message"),
    [
        (torch.ones(2, 1).double(), ValueError, r"weight_kl: expected \[E=2, B=4\], got \[2, 1\]"),
        (torch.ones(4).double(), ValueError, r"weight_kl: expected \[E=2, B=4\], got \[4\]"),
        (torch.ones(2, 4), TypeError, "weight_kl: expected torch.float64 on cpu as C, got torch.float32 on cpu"),
        (1.0, TypeError, "weight_kl: expected a tensor, got float"),
    ],
)
def test_refuses_weights(weight, error, message):
    values = arguments(present="x")
    with pytest.raises(error, match=message):
        latent_sde_elbo_gradient(weights_of(values)[0], weight, **values)


def test_a_step_before_the_first_is_refused_on_every_call():
    values = arguments(present="noise_seed")
    latent_sde_elbo(**values)
    with pytest.raises(ValueError, match="first_step"):
        latent_sde_elbo(**values, first_step=-1)


@pytest.mark.parametrize("name", ("y", "x", "lengths", "baseline_trial", "baseline_time", "noise_seed"))
def test_data_that_changed_before_the_adjoint_are_noticed(name):
    values = arguments(present=EVERYTHING)
    values["lengths"] = values["lengths"].clone()
    values["C"].requires_grad_()
    nll = one_node(values).nll
    values[name].fill_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        nll.sum().backward()
