"""The Triton twin of rollout_gru on CPU tensors, in a process that runs with TRITON_INTERPRET=1."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[1]))
import contract

from neurorbit.bindings.dispatch import load
from neurorbit.kernels.rollout_gru.spec import SPEC

MODULE = load(SPEC.name, "triton")
BY_NAME = {case.name: case for case in SPEC.cases}
WHOLE = ("one-direction-lengths", "one-of-each", "one-neuron")
IN_TILES = {"DOT": False, "UNITS": 2, "num_warps": 4}
IN_TILES_DOT = {"DOT": True, "UNITS": 4, "num_warps": 4}


def check_values(name, dtype, **launch):
    case = BY_NAME[name]
    arguments = contract.arguments_of(SPEC, case, dtype)
    with contract.memory_full_of_nan():
        found = contract.twin(SPEC, MODULE, arguments, {}, **launch)
    contract.check_budget(SPEC, case, found, dtype)


@pytest.mark.parametrize("name", WHOLE)
def test_whole_contract(name):
    contract.check_all(SPEC, MODULE, BY_NAME[name], torch.float32)


@pytest.mark.parametrize("name", [c.name for c in SPEC.cases if c.name not in WHOLE])
def test_values_and_gradients(name):
    check_values(name, torch.float64 if name in ("plain", "everything", "counts-shared") else torch.float32)


@pytest.mark.parametrize(("tile", "config"), [(2, IN_TILES), (16, IN_TILES_DOT), (32, MODULE.CONFIGS[3])], ids=str)
@pytest.mark.parametrize("name", ("everything", "one-direction"))
def test_every_configuration(name, tile, config, monkeypatch):
    monkeypatch.setattr(MODULE, "TILE", tile)
    check_values(name, torch.float32, config=config)


def test_products_in_tiles():
    check_values("wide", torch.float32, config=MODULE.CONFIGS[2])


def test_first_configuration_is_valid_for_every_case():
    for case in SPEC.cases:
        for dtype in (torch.float32, torch.float64):
            found = MODULE.launch(case.sizes["B"], case.sizes["H"], dtype, MODULE.CONFIGS[0])
            assert not found["DOT"] and found["BLOCK_H"] * found["TILES"] >= case.sizes["H"]


def test_behind_the_ends_of_counts_and_signals_stands_anything():
    arguments = contract.arguments_of(SPEC, BY_NAME["everything"], torch.float32)
    arguments["y"] = arguments["y"].to(torch.int16)
    late = torch.arange(arguments["y"].shape[2]) >= arguments["lengths"][..., None]
    assert bool(late.any())
    other = arguments | {"y": arguments["y"].masked_fill(late[..., None], -1)}
    other["x"] = arguments["x"].masked_fill(late[..., None], float("nan"))
    contract.assert_identical(*(contract.twin(SPEC, MODULE, a, {}) for a in (arguments, other)))
