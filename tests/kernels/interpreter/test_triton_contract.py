"""The Triton twins on CPU tensors, in a process that runs with TRITON_INTERPRET=1."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[1]))
import contract

from neurorbit.bindings.dispatch import load
from neurorbit.kernels.rollout_plrnn.spec import SPEC

MODULE = load(SPEC.name, "triton")
BY_NAME = {case.name: case for case in SPEC.cases}
WHOLE = ("shallow-clipped-free", "plrnn-mc-free", "partial-missing", "sparse-missing", "one-of-each", "one-state")
STREAMED = {"DOT": False, "WEIGHTS": 4, "num_warps": 4}
STREAMED_DOT = {"DOT": True, "WEIGHTS": 4, "num_warps": 4}


@pytest.mark.parametrize("name", WHOLE)
def test_whole_contract(name):
    contract.check_all(SPEC, MODULE, BY_NAME[name], torch.float32)


@pytest.mark.parametrize("case", SPEC.cases, ids=lambda c: c.name)
def test_values_and_gradients(case):
    dtype = torch.float64 if case.name.endswith("free") else torch.float32
    arguments, options = contract.arguments_of(SPEC, case, dtype), contract.kernel_options(SPEC, case)
    contract.check_budget(SPEC, case, contract.twin(SPEC, MODULE, arguments, options), dtype)


@pytest.mark.parametrize("config", (*MODULE.CONFIGS[1:], STREAMED, STREAMED_DOT), ids=str)
@pytest.mark.parametrize("name", ("partial-missing", "plrnn-mc-forced", "dendritic-clipped-forced", "alrnn-forced"))
def test_every_configuration(name, config, monkeypatch):
    monkeypatch.setattr(MODULE, "TILE", 16)
    case = BY_NAME[name]
    arguments, options = contract.arguments_of(SPEC, case, torch.float32), contract.kernel_options(SPEC, case)
    found = contract.twin(SPEC, MODULE, arguments, options, config=config)
    contract.check_budget(SPEC, case, found, torch.float32)


def test_first_configuration_is_valid_for_every_case():
    for case in SPEC.cases:
        s = case.sizes
        hidden = case.options["cell"].startswith("shallow")
        for dtype in (torch.float32, torch.float64):
            K = s["H"] if hidden else s["M"]
            constants = MODULE.launch(hidden, s["B"], s["M"], K, dtype, MODULE.CONFIGS[0])
            assert constants["BLOCK_M"] >= s["M"] and constants["BLOCK_K"] * constants["TILES"] >= K
            assert not constants["DOT"]


def test_kept_states():
    case = BY_NAME["shallow-free"]
    arguments = contract.arguments_of(SPEC, case, torch.float32)
    (whole, end), _ = MODULE.forward(**arguments, **contract.kernel_options(SPEC, case))
    (third, same), _ = MODULE.forward(**arguments, **contract.kernel_options(SPEC, case), keep_every=3)
    (none, last), _ = MODULE.forward(**arguments, **contract.kernel_options(SPEC, case), keep_every=0)
    assert torch.equal(third, whole[:, :, 2::3]) and none.shape[2] == 0
    assert torch.equal(same, end) and torch.equal(last, end)
