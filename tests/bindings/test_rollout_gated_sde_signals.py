"""rollout_gated_sde and gated_drift driven by signals and weights: a drive made outside is the known answer."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch

from neurorbit.bindings.rollout_gated_sde import GatedWeights, gated_drift, rollout_gated_sde
from neurorbit.kernels.rollout_gated_sde.spec import SPEC

CASES = {case.name: case for case in SPEC.cases}
E, B, T, M, U, S = 2, 19, 37, 3, 3, 21


def normal(seed, *shape, scale=1.0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * scale


def some_weights(hidden, models=E):
    layers = [(M, hidden[0]), *pairwise(hidden), (hidden[-1], M)]
    pairs = [(normal(i, models, n, m, scale=1 / n**0.5), normal(50 + i, models, m, scale=0.5))
             for i, (n, m) in enumerate(layers)]  # fmt: skip
    (W1, b1), *further, (Wo, bo) = pairs
    return GatedWeights(normal(99, models, M, M), normal(98, models, M), W1, b1, Wo, bo, tuple(further))


def flat(weights):
    return [*weights[:6], *(part for pair in weights.further for part in pair)]


def some_signals(present, hidden, models=E, shared=True):
    """x, e, V and the drive beside them, of those that are present."""
    columns, found = {"x": U, "e": S}, {}
    for i, name in enumerate(name for name in ("x", "e") if name in present):
        found[name] = normal(10 + i, 1 if shared and name == "x" else models, B, T, columns[name])
    R = sum(columns[name] for name in found)
    found["V"] = normal(12, models, R, M + hidden[0], scale=0.5 / R**0.5)
    if "drive" in present:
        found["drive"] = normal(13, 1 if shared else models, B, T, M + hidden[0], scale=0.5)
    return found


def made_outside(x=None, e=None, V=None, drive=None):
    """The drive [E, B, T, M + H_1] of signals."""
    rows = torch.cat([v.expand(len(V), *v.shape[1:]) for v in (x, e) if v is not None], 3)
    found = torch.einsum("ebtr,erd->ebtd", rows, V)
    return found if drive is None else found + drive


def some_lengths(models=E):
    lengths = torch.randint(0, T + 1, (models, B), generator=torch.Generator().manual_seed(0))
    lengths[0, 0], lengths[-1, 1], lengths[-1, 2] = T, 0, 1
    return lengths


def roll_out(weights, signals, backend=None, lengths=None):
    sigma = normal(20, len(weights.bo), M).abs() + 0.1
    return rollout_gated_sde(
        normal(21, len(weights.bo), B, M), weights, a=0.2, sigma=sigma, noise_seed=3, lengths=lengths, backend=backend,
        **signals,
    )[:2]  # fmt: skip


def along(weights, signals, backend=None, lengths=None, first=True):
    z, z0 = normal(22, len(weights.bo), B, T, M), normal(23, len(weights.bo), B, M)
    return (gated_drift(z, weights, z0=z0 if first else None, lengths=lengths, backend=backend, **signals),)


def gradients(function, weights, signals, **options):
    """Outputs, and the gradients of a scalar of them with respect to what has one."""
    leaves = {n: v.clone().requires_grad_() for n, v in signals.items() if n != "x"}
    parts = [part.clone().requires_grad_() for part in flat(weights)]
    further = tuple(zip(parts[6::2], parts[7::2], strict=True))
    out = function(GatedWeights(*parts[:6], further), {**signals, **leaves}, **options)
    found = torch.autograd.grad(sum(o.sin().sum() for o in out), [*leaves.values(), *parts])
    return out, dict(zip([*leaves, *range(len(parts))], found, strict=True))


def as_drive(function):
    """The function, with the drive made outside."""
    return lambda weights, signals, **options: function(weights, {"drive": made_outside(**signals)}, **options)


@pytest.mark.parametrize("backend", ("numba", "reference"))
@pytest.mark.parametrize("function", (roll_out, along))
@pytest.mark.parametrize(
    ("present", "hidden", "cut"),
    [("x e", (30,), False), ("x e", (14,), True), ("x", (6, 9), True), ("e", (33, 4, 5), True),
     ("x e drive", (7,), True), ("e drive", (16, 8), False)],
)  # fmt: skip
def test_equals_a_drive_made_outside(backend, function, present, hidden, cut):
    weights, signals = some_weights(hidden), some_signals(present.split(), hidden)
    options = {"lengths": some_lengths() if cut else None, "backend": backend}
    found, grads = gradients(function, weights, signals, **options)
    expected, truth = gradients(as_drive(function), weights, signals, **options)
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-11, atol=1e-12)
    assert set(grads) == set(truth)
    for name, g in truth.items():
        torch.testing.assert_close(grads[name], g, rtol=1e-10, atol=1e-11 * float(g.abs().max()))


@pytest.mark.parametrize("function", (roll_out, along))
def test_models_of_a_stack_with_inputs_of_their_own(function):
    weights, signals = some_weights((8,)), some_signals(("x", "e"), (8,), shared=False)
    found, expected = function(weights, signals), function(weights, {"drive": made_outside(**signals)})
    torch.testing.assert_close(found, expected, rtol=1e-11, atol=1e-12)
    swapped = signals | {"x": signals["x"].flip(0)}
    torch.testing.assert_close(
        function(weights, swapped), function(weights, {"drive": made_outside(**swapped)}), rtol=1e-11, atol=1e-12
    )


@pytest.mark.parametrize("backend", ("numba", "reference"))
@pytest.mark.parametrize("function", (roll_out, along))
@pytest.mark.parametrize("shared", (False, True))
def test_past_the_end_signals_may_hold_anything(backend, function, shared):
    hidden, lengths = (14, 5), some_lengths()
    weights, signals = some_weights(hidden), some_signals(("x", "e", "drive"), hidden, shared=False)
    if shared:
        lengths = lengths[:1]
        signals["x"] = signals["x"][:1]
    late = torch.arange(T) >= lengths[..., None]
    found, grads = gradients(function, weights, signals, lengths=lengths, backend=backend)
    for name in ("x", "e", "drive"):
        signals[name] = signals[name].masked_fill(late[..., None], float("nan"))
    same, equal = gradients(function, weights, signals, lengths=lengths, backend=backend)
    assert all(torch.equal(a, b) for a, b in zip(found, same, strict=True))
    assert all(torch.equal(grads[name], equal[name]) for name in grads)
    assert (grads["e"][late.expand(E, B, T)] == 0).all() and (grads["e"][~late.expand(E, B, T)] != 0).any(-1).all()


def test_lengths_of_each_model_behind_inputs_that_all_share():
    hidden, lengths = (6,), some_lengths()
    weights, signals = some_weights(hidden), some_signals(("x",), hidden)
    found, grads = gradients(roll_out, weights, signals, lengths=lengths)
    truth = gradients(roll_out, weights, signals, lengths=lengths, backend="reference")
    torch.testing.assert_close(found, truth[0], rtol=1e-11, atol=1e-12)
    torch.testing.assert_close(grads["V"], truth[1]["V"], rtol=1e-10, atol=1e-11)


def test_nan_is_not_hidden():
    hidden = (14,)
    weights, signals = some_weights(hidden), some_signals(("x", "e"), hidden)
    signals["e"][1, 4, 7, 20] = float("nan")
    (mu,) = along(weights, signals)
    bad = mu.isnan().any(-1)
    assert bad[1, 4, 7] and bad.sum() == 1


def small(present, hidden=(5, 4)):
    """Few numbers: a step of the difference quotient for each."""
    case = CASES["signals"]
    values = SPEC.sample(case, torch.Generator().manual_seed(1), torch.float64)
    kept = {"x": values["x"][:, :, :4, :2], "e": values["e"][:, :, :4, :3]}
    kept = {name: kept[name] for name in present}
    R = sum(v.shape[3] for v in kept.values())
    return kept | {"V": normal(1, 2, R, M + hidden[0], scale=0.4)}, some_weights(hidden)


@pytest.mark.parametrize("present", (("x", "e"), ("e",), ("x",)))
def test_gradcheck(present):
    signals, weights = small(present)
    names = [n for n in ("e", "V") if n in signals]
    lengths, z0 = torch.tensor([[4, 3, 0], [1, 4, 2]]), normal(2, 2, 3, M)

    def call(z0, *given):
        values = signals | dict(zip(names, given, strict=True))
        z, mu, end = rollout_gated_sde(z0, weights, a=0.3, lengths=lengths, **values)
        return z, mu, end, gated_drift(z, weights, z0=z0, lengths=lengths, **values)

    leaves = [t.clone().requires_grad_() for t in (z0, *(signals[n] for n in names))]
    assert torch.autograd.gradcheck(call, leaves, eps=1e-6, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("wanted", ("e", "V", "drive", "weights"))
def test_gradient_of_one_argument_alone(wanted):
    hidden = (9,)
    weights, signals = some_weights(hidden), some_signals(("x", "e", "drive"), hidden)
    every = gradients(roll_out, weights, signals)[1]
    if wanted == "weights":
        leaf = weights.W1.clone().requires_grad_()
        out = roll_out(weights._replace(W1=leaf), signals)
    else:
        leaf = signals[wanted].clone().requires_grad_()
        out = roll_out(weights, signals | {wanted: leaf})
    (alone,) = torch.autograd.grad(sum(o.sin().sum() for o in out), leaf)
    assert torch.equal(alone, every[2 if wanted == "weights" else wanted])


@pytest.mark.parametrize("dtype", (torch.float32, torch.float64))
def test_threads_do_not_change_a_bit(dtype):
    weights = some_weights((30,), 3)
    weights = GatedWeights(*(part.to(dtype) for part in weights[:6]))
    signals = {n: v.to(dtype).repeat(1, 3, 1, 1) if v.ndim == 4 else v.to(dtype)
               for n, v in some_signals(("x", "e"), (30,), 3).items()}  # fmt: skip
    z0, before, found = torch.zeros(3, 3 * B, M, dtype=dtype), torch.get_num_threads(), []
    leaves = [signals["e"].requires_grad_(), signals["V"].requires_grad_()]
    try:
        for threads in (1, 2, 5):
            torch.set_num_threads(threads)
            z, mu, _ = rollout_gated_sde(z0, weights, a=0.2, **signals)
            found.append((z, mu, *torch.autograd.grad(z.sin().sum() + mu.square().sum(), leaves)))
    finally:
        torch.set_num_threads(before)
    for other in found[1:]:
        assert all(torch.equal(a, b) for a, b in zip(found[0], other, strict=True))


@pytest.mark.parametrize("name", ("inputs", "signals", "signals-odd", "path-inputs", "path-signals"))
def test_registered_with_torch(name):
    case = CASES[name]
    values = SPEC.sample(case, torch.Generator().manual_seed(0), torch.float32)
    for n in SPEC.differentiable:
        if values[n] is not None:
            values[n].requires_grad_()
    options = (case.options["hidden"], case.options["steps"], 0, "")
    found = torch.library.opcheck(torch.ops.neurorbit.rollout_gated_sde.default, (*values.values(), *options))
    assert set(found.values()) == {"SUCCESS"}


def test_compiles_into_one_graph():
    weights, signals = some_weights((6,)), some_signals(("x", "e"), (6,))
    leaves, z0 = [signals["e"].requires_grad_(), signals["V"].requires_grad_()], normal(21, E, B, M)

    def loss(e, V):
        z, mu, _ = rollout_gated_sde(z0, weights, a=0.2, x=signals["x"], e=e, V=V)
        return (z + mu).sin().sum() + gated_drift(z, weights, e=e, V=V[:, U:]).square().mean()

    compiled = torch.compile(loss, fullgraph=True, backend="aot_eager")
    for found, expected in zip(*(torch.autograd.grad(f(*leaves), leaves) for f in (compiled, loss)), strict=True):
        torch.testing.assert_close(found, expected)


def zeros(*shape):
    return torch.zeros(*shape).double()


REFUSED = {
    "V: is required with x or e": dict(V=None),
    "V: has no effect without x or e: leave it out": dict(x=None, e=None, steps=T),
    r"V: expected U \+ S = 24 rows as x and e have columns, got R=23": dict(V=zeros(E, 23, M + 6)),
    r"V: expected U \+ S = 21 rows .*, got R=24": dict(x=None),
    r"V: expected \[E=2, R=24, D=9\], got \[2, 24, 8\]: D differs": dict(V=zeros(E, 24, 8)),
    r"V: expected \[E=2, R, D=9\], got \[1, 24, 9\]: E differs": dict(V=zeros(1, 24, M + 6)),
    r"x: expected \[E=2 or 1, B=19, T, U\], got \[1, 18, 37, 3\]: B differs": dict(x=zeros(1, B - 1, T, U)),
    r"x: expected \[E=2 or 1, B=19, T, U\], got \[3, 19, 37, 3\]: E differs": dict(x=zeros(3, B, T, U)),
    r"x: expected at least one column, got \[1, 19, 37, 0\]: leave it out": dict(x=zeros(1, B, T, 0)),
    r"e: expected at least one column, got \[2, 19, 37, 0\]: leave it out": dict(e=zeros(E, B, T, 0)),
    r"e: expected \[E=2, B=19, T=37, S\], got \[2, 19, 36, 21\]: T differs from x": dict(e=zeros(E, B, T - 1, S)),
    r"e: expected \[E=2, B=19, T=37, S\], got \[1, 19, 37, 21\]: E differs": dict(e=zeros(1, B, T, S)),
    r"e: expected .*: 3 dims instead of 4": dict(e=zeros(E, B, T)),
    "x: expected .*: T differs from the options": dict(steps=T + 1),
    "x: requires grad, but its gradient is not implemented": dict(x=zeros(1, B, T, U).requires_grad_()),
}  # fmt: skip


@pytest.mark.parametrize("message", REFUSED)
def test_refuses(message):
    with pytest.raises(ValueError, match=message):
        rollout_gated_sde(zeros(E, B, M), some_weights((6,)), a=0.1,
                          **some_signals(("x", "e"), (6,)) | REFUSED[message])  # fmt: skip


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (dict(x=torch.zeros(1, B, T, U)), "x: expected torch.float64 as weights, got torch.float32"),
        (dict(e=torch.zeros(E, B, T, S)), "e: expected torch.float64 as weights, got torch.float32"),
        (dict(V=[1.0]), "V: expected a tensor, got list"),
    ],
)
def test_refuses_types(change, message):
    with pytest.raises(TypeError, match=message):
        gated_drift(zeros(E, B, T, M), some_weights((6,)), **some_signals(("x", "e"), (6,)) | change)
