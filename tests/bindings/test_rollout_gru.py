"""The public function: torch's own GRU as the oracle, gradients, registration with torch, and what it refuses."""

from __future__ import annotations

import pytest
import torch
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from neurorbit.bindings.rollout_gru import rollout_gru
from neurorbit.kernels.rollout_gru.spec import SPEC

CASES = {case.name: case for case in SPEC.cases}
BACKENDS = ("numba", "reference")
INPUTS = [case.name for case in SPEC.cases if case.present & {"y", "x"}]


def public(name: str, dtype=torch.float64, **changes):
    """Arguments of the public function for a case of the spec."""
    return {**SPEC.sample(CASES[name], torch.Generator().manual_seed(3), dtype), **changes}


def normal(seed, *shape, scale=1.0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * scale


def parts_of(gru, x):
    """(drive, W, b) of a torch GRU of one layer, for inputs x [B, T, U]."""
    suffixes = ("", "_reverse") if gru.bidirectional else ("",)
    drive = torch.stack([x @ getattr(gru, f"weight_ih_l0{s}").mT + getattr(gru, f"bias_ih_l0{s}") for s in suffixes], 2)
    W = torch.stack([getattr(gru, f"weight_hh_l0{s}").mT for s in suffixes])
    b = torch.stack([getattr(gru, f"bias_hh_l0{s}") for s in suffixes])
    return drive[None], W[None], b[None]


def with_weights(gru):
    """The same GRU with weights that a seed gives."""
    for i, p in enumerate(gru.parameters()):
        p.data.copy_(normal(i, *p.shape, scale=0.5))
    return gru


def inputs_of(gru):
    """(W_in, b_in, W, b) of a torch GRU of one layer."""
    suffixes = ("", "_reverse") if gru.bidirectional else ("",)
    names = ("weight_ih", "bias_ih", "weight_hh", "bias_hh")
    W_in, b_in, W, b = ([getattr(gru, f"{name}_l0{s}") for s in suffixes] for name in names)
    return (
        torch.stack([w.mT for w in W_in], 1)[None], torch.stack(b_in)[None], torch.stack([w.mT for w in W])[None],
        torch.stack(b)[None],
    )  # fmt: skip


def counts_of(kind, mean, *shape):
    return torch.poisson(torch.full(shape, mean), generator=torch.Generator().manual_seed(9)).to(kind)


@pytest.mark.parametrize("bidirectional", (False, True))
@pytest.mark.parametrize("H", (1, 7, 50))
@pytest.mark.parametrize("backend", BACKENDS)
def test_it_is_torchs_gru_on_packed_sequences(backend, H, bidirectional):
    B, T, U, D = 6, 11, 4, 1 + bidirectional
    gru = with_weights(torch.nn.GRU(U, H, batch_first=True, bidirectional=bidirectional, dtype=torch.float64))
    x, lengths, h0 = normal(20, B, T, U), torch.tensor([11, 3, 1, 7, 10, 2]), normal(21, D, B, H).requires_grad_()
    packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
    out, last = gru(packed, h0)
    out, _ = pad_packed_sequence(out, batch_first=True, total_length=T)
    weight, end_weight = normal(22, *out.shape), normal(23, *last.shape)
    wanted = (*gru.parameters(), h0)
    expected = torch.autograd.grad((out * weight).sum() + (last * end_weight).sum(), wanted)
    drive, W, b = parts_of(gru, x)
    found = rollout_gru(drive, W, b, h0=h0.transpose(0, 1)[None], lengths=lengths[None], backend=backend)
    torch.testing.assert_close(found.h[0].flatten(2), out, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(found.h_final[0].transpose(0, 1), last, rtol=1e-12, atol=1e-12)
    total = (found.h[0].flatten(2) * weight).sum() + (found.h_final[0].transpose(0, 1) * end_weight).sum()
    for a, b_ in zip(torch.autograd.grad(total, wanted), expected, strict=True):
        torch.testing.assert_close(a, b_, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("bidirectional", (False, True))
@pytest.mark.parametrize(
    ("counts", "N", "U"), [(torch.uint8, 5, 2), (torch.int16, 64, 0), (torch.int32, 70, 1), (torch.uint8, 130, 3)]
)
@pytest.mark.parametrize("backend", BACKENDS)
def test_counts_and_signals_are_torchs_grus_inputs(backend, counts, N, U, bidirectional):
    """The same oracle with W_in and b_in; behind the ends stands anything, one bin is full, a trial silent."""
    H, lengths = 9, torch.tensor([11, 3, 1, 7, 10, 2])
    gru = with_weights(torch.nn.GRU(N + U, H, batch_first=True, bidirectional=bidirectional, dtype=torch.float64))
    y, x = counts_of(counts, 0.2, 6, 11, N), normal(20, 6, 11, U) if U else None
    y[1, 1], y[4] = torch.arange(1, N + 1).clamp_max(200), 0
    seen = y.double() if x is None else torch.cat([y.double(), x], 2)
    out, last = gru(pack_padded_sequence(seen, lengths, batch_first=True, enforce_sorted=False))
    out, _ = pad_packed_sequence(out, batch_first=True, total_length=11)
    weight, end_weight = normal(22, *out.shape), normal(23, *last.shape)
    expected = torch.autograd.grad((out * weight).sum() + (last * end_weight).sum(), tuple(gru.parameters()))
    late = (torch.arange(11) >= lengths[:, None])[..., None]
    y = y.masked_fill(late, 255 if counts is torch.uint8 else -1)
    x = x if x is None else x.masked_fill(late, float("nan"))[None]
    W_in, b_in, W, b = inputs_of(gru)
    found = rollout_gru(
        None, W, b, y=y[None], x=x, W_in=W_in, b_in=b_in, lengths=lengths[None], backend=backend
    )  # fmt: skip
    torch.testing.assert_close(found.h[0].flatten(2), out, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(found.h_final[0].transpose(0, 1), last, rtol=1e-12, atol=1e-12)
    total = (found.h[0].flatten(2) * weight).sum() + (found.h_final[0].transpose(0, 1) * end_weight).sum()
    for a, b_ in zip(torch.autograd.grad(total, tuple(gru.parameters())), expected, strict=True):
        torch.testing.assert_close(a, b_, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("dtype", (torch.float64, torch.float32))
@pytest.mark.parametrize("name", INPUTS)
def test_inputs_equal_the_drive_made_outside(name, dtype, backend):
    """Whatever is given beside them: another drive, first states, lengths, data that all models share."""
    values = public(name, dtype)
    wanted = [values[n].requires_grad_() for n in SPEC.differentiable if values[n] is not None]

    def gradients(h, end):
        weights = normal(5, *h.shape).to(dtype), normal(6, *end.shape).to(dtype)
        return h, end, *torch.autograd.grad((h * weights[0]).sum() + (end * weights[1]).sum(), wanted)

    found = gradients(*rollout_gru(**values, backend=backend))
    E = len(values["W"])
    rows = torch.cat([t.to(dtype).expand(E, -1, -1, -1) for t in (values["y"], values["x"]) if t is not None], 3)
    drive = torch.einsum("ebtr,erdg->ebtdg", rows, values["W_in"])
    for other in (values["drive"], None if values["b_in"] is None else values["b_in"][:, None, None]):
        drive = drive if other is None else drive + other
    outside = {n: values[n] for n in ("W", "b", "h0", "lengths")}
    expected = gradients(*rollout_gru(drive, **outside, backend=backend))
    tolerance = 1e-11 if dtype == torch.float64 else 2e-5
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance * max(1.0, float(b.detach().abs().max())))


@pytest.mark.parametrize("shared", ("y", "x", "lengths", "y lengths", "x lengths", "y x"))
@pytest.mark.parametrize("backend", BACKENDS)
def test_data_of_all_models_beside_data_of_each(backend, shared):
    values = public("everything")
    values |= {name: values[name][:1] for name in shared.split()}
    repeated = values | {name: values[name].repeat(2, *[1] * (values[name].ndim - 1)) for name in shared.split()}
    weights, found = normal(5, *rollout_gru(**values).h.shape), []
    for given in (values, repeated):
        leaves = {n: given[n].detach().clone().requires_grad_() for n in ("W_in", "b_in", "W", "drive")}
        h = rollout_gru(**{**given, **leaves}, backend=backend).h
        found.append((h, *torch.autograd.grad((h * weights).sum(), tuple(leaves.values()))))
    for a, b in zip(*found, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("counts", (torch.uint8, torch.int16, torch.int32))
@pytest.mark.parametrize("N", (1, 63, 64, 65, 129, 200))
def test_silence_and_a_bin_in_which_every_neuron_fires(N, counts):
    """No spike leaves the bias alone; the largest counts of each type are taken as they are."""
    W_in, W = normal(1, 2, N, 2, 12, scale=0.05), normal(2, 2, 2, 4, 12, scale=0.3)
    b_in = normal(3, 2, 2, 12)
    silent = torch.zeros(1, 2, 3, N, dtype=counts)
    bias = b_in[:, None, None].expand(2, 2, 3, 2, 12)
    assert torch.equal(rollout_gru(None, W, y=silent, W_in=W_in, b_in=b_in).h, rollout_gru(bias, W).h)
    silent[0, 1, 1] = torch.iinfo(counts).max
    W_in = W_in / torch.iinfo(counts).max
    drive = bias + torch.einsum("btn,endg->ebtdg", silent[0].double(), W_in)
    torch.testing.assert_close(
        rollout_gru(None, W, y=silent, W_in=W_in, b_in=b_in).h, rollout_gru(drive, W).h, rtol=1e-11, atol=1e-11
    )


@pytest.mark.parametrize("backend", BACKENDS)
def test_without_weights_each_unit_relaxes_alone(backend):
    """A constant drive and W = 0: h goes to tanh(x_n) geometrically, by sigmoid(x_z) a step."""
    T, H = 20, 5
    drive = normal(0, 1, 1, 1, 1, 3 * H).expand(1, 1, T, 1, 3 * H)
    h0 = normal(1, 1, 1, 1, H)
    h = rollout_gru(drive, torch.zeros(1, 1, H, 3 * H).double(), h0=h0, backend=backend).h[0, 0, :, 0]
    z, n = drive[0, 0, 0, 0, H : 2 * H].sigmoid(), drive[0, 0, 0, 0, 2 * H :].tanh()
    power = z ** torch.arange(1, T + 1)[:, None]
    torch.testing.assert_close(h, n + power * (h0[0, 0, 0] - n), rtol=1e-12, atol=1e-12)


def leaves_of(values):
    """Differentiable arguments, and the function of them."""
    names = [n for n in SPEC.differentiable if values[n] is not None]

    def call(*given):
        return rollout_gru(**{**values, **dict(zip(names, given, strict=True))})

    return [values[n].clone().requires_grad_() for n in names], call


@pytest.mark.parametrize("name", ("everything", "shared-lengths", "one-direction-lengths", "counts", "signals"))
def test_gradcheck(name):
    tensors, call = leaves_of(public(name))
    assert torch.autograd.gradcheck(lambda *t: tuple(call(*t)), tensors, eps=1e-7, atol=1e-5, rtol=1e-4)


def test_gradient_of_one_argument_alone():
    tensors, call = leaves_of(public("everything"))
    every = torch.autograd.grad(call(*tensors).h.sin().sum(), tensors)
    for i, leaf in enumerate(tensors):
        others = [t.detach() for t in tensors]
        others[i] = leaf
        (alone,) = torch.autograd.grad(call(*others).h.sin().sum(), leaf)
        assert torch.equal(alone, every[i])


@pytest.mark.parametrize("output", range(2))
def test_gradient_of_one_output_alone(output):
    values = public("everything")
    tensors, call = leaves_of(values)
    found = torch.autograd.grad(call(*tensors)[output].sin().sum(), tensors)
    values["backend"] = "reference"
    expected = torch.autograd.grad(call(*tensors)[output].sin().sum(), tensors)
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("name", ("plain", "everything", "counts-shared"))
def test_registered_with_torch(name):
    values = SPEC.sample(CASES[name], torch.Generator().manual_seed(0), torch.float32)
    for n in SPEC.differentiable:
        if values[n] is not None:
            values[n].requires_grad_()
    found = torch.library.opcheck(torch.ops.neurorbit.rollout_gru.default, (*values.values(), ""))
    assert set(found.values()) == {"SUCCESS"}


@pytest.mark.parametrize(("name", "names"), [("everything", ("drive", "W")), ("counts-shared", ("W_in", "b_in", "W"))])
def test_compiles_into_one_graph(name, names):
    values = public(name, torch.float32)

    def loss(*given):
        out = rollout_gru(**{**values, **dict(zip(names, given, strict=True))})
        return out.h.square().mean() + out.h_final.sum()

    def gradients(function):
        tensors = [values[n].clone().requires_grad_() for n in names]
        return torch.autograd.grad(function(*tensors), tensors)

    compiled = torch.compile(loss, fullgraph=True, backend="aot_eager")
    for found, expected in zip(gradients(compiled), gradients(loss), strict=True):
        torch.testing.assert_close(found, expected)


def test_past_the_end_there_is_nothing():
    values = public("everything")
    values["lengths"] = torch.tensor([[3, 6, 0], [6, 2, 5]])
    late = torch.arange(6) >= values["lengths"][..., None]
    before = rollout_gru(**values)
    values["drive"] = values["drive"].masked_fill(late[..., None, None], float("nan")).requires_grad_()
    values["x"] = values["x"].masked_fill(late[..., None], float("nan"))
    values["y"] = values["y"].to(torch.int16).masked_fill(late[..., None], -1)
    W_in = values["W_in"] = values["W_in"].requires_grad_()
    h, end = rollout_gru(**values)
    assert torch.equal(h, before.h) and (h[late] == 0).all() and (h[~late] != 0).any(-1).all()
    assert torch.equal(end[0, 2], values["h0"][0, 2]) and torch.equal(end[1, 1, 1], h[1, 1, 0, 1])
    grad, dW_in = torch.autograd.grad(h.sum() + end.sum(), (values["drive"], W_in))
    assert (grad[late] == 0).all() and (grad[~late] != 0).any(-1).all() and dW_in.isfinite().all()
    rows = torch.cat([values["y"].double(), values["x"]], 3).masked_fill(late[..., None], 0)
    torch.testing.assert_close(dW_in, torch.einsum("ebtr,ebtdg->erdg", rows, grad), rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("column", (0, 1))
def test_a_signal_that_is_not_a_number_is_not_hidden(column):
    values = public("counts-shared")
    values |= {"lengths": None, "x": values["x"].repeat(2, 1, 1, 1)}
    values["x"][1, 2, 3, column] = float("nan")
    h = rollout_gru(**values).h
    assert not h[0].isnan().any() and h[1, 2, 3:, 0].isnan().all() and h[1, 2, :4, 1].isnan().all()
    assert not h[1, 2, :3, 0].isnan().any() and not h[1, 2, 4:, 1].isnan().any() and not h[1, :2].isnan().any()


def test_nan_is_not_hidden():
    values = public("everything", lengths=None)
    values["drive"][0, 1, 3, 0, 2] = float("nan")
    h = rollout_gru(**values).h
    assert h[0, 1, 3, 0].isnan().tolist() == [False, False, True, False, False]
    assert not h[0, 1, :, 1].isnan().any() and not h[1].isnan().any() and not h[0, 0].isnan().any()


@pytest.mark.parametrize(("E", "B", "H"), [(30, 1, 3), (1, 300, 20), (2, 70, 33), (1, 3, 200)])
def test_many_models_sequences_and_units(E, B, H):
    values = {"drive": normal(0, E, B, 4, 2, 3 * H), "W": normal(1, E, 2, H, 3 * H, scale=0.7 / H**0.5)}
    tensors = [v.float().requires_grad_() for v in values.values()]

    def run(backend):
        out = rollout_gru(*tensors, backend=backend)
        weight = normal(3, *out.h.shape).float()
        return out.h.detach(), *torch.autograd.grad((out.h * weight).sum(), tensors)

    for found, expected in zip(run(None), run("reference"), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5 * float(expected.abs().max()))


REFUSED = {
    "drive: expected a tensor": dict(drive=torch.zeros(3, 5).double()),
    r"drive: expected \[E=2, B=3, T=6, D=1, G=15\], got \[2, 3, 6, 2, 15\]: D differs from W": dict(
        W=torch.zeros(2, 1, 5, 15).double()
    ),
    "W: expected three gates of H=4": dict(W=torch.zeros(2, 2, 4, 15).double(), b=None, h0=None),
    "drive, y, x: give at least one of them": dict(drive=None, y=None, x=None, W_in=None, b_in=None),
    "W_in: is required with y or x": dict(W_in=None),
    "W_in, b_in: have no effect without y or x": dict(y=None, x=None, b_in=None),
    "W_in, b_in: have no effect without": dict(y=None, x=None, W_in=None),
    r"W_in: expected N \+ U = 9 rows as y and x have columns, got R=8": dict(W_in=torch.zeros(2, 8, 2, 15).double()),
    r"W_in: expected N \+ U = 7 rows as y and x have columns, got R=9": dict(x=None),
    r"W_in: expected \[E=2, R=9, D=2, G=15\], got \[2, 9, 1, 15\]": dict(W_in=torch.zeros(2, 9, 1, 15).double()),
    r"b_in: expected \[E=2, D=2, G=15\], got \[2, 2, 5\]": dict(b_in=torch.zeros(2, 2, 5).double()),
    r"y: expected \[E=2 or 1, B=3, T=6, N\], got \[2, 3, 5, 7\]: T differs from drive": dict(
        y=torch.zeros(2, 3, 5, 7, dtype=torch.uint8)
    ),
    r"x: expected \[E=2 or 1, B=3, T=6, U\], got \[3, 3, 6, 2\]": dict(x=torch.zeros(3, 3, 6, 2).double()),
    "y: expected counts >= 0, got a negative one in bin 4 of trial 1": dict(
        y=torch.zeros(1, 3, 6, 7, dtype=torch.int32).index_put(
            (torch.tensor(0), torch.tensor(1), torch.tensor(4), torch.tensor(6)), torch.tensor(-3, dtype=torch.int32)
        ),
        lengths=None,
    ),
    r"y, x: expected \[E or 1, B, T, ..\], none of them 0": dict(
        drive=None, y=torch.zeros(2, 3, 0, 7, dtype=torch.uint8), x=None
    ),
    "x: requires grad, but its gradient is not implemented": dict(x=torch.zeros(2, 3, 6, 2).double().requires_grad_()),
    "h0: expected": dict(h0=torch.zeros(2, 3, 1, 5).double()),
    "lengths: expected 0 to T=6": dict(lengths=torch.tensor([[1, 2, 9]])),
    "backend: expected one of": dict(backend="cuda"),
    "runs on cuda tensors": dict(backend="triton"),
}


@pytest.mark.parametrize("message", REFUSED)
def test_refuses(message):
    with pytest.raises(ValueError, match=message):
        rollout_gru(**public("everything", **REFUSED[message]))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (dict(b=torch.zeros(2, 2, 15)), "b: expected torch.float64 as W, got torch.float32"),
        (dict(W=torch.zeros(2, 2, 5, 15).half()), "W: expected float32 or float64"),
        (dict(drive=torch.zeros(2, 3, 6, 2, 15).half()), "drive: expected torch.float64 as W, got torch.float16"),
        (dict(drive=[1.0]), "drive, y, x: expected tensors, got list"),
        (dict(W=None), "W: expected a tensor, got NoneType"),
        (dict(y=torch.zeros(2, 3, 6, 7)), "y: expected uint8, int16, int32, got torch.float32"),
        (dict(y=torch.zeros(2, 3, 6, 7).long()), "y: expected uint8, int16, int32, got torch.int64"),
        (dict(x=torch.zeros(2, 3, 6, 2)), "x: expected torch.float64 as W, got torch.float32"),
        (dict(W_in=torch.zeros(2, 9, 2, 15)), "W_in: expected torch.float64 as W, got torch.float32"),
        (dict(lengths=torch.ones(1, 3)), "lengths: expected an integer dtype"),
    ],
)
def test_refuses_types(change, message):
    with pytest.raises(TypeError, match=message):
        rollout_gru(**public("everything", **change))


def test_three_directions_are_too_many():
    with pytest.raises(ValueError, match="D=3 is above this op's limit of 2"):
        rollout_gru(torch.zeros(1, 1, 1, 3, 3), torch.zeros(1, 3, 1, 3))


def test_counts_are_looked_at_on_every_call():
    """Also where everything but what stands in them has been seen before; later bins may hold anything."""
    values = public("counts-shared")
    rollout_gru(**values)
    late = torch.arange(6) >= values["lengths"][..., None]
    rollout_gru(**values | {"y": values["y"].masked_fill(late[..., None], -7)})
    values["y"][0, 0, 5, 3] = -1
    for backend in (None, "reference"):
        with pytest.raises(ValueError, match="got a negative one in bin 5 of trial 0"):
            rollout_gru(**values, backend=backend)
