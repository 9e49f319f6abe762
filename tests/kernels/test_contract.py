"""Every op x case x dtype on the CPU backend, and the harness against planted bugs."""

from __future__ import annotations

import importlib

import contract
import pytest
import torch

from neurorbit.bindings.dispatch import load
from neurorbit.kernels import KERNELS

DTYPES = (torch.float32, torch.float64)
SPECS = {op: importlib.import_module(f"neurorbit.kernels.{op}.spec").SPEC for op in KERNELS}
CASES = [pytest.param(spec, case, id=f"{spec.name}-{case.name}") for spec in SPECS.values() for case in spec.cases]


@pytest.mark.parametrize("dtype", DTYPES, ids=("float32", "float64"))
@pytest.mark.parametrize(("spec", "case"), CASES)
def test_numba_keeps_the_contract(spec, case, dtype):
    contract.check_all(spec, load(spec.name, "numba"), case, dtype)


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", DTYPES, ids=("float32", "float64"))
@pytest.mark.parametrize(("spec", "case"), CASES)
def test_triton_keeps_the_contract_on_the_device(spec, case, dtype):
    module = load(spec.name, "triton")
    for config in (None, *module.CONFIGS):
        contract.check_all(spec, module, case, dtype, "cuda", config=config)


def _changed(name, change):
    return lambda found: found | {name: change(found[name])}


def _row_not_written(z):
    broken = z.clone()
    broken[-1, -1, -1] = float("nan")
    return broken


PLANTED = {
    ("rollout_plrnn", "shallow-forced"): {
        "wrong sign": {"grads": _changed("W2", lambda g: -g)},
        "a row not written": {"outputs": _changed("z", _row_not_written)},
        "time shifted by one": {"outputs": _changed("z", lambda z: z.roll(1, 2))},
        "gradient x 1.01": {"grads": _changed("A", lambda g: 1.01 * g)},
        "gradient of the forcing signal lost": {"grads": _changed("z_hat", torch.zeros_like)},
        "final state before forcing": {"outputs": lambda o: o | {"z_final": o["z"][:, :, -1].clone()}},
    },
    ("event_projection", "several-tiles"): {
        "wrong sign": {"grads": _changed("w", lambda g: -g)},
        "a row not written": {"outputs": _changed("o", _row_not_written)},
        "time shifted by one": {"outputs": _changed("o", lambda o: o.roll(1, 2))},
        "lags backwards": {"grads": _changed("w", lambda g: g.flip(3))},
        "gradient x 1.01": {"grads": _changed("w", lambda g: 1.01 * g)},
        "recordings exchanged": {"outputs": _changed("o", lambda o: o.flip(0))},
        "filters exchanged": {"grads": _changed("w", lambda g: g.flip(1))},
    },
    ("rollout_ode", "lorenz63-every-third"): {
        "wrong sign": {"grads": _changed("parameters", lambda g: -g)},
        "a row not written": {"outputs": _changed("z", _row_not_written)},
        "time shifted by one": {"outputs": _changed("z", lambda z: z.roll(1, 2))},
        "gradient x 1.01": {"grads": _changed("z0", lambda g: 1.01 * g)},
        "gradient of the inputs lost": {"grads": _changed("drive", torch.zeros_like)},
        "inputs a step late": {"grads": _changed("drive", lambda g: g.roll(1, 2))},
        "last kept state for the final one": {"outputs": lambda o: o | {"z_final": o["z"][:, :, -1].clone()}},
    },
    ("rollout_ode", "gated-mlp"): {
        "parameters exchanged": {"grads": _changed("parameters", lambda g: g.roll(1, 1))},
        "one bias lost": {"grads": _changed("parameters", lambda g: torch.cat([g[:, :-1], 0 * g[:, -1:]], 1))},
    },
    ("rollout_leaky_rnn", "modulated"): {
        "wrong sign": {"grads": _changed("W", lambda g: -g)},
        "weights transposed": {"grads": _changed("W", lambda g: g.mT)},
        "a row not written": {"outputs": _changed("r", _row_not_written)},
        "rates for states": {"outputs": lambda o: o | {"u": o["r"].clone()}},
        "time shifted by one": {"outputs": _changed("u", lambda u: u.roll(1, 2))},
        "gradient x 1.01": {"grads": _changed("b", lambda g: 1.01 * g)},
        "signals exchanged": {"grads": _changed("Wv", lambda g: g.flip(1))},
        "gradient of the signals lost": {"grads": _changed("v", torch.zeros_like)},
        "last row for the final state": {"outputs": lambda o: o | {"u_final": o["u"][:, :, -1].clone()}},
    },
    ("rollout_leaky_rnn", "low-rank"): {
        "factors exchanged": {"grads": lambda g: g | {"L": g["Q"], "Q": g["L"]}},
    },
    ("poisson_readout", "softplus-all"): {
        "wrong sign": {"grads": _changed("C", lambda g: -g)},
        "a trial not written": {"outputs": _changed("nll", lambda o: o.index_fill(1, torch.tensor(2), float("nan")))},
        "trials exchanged": {"outputs": _changed("nll", lambda o: o.roll(1, 1))},
        "neurons exchanged": {"outputs": _changed("per_neuron", lambda o: o.roll(1, 1))},
        "time shifted by one": {"grads": _changed("z", lambda g: g.roll(1, 2))},
        "gradient x 1.01": {"grads": _changed("bias", lambda g: 1.01 * g)},
        "gradient of a baseline lost": {"grads": _changed("baseline_time", torch.zeros_like)},
        "sign of a baseline": {"grads": _changed("baseline_trial", lambda g: -g)},
    },
    ("rollout_gated_sde", "two-layers"): {
        "wrong sign": {"grads": _changed("weights", lambda g: -g)},
        "one bias lost": {"grads": _changed("weights", lambda g: torch.cat([g[:, :-1], 0 * g[:, -1:]], 1))},
        "a row not written": {"outputs": _changed("mu", _row_not_written)},
        "time shifted by one": {"outputs": _changed("mu", lambda mu: mu.roll(1, 2))},
        "gradient x 1.01": {"grads": _changed("sigma", lambda g: 1.01 * g)},
        "drives a step late": {"grads": _changed("drive", lambda g: g.roll(1, 2))},
        "last row for the final state": {"outputs": lambda o: o | {"z_final": o["z"][:, :, -1].clone()}},
    },
    ("rollout_gated_sde", "path-before"): {
        "states exchanged": {"grads": _changed("path", lambda g: g.roll(1, 2))},
        "gradient of the first state lost": {"grads": _changed("z0", torch.zeros_like)},
    },
    ("rollout_gru", "everything"): {
        "wrong sign": {"grads": _changed("W", lambda g: -g)},
        "a row not written": {"outputs": _changed("h", _row_not_written)},
        "directions exchanged": {"outputs": _changed("h", lambda h: h.flip(3))},
        "backward from the last bin": {"grads": _changed("drive", lambda g: g.roll(1, 2))},
        "gradient x 1.01": {"grads": _changed("b", lambda g: 1.01 * g)},
        "gates exchanged": {"grads": _changed("drive", lambda g: g.unflatten(4, (3, -1)).flip(4).flatten(4))},
        "gradient of the first state lost": {"grads": _changed("h0", torch.zeros_like)},
        "last row for the final state": {"outputs": lambda o: o | {"h_final": o["h"][:, :, -1].clone()}},
        "directions of the input weights exchanged": {"grads": _changed("W_in", lambda g: g.flip(2))},
    },
    ("rollout_gru", "counts-shared"): {
        "neurons a row late": {"grads": _changed("W_in", lambda g: g.roll(1, 1))},
        "gradient of the signals' weights lost": {
            "grads": _changed("W_in", lambda g: torch.cat([g[:, :-2], 0 * g[:, -2:]], 1))
        },
        "bias of the inputs lost": {"grads": _changed("b_in", torch.zeros_like)},
        "reset gate in the bias of the inputs": {"grads": lambda g: g | {"b_in": g["b"]}},
        "models exchanged": {"grads": _changed("W_in", lambda g: g.flip(0))},
    },
    ("rollout_gru", "many-neurons"): {
        "a neuron not written": {"grads": _changed("W_in", lambda g: g.index_fill(1, torch.tensor(64), float("nan")))},
        "beyond the first word of bits shifted": {
            "grads": _changed("W_in", lambda g: torch.cat([g[:, :64], g[:, 64:].roll(1, 1)], 1))
        },
    },
    ("event_projection", "dense"): {
        "gradient of the recording lost": {"grads": _changed("x", torch.zeros_like)},
        "gradient of the recording shifted": {"grads": _changed("x", lambda g: g.roll(1, 2))},
    },
}
BUGS = [(op, case, bug) for (op, case), bugs in PLANTED.items() for bug in bugs]


def case_of(op, name):
    return next(c for c in SPECS[op].cases if c.name == name)


@pytest.mark.parametrize(("op", "name", "bug"), BUGS)
def test_harness_sees_a_planted(op, name, bug):
    spec, case, module = SPECS[op], case_of(op, name), load(op, "numba")
    contract.check_all(spec, module, case, torch.float32)
    with pytest.raises(AssertionError):
        contract.check_all(spec, contract.planted(spec, module, **PLANTED[op, name][bug]), case, torch.float32)


@pytest.mark.parametrize(
    ("op", "name"),
    [
        ("rollout_plrnn", "shallow-free"),
        ("event_projection", "shared"),
        ("rollout_ode", "lorenz63-driven"),
        ("rollout_leaky_rnn", "tanh-driven"),
        ("rollout_gated_sde", "two-layers"),
        ("poisson_readout", "exp-plain"),
        ("rollout_gru", "plain"),
    ],
)
def test_harness_sees_an_unwritten_element(op, name):
    spec, case, module = SPECS[op], case_of(op, name), load(op, "numba")

    def forward(**arguments):
        (first, *others), saved = module.forward(**arguments)
        fresh = first.new_empty(first.shape)
        fresh[..., :-1] = first[..., :-1]
        return (fresh, *others), saved

    broken = contract.planted(spec, module)
    broken.forward = forward
    with pytest.raises(AssertionError, match="budget"), contract.memory_full_of_nan():
        found = contract.twin(
            spec, broken, contract.arguments_of(spec, case, torch.float32), contract.kernel_options(spec, case)
        )
        contract.check_budget(spec, case, found, torch.float32)


@pytest.mark.parametrize(
    ("op", "name"),
    [
        ("rollout_plrnn", "sparse-shared"),
        ("event_projection", "own-recordings"),
        ("rollout_ode", "lorenz63"),
        ("rollout_leaky_rnn", "modulated"),
        ("poisson_readout", "identity-all"),
        ("rollout_gru", "shared-lengths"),
    ],
)
def test_harness_sees_a_broken_stack(op, name):
    spec, case, module = SPECS[op], case_of(op, name), load(op, "numba")
    arguments = contract.arguments_of(spec, case, torch.float64)

    def first_model_for_all(**options):
        (first, *others), saved = module.forward(**options)
        return (first[:1].expand_as(first).contiguous(), *others), saved

    broken = contract.planted(spec, module)
    broken.forward = first_model_for_all
    with pytest.raises(AssertionError):
        contract.check_one_by_one(spec, broken, case, arguments, "E")


def test_harness_sees_a_broken_cut():
    def forgets_the_rhythm(*args, first_step=0, **options):
        return load("rollout_plrnn", "numba").forward(*args, first_step=0, **options)

    def forgets_the_halo(*, n_bins, padding, **arguments):
        found, saved = load("event_projection", "numba").forward(**arguments, n_bins=n_bins, padding=padding)
        return (found[0] if padding else found[0].roll(1, 2),), saved

    def draws_the_same_noise_again(*args, first_step=0, **options):
        return load("rollout_leaky_rnn", "numba").forward(*args, first_step=0, **options)

    def draws_the_same_normals_again(*args, first_step=0, **options):
        return load("rollout_gated_sde", "numba").forward(*args, first_step=0, **options)

    for op, name, forward in (
        ("rollout_plrnn", "sparse-shared", forgets_the_rhythm),
        ("rollout_leaky_rnn", "noise-drawn-here", draws_the_same_noise_again),
        ("rollout_gated_sde", "noise-drawn-here", draws_the_same_normals_again),
        ("event_projection", "shared", forgets_the_halo),
    ):
        spec, case = SPECS[op], case_of(op, name)
        broken = contract.planted(spec, load(op, "numba"))
        broken.forward = forward
        with pytest.raises(AssertionError):
            contract.rules_of(spec).check_segments(spec, broken, case, contract.arguments_of(spec, case, torch.float64))
