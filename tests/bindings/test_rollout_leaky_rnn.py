"""The public function: oracles that are no twins, gradients, registration with torch, and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.linalg import solve_discrete_lyapunov

from neurorbit.bindings.rollout_leaky_rnn import rollout_leaky_rnn
from neurorbit.kernels.noise_common import normal_noise, philox
from neurorbit.kernels.rollout_leaky_rnn.spec import SPEC

CASES = {case.name: case for case in SPEC.cases}
BACKENDS = ("numba", "reference")


def public(name: str, dtype=torch.float64, **changes):
    """Arguments of the public function for a case of the spec."""
    case = CASES[name]
    values = SPEC.sample(case, torch.Generator().manual_seed(3), dtype)
    L, Q = values.pop("L"), values.pop("Q")
    options = {"phi": case.options["phi"], "unit_norm": case.options["unit_norm"], "steps": case.sizes["T"]}
    return {**values, "low_rank": None if L is None else (L, Q), **options, **changes}


def normal(seed, *shape, scale=1.0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * scale


@pytest.mark.parametrize("backend", BACKENDS)
def test_linear_dynamics_have_their_closed_form(backend):
    E, B, T, N = 2, 3, 9, 4
    W, b, u0 = normal(0, E, N, N).abs() * 0.1, normal(1, E, N).abs(), normal(2, E, B, N).abs()
    alpha = torch.tensor([0.3, 1.0], dtype=torch.float64)
    u, r, end = rollout_leaky_rnn(u0, W, b=b, phi="relu", alpha=alpha, steps=T, backend=backend)
    a = alpha[:, None, None]
    step = (1 - a) * torch.eye(N).double() + a * W  # positive weights and states: relu changes nothing
    fixed = torch.linalg.solve(torch.eye(N).double() - step, (a * b[:, None]), left=False)[:, 0]
    for t in range(T):
        power = torch.linalg.matrix_power(step, t + 1)
        expected = fixed[:, None] + (u0 - fixed[:, None]) @ power
        torch.testing.assert_close(u[:, :, t], expected, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(end, u[:, :, -1])
    before = torch.cat([u0[:, :, None], u[:, :, :-1]], 2)
    torch.testing.assert_close(r, before @ W[:, None] + b[:, None, None], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("backend", BACKENDS)
def test_without_leak_it_is_torchs_rnn(backend):
    N, U, B, T = 6, 2, 5, 12
    rnn = torch.nn.RNN(U, N, nonlinearity="tanh", batch_first=True, dtype=torch.float64)
    for i, p in enumerate(rnn.parameters()):
        p.data.copy_(normal(i, *p.shape, scale=0.5))
    x = normal(9, B, T, U)
    expected, last = rnn(x)
    weight = normal(10, B, T, N)
    (expected * weight).sum().backward()
    W = rnn.weight_hh_l0.detach().mT[None].clone().requires_grad_()
    b = (rnn.bias_hh_l0 + rnn.bias_ih_l0).detach()[None].requires_grad_()
    drive = (x @ rnn.weight_ih_l0.detach().T)[None].requires_grad_()
    u0 = torch.zeros(1, B, N, dtype=torch.float64)
    found = rollout_leaky_rnn(u0, W, drive, b, phi="tanh", backend=backend)
    torch.testing.assert_close(found.u[0], expected.detach(), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(found.r, found.u)
    torch.testing.assert_close(found.u_final, last.detach(), rtol=1e-12, atol=1e-12)
    (found.u[0] * weight).sum().backward()
    torch.testing.assert_close(W.grad[0].T, rnn.weight_hh_l0.grad, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(b.grad[0], rnn.bias_hh_l0.grad, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close((drive.grad[0].flatten(0, 1).T @ x.flatten(0, 1)), rnn.weight_ih_l0.grad)


@pytest.mark.parametrize("given", ("seed", "tensor"))
def test_stationary_covariance_of_a_noisy_linear_network(given):
    N, B, T, burn, sd, alpha = 5, 400, 150, 60, 0.2, 0.4
    W = normal(4, 1, N, N).abs() * 0.08
    b = torch.full((1, N), 20.0, dtype=torch.float64)  # far above the kink: relu is linear there
    step = (1 - alpha) * np.eye(N) + alpha * W[0].numpy()
    fixed = np.linalg.solve((np.eye(N) - step).T, alpha * b[0].numpy())
    u0 = torch.from_numpy(fixed).expand(1, B, N)
    noise = {"noise_seed": 5, "noise_sd": sd, "steps": T}
    if given == "tensor":
        noise = {"noise": normal(8, 1, B, T, N, scale=sd)}
    u = rollout_leaky_rnn(u0, W, b=b, phi="relu", alpha=alpha, **noise).u[0, :, burn:]
    deviation = (u - torch.from_numpy(fixed)).numpy()
    expected = solve_discrete_lyapunov(step.T, sd**2 * np.eye(N))
    found = np.einsum("bti,btj->ij", deviation, deviation) / deviation[..., 0].size
    assert np.abs(found - expected).max() < 0.04 * expected.max()
    lagged = np.einsum("bti,btj->ij", deviation[:, :-1], deviation[:, 1:]) / deviation[:, 1:, 0].size
    assert np.abs(lagged - expected @ step).max() < 0.04 * expected.max()
    assert np.abs(deviation.mean((0, 1))).max() < 0.02


def test_philox_has_its_published_answers():
    answers = (  # Salmon et al. 2011, the known-answer test of philox4x32_10
        ((0,) * 4, (0,) * 2, (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
        ((0xFFFFFFFF,) * 4, (0xFFFFFFFF,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
        (
            (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
            (0xA4093822, 0x299F31D0),
            (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
        ),
    )
    for counter, key, expected in answers:
        words = philox(tuple(torch.tensor(c) for c in counter), tuple(torch.tensor(k) for k in key))
        assert tuple(int(w) for w in words) == expected


def noise_of(dtype=torch.float64, N=333, **options):
    """What is added to a state at rest: with W = 0, alpha = 1 and relu the state is the noise of its step."""
    shape = (2, 3, N)
    zero = torch.zeros(shape, dtype=dtype)
    return rollout_leaky_rnn(zero, torch.zeros(2, N, N, dtype=dtype), phi="relu", noise_sd=1.0, **options).u


@pytest.mark.parametrize("dtype", (torch.float32, torch.float64))
def test_drawn_noise_is_philox_on_every_backend(dtype):
    seeds, streams = torch.tensor([7, -5]), torch.tensor([[0, 1, 2**40], [-1, 4, 9]])
    options = {"noise_seed": seeds, "noise_stream": streams, "steps": 3, "first_step": 2**31}
    found = noise_of(dtype, **options)
    tolerance = 64 * torch.finfo(dtype).eps
    for t in range(3):
        truth = normal_noise(seeds, streams, 2**31 + t, 333, torch.float64)
        assert (found[:, :, t].double() - truth).abs().max() < tolerance
    torch.testing.assert_close(noise_of(dtype, backend="reference", **options), found, rtol=0, atol=tolerance)


def test_draws_are_normal_and_apart():
    u = noise_of(noise_seed=3, steps=64)
    assert abs(u.mean()) < 0.02 and abs(u.std() - 1) < 0.02
    assert abs((u**4).mean() - 3) < 0.15 and abs((u**3).mean()) < 0.06
    assert u.flatten().unique().numel() > 0.999 * u.numel()
    for axis in range(4):
        shifted = u.roll(1, axis)
        assert abs((u * shifted).mean()) < 0.02
    assert torch.equal(u, noise_of(noise_seed=3, steps=64))
    assert not torch.equal(u, noise_of(noise_seed=4, steps=64))
    second = torch.arange(2)[:, None] * 2**32 + torch.arange(3)
    assert torch.equal(u, noise_of(noise_seed=torch.tensor(3, dtype=torch.int32), noise_stream=second, steps=64))


def test_states_of_unit_norm():
    values = public("unit-norm")
    u = rollout_leaky_rnn(**values).u
    torch.testing.assert_close(u.norm(dim=-1), torch.ones(u.shape[:3], dtype=u.dtype))
    dead = rollout_leaky_rnn(values["u0"], values["W"], b=-1e3 + 0 * values["b"], unit_norm=True, steps=3)
    assert (dead.u[0] == 0).all()


def test_low_rank_is_its_product():
    values = public("low-rank")
    L, Q = values["low_rank"]
    low = rollout_leaky_rnn(**values)
    dense = rollout_leaky_rnn(**{**values, "low_rank": None, "W": L @ Q.mT})
    for a, b in zip(low, dense, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)


def test_constant_signals_are_a_sum_of_weights():
    values = public("modulated")
    values["v"] = torch.tensor([0.5, -1.5]).double().expand(2, 3, 7, 2)
    found = rollout_leaky_rnn(**values)
    W = values["W"] + 0.5 * values["Wv"][:, 0] - 1.5 * values["Wv"][:, 1]
    plain = rollout_leaky_rnn(**{**values, "v": None, "Wv": None, "W": W})
    for a, b in zip(found, plain, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)


def leaves_of(values):
    """Differentiable arguments by name, and the function that puts them back."""
    names = [n for n in ("u0", "W", "drive", "b", "v", "Wv") if values.get(n) is not None]
    tensors = [values[n] for n in names]
    if values["low_rank"] is not None:
        tensors += list(values["low_rank"])

    def call(*given):
        changed = {**values, **dict(zip(names, given, strict=False))}
        if values["low_rank"] is not None:
            changed["low_rank"] = given[-2:]
        return rollout_leaky_rnn(**changed)

    return [t.clone().requires_grad_() for t in tensors], call


@pytest.mark.parametrize(
    "name",
    ("relu_tanh-driven", "softplus-driven", "low-rank-modulated", "modulated", "unit-norm-noise", "noise-drawn-here"),
)
def test_gradcheck(name):
    tensors, call = leaves_of(public(name))
    assert torch.autograd.gradcheck(lambda *t: tuple(call(*t)), tensors, eps=1e-7, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("name", ("low-rank-modulated", "unit-norm-noise", "modulated"))
def test_gradient_of_one_argument_alone(name):
    tensors, call = leaves_of(public(name))
    every = torch.autograd.grad(call(*tensors).r.sin().sum(), tensors)
    for i, leaf in enumerate(tensors):
        others = [t.detach() for t in tensors]
        others[i] = leaf
        (alone,) = torch.autograd.grad(call(*others).r.sin().sum(), leaf)
        assert torch.equal(alone, every[i])


@pytest.mark.parametrize("output", range(3))
def test_gradient_of_one_output_alone(output):
    values = public("modulated")
    tensors, call = leaves_of(values)
    found = torch.autograd.grad(call(*tensors)[output].sin().sum(), tensors)
    values["backend"] = "reference"
    expected = torch.autograd.grad(call(*tensors)[output].sin().sum(), tensors, allow_unused=True)
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("name", ("relu_tanh-driven", "low-rank", "modulated", "unit-norm-noise"))
def test_registered_with_torch(name):
    case = CASES[name]
    values = SPEC.sample(case, torch.Generator().manual_seed(0), torch.float32)
    for n in SPEC.differentiable:
        if values[n] is not None:
            values[n].requires_grad_()
    options = (case.options["phi"], case.options["unit_norm"], case.options["steps"], 0, "")
    found = torch.library.opcheck(torch.ops.neurorbit.rollout_leaky_rnn.default, (*values.values(), *options))
    assert set(found.values()) == {"SUCCESS"}


@pytest.mark.parametrize("name", ("relu_tanh-driven", "unit-norm-noise"))
def test_compiles_into_one_graph(name):
    values = public(name, torch.float32)

    def loss(W, b):
        out = rollout_leaky_rnn(**{**values, "W": W, "b": b})
        return out.r.square().mean() + out.u_final.sum()

    def gradients(function):
        tensors = [values["W"].clone().requires_grad_(), values["b"].clone().requires_grad_()]
        return torch.autograd.grad(function(*tensors), tensors)

    compiled = torch.compile(loss, fullgraph=True, backend="aot_eager")
    for found, expected in zip(gradients(compiled), gradients(loss), strict=True):
        torch.testing.assert_close(found, expected)


def test_past_the_end_there_is_nothing():
    values = public("modulated")
    values["drive"].requires_grad_()
    values["lengths"] = torch.tensor([[3, 7, 0], [7, 2, 5]])
    u, r, end = rollout_leaky_rnn(**values)
    late = torch.arange(u.shape[2]) >= values["lengths"][..., None]
    assert (u[late] == 0).all() and (r[late] == 0).all() and (u[~late] != 0).any(-1).all()
    assert torch.equal(end[0, 2], values["u0"][0, 2]) and torch.equal(end[1, 1], u[1, 1, 1])
    grad = torch.autograd.grad(u.sum() + end.sum() + r.sum(), values["drive"])[0]
    assert (grad[late] == 0).all() and grad[~late].abs().sum() > 0


def test_nan_is_not_hidden():
    values = public("relu_tanh-driven")
    values["drive"][0, 1, 3, 2] = float("nan")
    r = rollout_leaky_rnn(**values).r
    assert r[0, 1, 3].isnan().tolist() == [False, False, True, False, False]
    assert not r[1].isnan().any() and not r[0, 0].isnan().any()


@pytest.mark.parametrize(("E", "B", "N"), [(40, 1, 3), (1, 1000, 20), (2, 130, 33), (1, 3, 600)])
def test_many_models_sequences_and_units(E, B, N):
    values = {"u0": normal(0, E, B, N), "W": normal(1, E, N, N, scale=0.7 / N**0.5), "b": normal(2, E, N, scale=0.3)}
    tensors = [v.float().requires_grad_() for v in values.values()]

    def run(backend):
        out = rollout_leaky_rnn(**dict(zip(values, tensors, strict=True)), alpha=0.5, steps=5, backend=backend)
        weight = normal(3, *out.u.shape).float()
        return out.r.detach(), *torch.autograd.grad((out.u * weight).sum(), tensors)

    for found, expected in zip(run(None), run("reference"), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5 * float(expected.abs().max()))


REFUSED = {
    "u0: expected a tensor": dict(u0=torch.zeros(3, 5).double()),
    r"W: expected \[E=2, N=5, N=5\], got \[2, 5, 4\]: N differs from u0": dict(W=torch.zeros(2, 5, 4).double()),
    "expected exactly one of them, got neither": dict(W=None),
    "expected exactly one of them, got both": dict(low_rank=(torch.zeros(2, 5, 1).double(),) * 2),
    "v: is required when Wv is given": dict(Wv=torch.zeros(2, 1, 5, 5).double()),
    "phi: expected one of": dict(phi="sigmoid"),
    "alpha: requires grad": dict(alpha=torch.ones(2).double().requires_grad_()),
    "noise, noise_seed: give": dict(noise=torch.zeros(2, 3, 7, 5).double(), noise_seed=1, noise_sd=1.0),
    "noise_sd: is required": dict(noise_seed=1),
    "noise_seed: is required": dict(noise_sd=1.0),
    "noise_sd: expected >= 0": dict(noise_seed=1, noise_sd=-1.0),
    "noise_seed: expected a number of 64 bits": dict(noise_seed=2**63, noise_sd=1.0),
    "noise_stream: has no effect": dict(noise_stream=torch.zeros(2, 3, dtype=torch.int64)),
    "lengths: expected 0 to T=7": dict(lengths=torch.tensor([[1, 2, 9]])),
    "drive: expected .*: T differs": dict(steps=9),
    "first_step: expected": dict(first_step=-1),
    "backend: expected one of": dict(backend="cuda"),
    "runs on cuda tensors": dict(backend="triton"),
}


@pytest.mark.parametrize("message", REFUSED)
def test_refuses(message):
    with pytest.raises(ValueError, match=message):
        rollout_leaky_rnn(**public("relu_tanh-driven", **REFUSED[message]))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (dict(b=torch.zeros(2, 5)), "b: expected torch.float64 as u0, got torch.float32"),
        (dict(u0=torch.zeros(2, 3, 5, dtype=torch.float16)), "u0: expected float32 or float64"),
        (dict(u0=[1.0]), "u0: expected a tensor"),
        (dict(lengths=torch.ones(1, 3)), "lengths: expected an integer dtype"),
        (dict(noise_seed=1.5, noise_sd=1.0), "noise_seed: expected a whole number"),
    ],
)
def test_refuses_types(change, message):
    with pytest.raises(TypeError, match=message):
        rollout_leaky_rnn(**public("relu_tanh-driven", **change))


def test_limits_and_missing_steps_are_named():
    with pytest.raises(ValueError, match="N=4097 is above this op's limit of 4096"):
        rollout_leaky_rnn(torch.zeros(1, 1, 4097), torch.zeros(1, 1, 1).expand(1, 4097, 4097), steps=1)
    with pytest.raises(ValueError, match="steps: is required"):
        rollout_leaky_rnn(**public("relu_tanh-free", steps=None))
