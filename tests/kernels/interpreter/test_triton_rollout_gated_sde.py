"""The Triton twin of rollout_gated_sde on CPU tensors, in a process that runs with TRITON_INTERPRET=1."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[1]))
import contract

from neurorbit.bindings.dispatch import load
from neurorbit.kernels.rollout_gated_sde.spec import SPEC

MODULE = load(SPEC.name, "triton")
BY_NAME = {case.name: case for case in SPEC.cases}
WHOLE = "one-of-each"
# slow under the interpreter, which sees the like of them anyway
SLOW = ("free", "noise", "path", "several-blocks", "noise-drawn-wide", "path-before-deep")
STREAMED = {"DOT": False, "WEIGHTS": 4, "num_warps": 4}
STREAMED_DOT = {"DOT": True, "WEIGHTS": 4, "num_warps": 4}


def check(name, dtype, **launch):
    case = BY_NAME[name]
    arguments, options = contract.arguments_of(SPEC, case, dtype), contract.kernel_options(SPEC, case)
    with contract.memory_full_of_nan():
        found = contract.twin(SPEC, MODULE, arguments, options, **launch)
    contract.check_budget(SPEC, case, found, dtype)


def test_whole_contract():
    contract.check_all(SPEC, MODULE, BY_NAME[WHOLE], torch.float32)


@pytest.mark.parametrize("name", [c.name for c in SPEC.cases if c.name not in (WHOLE, *SLOW)])
def test_values_and_gradients(name):
    double = name in ("driven", "noise-drawn-here", "most-states")
    many = BY_NAME[name].sizes["B"] >= 16  # sixteen sequences a program: the interpreter is slow
    check(name, torch.float64 if double else torch.float32, config=MODULE.CONFIGS[2] if many else None)


@pytest.mark.parametrize(
    ("name", "config"),
    [("noise-drawn-here", MODULE.CONFIGS[2]), ("noise-shared", STREAMED), ("path-lengths", STREAMED_DOT),
     ("two-layers", STREAMED)],
)  # fmt: skip
def test_other_configurations(name, config, monkeypatch):
    monkeypatch.setattr(MODULE, "TILE", {False: 4, True: 16})
    check(name, torch.float32, config=config)


def test_parts_of_a_path(monkeypatch):
    """The time of a known path divided among programs, the last part shorter than the others."""
    monkeypatch.setattr(MODULE, "SPLITS", 3)
    check("path-before", torch.float32, config=MODULE.CONFIGS[2])


@pytest.mark.parametrize("name", ("inputs-shared", "path-signals"))
def test_signals_past_the_end_may_hold_anything(name):
    case = BY_NAME[name]
    arguments, options = contract.arguments_of(SPEC, case, torch.float32), contract.kernel_options(SPEC, case)
    found = contract.twin(SPEC, MODULE, arguments, options)
    late = torch.arange(case.sizes["T"]) >= arguments["lengths"][..., None]
    for signal in ("x", "e"):
        if arguments[signal] is not None:
            arguments[signal] = arguments[signal].masked_fill(late[..., None], float("nan"))
    contract.assert_identical(contract.twin(SPEC, MODULE, arguments, options), found)


def test_first_configuration_is_valid_for_every_case():
    for case in SPEC.cases:
        hidden, M = case.options["hidden"], case.sizes["M"]
        for dtype in (torch.float32, torch.float64):
            found = MODULE.launch(case.sizes["B"], M, hidden, dtype, MODULE.CONFIGS[0])
            assert not found["DOT"] and found["BLOCK_M"] >= M and found["BLOCK_H"] * found["TILES"] >= hidden[0]
            assert found["DEEP"] == (len(hidden) > 1)
            assert not found["RESIDENT"] or found["BLOCK_M"] * found["BLOCK_H"] <= MODULE.CONFIGS[0]["WEIGHTS"]
