"""The bound as one node of the graph: its definition by the four ops, the equations themselves, what it refuses."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import poisson
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from neurorbit.bindings.latent_sde_elbo import (
    DrivenDrift,
    GruWeights,
    LatentSdeElbo,
    _Data,
    _op_by_op,
    _Options,
    latent_sde_elbo,
)
from neurorbit.bindings.rollout_gated_sde import GatedWeights, rollout_gated_sde

A, BIN_S = 0.1, 0.01
LATE, NODE = torch.tensor([[7, 3, 0, 5]]), "_BoundBackward"


class Draws:
    """Normal numbers from one seed."""

    def __init__(self, seed: int, dtype: torch.dtype) -> None:
        self.generator, self.dtype = torch.Generator().manual_seed(seed), dtype

    def __call__(self, *shape, scale=1.0):
        return torch.randn(*shape, generator=self.generator, dtype=torch.float64).mul(scale).to(self.dtype)

    def counts(self, mean, *shape):
        return torch.poisson(torch.full(shape, mean), generator=self.generator)

    def drift(self, E, M, hidden, columns):
        pairs = zip((M, *hidden), hidden, strict=False)
        layers = [(self(E, i, j, scale=0.6), self(E, j, scale=0.3)) for i, j in pairs]
        (W1, b1), *further = layers
        weights = GatedWeights(self(E, M, M), self(E, M), W1, b1, self(E, hidden[-1], M), self(E, M), tuple(further))
        return DrivenDrift(weights, self(E, columns, M + hidden[0], scale=0.5) if columns else None)


def arguments(E=2, rows=1, B=4, T=7, N=6, M=2, K=3, U=2, hidden=(5,), present="", dtype=torch.float64,
              counts=torch.uint8, **changes):  # fmt: skip
    """Everything that the function takes; `present` names the optional ones."""
    draw, asked = Draws(5, dtype), present.split()
    U = U if "x" in asked else 0
    W_in, b_in = draw(E, N + U, 2, 3 * K, scale=0.5), draw(E, 2, 3 * K, scale=0.3)
    found = {
        "y": draw.counts(0.6, rows, B, T, N).to(counts),
        "encoder": GruWeights(W_in, b_in, draw(E, 2, K, 3 * K, scale=0.5), draw(E, 2, 3 * K, scale=0.3)),
        "posterior": draw.drift(E, M, hidden, U + 2 * K), "prior": draw.drift(E, M, hidden, U),
        "C": draw(E, N, M), "sigma": draw(E, M).sigmoid() + 0.2, "noise_seed": None, "a": A, "bin_s": BIN_S,
    }  # fmt: skip
    optional = {
        "x": lambda: draw(rows, B, T, U), "lengths": lambda: LATE[:, :B].clamp_max(T).expand(rows, -1),
        "bias": lambda: draw(E, N), "baseline_trial": lambda: draw(rows, B, N, scale=2.0),
        "baseline_time": lambda: draw(rows, T, N, scale=2.0), "noise_seed": lambda: torch.arange(3, 3 + E),
        "noise_stream": lambda: torch.arange(E * B).view(E, B) % 5,
    }  # fmt: skip
    found |= {name: make() for name, make in optional.items() if name in asked}
    return found | changes


def parameters(values):
    """Every tensor that gets a gradient."""
    drifts = [
        [*d.weights[:6], *(x for pair in d.weights.further for x in pair), *([] if d.V is None else [d.V])]
        for d in (values["posterior"], values["prior"])
    ]
    bias = values.get("bias")
    return [*values["encoder"], *drifts[0], *drifts[1], values["C"], values["sigma"], *([] if bias is None else [bias])]


def replaced(values, tensors):
    """The arguments with other parameters, in the same order."""
    given = iter(tensors)

    def drift(old):
        six = [next(given) for _ in range(6)]
        further = tuple((next(given), next(given)) for _ in old.weights.further)
        return DrivenDrift(GatedWeights(*six, further), None if old.V is None else next(given))

    changed = {"encoder": GruWeights(*(next(given) for _ in range(4)))}
    changed |= {"posterior": drift(values["posterior"]), "prior": drift(values["prior"])}
    changed |= {"C": next(given), "sigma": next(given)}
    return {**values, **changed} | ({} if values.get("bias") is None else {"bias": next(given)})


def op_by_op(values) -> LatentSdeElbo:
    """The definition, on the kernels."""
    v = {"link": "softplus", "first_step": 0, "backend": None, **values}
    data = _Data(v["y"], *(v.get(n) for n in ("x", "lengths", "baseline_trial", "baseline_time")))
    options = _Options(v["a"], v["bin_s"], v["link"], v["first_step"], v["backend"])
    return _op_by_op(
        data, v["encoder"], v["posterior"], v["prior"], v["sigma"], v["C"], v.get("bias"), v["noise_seed"],
        v.get("noise_stream"), options,
    )  # fmt: skip


def with_gradients(function, values):
    """(terms, gradients of a weighted sum of them)."""
    leaves = [p.detach().clone().requires_grad_() for p in parameters(values)]
    terms = function(replaced(values, leaves))
    weights = [torch.linspace(0.3, 1.7, t.numel()).to(t).view_as(t) for t in terms]
    total = (terms[0] * weights[0]).sum() - (terms[1] * weights[1]).sum()
    return terms, torch.autograd.grad(total, leaves, materialize_grads=True)


def one_node(values) -> LatentSdeElbo:
    found = latent_sde_elbo(**values)
    assert found.nll.grad_fn is not None and found.nll.grad_fn.name() == NODE
    return found


EVERYTHING = "x lengths bias baseline_trial baseline_time noise_seed"
CASES = {
    "bare": {},
    "everything, shared data": dict(E=3, present=EVERYTHING, counts=torch.int16),
    "everything, data of their own": dict(rows=2, present=f"{EVERYTHING} noise_stream", counts=torch.int32),
    "two hidden layers": dict(hidden=(5, 4), present="x lengths noise_seed"),
    "exp": dict(present="bias baseline_time lengths", link="exp"),
    "identity": dict(present="x baseline_trial noise_seed", link="identity"),
    "later steps of the noise": dict(present="x noise_seed", first_step=41),
    "no inputs": dict(present="lengths bias noise_seed", M=3, K=4),
    "many neurons": dict(N=70, B=3, T=4, present="x bias noise_seed"),
    "one of each": dict(E=1, B=1, T=1, N=1, M=1, K=1, U=1, hidden=(1,), present="x noise_seed"),
}


@pytest.mark.parametrize("name", CASES)
def test_it_is_its_four_ops(name):
    values = arguments(**CASES[name])
    found, grads = with_gradients(one_node, values)
    for other, tolerance in ((op_by_op, 1e-12), (lambda v: latent_sde_elbo(**v, backend="reference"), 1e-10)):
        terms, expected = with_gradients(other, values)
        for a, b in zip((*found, *grads), (*terms, *expected), strict=True):
            torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance * max(1.0, float(b.detach().abs().max())))


def test_in_float32_too():
    values = arguments(E=3, present=EVERYTHING, dtype=torch.float32)
    found, grads = with_gradients(one_node, values)
    terms, expected = with_gradients(op_by_op, values)
    assert found.nll.dtype == torch.float32
    for a, b in zip((*found, *grads), (*terms, *expected), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=2e-6 * max(1.0, float(b.detach().abs().max())))


@pytest.mark.parametrize("present", ("x lengths bias noise_seed", "baseline_time"))
def test_gradcheck(present):
    values = arguments(E=2, B=2, T=3, N=2, M=2, K=2, U=1, hidden=(3,), present=present)
    leaves = [p.requires_grad_() for p in parameters(values)]
    assert torch.autograd.gradcheck(
        lambda *given: tuple(one_node(replaced(values, given))), leaves, eps=1e-6, atol=2e-5, rtol=1e-4
    )


def drift_of(weights: GatedWeights, e: int, z: Tensor, drive: Tensor) -> Tensor:
    """The gated drift of one model from its equations."""
    M = z.shape[-1]
    gate = torch.sigmoid(z @ weights.Wg[e] + weights.bg[e] + drive[..., :M])
    h = nn.functional.silu(z @ weights.W1[e] + weights.b1[e] + drive[..., M:])
    for W, b in weights.further:
        h = nn.functional.silu(h @ W[e] + b[e])
    return gate * (torch.tanh(h @ weights.Wo[e] + weights.bo[e]) - z)


def encoding_of(values, e: int) -> Tensor:
    """States of torch's own GRU over counts and inputs, [B, T, 2 K]."""
    W_in, b_in, W, b = (p[e] for p in values["encoder"])
    gru = nn.GRU(W_in.shape[0], W.shape[1], batch_first=True, bidirectional=True, dtype=torch.float64)
    for d, end in enumerate(("", "_reverse")):
        for name, value in (
            ("weight_ih", W_in[:, d].T),
            ("bias_ih", b_in[d]),
            ("weight_hh", W[d].T),
            ("bias_hh", b[d]),
        ):
            getattr(gru, f"{name}_l0{end}").data.copy_(value)
    y = values["y"][min(e, len(values["y"]) - 1)]
    seen = torch.cat([y.double(), values["x"][min(e, len(values["x"]) - 1)]], 2)
    packed = pack_padded_sequence(seen, values["lengths"][0], batch_first=True, enforce_sorted=False)
    return pad_packed_sequence(gru(packed)[0], batch_first=True, total_length=seen.shape[1])[0]


@torch.no_grad()
def by_hand(values) -> tuple[Tensor, Tensor]:
    """One bin after the other: torch's GRU, the equations of both drifts, scipy's Poisson."""
    E, B = len(values["C"]), values["y"].shape[1]
    U, seed, M = values["x"].shape[-1], values["noise_seed"], values["C"].shape[2]
    posterior, prior = values["posterior"], values["prior"]
    nll, kl = torch.zeros(E, B, dtype=torch.float64), torch.zeros(E, B, dtype=torch.float64)
    driven = torch.stack([torch.cat((values["x"][0], encoding_of(values, e)), 2) @ posterior.V[e] for e in range(E)])
    paths = None
    if seed is not None:  # the noise is rollout_gated_sde's
        paths = rollout_gated_sde(
            torch.zeros(E, B, M).double(), posterior.weights, driven, a=A, sigma=values["sigma"], noise_seed=seed
        ).z
    for e in range(E):
        for b in range(B):
            z = torch.zeros(M).double()
            for t in range(int(values["lengths"][0, b])):
                mu = drift_of(posterior.weights, e, z, driven[e, b, t])
                theta = drift_of(prior.weights, e, z, values["x"][0, b, t] @ prior.V[e][:U])
                kl[e, b] += A / 2 * ((theta - mu) / values["sigma"][e]).square().sum()
                z = z + A * mu if paths is None else paths[e, b, t]
                inside = values["C"][e] @ z + values["bias"][e] + values["baseline_trial"][0, b]
                rate = nn.functional.softplus(inside + values["baseline_time"][0, t]) + 1e-5
                nll[e, b] -= float(poisson.logpmf(values["y"][0, b, t].numpy(), BIN_S * rate.numpy()).sum())
    return nll, kl


@pytest.mark.parametrize("noise", (False, True))
def test_against_the_equations_bin_by_bin(noise):
    present = f"x lengths bias baseline_trial baseline_time {'noise_seed' if noise else ''}"
    values = arguments(B=2, hidden=(5, 4), present=present, lengths=torch.tensor([[7, 4]]))
    nll, kl = by_hand(values)
    found = latent_sde_elbo(**values)
    torch.testing.assert_close(found.nll, nll, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(found.kl, kl, rtol=1e-10, atol=1e-10)
    assert bool((kl > 1e-3).all())


def test_a_posterior_that_is_the_prior_has_no_divergence():
    values = arguments(present="x lengths noise_seed")
    V = torch.cat((values["prior"].V, values["posterior"].V[:, 2:].zero_()), 1)
    values["posterior"] = DrivenDrift(values["prior"].weights, V)
    assert torch.equal(latent_sde_elbo(**values).kl, torch.zeros(2, 4).double())
    values["posterior"].V[1, 3, 1] = 0.5
    kl = latent_sde_elbo(**values).kl
    assert torch.equal(kl[0], torch.zeros(4).double()) and (kl[1, [0, 1, 3]] > 0).all()


def test_without_a_readout_the_likelihood_is_that_of_the_baseline():
    values = arguments(present=EVERYTHING)
    values["C"].zero_()
    inside = values["bias"][:, None, None] + values["baseline_trial"][:, :, None] + values["baseline_time"][:, None]
    rates = nn.functional.softplus(inside) + 1e-5
    costs = -poisson.logpmf(values["y"].numpy(), BIN_S * rates.numpy()).sum(3)  # [E, B, T]
    valid = np.arange(7) < values["lengths"].numpy()[..., None]
    np.testing.assert_allclose(latent_sde_elbo(**values).nll.numpy(), (costs * valid).sum(2), rtol=1e-12)


def test_noise_widens_the_divergence_but_leaves_no_trace_of_its_own():
    """Two seeds give two samples, one seed the same bits; without sigma's noise the seed has no say."""
    values = arguments(present=EVERYTHING)
    first, again = latent_sde_elbo(**values), latent_sde_elbo(**values)
    other = latent_sde_elbo(**values | {"noise_seed": values["noise_seed"] + 1})
    assert torch.equal(first.nll, again.nll) and torch.equal(first.kl, again.kl)
    valid = [0, 1, 3]  # the third trial has no bins
    assert (first.nll != other.nll)[:, valid].all() and (first.nll[:, 2] == 0).all() and (first.kl[:, 2] == 0).all()
    later = latent_sde_elbo(**values, first_step=7)
    assert (first.nll != later.nll)[:, valid].all()


def test_two_calls_have_the_same_bits():
    values = arguments(E=3, present=EVERYTHING, dtype=torch.float32)
    a, b = (with_gradients(one_node, values) for _ in range(2))
    assert all(torch.equal(p, q) for p, q in zip((*a[0], *a[1]), (*b[0], *b[1]), strict=True))


def test_a_kept_graph_gives_the_same_gradients_again():
    values = arguments(present=EVERYTHING)
    leaves = [p.requires_grad_() for p in parameters(values)]
    total = sum(t.sum() for t in one_node(values))
    first = torch.autograd.grad(total, leaves, retain_graph=True)
    again = torch.autograd.grad(total, leaves)
    assert all(torch.equal(p, q) for p, q in zip(first, again, strict=True))


@pytest.mark.parametrize("index", (0, 1))
def test_one_term_alone(index):
    values = arguments(present=EVERYTHING)
    leaves = [p.requires_grad_() for p in parameters(values)]
    alone = torch.autograd.grad(one_node(values)[index].sum(), leaves, materialize_grads=True)
    expected = torch.autograd.grad(op_by_op(values)[index].sum(), leaves, materialize_grads=True)
    for a, b in zip(alone, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-11, atol=1e-12)


def test_some_weights_alone():
    values = arguments(present=EVERYTHING)
    values["encoder"].W.requires_grad_()
    values["prior"].weights.Wo.requires_grad_()
    wanted = (values["encoder"].W, values["prior"].weights.Wo)
    found = torch.autograd.grad(sum(t.sum() for t in one_node(values)), wanted)
    expected = torch.autograd.grad(sum(t.sum() for t in op_by_op(values)), wanted)
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-11, atol=1e-12)


def test_without_gradients():
    values = arguments(present=EVERYTHING)
    for p in parameters(values):
        p.requires_grad_()
    with torch.no_grad():
        quiet = latent_sde_elbo(**values)
    loud = one_node(values)
    assert quiet.nll.grad_fn is None and torch.equal(quiet.nll, loud.nll) and torch.equal(quiet.kl, loud.kl)


def test_a_baseline_that_learns_goes_op_by_op():
    values = arguments(present=EVERYTHING)
    values["baseline_time"].requires_grad_()
    nll = latent_sde_elbo(**values).nll
    assert nll.grad_fn is not None and nll.grad_fn.name() != NODE
    (grad,) = torch.autograd.grad(nll.sum(), values["baseline_time"])
    assert (grad != 0).all()


def test_once_differentiable():
    values = arguments(present=EVERYTHING)
    values["C"].requires_grad_()
    weight = torch.ones(2, 4).double().requires_grad_()
    (grad,) = torch.autograd.grad((one_node(values).nll * weight).sum(), values["C"], create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        grad.sum().backward()


def test_weights_that_changed_before_the_adjoint_are_noticed():
    values = arguments(present=EVERYTHING)
    for p in parameters(values):
        p.requires_grad_()
    for name in ("C", "sigma"):
        nll = one_node(values).nll
        with torch.no_grad():
            values[name].mul_(2)
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            nll.sum().backward()
    nll = one_node(values).nll
    with torch.no_grad():
        values["encoder"].W.mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        nll.sum().backward()


def test_what_follows_a_trials_end_has_no_effect():
    values = arguments(present=EVERYTHING, counts=torch.int16)
    late = torch.arange(7) >= values["lengths"][..., None]
    other = values | {"y": values["y"].masked_fill(late[..., None], -1)}
    other["x"] = values["x"].masked_fill(late[..., None], float("nan"))
    a, b = (with_gradients(one_node, v) for v in (values, other))
    assert all(torch.equal(p, q) for p, q in zip((*a[0], *a[1]), (*b[0], *b[1]), strict=True))


def test_compiles_into_one_graph():
    values = arguments(present="x lengths bias noise_seed")

    def gradients(function):
        return with_gradients(lambda v: function(parameters(v)), values)

    compiled = torch.compile(
        lambda given: latent_sde_elbo(**replaced(values, given)), fullgraph=True, backend="aot_eager"
    )
    found, expected = gradients(compiled), with_gradients(one_node, values)
    for a, b in zip((*found[0], *found[1]), (*expected[0], *expected[1]), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-11, atol=1e-11)


class Named(Tensor):
    """A tensor that is not torch's own."""


@pytest.mark.parametrize("where", ("y", "C", "drift"))
def test_tensors_that_intercept_go_op_by_op(where):
    values = arguments(present=EVERYTHING)
    expected = latent_sde_elbo(**values)
    if where == "drift":
        weights = values["prior"].weights
        values["prior"] = values["prior"]._replace(weights=weights._replace(Wo=weights.Wo.as_subclass(Named)))
    else:
        values[where] = values[where].as_subclass(Named)
    for p in (values["encoder"].W, values["sigma"]):
        p.requires_grad_()
    found = latent_sde_elbo(**values)
    assert found.kl.grad_fn is not None and found.kl.grad_fn.name() != NODE
    torch.testing.assert_close(found.nll.as_subclass(Tensor), expected.nll, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(found.kl.as_subclass(Tensor), expected.kl, rtol=1e-12, atol=1e-12)


def test_a_whole_number_is_a_seed_for_all_models():
    values = arguments(present=EVERYTHING)
    values["C"].requires_grad_()
    by_number = one_node(values | {"noise_seed": 11})
    for seed in (torch.tensor(11), torch.full((2,), 11), torch.full((2,), 11, dtype=torch.int32)):
        assert torch.equal(one_node(values | {"noise_seed": seed}).nll, by_number.nll)
    assert (one_node(values | {"noise_seed": 12}).nll != by_number.nll)[:, [0, 1, 3]].all()
    for seed in (2**63, -(2**63) - 1):
        with pytest.raises(ValueError, match="noise_seed: expected a number of 64 bits"):
            latent_sde_elbo(**values | {"noise_seed": seed})


def drift_with(part, **changes):
    drift = arguments(present=EVERYTHING)[part]
    if "V" in changes:
        return {part: drift._replace(V=changes["V"])}
    return {part: drift._replace(weights=drift.weights._replace(**changes))}


def encoder_with(**changes):
    return {"encoder": arguments(present=EVERYTHING)["encoder"]._replace(**changes)}


REFUSED = {
    r"lengths: expected 0 to T=7, got 0 to 9": dict(lengths=torch.tensor([[7, 9, 0, 5]])),
    r"lengths: expected 0 to T=7, got -1 to 7": dict(lengths=torch.tensor([[7, -1, 0, 5]])),
    r"y: expected counts >= 0, got a negative one in bin 0 of trial 1": dict(
        y=torch.zeros(1, 4, 7, 6, dtype=torch.int16).index_fill(1, torch.tensor(1), -1)
    ),
    r"y: expected \[E=2 or 1, B, T, N\], got \[3, 4, 7, 6\]": dict(y=torch.zeros(3, 4, 7, 6, dtype=torch.uint8)),
    r"W_in: expected N \+ U = 7 rows": dict(y=torch.zeros(1, 4, 7, 5, dtype=torch.uint8)),
    r"bias: expected \[E=2, N=5\]": dict(C=torch.zeros(2, 5, 2).double()),
    r"lengths: expected \[E=2 or 1, B=4\]": dict(lengths=torch.tensor([[7, 3, 0]])),
    r"weights.Wo: expected \[E=2, 5, M=2\], got \[2, 4, 2\]": drift_with("prior", Wo=torch.zeros(2, 4, 2).double()),
    r"prior\.V: expected \[E=2, 2, M \+ H_1\], got \[2, 3, 7\]": drift_with("prior", V=torch.zeros(2, 3, 7).double()),
    r"posterior\.V: expected \[E=2, 8, M \+ H_1\], got \[2, 6, 7\]": drift_with(
        "posterior", V=torch.zeros(2, 6, 7).double()
    ),
    r"V: expected \[E=2, R=8, D=7\], got \[2, 8, 6\]": drift_with(
        "posterior", V=torch.zeros(2, 8, 6).double()
    ),
    r"posterior\.V: is required": drift_with("posterior", V=None),
    r"prior\.V: has no effect without x": drift_with("prior", V=torch.zeros(2, 2, 7).double())
    | drift_with("posterior", V=torch.zeros(2, 6, 7).double())
    | encoder_with(W_in=torch.zeros(2, 6, 2, 9).double())
    | dict(x=None),
    r"link: expected one of": dict(link="relu"),
    r"bin_s: expected a number of seconds > 0": dict(bin_s=0.0),
    r"a: expected > 0": dict(a=-0.1),
    r"noise_stream: has no effect without noise_seed": dict(noise_seed=None, noise_stream=torch.zeros(2, 4).long()),
    r"backend: expected one of": dict(backend="cuda"),
    r"runs on cuda tensors": dict(backend="triton"),
}  # fmt: skip


@pytest.mark.parametrize("before", (False, True))
@pytest.mark.parametrize("message", REFUSED)
def test_refuses(message, before):
    """On the first call and after calls that were right."""
    values = arguments(present=EVERYTHING)
    if before:
        latent_sde_elbo(**values)
    with pytest.raises(ValueError, match=message):
        latent_sde_elbo(**values | REFUSED[message])


@pytest.mark.parametrize("wrong", (torch.tensor([[7, 3, 0, 8]]), torch.tensor([[7, 3, -2, 5]])))
def test_refuses_lengths_of_a_known_shape_on_every_call(wrong):
    values = arguments(present=EVERYTHING, rows=2)
    latent_sde_elbo(**values)
    for _ in range(2):
        with pytest.raises(ValueError, match="lengths: expected 0 to T=7"):
            latent_sde_elbo(**values | {"lengths": wrong.repeat(2, 1)})


def test_a_prior_of_another_size_is_not_taken_for_a_known_one():
    values = arguments(present=EVERYTHING)
    latent_sde_elbo(**values)
    fewer = Draws(1, torch.float64).drift(1, 2, (5,), 2).weights
    wider = Draws(1, torch.float64).drift(2, 3, (5,), 2).weights
    single = Draws(1, torch.float32).drift(2, 2, (5,), 2).weights
    for weights, error in ((fewer, ValueError), (wider, ValueError), (single, TypeError)):
        with pytest.raises(error, match=r"prior|z: expected|weights"):
            latent_sde_elbo(**values | {"prior": values["prior"]._replace(weights=weights)})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (dict(y=torch.zeros(1, 4, 7, 6)), "y: expected uint8, int16, int32, got torch.float32"),
        (encoder_with(b=torch.zeros(2, 2, 9)), "b: expected torch.float64 as W, got torch.float32"),
        (dict(x=torch.zeros(1, 4, 7, 2)), "x: expected torch.float64 as W, got torch.float32"),
        (dict(y=[1]), "y: expected a tensor|drive, y, x: expected tensors"),
        (dict(lengths=torch.ones(1, 4)), "lengths: expected an integer dtype"),
        (dict(noise_seed=0.5), "noise_seed: expected a whole number"),
        (dict(noise_seed=True), "noise_seed: expected a whole number"),
    ],
)
def test_refuses_types(change, message):
    with pytest.raises(TypeError, match=message):
        latent_sde_elbo(**arguments(present=EVERYTHING) | change)


def test_inputs_have_no_gradient():
    values = arguments(present=EVERYTHING)
    values["x"].requires_grad_()
    with pytest.raises(ValueError, match="x: requires grad, but its gradient is not implemented"):
        latent_sde_elbo(**values)
