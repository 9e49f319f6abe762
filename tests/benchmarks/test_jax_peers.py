"""JAX's implementations of every op compute what the definition computes, where JAX is installed."""

from __future__ import annotations

import importlib
import importlib.util

import pytest
import torch

from benchmarks import measure
from benchmarks.competitors.jax_device import JaxDevice, missing_jax

SIZES = {
    "rollout_plrnn": {"B": 2, "T": 6, "H": 5},
    "rollout_gru": {"B": 3, "T": 7, "H": 5, "U": 4},
    "rollout_leaky_rnn": {"B": 3, "T": 5, "N": 6},
    "rollout_gated_sde": {"B": 3, "T": 6},
    "rollout_ode": {"B": 3, "T": 5},
    "poisson_readout": {"B": 3, "T": 6, "N": 8},
}


@pytest.mark.parametrize("name", SIZES)
def test_jax_agrees_with_the_definition(name: str) -> None:
    pytest.importorskip("jax", reason="jax is a competitor, installed by make bench alone")
    op = importlib.import_module(f"benchmarks.ops.{name}")
    peer = next(one for one in op.implementations() if one.name.startswith("JAX"))
    workload = op.workloads("cpu")[0].resized(**SIZES[name])
    assert peer.missing(workload, "cpu") is None
    inputs = op.inputs_of(workload, "cpu")
    measure.check_equal(op, workload, inputs, {peer.name: peer.prepare(workload, inputs)})


def test_tensors_go_to_jax_and_back() -> None:
    jax = pytest.importorskip("jax", reason="jax is a competitor, installed by make bench alone")
    device, x = JaxDevice(torch.device("cpu")), torch.tensor([[1.5, -2.0]])
    there = device.put(x)
    assert isinstance(there, jax.Array) and there.devices() == {jax.local_devices(backend="cpu")[0]}
    again = device.back(there + 1)
    assert torch.equal(again, x + 1)
    again.zero_()
    assert torch.equal(device.back(there), x)


def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert missing_jax("cpu") == "jax is not installed"
