"""The Triton twin of rollout_ode on CPU tensors, in a process that runs with TRITON_INTERPRET=1."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
import triton
import triton.language as tl  # noqa: F401 - the interpreter looks for it beside a kernel

sys.path.insert(0, str(Path(__file__).parents[1]))
import contract

from neurorbit.bindings.dispatch import load
from neurorbit.bindings.rollout_ode import FIELDS, Parameter, VectorField, register_field, rollout_ode
from neurorbit.kernels.rollout_ode.spec import SPEC

MODULE = load(SPEC.name, "triton")
BY_NAME = {case.name: case for case in SPEC.cases}
SMALL = {"BLOCK": 4, "ROWS": 16, "num_warps": 1}


def check_values(name, dtype, **launch):
    case = BY_NAME[name]
    arguments, options = contract.arguments_of(SPEC, case, dtype), contract.kernel_options(SPEC, case)
    with contract.memory_full_of_nan():
        found = contract.twin(SPEC, MODULE, arguments, options, **launch)
    contract.check_budget(SPEC, case, found, dtype)


@pytest.mark.parametrize("name", ["one-of-each", "lorenz63-euler", "one-state"])
def test_whole_contract(name):
    contract.check_all(SPEC, MODULE, BY_NAME[name], torch.float32)


@pytest.mark.parametrize("name", BY_NAME)
def test_values_and_gradients(name):
    check_values(name, torch.float64 if name.startswith(("lorenz63", "gated-mlp-free")) else torch.float32)


@pytest.mark.parametrize("config", (*MODULE.CONFIGS[1:], SMALL), ids=str)
@pytest.mark.parametrize("name", ["lorenz63-every-third", "lorenz96-four", "gated-mlp-free"])
def test_every_configuration(name, config):
    check_values(name, torch.float32, config=config)


@pytest.mark.parametrize("name", ["lorenz63-last", "lorenz96-four", "bursting-every-other"])
def test_segments_in_chunks_and_few_programs(name, monkeypatch):
    monkeypatch.setattr(MODULE, "RECOMPUTED_STATES", 1)
    monkeypatch.setattr(MODULE, "PROGRAMS", 2)
    check_values(name, torch.float32, config={"BLOCK": 2, "ROWS": 16, "num_warps": 1})


def test_first_configuration_is_valid_for_every_case():
    for case in SPEC.cases:
        s, form = case.sizes, FIELDS[case.options["field"]].form
        constants = MODULE.launch(form, s["M"], s["H"], s["U"], MODULE.CONFIGS[0])
        assert constants["BLOCK_B"] >= 1
        if form == "rows":
            assert constants["BLOCK_M"] >= s["M"] and constants["BLOCK_H"] >= s["H"] and constants["BLOCK_U"] >= s["U"]


@triton.jit
def decay(z, p, u):
    return (-p[0] * z[0] + u[0],)


@triton.jit
def decay_vjp(z, p, u, g):
    return (-p[0] * g[0],), (-z[0] * g[0],), (g[0],)


def torch_decay(z, p, u):
    return -p["rate"].unsqueeze(-1) * z + u


def test_a_field_of_ones_own():
    field = VectorField("decay", 1, (Parameter("rate", 0.5),), torch_decay, inputs="own", triton=decay,
                        triton_vjp=decay_vjp)  # fmt: skip
    register_field(field)
    z0 = torch.linspace(-1, 1, 6, dtype=torch.float64).view(2, 3, 1).requires_grad_()
    u = torch.linspace(0, 1, 12, dtype=torch.float64).view(1, 3, 4, 1).requires_grad_()
    grads = []
    for backend in ("triton", "reference"):
        out = rollout_ode(z0, field="decay", dt=0.1, steps=4, drive=u, backend=backend)
        grads.append((out.z, *torch.autograd.grad(out.z.square().sum(), (z0, u))))
    del FIELDS["decay"]
    for found, expected in zip(*grads, strict=True):
        torch.testing.assert_close(found, expected)
