"""rollout_gated_sde and gated_drift: processes with a known answer, orders of convergence, gradients, refusals."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp

from neurorbit.bindings.rollout_gated_sde import GatedWeights, gated_drift, rollout_gated_sde
from neurorbit.bindings.rollout_ode import rollout_ode
from neurorbit.kernels.noise_common import normal_noise
from neurorbit.kernels.rollout_gated_sde.reference import unpack
from neurorbit.kernels.rollout_gated_sde.spec import SPEC

BACKENDS = ("numba", "reference")
CASES = {case.name: case for case in SPEC.cases}


def normal(seed, *shape, scale=1.0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * scale


def gated(packed, M, hidden):
    """GatedWeights from the packed form [E, P]."""
    (W, b), *further, (Wo, bo) = [(W, b[:, 0]) for W, b in unpack(packed, M, hidden)]
    return GatedWeights(W[..., :M], b[:, :M], W[..., M:], b[:, M:], Wo, bo, tuple(further))


def public(name, dtype=torch.float64, **changes):
    """Arguments of the public function for a case of SPEC."""
    case = CASES[name]
    values = SPEC.sample(case, torch.Generator().manual_seed(3), dtype)
    values["weights"] = gated(values["weights"], case.sizes["M"], case.options["hidden"])
    del values["path"]
    return {**values, "steps": case.sizes["T"], **changes}


def some_weights(M, hidden, E=1, seed=0):
    layers = [(M, hidden[0]), *pairwise(hidden), (hidden[-1], M)]
    pairs = [(normal(seed + i, E, n, m, scale=1.5 / n**0.5), normal(seed + 50 + i, E, m, scale=0.5))
             for i, (n, m) in enumerate(layers)]  # fmt: skip
    (W1, b1), *further, (Wo, bo) = pairs
    return GatedWeights(normal(seed + 99, E, M, M), normal(seed + 98, E, M), W1, b1, Wo, bo, tuple(further))


def relaxing(M, gate, E=1):
    """The drift -gate z."""
    zero = torch.zeros(E, M, M).double()
    bias = torch.full((E, M), float(np.log(gate / (1 - gate))), dtype=torch.float64)
    return GatedWeights(zero, bias, zero, zero[:, 0], zero, zero[:, 0])


@pytest.mark.parametrize("given", ("seed", "tensor"))
def test_moments_of_an_ornstein_uhlenbeck_process(given):
    B, T, M, a, gate, sigma = 6000, 40, 2, 0.3, 0.4, torch.tensor([[0.5, 1.5]]).double()
    z0 = torch.tensor([2.0, -1.0]).double().expand(1, B, M)
    noise = {"noise_seed": 11, "steps": T} if given == "seed" else {"noise": normal(5, 1, B, T, M)}
    z, mu, _ = rollout_gated_sde(z0, relaxing(M, gate), a=a, sigma=sigma, **noise)
    keep = 1 - a * gate
    steps = torch.arange(1, T + 1).double()[:, None]
    mean = keep**steps * z0[0, 0]
    variance = a * sigma[0] ** 2 * (1 - keep ** (2 * steps)) / (1 - keep**2)
    error = (z[0].mean(0) - mean) / (variance / B).sqrt()
    assert error.abs().max() < 4.5 and abs(error.mean()) < 1.5
    assert ((z[0].var(0) / variance - 1).abs() < 5 * (2 / B) ** 0.5).all()
    lagged = ((z[0, :, 19] - mean[19]) * (z[0, :, 29] - mean[29])).mean(0)
    torch.testing.assert_close(lagged, keep**10 * variance[19], rtol=0, atol=float(0.08 * variance[19].max()))
    before = torch.cat([z0[:, :, None], z[:, :, :-1]], 2)
    torch.testing.assert_close(mu, -gate * before, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("backend", BACKENDS)
def test_strong_order_one(backend):
    M, B, fine, span = 2, 32, 1024, 4.0
    weights, z0, sigma = some_weights(M, (12, 9)), normal(1, 1, B, M), torch.tensor([[0.4, 0.7]]).double()
    eps = normal(2, 1, B, fine, M)
    truth = rollout_gated_sde(z0, weights, a=span / fine, sigma=sigma, noise=eps, backend=backend).z_final
    errors = []
    for factor in (8, 16, 32, 64):
        coarse = eps.unflatten(2, (-1, factor)).sum(3) / factor**0.5  # the same Brownian path in longer steps
        end = rollout_gated_sde(z0, weights, a=span * factor / fine, sigma=sigma, noise=coarse, backend=backend).z_final
        errors.append((end - truth).square().sum(-1).mean().sqrt().item())
    order = np.polyfit(np.log([8, 16, 32, 64]), np.log(errors), 1)[0]
    assert 0.9 < order < 1.25 and errors[0] < 0.02


@pytest.mark.parametrize("backend", BACKENDS)
def test_without_noise_it_solves_the_differential_equation(backend):
    M, B, span = 3, 4, 6.0
    weights, z0, drive = some_weights(M, (10,), seed=7), normal(3, 1, B, M), normal(4, B, M + 10, scale=0.5)
    W = [x[0].numpy() for x in weights[:6]]

    def field(_, z, d):
        q, x = z @ W[0] + W[1] + d[:M], z @ W[2] + W[3] + d[M:]
        return (np.tanh(x / (1 + np.exp(-x)) @ W[4] + W[5]) - z) / (1 + np.exp(-q))

    truth = np.stack([
        solve_ivp(field, (0, span), z0[0, b].numpy(), args=(drive[b].numpy(),), rtol=1e-10, atol=1e-12).y[:, -1]
        for b in range(B)
    ])  # fmt: skip
    ends = [
        rollout_gated_sde(
            z0, weights, drive[None, :, None].expand(1, B, n, M + 10), a=span / n, backend=backend
        ).z_final[0].numpy()
        for n in (400, 800, 1600)
    ]  # fmt: skip
    errors = [np.abs(end - truth).max() for end in ends]
    assert 1.8 < errors[0] / errors[1] < 2.2 and 1.8 < errors[1] / errors[2] < 2.2
    assert np.abs(2 * ends[2] - ends[1] - truth).max() < 1e-5


def test_it_is_eulers_method_of_the_gated_field():
    E, B, T, M, H, U, a = 2, 5, 12, 3, 8, 2, 0.2
    weights, Vg, V1 = some_weights(M, (H,), E), normal(20, E, M, U), normal(21, E, H, U)
    z0, u = normal(22, E, B, M), normal(23, E, B, T, U)
    parameters = {
        "Wg": weights.Wg.mT, "Vg": Vg, "bg": weights.bg, "W1": weights.W1.mT, "V1": V1, "b1": weights.b1,
        "W2": weights.Wo.mT, "b2": weights.bo,
    }  # fmt: skip
    drive = torch.cat([u @ Vg.mT[:, None], u @ V1.mT[:, None]], 3)
    found = rollout_gated_sde(z0, weights, drive, a=a)
    expected = rollout_ode(z0, parameters, field="gated_mlp", dt=a, steps=T, method="euler", drive=u)
    torch.testing.assert_close(found.z, expected.z, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(found.z_final, expected.z_final, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("dtype", (torch.float32, torch.float64))
def test_drawn_noise_is_philox_on_every_backend(dtype):
    E, B, T, M = 2, 19, 3, 21
    seeds, streams = torch.tensor([7, -5]), normal(6, E, B, scale=2.0**50).long()
    still = relaxing(M, 1e-300, E)  # a gate that is shut: the state is the sum of its noise
    weights = GatedWeights(*(x.to(dtype) for x in still[:6]))
    options = {"a": 4.0, "sigma": torch.full((E, M), 0.5, dtype=dtype), "noise_seed": seeds, "noise_stream": streams}
    start, tolerance = torch.zeros(E, B, M, dtype=dtype), 128 * torch.finfo(dtype).eps
    for backend in BACKENDS:
        z = rollout_gated_sde(start, weights, steps=T, first_step=2**31, backend=backend, **options).z
        truth = sum(normal_noise(seeds, streams, 2**31 + t, M, torch.float64) for t in range(T))
        assert (z[:, :, -1].double() - truth).abs().max() < tolerance
    default = torch.arange(E)[:, None] * 2**32 + torch.arange(B)
    z = rollout_gated_sde(start, weights, steps=T, **options | {"noise_stream": default})
    same = rollout_gated_sde(start, weights, steps=T, **options | {"noise_stream": None})
    assert torch.equal(z.z, same.z)


@pytest.mark.parametrize("hidden", ((5,), (6, 30, 3)))
def test_drift_along_its_own_path(hidden):
    E, B, T, M = 2, 21, 40, 3
    weights, z0, drive = some_weights(M, hidden, E), normal(30, E, B, M), normal(31, 1, B, T, M + hidden[0])
    lengths = torch.randint(0, T + 1, (E, B), generator=torch.Generator().manual_seed(0))
    sigma = torch.full((E, M), 0.3).double()
    out = rollout_gated_sde(z0, weights, drive, a=0.3, sigma=sigma, noise_seed=1, lengths=lengths)
    mu = gated_drift(out.z, weights, drive, z0=z0, lengths=lengths)
    assert torch.equal(mu, out.mu) and (mu != 0).any()
    after = gated_drift(out.z, weights, drive.roll(-1, 2), lengths=lengths)
    inside = torch.arange(1, T) < lengths[..., None]
    torch.testing.assert_close(after[:, :, :-1][inside], mu[:, :, 1:][inside], rtol=1e-13, atol=1e-13)


def test_states_of_one_model_serve_all():
    weights, grid = some_weights(2, (6,), E=3), normal(40, 1, 4, 5, 2)
    found = gated_drift(grid, weights)
    for e in range(3):
        one = GatedWeights(*(x[e : e + 1] for x in weights[:6]))
        torch.testing.assert_close(found[e : e + 1], gated_drift(grid, one), rtol=1e-14, atol=1e-14)


def leaves_of(values):
    """The tensors with gradients, and the function that puts them back."""
    names = [n for n in ("z0", "drive", "sigma") if values.get(n) is not None]
    weights = values["weights"]
    tensors = [values[n] for n in names] + [*weights[:6]] + [x for pair in weights.further for x in pair]

    def call(*given):
        others = given[len(names) :]
        further = tuple(zip(others[6::2], others[7::2], strict=True))
        changed = values | dict(zip(names, given, strict=False)) | {"weights": GatedWeights(*others[:6], further)}
        return rollout_gated_sde(**changed)

    return [t.clone().requires_grad_() for t in tensors], call


@pytest.mark.parametrize("name", ("driven", "noise", "noise-drawn-here", "two-layers", "four-layers"))
def test_gradcheck(name):
    tensors, call = leaves_of(public(name))
    assert torch.autograd.gradcheck(lambda *t: tuple(call(*t)), tensors, eps=1e-6, atol=1e-6, rtol=1e-5)


def test_gradcheck_along_a_path():
    weights, z, z0, drive = some_weights(2, (5, 4)), normal(0, 1, 3, 6, 2), normal(1, 1, 3, 2), normal(2, 1, 3, 6, 7)
    lengths = torch.tensor([[6, 4, 0]])

    def mu(z, z0, drive, *w):
        return gated_drift(z, GatedWeights(*w, weights.further), drive, z0=z0, lengths=lengths)

    inputs = [x.clone().requires_grad_() for x in (z, z0, drive, *weights[:6])]
    assert torch.autograd.gradcheck(mu, inputs, eps=1e-6, atol=1e-6, rtol=1e-5)
    assert torch.autograd.gradcheck(lambda z: gated_drift(z, weights), inputs[:1], eps=1e-6, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("name", ("noise-drawn-here", "two-layers"))
def test_gradient_of_one_argument_alone(name):
    tensors, call = leaves_of(public(name))
    every = torch.autograd.grad(call(*tensors).mu.sin().sum(), tensors)
    for i, leaf in enumerate(tensors):
        others = [t.detach() for t in tensors]
        others[i] = leaf
        (alone,) = torch.autograd.grad(call(*others).mu.sin().sum(), leaf)
        assert torch.equal(alone, every[i])


@pytest.mark.parametrize("output", range(3))
def test_gradient_of_one_output_alone(output):
    values = public("two-layers")
    tensors, call = leaves_of(values)
    found = torch.autograd.grad(call(*tensors)[output].sin().sum(), tensors)
    values["backend"] = "reference"
    expected = torch.autograd.grad(call(*tensors)[output].sin().sum(), tensors, materialize_grads=True)
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("shared", (False, True))
def test_divergence_of_posterior_and_prior(shared):
    """KL of the path measures as a fit uses it: the posterior's path, both drifts on it, all gradients."""
    E, B, T, M, a = 2, 18, 25, 2, 0.1
    posterior, prior = some_weights(M, (11,), E), some_weights(M, (7, 6), E, seed=200)
    drives = normal(50, 1 if shared else E, B, T, M + 11), normal(51, 1 if shared else E, B, T, M + 7)
    z0, sigma, C = normal(52, E, B, M), normal(53, E, M).abs() + 0.2, normal(54, E, M, 4)
    lengths = torch.randint(1, T + 1, (1, B), generator=torch.Generator().manual_seed(1))
    leaves = [x.requires_grad_() for x in (z0, sigma, C, *drives, *posterior[:6], *prior[:6])]

    def loss(backend):
        z, mu, _ = rollout_gated_sde(
            z0, posterior, drives[0], a=a, sigma=sigma, noise_seed=4, lengths=lengths, backend=backend
        )
        other = gated_drift(z, prior, drives[1], z0=z0, lengths=lengths, backend=backend)
        return (a / 2 * ((other - mu) / sigma[:, None, None]) ** 2).sum() + (z @ C[:, None]).sin().sum()

    assert abs(loss(None) - loss("reference")) < 1e-9
    found, expected = (torch.autograd.grad(loss(backend), leaves) for backend in (None, "reference"))
    for g, h in zip(found, expected, strict=True):
        torch.testing.assert_close(g, h, rtol=1e-9, atol=1e-10 * float(h.abs().max()))


@pytest.mark.parametrize("name", ("driven", "noise-shared", "two-layers", "path", "path-before", "noise-drawn-here"))
def test_registered_with_torch(name):
    case = CASES[name]
    values = SPEC.sample(case, torch.Generator().manual_seed(0), torch.float32)
    for n in SPEC.differentiable:
        if values[n] is not None:
            values[n].requires_grad_()
    options = (case.options["hidden"], case.options["steps"], 0, "")
    found = torch.library.opcheck(torch.ops.neurorbit.rollout_gated_sde.default, (*values.values(), *options))
    assert set(found.values()) == {"SUCCESS"}


@pytest.mark.parametrize("name", ("driven", "two-layers"))
def test_compiles_into_one_graph(name):
    values = public(name, torch.float32)
    tensors, call = leaves_of(values)

    def loss(*tensors):
        out = call(*tensors)
        prior = gated_drift(out.z, values["weights"], values["drive"], z0=values["z0"])
        return out.mu.square().mean() + out.z_final.sum() + prior.sin().sum()

    compiled = torch.compile(loss, fullgraph=True, backend="aot_eager")
    for found, expected in zip(*(torch.autograd.grad(f(*tensors), tensors) for f in (compiled, loss)), strict=True):
        torch.testing.assert_close(found, expected)


def test_past_the_end_there_is_nothing():
    values = public("two-layers", lengths=torch.tensor([[3, 5, 0], [5, 2, 4]]))
    z, mu, end = rollout_gated_sde(**values)
    late = torch.arange(z.shape[2]) >= values["lengths"][..., None]
    assert (z[late] == 0).all() and (mu[late] == 0).all() and (z[~late] != 0).all()
    assert torch.equal(end[0, 2], values["z0"][0, 2]) and torch.equal(end[1, 1], z[1, 1, 1])
    tensors, call = leaves_of(values)
    expected = torch.autograd.grad(sum(x.sin().sum() for x in call(*tensors)), tensors)
    for name in ("drive", "noise"):  # what lies past the end is never looked at
        values[name] = torch.where(late[..., None], torch.nan, values[name])
    tensors, call = leaves_of(values)
    out = call(*tensors)
    assert torch.equal(out.z, z) and torch.equal(out.mu, mu)
    for found, same in zip(torch.autograd.grad(sum(x.sin().sum() for x in out), tensors), expected, strict=True):
        assert torch.equal(found, same)
    path = torch.where(late[..., None], torch.nan, z).requires_grad_()
    prior = gated_drift(path, values["weights"], values["drive"], z0=values["z0"], lengths=values["lengths"])
    assert torch.equal(prior, mu)
    (grad,) = torch.autograd.grad(prior.sin().sum(), path)
    unused = torch.arange(z.shape[2]) + 1 >= values["lengths"][..., None]
    assert (grad[unused] == 0).all() and (grad[~unused] != 0).all()


def test_nan_is_not_hidden():
    values = public("driven")
    values["drive"][0, 1, 3, 4] = float("nan")
    z, mu, _ = rollout_gated_sde(**values)
    assert mu[0, 1, 3:].isnan().all() and z[0, 1, 3:].isnan().all()
    assert not mu[0, 1, :3].isnan().any() and not mu[1].isnan().any() and not mu[0, 0].isnan().any()


@pytest.mark.parametrize("scale", (30.0, 1e4, 1e30))
@pytest.mark.parametrize("dtype", (torch.float32, torch.float64))
def test_far_out_on_the_sigmoids(scale, dtype):
    drive = torch.linspace(-1, 1, 400, dtype=dtype).reshape(1, 1, 40, 10) * scale
    weights = GatedWeights(*(x.to(dtype) for x in some_weights(3, (7,))[:6]))
    z = normal(1, 1, 1, 40, 3).to(dtype)
    found, expected = gated_drift(z, weights, drive), gated_drift(z, weights, drive, backend="reference")
    torch.testing.assert_close(found, expected)


REFUSED = {
    r"z0: expected \[E=2, B, M=2\]": dict(z0=torch.zeros(2, 3, 3).double()),
    r"drive: expected \[E=2 or 1, B=3, T=5, D=9\], got \[2, 3, 5, 8\]": dict(drive=torch.zeros(2, 3, 5, 8).double()),
    "sigma: has no effect without noise": dict(noise=None),
    "sigma: is required with noise": dict(sigma=None),
    "noise, noise_seed: give": dict(noise_seed=1),
    "noise_stream: has no effect": dict(noise_stream=torch.zeros(2, 3, dtype=torch.int64)),
    "noise_seed: expected a number of 64 bits": dict(noise=None, noise_seed=2**63),
    "a: expected > 0, got 0": dict(a=0.0),
    "a: expected > 0, got -1": dict(a=torch.tensor([1.0, -1.0]).double()),
    "a: requires grad": dict(a=torch.ones(2).double().requires_grad_()),
    "noise: requires grad": dict(noise=torch.ones(2, 3, 5, 2).double().requires_grad_()),
    "lengths: expected 0 to T=5": dict(lengths=torch.tensor([[1, 2, 9]])),
    "drive: expected .*: T differs": dict(steps=9),
    "first_step: expected": dict(first_step=-1),
    "backend: expected one of": dict(backend="cuda"),
    "runs on cuda tensors": dict(backend="triton"),
}


@pytest.mark.parametrize("message", REFUSED)
def test_refuses(message):
    with pytest.raises(ValueError, match=message):
        rollout_gated_sde(**public("noise", **REFUSED[message]))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (dict(Wg=torch.zeros(2, 2, 3).double()), r"weights.Wg: expected \[E, M, M\]"),
        (dict(bg=torch.zeros(2, 3).double()), r"weights.Wg: expected its bias to be \[E=2, 2\], got \[2, 3\]"),
        (dict(W1=torch.zeros(2, 3, 7).double()), r"weights.W1: expected \[E=2, 2, H\], got \[2, 3, 7\]"),
        (dict(Wo=torch.zeros(2, 6, 2).double()), r"weights.Wo: expected \[E=2, 7, M=2\], got \[2, 6, 2\]"),
        (dict(further=((torch.zeros(2, 6, 7).double(), torch.zeros(2, 7).double()),)), r"further\[0\]: expected"),
        (dict(W1=torch.zeros(2, 2, 513).double(), b1=torch.zeros(2, 513).double()), "expected 1 to 512 hidden"),
    ],
)
def test_refuses_weights(change, message):
    values = public("noise")
    with pytest.raises(ValueError, match=message):
        rollout_gated_sde(**values | {"weights": values["weights"]._replace(**change)})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (dict(z0=torch.zeros(2, 3, 2)), "z0: expected torch.float64 as weights, got torch.float32"),
        (dict(drive=torch.zeros(2, 3, 5, 9)), "drive: expected torch.float64 as weights"),
        (dict(z0=[1.0]), "z0: expected a tensor"),
        (dict(weights=torch.zeros(2, 30)), "weights: expected GatedWeights"),
        (dict(lengths=torch.ones(1, 3)), "lengths: expected an integer dtype"),
        (dict(noise=None, noise_seed=1.5), "noise_seed: expected a whole number"),
    ],
)
def test_refuses_types(change, message):
    with pytest.raises(TypeError, match=message):
        rollout_gated_sde(**public("noise", **change))


def test_limits_and_missing_steps_are_named():
    with pytest.raises(ValueError, match="M=33 is above this op's limit of 32"):
        rollout_gated_sde(normal(0, 1, 1, 33), some_weights(33, (4,)), a=0.1, steps=1)
    with pytest.raises(ValueError, match="steps: is required"):
        rollout_gated_sde(**public("free", steps=None))
    with pytest.raises(ValueError, match=r"z: expected \[E=1, B, T, M=2\]"):
        gated_drift(normal(0, 2, 3, 4, 2), some_weights(2, (4,)))
    with pytest.raises(ValueError, match=r"z0: expected \[1, 3, 2\] as z, got \[1, 2, 2\]"):
        gated_drift(normal(0, 1, 3, 4, 2), some_weights(2, (4,)), z0=normal(0, 1, 2, 2))
