"""The runner refuses wrong results, times what it says it times, and its rows say where they come from."""

from __future__ import annotations

import sys
import time
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from benchmarks import __main__ as command
from benchmarks import contract, measure
from benchmarks.child import measure_memory, peak_memory
from benchmarks.competitors.rollout_plrnn import eager
from benchmarks.ops import rollout_plrnn as op
from benchmarks.roofline import Peaks, roofline
from benchmarks.table import read_rows
from benchmarks.timing import Timing, interleaved
from benchmarks.workload import OURS
from neurorbit.kernels.spec import Work

ROW = {"op", "workload", "phase", "implementation", "sizes", "options", "dtype", "device", "device_name", "commit",
       "dirty", "versions", "date"}  # fmt: skip
SMALL = op.TRAINING.resized(B=2, T=6, H=5)


def changed(key: str, change):
    """op.call with one of the outputs of the backend under test changed."""

    def call(values, options, backend):
        found = CALL(values, options, backend)
        return found if backend == "reference" else found | {key: change(found[key])}

    return call


CALL = op.call


class WrongGradient(torch.autograd.Function):
    """The identity, with a gradient that is one percent too large."""

    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, dx):
        return 1.01 * dx


@pytest.mark.parametrize(
    ("key", "change"),
    [
        ("z", lambda z: z * 1.001),
        ("z", lambda z: z.roll(1, 2)),
        ("z", lambda z: z * float("nan")),
        ("z_final", lambda z: -z),
        ("z", WrongGradient.apply),
    ],
    ids=["scaled", "shifted", "nan", "sign", "gradient"],
)
def test_wrong_backend_is_not_measured(key, change, monkeypatch):
    monkeypatch.setattr(op, "call", changed(key, change))
    with pytest.raises(contract.RedContract, match=r"rollout_plrnn, case \S+: \S+ is \S+ x its error budget"):
        contract.check_contract(op, "cpu")


def test_contract_passes_as_it_stands():
    assert contract.check_contract(op, "cpu") == len(op.SPEC.cases)


def test_competitor_that_computes_something_else_is_refused(monkeypatch):
    inputs = op.inputs_of(SMALL, "cpu")
    loop = eager.EagerLoop()
    measure.check_equal(op, SMALL, inputs, {loop.name: loop.prepare(SMALL, inputs)})
    monkeypatch.setattr(eager, "relu", torch.tanh)
    with pytest.raises(contract.RedContract, match="eager torch loop"):
        measure.check_equal(op, SMALL, inputs, {loop.name: loop.prepare(SMALL, inputs)})


def test_stacked_loop_equals_one_model_after_another():
    workload = SMALL.resized(E=3)
    inputs = op.inputs_of(workload, "cpu", torch.float64)
    weights = {name: inputs[name] for name in eager.PARAMETERS}
    one_by_one = eager.rollout(inputs, weights, 0.3)
    torch.testing.assert_close(eager.rollout(inputs, weights, 0.3, stacked=True), one_by_one)


def test_jax_agrees_where_it_is_installed():
    pytest.importorskip("jax", reason="jax is a competitor, installed by make bench alone")
    for workload in (SMALL.resized(E=2), replace(SMALL, options={"cell": "shallow"}, phases=("generate",))):
        inputs = op.inputs_of(workload, "cpu")
        jax_scan = op.JaxScan()
        measure.check_equal(op, workload, inputs, {jax_scan.name: jax_scan.prepare(workload, inputs)})


def test_interleaved_tells_slow_from_fast():
    calls = {name: (lambda s=s: time.sleep(s), lambda _: None) for name, s in (("slow", 0.02), ("fast", 0.002))}
    times = interleaved(calls, sample_s=0.002, samples=3)
    assert times["slow"].median_s >= 0.02
    assert 3 < times["slow"].median_s / times["fast"].median_s
    assert times["slow"].samples == times["fast"].samples == 3


def test_interleaved_takes_turns():
    seen: list[str] = []
    calls = {name: (lambda n=name: seen.append(n) or time.sleep(0.001), lambda _: None) for name in "abc"}
    interleaved(calls, sample_s=1e-9, samples=4)
    assert seen[6:] == [*"abc", *"bca", *"cab", *"abc"]


def test_timing_is_median_and_quartiles():
    assert Timing.of([5.0, 1.0, 2.0, 3.0, 4.0]) == Timing(3.0, 2.0, 4.0, 5)
    assert Timing.of([2.0]) == Timing(2.0, 2.0, 2.0, 1)


def test_roofline_is_the_tighter_bound():
    work = Work(forward_flops=100, backward_flops=300, forward_bytes=10, backward_bytes=20)
    step = roofline(work, "step", 2.0, Peaks(bytes_per_s=100.0, flops_per_s=400.0))
    assert (step["flops"], step["bytes"], step["bound"], step["roofline_share"]) == (400, 30, "matmul", 0.5)
    backward = roofline(work, "backward", 2.0, Peaks(bytes_per_s=10.0, flops_per_s=300.0))
    assert (backward["flops"], backward["bytes"], backward["bound"]) == (300, 20, "bandwidth")
    assert backward["roofline_share"] == 1.0
    assert roofline(work, "forward", 1.0, Peaks(1.0, 1.0))["flops"] == 100


def test_quick_run_writes_whole_rows(tmp_path, capsys):
    file = tmp_path / "rows.json"
    assert command.main(["rollout_plrnn", "--device", "cpu", "--quick", "--json", str(file)]) == 0
    rows = read_rows(file)
    assert all(set(row) >= ROW for row in rows)
    timed = {(r["phase"], r["implementation"]): r for r in rows if "sweep" not in r}
    for phase in ("forward", "backward", "step"):
        ours, loop = timed[phase, OURS], timed[phase, "eager torch loop"]
        assert ours["ratio"] == 1.0
        assert loop["ratio"] == pytest.approx(loop["median_s"] / ours["median_s"])
        assert 0 < ours["roofline_share"]
    assert {r["sweep"] for r in rows if "sweep" in r} == {"T", "B", "E", "H"}
    assert "CUDA-graph replay: not measured, needs a CUDA device" in capsys.readouterr().out


def test_red_run_writes_nothing(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(op, "call", changed("z", lambda z: z + 1))
    file = tmp_path / "rows.json"
    assert command.main(["rollout_plrnn", "--device", "cpu", "--quick", "--json", str(file)]) == 1
    assert not file.exists()
    assert capsys.readouterr().err.startswith("red: rollout_plrnn, case")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_nothing_of_hidden_size_is_stored():
    s = op.memory_workload("cpu").sizes
    hidden = 4 * s["E"] * s["B"] * s["T"] * s["H"]
    assert peak_memory("rollout_plrnn", "cpu", OURS)["peak_bytes"] < hidden / 4
    assert peak_memory("rollout_plrnn", "cpu", "eager torch loop")["peak_bytes"] > hidden


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_small_blocks_that_a_first_step_freed_count_again():
    kept, blocks, size = [], 4000, 2**14

    def step():
        used = [bytes(size) for _ in range(blocks)]
        kept.append(bytes(size))  # on top of them, so that the heap cannot shrink
        return used

    prepared = SimpleNamespace(phases={"step": step}, wait=len)
    implementation = SimpleNamespace(prepare=lambda workload, inputs: prepared)
    found = measure_memory(implementation, SMALL, op, "cpu")["peak_bytes"]
    assert 0.9 < found / (blocks * size) < 1.5
