"""The Triton twin of event_projection on CPU tensors, in a process that runs with TRITON_INTERPRET=1."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[1]))
import contract

from neurorbit.bindings.dispatch import load
from neurorbit.kernels.event_projection.spec import SPEC

MODULE = load(SPEC.name, "triton")
BY_NAME = {case.name: case for case in SPEC.cases}
WHOLE = (
    "shared",
    "own-recordings",
    "one-of-each",
    "no-events",
    "filter-longer-than-time",
    "dense",
    "dense-one-of-each",
)
SMALL = {"COLUMNS": 32, "EVENTS": 8, "num_warps": 1}


@pytest.mark.parametrize("name", WHOLE)
def test_whole_contract(name):
    contract.check_all(SPEC, MODULE, BY_NAME[name], torch.float32)


@pytest.mark.parametrize("case", SPEC.cases, ids=lambda c: c.name)
def test_values_and_gradients(case):
    dtype = torch.float64 if case.sizes["E"] > 1 else torch.float32
    arguments, options = contract.arguments_of(SPEC, case, dtype), contract.kernel_options(SPEC, case)
    contract.check_budget(SPEC, case, contract.twin(SPEC, MODULE, arguments, options), dtype)


@pytest.mark.parametrize("config", (*MODULE.CONFIGS[1:], SMALL), ids=str)
@pytest.mark.parametrize("name", ("one-filter-long", "own-recordings", "dense-own-recordings"))
def test_every_configuration(name, config):
    case = BY_NAME[name]
    arguments, options = contract.arguments_of(SPEC, case, torch.float32), contract.kernel_options(SPEC, case)
    found = contract.twin(SPEC, MODULE, arguments, options, config=config)
    contract.check_budget(SPEC, case, found, torch.float32)


@pytest.mark.parametrize(("least", "name"), [(4, "own-recordings"), (16, "one-filter-long"), (8, "shared")])
def test_chunks_that_neurons_go_over(least, name, monkeypatch):
    monkeypatch.setattr(MODULE, "LEAST_CHUNK", least)
    case = BY_NAME[name]
    arguments, options = contract.arguments_of(SPEC, case, torch.float32), contract.kernel_options(SPEC, case)
    heaviest = int(arguments["neuron_starts"].diff().max())
    assert heaviest > least
    with contract.memory_full_of_nan():
        found = contract.twin(SPEC, MODULE, arguments, options, config={**SMALL, "EVENTS": least})
    contract.check_budget(SPEC, case, found, torch.float32)


def test_first_configuration_is_valid_for_every_case():
    for case in SPEC.cases:
        s = case.sizes
        for filters in (s["K"], s["E"] * s["K"]):
            constants = MODULE.launch(filters, s["W"], MODULE.CONFIGS[0])
            assert 16 <= constants["FILTERS"] * constants["BLOCK"] <= MODULE.CONFIGS[0]["COLUMNS"]
