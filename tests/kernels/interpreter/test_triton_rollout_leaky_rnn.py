"""The Triton twin of rollout_leaky_rnn on CPU tensors, in a process that runs with TRITON_INTERPRET=1."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[1]))
import contract

from neurorbit.bindings.dispatch import load
from neurorbit.kernels.rollout_leaky_rnn.spec import SPEC

MODULE = load(SPEC.name, "triton")
BY_NAME = {case.name: case for case in SPEC.cases}
WHOLE = ("low-rank", "one-of-each-low-rank")
IN_TILES = {"DOT": False, "WEIGHTS": 4, "num_warps": 4}
IN_TILES_DOT = {"DOT": True, "WEIGHTS": 4, "num_warps": 4}


@pytest.mark.parametrize("name", WHOLE)
def test_whole_contract(name):
    contract.check_all(SPEC, MODULE, BY_NAME[name], torch.float32)


@pytest.mark.parametrize("case", [c for c in SPEC.cases if c.name not in WHOLE], ids=lambda c: c.name)
def test_values_and_gradients(case):
    dtype = torch.float64 if case.name.endswith(("free", "low-rank", "drawn-wide")) else torch.float32
    arguments, options = contract.arguments_of(SPEC, case, dtype), contract.kernel_options(SPEC, case)
    with contract.memory_full_of_nan():
        found = contract.twin(SPEC, MODULE, arguments, options)
    contract.check_budget(SPEC, case, found, dtype)


@pytest.mark.parametrize("config", (MODULE.CONFIGS[2], IN_TILES, IN_TILES_DOT), ids=str)
@pytest.mark.parametrize("name", ("modulated", "unit-norm-noise", "low-rank-modulated", "relu_tanh-driven"))
def test_every_configuration(name, config, monkeypatch):
    monkeypatch.setattr(MODULE, "TILE", {False: 4, True: 16})
    case = BY_NAME[name]
    arguments, options = contract.arguments_of(SPEC, case, torch.float32), contract.kernel_options(SPEC, case)
    with contract.memory_full_of_nan():
        found = contract.twin(SPEC, MODULE, arguments, options, config=config)
    contract.check_budget(SPEC, case, found, torch.float32)


def test_products_in_tiles():
    case = BY_NAME["wide-low-rank"]
    arguments, options = contract.arguments_of(SPEC, case, torch.float32), contract.kernel_options(SPEC, case)
    with contract.memory_full_of_nan():
        found = contract.twin(SPEC, MODULE, arguments, options, config=MODULE.CONFIGS[2])
    contract.check_budget(SPEC, case, found, torch.float32)


def test_first_configuration_is_valid_for_every_case():
    for case in SPEC.cases:
        N, R = case.sizes["N"], case.sizes["R"] if "low_rank" in case.present else 0
        for dtype in (torch.float32, torch.float64):
            found = MODULE.launch(case.sizes["B"], N, R, dtype, MODULE.CONFIGS[0])
            assert not found["DOT"] and found["BLOCK_N"] * found["TILES"] >= N
            assert found["RANK"] * found["RANK_TILES"] >= R
            assert found["ON_CHIP"] == (found["BLOCK_N"] >= N and found["RANK"] >= R)
            assert not found["ON_CHIP"] or found["BLOCK_N"] ** 2 <= MODULE.CONFIGS[0]["WEIGHTS"]
