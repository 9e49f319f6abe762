"""Whoever rollout_ode is measured against computes the same orbits and gradients."""

from __future__ import annotations

from dataclasses import replace

import pytest

from benchmarks import measure
from benchmarks.competitors.rollout_ode import torch_steps
from benchmarks.contract import RedContract
from benchmarks.ops import rollout_ode as op

STEP, FIT, ORBITS, WIDE = op.workloads("cpu")
SMALL = (STEP.resized(B=3, T=5, M=6), FIT.resized(B=3, T=5), ORBITS.resized(B=300, T=5), WIDE.resized(B=300, T=5, M=6))


@pytest.mark.parametrize("workload", SMALL, ids=lambda w: w.name)
def test_everyone_agrees(workload):
    inputs = op.inputs_of(workload, "cpu")
    present = [i for i in op.implementations() if i.missing(workload, "cpu") is None]
    assert {"neurorbit", "eager torch loop"} <= {i.name for i in present}
    measure.check_equal(op, workload, inputs, {i.name: i.prepare(workload, inputs) for i in present})


def test_another_field_is_refused(monkeypatch):
    monkeypatch.setitem(torch_steps.FIELDS, "lorenz63", lambda p: lambda z: -z)
    workload = replace(FIT.resized(B=3, T=5), phases=("forward",))
    inputs = op.inputs_of(workload, "cpu")
    with pytest.raises(RedContract, match="eager torch loop, forward: z is"):
        measure.check_equal(op, workload, inputs, {torch_steps.EAGER.name: torch_steps.EAGER.prepare(workload, inputs)})


def test_absent_ones_are_named(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    reason = op.JaxScan().missing(STEP, "cpu")
    assert reason is not None and "jax" in reason.lower() and "not installed" in reason
