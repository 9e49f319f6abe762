"""The public functions: oracles that are no twins, gradients, registration with torch, and what they refuse."""

from __future__ import annotations

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from neurorbit.bindings.rollout_plrnn import CELLS, generate_plrnn, jacobian_plrnn, plrnn_step, rollout_plrnn
from neurorbit.kernels.rollout_plrnn.spec import SPEC

CASES = {case.name: case for case in SPEC.cases}
OPTIONS = ("cell", "n_relu")


def public(name: str, dtype=torch.float64, **changes):
    """Arguments of the public function for a case of the spec."""
    values = SPEC.sample(CASES[name], torch.Generator().manual_seed(3), dtype)
    drive = values.pop("drive")
    if values["z_hat"] is None:
        del values["forcing_alpha"], values["forcing_interval"], values["z_hat"]
        values["steps"] = CASES[name].sizes["T"]
    if drive is not None:
        values["C"] = drive[:, 0, :2].transpose(1, 2).contiguous()
        values["u"] = drive[:1, ..., :2].contiguous()
    return {**values, **{n: CASES[name].options[n] for n in OPTIONS}, **changes}


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_linear_dynamics_have_their_closed_form():
    g = generator()
    A = torch.rand(2, 4, generator=g, dtype=torch.float64) * 0.5
    W = torch.randn(2, 4, 4, generator=g, dtype=torch.float64) * 0.2
    h = torch.randn(2, 4, generator=g, dtype=torch.float64)
    z0 = torch.randn(2, 3, 4, generator=g, dtype=torch.float64)
    z = rollout_plrnn(z0, A, W, h, cell="alrnn", n_relu=0, steps=9).z
    F = torch.diag_embed(A) + W
    fixed = torch.linalg.solve(torch.eye(4, dtype=torch.float64) - F, h)
    for t in range(9):
        power = torch.linalg.matrix_power(F, t + 1)
        expected = fixed[:, None] + torch.einsum("emn,ebn->ebm", power, z0 - fixed[:, None])
        torch.testing.assert_close(z[:, :, t], expected, rtol=1e-12, atol=1e-12)


def test_without_its_linear_part_it_is_a_relu_rnn():
    rnn = torch.nn.RNN(2, 6, nonlinearity="relu", batch_first=True, dtype=torch.float64)
    g = generator(1)
    for p in rnn.parameters():
        p.data.copy_(torch.randn(p.shape, generator=g, dtype=torch.float64) * 0.4)
    u = torch.randn(5, 12, 2, generator=g, dtype=torch.float64)
    expected, _ = rnn(u)
    expected.square().sum().backward()
    W, C = (p.detach().clone()[None].requires_grad_() for p in (rnn.weight_hh_l0, rnn.weight_ih_l0))
    h = (rnn.bias_hh_l0 + rnn.bias_ih_l0).detach()[None].requires_grad_()
    z = rollout_plrnn(torch.zeros(1, 5, 6).double(), torch.zeros(1, 6).double(), W, h, cell="plrnn", C=C, u=u[None]).z
    torch.testing.assert_close(z[0].relu(), expected.detach(), rtol=1e-12, atol=1e-12)
    z.relu().square().sum().backward()
    for found, name in ((W, "weight_hh_l0"), (C, "weight_ih_l0"), (h, "bias_hh_l0")):
        torch.testing.assert_close(found.grad[0], getattr(rnn, name).grad, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("cell", CELLS)
def test_step_and_jacobian_describe_the_rollout(cell):
    values = public(f"{cell}-free")
    steps = values.pop("steps")
    z = rollout_plrnn(**values, steps=steps).z
    A, W1, h1 = (values.pop(n) for n in ("A", "W1", "h1"))
    del values["lengths"], values["z0"]
    torch.testing.assert_close(plrnn_step(z[:, :, :-1], A, W1, h1, **values), z[:, :, 1:])
    J = jacobian_plrnn(z, A, W1, h1, **values)
    direction = torch.randn(z.shape, generator=generator(), dtype=z.dtype)
    small = 1e-7
    moved = plrnn_step(z + small * direction, A, W1, h1, **values) - plrnn_step(z, A, W1, h1, **values)
    torch.testing.assert_close(torch.einsum("ebtij,ebtj->ebti", J, direction), moved / small, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", ("shallow-clipped-forced", "dendritic-forced", "plrnn-mc-forced", "partial-missing"))
def test_gradcheck(name):
    values = public(name)
    wanted = [n for n in ("z0", "A", "W1", "h1", "W2", "h2", "alpha", "thresholds", "C", "u", "z_hat")
              if values.get(n) is not None and not values[n].isnan().any()]  # fmt: skip

    def function(*tensors):
        return tuple(rollout_plrnn(**{**values, **dict(zip(wanted, tensors, strict=True))}))

    tensors = [values[n].clone().requires_grad_() for n in wanted]
    assert torch.autograd.gradcheck(function, tensors, eps=1e-7, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("name", ("shallow-forced", "dendritic-clipped-forced", "partial-missing", "alrnn-free"))
def test_registered_with_torch(name):
    case = CASES[name]
    values = SPEC.sample(case, generator(), torch.float32)
    for n in SPEC.differentiable:
        if values[n] is not None:
            values[n].requires_grad_()
    arguments = (*values.values(), case.options["cell"], case.options["n_relu"], case.options["steps"], 0, 1, "")
    found = torch.library.opcheck(torch.ops.neurorbit.rollout_plrnn.default, arguments)
    assert set(found.values()) == {"SUCCESS"}


@pytest.mark.parametrize("name", ("shallow-forced", "sparse-shared"))
def test_compiles_into_one_graph(name):
    values = public(name, torch.float32)

    def loss(W1, z0):
        out = rollout_plrnn(**{**values, "W1": W1, "z0": z0})
        return out.z.square().mean() + out.z_final.sum()

    def gradients(function):
        tensors = [values["W1"].clone().requires_grad_(), values["z0"].clone().requires_grad_()]
        return torch.autograd.grad(function(*tensors), tensors)

    compiled = torch.compile(loss, fullgraph=True, backend="aot_eager")
    for found, expected in zip(gradients(compiled), gradients(loss), strict=True):
        torch.testing.assert_close(found, expected)


def test_forcing_strengths_of_the_ends():
    values = public("shallow-forced")
    values["forcing_alpha"] = torch.tensor([0.0, 1.0], dtype=torch.float64)
    z, end = rollout_plrnn(**values)
    free = {n: v for n, v in values.items() if n not in ("z_hat", "forcing_alpha", "forcing_interval")}
    torch.testing.assert_close(z[0], rollout_plrnn(**free).z[0])
    torch.testing.assert_close(end[1], values["z_hat"][1, :, -1])


def test_past_the_end_there_is_nothing():
    values = public("partial-missing")
    values["z_hat"].requires_grad_()
    values["lengths"] = torch.tensor([[3, 7, 1], [7, 2, 5]])
    z, end = rollout_plrnn(**values)
    late = torch.arange(z.shape[2]) >= values["lengths"][..., None]
    assert (z[late] == 0).all() and (z[~late] != 0).all()
    grad = torch.autograd.grad(z.sum() + end.sum(), values["z_hat"])[0]
    assert (grad[late] == 0).all() and (grad[values["z_hat"].isnan()] == 0).all()
    assert grad[~late].abs().sum() > 0


def test_generate_keeps_what_was_asked_for():
    values = public("shallow-clipped-free")
    values.pop("lengths")
    steps = values.pop("steps")
    whole = rollout_plrnn(**values, steps=steps)
    third = generate_plrnn(**values, steps=steps, keep_every=3)
    last = generate_plrnn(**values, steps=steps, keep_every=0)
    assert torch.equal(third.z, whole.z[:, :, 2::3]) and torch.equal(third.z_final, whole.z_final)
    assert last.z.shape[2] == 0 and torch.equal(last.z_final, whole.z_final)
    values["A"].requires_grad_()
    assert not generate_plrnn(**values, steps=steps).z.requires_grad


@pytest.mark.parametrize(("E", "B"), [(300, 1), (1, 4099)])
def test_many_models_and_many_sequences(E, B):
    g = generator(5)
    A, W, h = torch.rand(E, 2, generator=g), torch.randn(E, 2, 2, generator=g) * 0.2, torch.randn(E, 2, generator=g)
    z0 = torch.randn(E, B, 2, generator=g)
    found = rollout_plrnn(z0, A, W, h, cell="plrnn", steps=5)
    expected = rollout_plrnn(z0, A, W, h, cell="plrnn", steps=5, backend="reference")
    torch.testing.assert_close(found.z, expected.z)


def test_largest_sizes_named_in_the_limits():
    g = generator(6)
    M, H = SPEC.limits["M"], SPEC.limits["H"]
    values = {
        "A": torch.rand(1, M, generator=g) * 0.5,
        "W1": torch.randn(1, M, H, generator=g) / H**0.5 * 0.3,
        "h1": torch.zeros(1, M),
        "W2": torch.randn(1, H, M, generator=g) / M**0.5,
        "h2": torch.randn(1, H, generator=g),
    }
    z0 = torch.randn(1, 3, M, generator=g)
    weights = [v.requires_grad_() for v in values.values()]
    found = rollout_plrnn(z0, **values, cell="shallow", steps=3)
    expected = rollout_plrnn(z0, **values, cell="shallow", steps=3, backend="reference")
    torch.testing.assert_close(found.z, expected.z, rtol=1e-4, atol=1e-5)
    pairs = zip(torch.autograd.grad(found.z.square().sum(), weights),
                torch.autograd.grad(expected.z.square().sum(), weights), strict=True)  # fmt: skip
    for a, b in pairs:
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-3 * float(b.abs().max()))


@pytest.mark.parametrize(
    ("cell", "M", "H"), [("shallow-clipped", 3, 11), ("shallow", 8, 5), ("shallow", 9, 5), ("alrnn", 6, 6)]
)
def test_long_rollouts_of_several_blocks(cell, M, H):
    g = generator(8)
    E, B, T, N = 2, 35, 133, 2

    def normal(*shape, scale):
        return (torch.randn(*shape, generator=g, dtype=torch.float64) * scale).requires_grad_()

    values = {"A": normal(E, M, scale=0.3), "W1": normal(E, M, H, scale=0.3 / H**0.5), "h1": normal(E, M, scale=0.3)}
    if cell != "alrnn":
        values |= {"W2": normal(E, H, M, scale=M**-0.5), "h2": normal(E, H, scale=0.5)}
    z0, z_hat = normal(E, B, M, scale=1.0), normal(E, B, T, N, scale=1.0)
    options = {"cell": cell, "n_relu": 2 if cell == "alrnn" else 0, "forcing_alpha": 0.4, "forcing_interval": 3}
    options["lengths"] = torch.randint(1, T + 1, (E, B), generator=g)
    weight = torch.randn(E, B, T, M, generator=g, dtype=torch.float64)
    leaves = [z0, z_hat, *values.values()]

    def outcome(backend):
        z, end = rollout_plrnn(z0, **values, z_hat=z_hat, **options, backend=backend)
        return z, end, *torch.autograd.grad((z * weight).sum() + end.sum(), leaves)

    for found, expected in zip(outcome(None), outcome("reference"), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)


def test_modes_see_the_op_and_the_direct_call_equals_it():
    seen = []

    class Mode(TorchDispatchMode):
        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            seen.append(str(function))
            return function(*args, **(kwargs or {}))

    values = public("shallow-forced")
    values["W1"].requires_grad_()

    def outcome():
        z = rollout_plrnn(**values).z
        return z, *torch.autograd.grad(z.square().sum(), [values["W1"]])

    direct = outcome()
    assert not seen
    with Mode():
        through = outcome()
    assert {"neurorbit.rollout_plrnn.default", "neurorbit.rollout_plrnn_backward.default"} <= set(seen)
    for a, b in zip(direct, through, strict=True):
        assert torch.equal(a, b)


def test_what_was_right_before_is_checked_again_when_it_changes():
    values = public("shallow-forced")
    rollout_plrnn(**values)
    with pytest.raises(ValueError, match=r"A: expected \[E=2, M=5\], got \[2, 4\]"):
        rollout_plrnn(**{**values, "A": values["A"][:, :4]})
    with pytest.raises(TypeError, match=r"A: expected torch\.float64"):
        rollout_plrnn(**{**values, "A": values["A"].float()})
    with pytest.raises(ValueError, match="n_relu: expected"):
        rollout_plrnn(**{**values, "n_relu": 1})
    rollout_plrnn(**values)


REFUSED = {
    "z0: expected a tensor": dict(z0=torch.zeros(3, 5)),
    r"A: expected \[E=2, M=5\], got \[2, 4\]: M differs from z0": dict(A=torch.zeros(2, 4).double()),
    "W1: expected last dim H=5": dict(W1=torch.zeros(2, 5, 4).double()),
    "W2: is required by cell 'shallow'": dict(W2=None),
    "alpha: has no place": dict(alpha=torch.zeros(2, 3).double()),
    "cell: expected one of": dict(cell="lstm"),
    r"forcing_alpha: expected a value in \[0, 1\], got 1.5": dict(forcing_alpha=1.5),
    r"forcing_alpha: expected values in \[0, 1\], got": dict(forcing_alpha=torch.tensor([0.5, -0.1]).double()),
    "forcing_alpha: requires grad": dict(forcing_alpha=torch.tensor([0.5, 0.1]).double().requires_grad_()),
    "forcing_interval: expected a whole number": dict(forcing_interval=0),
    "forcing_interval: expected at least 1": dict(forcing_interval=torch.tensor([1, 0])),
    "lengths: expected 1 to T=7": dict(lengths=torch.tensor([[1, 2, 9]])),
    "u: is required when C is given": dict(u=None),
    r"u: expected \[E=2 or 1, B=3, T, U=2\], got": dict(u=torch.zeros(1, 4, 7, 2).double()),
    "drive: expected .*: T differs": dict(steps=9),
    "n_relu: expected": dict(n_relu=1),
    "backend: expected one of": dict(backend="cuda"),
    "runs on cuda tensors": dict(backend="triton"),
}


@pytest.mark.parametrize("message", REFUSED)
def test_refuses(message):
    with pytest.raises(ValueError, match=message):
        rollout_plrnn(**public("shallow-forced", **REFUSED[message]))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (dict(A=torch.zeros(2, 5)), "A: expected torch.float64 as z0, got torch.float32"),
        (dict(z0=torch.zeros(2, 3, 5, dtype=torch.float16)), "z0: expected float32 or float64"),
        (dict(z0=[1.0]), "z0: expected a tensor"),
        (dict(lengths=torch.ones(1, 3)), "lengths: expected an integer dtype"),
    ],
)
def test_refuses_types(change, message):
    with pytest.raises(TypeError, match=message):
        rollout_plrnn(**public("shallow-forced", **change))


def test_limits_and_missing_steps_are_named():
    with pytest.raises(ValueError, match="M=257 is above this op's limit of 256"):
        rollout_plrnn(torch.zeros(1, 1, 257), torch.zeros(1, 257), torch.zeros(1, 257, 257), torch.zeros(1, 257),
                      cell="plrnn", steps=1)  # fmt: skip
    values = public("plrnn-free")
    values.pop("steps")
    with pytest.raises(ValueError, match="steps: is required"):
        rollout_plrnn(**values)
