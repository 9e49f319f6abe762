"""The other writings of the encoder compute what ours does from counts; ours gets them as they are."""

from __future__ import annotations

import pytest
import torch

from benchmarks import measure
from benchmarks.competitors.rollout_gru.torch_gru import EagerGru, PackedGru
from benchmarks.contract import RedContract
from benchmarks.ops import rollout_gru as op

SMALL = op.ENCODER.resized(B=3, T=7, H=5, U=4)


@pytest.mark.parametrize("E", (1, 2))
@pytest.mark.parametrize("D", (1, 2))
def test_everyone_agrees_with_the_definition(E: int, D: int) -> None:
    workload = SMALL.resized(E=E, D=D)
    inputs = op.inputs_of(workload, "cpu")
    peers = [peer for peer in (op.Ours(), PackedGru(), EagerGru()) if peer.missing(workload, "cpu") is None]
    assert len(peers) == (3 if E == 1 else 2)
    prepared = {peer.name: peer.prepare(workload, inputs) for peer in peers}
    measure.check_equal(op, workload, inputs, prepared)
    for one in prepared.values():
        for name, grad in one.results("step").items():
            assert grad.shape == inputs[name[1:]].shape and bool((grad != 0).any())


def test_other_counts_are_noticed() -> None:
    inputs = op.inputs_of(SMALL, "cpu")
    assert float(inputs["x"].sum()) > 0
    other = op.Ours().prepare(SMALL, inputs | {"x": inputs["x"].flip(2)})
    with pytest.raises(RedContract, match=r"is .* x its error budget"):
        measure.check_equal(op, SMALL, inputs, {op.Ours.name: other})


def test_ours_takes_integer_counts_and_no_drive(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def watched(drive, W, b, **arguments):
        seen.append((drive, arguments["y"].dtype, arguments["y"].shape))
        return op_function(drive, W, b, **arguments)

    op_function = op.rollout_gru
    monkeypatch.setattr(op, "rollout_gru", watched)
    inputs = op.inputs_of(SMALL.resized(E=2), "cpu")
    op.Ours().prepare(SMALL.resized(E=2), inputs).phases["step"]()
    assert seen == [(None, torch.uint8, (1, 3, 7, 4))]
