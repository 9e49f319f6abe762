"""Every op x case x dtype on the CPU backend, and the harness against planted bugs."""

from __future__ import annotations

import contract
import pytest
import torch

from neurorbit.bindings.dispatch import load
from neurorbit.kernels import KERNELS
from neurorbit.kernels.rollout_plrnn.spec import SPEC

DTYPES = (torch.float32, torch.float64)


def specs():
    import importlib

    return [importlib.import_module(f"neurorbit.kernels.{op}.spec").SPEC for op in KERNELS]


CASES = [pytest.param(spec, case, id=f"{spec.name}-{case.name}") for spec in specs() for case in spec.cases]


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
    "wrong sign": {"grads": _changed("W2", lambda g: -g)},
    "a row not written": {"outputs": _changed("z", _row_not_written)},
    "time shifted by one": {"outputs": _changed("z", lambda z: z.roll(1, 2))},
    "gradient x 1.01": {"grads": _changed("A", lambda g: 1.01 * g)},
    "gradient of the forcing signal lost": {"grads": _changed("z_hat", torch.zeros_like)},
    "final state before forcing": {"outputs": lambda o: o | {"z_final": o["z"][:, :, -1].clone()}},
}


@pytest.mark.parametrize("bug", PLANTED)
def test_harness_sees_a_planted(bug):
    case = next(c for c in SPEC.cases if c.name == "shallow-forced")
    module = load(SPEC.name, "numba")
    contract.check_all(SPEC, module, case, torch.float32)
    with pytest.raises(AssertionError):
        contract.check_all(SPEC, contract.planted(module, **PLANTED[bug]), case, torch.float32)


def test_harness_sees_an_unwritten_element():
    module = load(SPEC.name, "numba")
    case = next(c for c in SPEC.cases if c.name == "shallow-free")

    def forward(z0, *args, **options):
        (z, z_final), saved = module.forward(z0, *args, **options)
        fresh = z.new_empty(z.shape)
        fresh[:, :, :-1] = z[:, :, :-1]
        return (fresh, z_final), saved

    broken = contract.planted(module)
    broken.forward = forward
    with pytest.raises(AssertionError, match="budget"), contract.memory_full_of_nan():
        found = contract.twin(
            SPEC, broken, contract.arguments_of(SPEC, case, torch.float32), contract.kernel_options(case)
        )
        contract.check_budget(SPEC, case, found, torch.float32)


def test_harness_sees_a_broken_stack_and_a_broken_cut():
    module = load(SPEC.name, "numba")
    case = next(c for c in SPEC.cases if c.name == "sparse-shared")
    arguments = contract.arguments_of(SPEC, case, torch.float64)

    def first_model_for_all(*args, **options):
        (z, z_final), saved = module.forward(*args, **options)
        return (z[:1].expand_as(z).contiguous(), z_final), saved

    def forgets_the_rhythm(*args, first_step=0, **options):
        return module.forward(*args, first_step=0, **options)

    broken = contract.planted(module)
    broken.forward = first_model_for_all
    with pytest.raises(AssertionError):
        contract.check_one_by_one(SPEC, broken, case, arguments, "E")
    broken.forward = forgets_the_rhythm
    with pytest.raises(AssertionError):
        contract.check_segments(SPEC, broken, case, arguments)
