"""The public function: exact solutions, measured orders, chaos as published, gradients, registration, refusals."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch

from neurorbit.bindings.rollout_ode import (
    FIELDS,
    METHODS,
    Parameter,
    VectorField,
    register_field,
    rollout_ode,
)
from neurorbit.kernels.numba_math_common import exp
from neurorbit.kernels.rollout_ode.spec import SPEC

CASES = {case.name: case for case in SPEC.cases}
OPTIONS = ("field", "method", "dt", "steps", "keep_every")


def public(name, dtype=torch.float64, **changes):
    """Arguments of the public function for a case of the spec."""
    values = SPEC.sample(CASES[name], torch.Generator().manual_seed(3), dtype)
    return {**values, **{n: CASES[name].options[n] for n in OPTIONS}, **changes}


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def torch_spiral(z, p, u):
    x, y = z.unbind(-1)
    return torch.stack((p["growth"] * x - p["turn"] * y, p["turn"] * x + p["growth"] * y), -1)


def spiral(z, p, u):
    (x, y), (growth, turn) = z, p
    return growth * x - turn * y, turn * x + growth * y


def spiral_vjp(z, p, u, g):
    (x, y), (growth, turn), (gx, gy) = z, p, g
    return (growth * gx + turn * gy, growth * gy - turn * gx), (gx * x + gy * y, gy * x - gx * y), u


def torch_growth(z, p, u):
    return p["rate"].unsqueeze(-1) * z * torch.exp(-z) + u[..., :1] * u[..., 1:]


def growth(z, p, u):
    (x,), (rate,), (a, b) = z, p, u
    return (rate * x * exp(-x) + a * b,)


def growth_vjp(z, p, u, g):
    (x,), (rate,), (a, b), (gx,) = z, p, u, g
    return (rate * (1 - x) * exp(-x) * gx,), (x * exp(-x) * gx,), (b * gx, a * gx)


def named(name, states, numbers, law, numba=None, numba_vjp=None, **more):
    parameters = tuple(Parameter(n, v) for n, v in numbers.items())
    return VectorField(name, states, parameters, law, numba=numba, numba_vjp=numba_vjp, **more)


@pytest.fixture(scope="module", autouse=True)
def own_fields():
    fields = (
        named("spiral", 2, {"growth": -0.3, "turn": 2.0}, torch_spiral, spiral, spiral_vjp),
        named("growth", 1, {"rate": 0.7}, torch_growth, growth, growth_vjp, inputs="own"),
        named("torch-only", 2, {"growth": -0.3, "turn": 2.0}, torch_spiral),
    )
    for field in fields:
        register_field(field)
    yield
    for field in fields:
        del FIELDS[field.name]


def test_linear_dynamics_have_their_exact_solution():
    z0 = torch.randn(2, 5, 2, generator=generator(), dtype=torch.float64)
    rates, turns = torch.tensor([-0.3, 0.1]).double(), torch.tensor([2.0, 1.0]).double()
    z = rollout_ode(z0, {"growth": rates, "turn": turns}, field="spiral", dt=0.01, steps=300, keep_every=100).z
    for k in range(3):
        t = (k + 1) * 1.0
        factor = torch.exp(torch.complex(rates, turns) * t)[:, None]
        exact = torch.view_as_real(torch.view_as_complex(z0) * factor)
        torch.testing.assert_close(z[:, :, k], exact, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("field", ["spiral", "lorenz63", "bursting"])
def test_order_of_convergence(field, method):
    start = {"spiral": (1.0, 0.5), "lorenz63": (3.0, -4.0, 21.0), "bursting": (-50.0, 0.2, 0.05)}[field]
    end = {"spiral": 1.0, "lorenz63": 0.2, "bursting": 1.0}[field]
    z0 = torch.tensor(start, dtype=torch.float64)[None, None]

    def at_end(steps, how):
        return rollout_ode(z0, field=field, dt=end / steps, steps=steps, method=how, keep_every=0).z_final

    exact = at_end(4096, "rk4")
    steps = (32, 64, 128) if method == "rk4" else (256, 512, 1024)
    errors = [float((at_end(n, method) - exact).abs().max()) for n in steps]
    orders = [math.log2(a / b) for a, b in pairwise(errors)]
    expected = {"euler": 1, "heun": 2, "rk4": 4}[method]
    assert orders == pytest.approx([expected] * 2, abs=0.15)


def test_backward_in_time_returns_to_the_start():
    z0 = torch.tensor([[[1.0, -2.0, 20.0]]], dtype=torch.float64)
    there = rollout_ode(z0, field="lorenz63", dt=1e-3, steps=200).z_final
    back = rollout_ode(there, field="lorenz63", dt=-1e-3, steps=200).z_final
    assert (there - z0).abs().max() > 1
    torch.testing.assert_close(back, z0, rtol=1e-8, atol=1e-8)


def test_lorenz96_without_forcing_and_friction_keeps_its_energy():
    """The quadratic terms conserve sum z^2; friction takes it away at rate 2, forcing adds 2 F sum z."""
    z0 = torch.randn(1, 4, 8, generator=generator(1), dtype=torch.float64)
    z = rollout_ode(z0, {"forcing": 0.0}, field="lorenz96", dt=0.01, steps=100).z
    energy = z.square().sum(-1)
    decay = torch.exp(-2 * 0.01 * torch.arange(1, 101, dtype=torch.float64))
    torch.testing.assert_close(energy, z0.square().sum(-1, keepdim=True) * decay, rtol=1e-6, atol=0)


def test_bursting_neuron_bursts():
    """Groups of spikes with silence between them: intervals between spikes of two very different lengths."""
    z0 = torch.tensor([[[-60.0, 0.1, 0.05]]], dtype=torch.float64)
    V = rollout_ode(z0, field="bursting", dt=0.05, steps=40_000, keep_every=2).z[0, 0, 5000:, 0]
    spikes = ((V[1:] > -25) & (V[:-1] <= -25)).nonzero()[:, 0] * 0.1
    gaps = spikes.diff()
    assert len(spikes) > 20 and V.min() < -60 and V.max() < 0
    assert (gaps < 20).sum() > len(gaps) / 3 and (gaps > 40).sum() > 5 and gaps.max() < 300


@pytest.mark.slow
def test_lorenz63_has_its_published_exponents():
    """Growth of tangents, by Jacobians along the orbit and QR: 0.906, 0, -14.57 per unit of time (Sprott 2003)."""
    B, T, dt, every = 64, 60_000, 0.005, 10
    z0 = torch.tensor([0.0, 0.0, 25.0]).double() + torch.randn(1, B, 3, generator=generator(2), dtype=torch.float64)
    z = rollout_ode(z0, field="lorenz63", dt=dt, steps=4000, keep_every=0).z_final
    Q = torch.linalg.qr(torch.randn(B, 3, 3, generator=generator(3), dtype=torch.float64))[0]
    sums = torch.zeros(B, 3, dtype=torch.float64)
    size = 1e-7
    for _ in range(T // every):
        moved = z[:, :, None] + size * torch.cat([Q.mT, -Q.mT], 1)[None]
        all_states = torch.cat([z[:, :, None], moved], 2).reshape(1, B * 7, 3)
        end = rollout_ode(all_states, field="lorenz63", dt=dt, steps=every, keep_every=0).z_final.view(1, B, 7, 3)
        z, tangents = end[:, :, 0], (end[0, :, 1:4] - end[0, :, 4:]) / (2 * size)
        Q, R = torch.linalg.qr(tangents.mT)
        sums += R.diagonal(dim1=1, dim2=2).abs().log()
    exponents = (sums / (T * dt)).mean(0)
    assert exponents[0].item() == pytest.approx(0.906, abs=0.01)
    assert exponents[1].item() == pytest.approx(0.0, abs=0.01)
    assert exponents[2].item() == pytest.approx(-14.57, abs=0.03)
    assert exponents.sum().item() == pytest.approx(-(10 + 1 + 8 / 3), abs=1e-3)


def test_two_orbits_part_at_the_largest_exponent():
    """Mean growth of small distances over a few units of time, orbits all over the attractor."""
    z0 = torch.tensor([0.0, 0.0, 25.0]).double() + torch.randn(1, 2000, 3, generator=generator(4), dtype=torch.float64)
    z = rollout_ode(z0, field="lorenz63", dt=0.01, steps=3000, keep_every=0).z_final
    step = torch.randn(z.shape, generator=generator(5), dtype=torch.float64)
    pair = torch.cat([z, z + 1e-9 * step / step.norm(dim=-1, keepdim=True)], 1)
    orbits = rollout_ode(pair, field="lorenz63", dt=0.01, steps=1000, keep_every=200).z[0]
    distance = (orbits[:2000] - orbits[2000:]).norm(dim=-1).log().mean(0)
    assert ((distance[-1] - distance[0]) / 8.0).item() == pytest.approx(0.906, abs=0.03)


@pytest.mark.parametrize("field", ["lorenz63", "rossler", "lorenz96"])
def test_orbits_are_those_of_scipy(field):
    from scipy.integrate import solve_ivp

    M = 5 if field == "lorenz96" else 3
    z0 = torch.randn(M, generator=generator(6), dtype=torch.float64) * 3
    law = FIELDS[field]
    p = {q.name: torch.tensor([[q.default]], dtype=torch.float64) for q in law.parameters}
    found = rollout_ode(z0[None, None], field=field, dt=0.002, steps=500, keep_every=0).z_final[0, 0]

    def f(t, x):
        return law.torch(torch.from_numpy(x)[None, None], p, None)[0, 0].numpy()

    exact = solve_ivp(f, (0.0, 1.0), z0.numpy(), method="DOP853", rtol=1e-12, atol=1e-12).y[:, -1]
    torch.testing.assert_close(found, torch.from_numpy(exact), rtol=1e-7, atol=1e-7)


GRADIENTS = (
    "lorenz63-driven", "lorenz63-heun", "lorenz63-last", "bursting", "bursting-every-other", "lorenz96-four",
    "rossler-shared-drive", "gated-mlp", "gated-mlp-free",
)  # fmt: skip


@pytest.mark.parametrize("name", GRADIENTS)
def test_gradcheck(name):
    values = public(name)
    wanted = [n for n in ("z0", "parameters", "drive") if values[n] is not None]

    def function(*tensors):
        return tuple(rollout_ode(**{**values, **dict(zip(wanted, tensors, strict=True))}))

    tensors = [values[n].clone().requires_grad_() for n in wanted]
    assert torch.autograd.gradcheck(function, tensors, eps=1e-6, atol=1e-5, rtol=1e-4)


def test_gradients_are_the_same_whatever_is_kept():
    z0 = torch.randn(1, 20, 3, generator=generator(7), dtype=torch.float64)
    found = []
    for every in (1, 7, 50, 0):
        leaf = z0.clone().requires_grad_()
        rho = torch.tensor([28.0], dtype=torch.float64, requires_grad=True)
        out = rollout_ode(leaf, {"rho": rho}, field="lorenz63", dt=0.01, steps=50, keep_every=every)
        found.append(torch.autograd.grad(out.z_final.square().sum(), (leaf, rho)))
    for one in found[1:]:
        torch.testing.assert_close(one, found[0], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("keep_every", [0, 60])
def test_long_segments_are_cut_into_chunks(keep_every, monkeypatch):
    from neurorbit.kernels.rollout_ode import cpu_numba

    values = public("odd-sizes", steps=41 if keep_every == 0 else 100, keep_every=keep_every)
    values["drive"] = torch.randn(3, 37, values["steps"], 3, generator=generator(8), dtype=torch.float64)
    found = []
    for rows in (10**6, 1):
        monkeypatch.setattr(cpu_numba, "RECOMPUTED_ROWS", rows)
        leaves = [values[n].clone().requires_grad_() for n in ("z0", "parameters", "drive")]
        out = rollout_ode(**{**values, **dict(zip(("z0", "parameters", "drive"), leaves, strict=True))})
        found.append(torch.autograd.grad(out.z.sum() + out.z_final.square().sum(), leaves))
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))


def test_a_field_of_ones_own_with_inputs():
    z0 = torch.rand(2, 18, 1, generator=generator(9), dtype=torch.float64)
    u = torch.randn(1, 18, 6, 2, generator=generator(10), dtype=torch.float64)

    def function(backend):
        def call(z, rate, inputs):
            return tuple(rollout_ode(z, {"rate": rate}, field="growth", dt=0.1, steps=6, drive=inputs,
                                     backend=backend))  # fmt: skip

        return call

    rate = torch.tensor([0.7, 1.3], dtype=torch.float64)
    for found, expected in zip(function(None)(z0, rate, u), function("reference")(z0, rate, u), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-13, atol=1e-14)
    leaves = [x[..., :2, :, :].clone() if x.ndim == 4 else x[:, :2].clone() if x.ndim == 3 else x for x in (z0, rate)]
    leaves.append(u[:, :2].clone())
    assert torch.autograd.gradcheck(function(None), [x.requires_grad_() for x in leaves])


def test_a_changed_field_gets_a_kernel_of_its_own():
    z0 = torch.ones(1, 1, 2)

    def run(field):
        register_field(field, replace=True)
        return rollout_ode(z0, field=field.name, dt=0.5, steps=1, method="euler").z_final[0, 0].tolist()

    def stays(z, p, u):
        return z[0] - z[0], z[1] - z[1]

    numbers = {"growth": 1.0, "turn": 0.0}
    assert run(named("changing", 2, numbers, torch_spiral, spiral, spiral_vjp)) == [1.5, 1.5]
    assert run(named("changing", 2, numbers, torch_spiral, stays, spiral_vjp)) == [1.0, 1.0]
    del FIELDS["changing"]


def test_missing_dialects_are_named():
    z0 = torch.ones(1, 1, 2)
    call = dict(field="torch-only", dt=0.1, steps=2)
    assert torch.isfinite(rollout_ode(z0, **call, backend="reference").z).all()
    with pytest.raises(RuntimeError, match="field: 'torch-only' has no function 'numba', which this backend needs"):
        rollout_ode(z0, **call)


def test_parameters_in_all_their_forms():
    z0 = torch.randn(2, 3, 3, generator=generator(11))
    call = dict(field="lorenz63", dt=0.01, steps=3)
    plain = rollout_ode(z0, **call).z
    packed = torch.tensor([[10.0, 28.0, 8 / 3], [10.0, 20.0, 8 / 3]])
    mixed = rollout_ode(z0, {"rho": torch.tensor([28.0, 20.0]), "sigma": 10}, **call).z
    assert torch.equal(rollout_ode(z0, packed, **call).z, mixed)
    assert torch.equal(plain[0], mixed[0]) and not torch.equal(plain[1], mixed[1])


def test_weights_by_name_are_the_packed_ones():
    values = public("gated-mlp")
    law, packed = FIELDS["gated_mlp"], values.pop("parameters")
    weights = {n: w.clone().requires_grad_() for n, w in law.unpack(packed, 2, 2).items()}
    out = rollout_ode(**values, parameters=weights)
    assert torch.equal(out.z, rollout_ode(**values, parameters=packed).z)
    grads = torch.autograd.grad(out.z.square().sum(), list(weights.values()))
    assert [g.shape for g in grads] == [w.shape for w in weights.values()] and all(g.abs().sum() > 0 for g in grads)


@pytest.mark.parametrize("name", ["lorenz63-driven", "lorenz96-four", "gated-mlp-free"])
def test_registered_with_torch(name):
    values = public(name, torch.float32)
    for n in SPEC.differentiable:
        if values[n] is not None:
            values[n].requires_grad_()
    found = torch.library.opcheck(torch.ops.neurorbit.rollout_ode.default, (*values.values(), ""))
    assert set(found.values()) == {"SUCCESS"}


@pytest.mark.parametrize("name", ["lorenz63-every-third", "gated-mlp"])
def test_compiles_into_one_graph(name):
    values = public(name, torch.float32)

    def loss(z0, parameters):
        out = rollout_ode(**{**values, "z0": z0, "parameters": parameters})
        return out.z.square().mean() + out.z_final.sum()

    def gradients(function):
        tensors = [values[n].clone().requires_grad_() for n in ("z0", "parameters")]
        return torch.autograd.grad(function(*tensors), tensors)

    compiled = torch.compile(loss, fullgraph=True, backend="aot_eager")
    for found, expected in zip(gradients(compiled), gradients(loss), strict=True):
        torch.testing.assert_close(found, expected)


REFUSED = {
    r"z0: expected M=3 states for field 'lorenz63', got 2": dict(z0=torch.zeros(2, 3, 2).double()),
    "z0: expected a tensor": dict(z0=torch.zeros(3, 5)),
    r"z0: expected a tensor \[E, B, M\], none of them 0": dict(z0=torch.zeros(2, 0, 3)),
    "field: expected one of lorenz63, lorenz96": dict(field="pendulum"),
    "method: expected one of euler, heun, rk4, got 'dopri5'": dict(method="dopri5"),
    "dt: expected a finite step other than 0": dict(dt=0.0),
    "steps: expected 1 or more": dict(steps=0),
    "keep_every: expected 0 or more": dict(keep_every=-1),
    r"drive: expected \[E=2 or 1, B=3, T=7, U\], got .*: T differs": dict(drive=torch.zeros(1, 3, 6, 3).double()),
    r"drive: field 'lorenz63' adds the inputs to dz/dt: expected U = M = 3": dict(
        drive=torch.zeros(1, 3, 7, 2).double()
    ),
    "parameters: expected P = 3 of field 'lorenz63'": dict(parameters=torch.zeros(2, 4).double()),
    "parameters: expected sigma, rho, beta for field 'lorenz63', got 'r'": dict(parameters={"r": 1.0}),
    r"rho: expected \[E=2\] for field 'lorenz63', got \[3\]": dict(parameters={"rho": torch.zeros(3).double()}),
    "backend: expected one of": dict(backend="cuda"),
    "runs on cuda tensors": dict(backend="triton"),
}


@pytest.mark.parametrize("message", REFUSED)
def test_refuses(message):
    with pytest.raises(ValueError, match=message):
        rollout_ode(**public("lorenz63", **REFUSED[message]))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (dict(z0=[1.0]), "z0: expected a tensor"),
        (dict(z0=torch.zeros(2, 3, 3, dtype=torch.float16)), "z0: expected float32 or float64"),
        (dict(parameters=torch.zeros(2, 3)), "parameters: expected torch.float64 as z0, got torch.float32"),
        (dict(parameters={"rho": "28"}), "rho: expected a tensor or a number, got str"),
        (dict(dt="0.1"), "dt: expected a number"),
        (dict(steps=2.0), "steps: expected a whole number"),
    ],
)
def test_refuses_types(change, message):
    with pytest.raises(TypeError, match=message):
        rollout_ode(**public("lorenz63", **change))


def test_limits_and_weights_are_named():
    with pytest.raises(ValueError, match="field 'lorenz96': M=257 is above its limit of 256"):
        rollout_ode(torch.zeros(1, 1, 257), field="lorenz96", dt=0.1, steps=1)
    with pytest.raises(ValueError, match="z0: expected M of 4 or more states"):
        rollout_ode(torch.zeros(1, 1, 3), field="lorenz96", dt=0.1, steps=1)
    with pytest.raises(ValueError, match="Wg: is required by field 'gated_mlp'"):
        rollout_ode(torch.zeros(1, 1, 3), field="gated_mlp", dt=0.1, steps=1)
    wrong = {"Wg": torch.zeros(1, 3, 2)}
    with pytest.raises(ValueError, match=r"Wg: expected M=3, got \[1, 3, 2\]"):
        rollout_ode(torch.zeros(1, 1, 3), wrong, field="gated_mlp", dt=0.1, steps=1)


@pytest.mark.parametrize(
    ("field", "error", "message"),
    [
        (named("lorenz63", 3, {"a": 1.0}, torch_spiral), ValueError, "'lorenz63' is registered already"),
        (named("new", None, {"a": 1.0}, torch_spiral), ValueError, "form 'states' needs a fixed number"),
        (named("new", 2, {}, torch_spiral), ValueError, "expected one or more parameters"),
        (named("new", 2, {"a": 1.0}, torch_spiral, inputs="both"), ValueError, "expected inputs 'added' or 'own'"),
        ("new", TypeError, "field: expected a VectorField, got str"),
    ],
)
def test_register_refuses(field, error, message):
    with pytest.raises(error, match=message):
        register_field(field)
