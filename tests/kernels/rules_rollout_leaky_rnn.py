"""What is particular to the contract of rollout_leaky_rnn."""

from __future__ import annotations

from types import ModuleType

import contract
import torch

from neurorbit.kernels.spec import Case, KernelSpec

OPTIONS = ("phi", "unit_norm", "steps")
STATE = {"first_step": 0}
MEMBERS = ("E", "B")
COMPARED = ("u0", "W", "L", "Q", "b", "Wv")
SAME_BITS = "odd-sizes"
member = contract.sliced


def check_segments(
    spec: KernelSpec, module: ModuleType, case: Case, arguments: contract.Arguments, **launch: object
) -> None:
    """A rollout cut in two, with the state carried over and the noise continued, equals the whole."""
    T = case.sizes["T"]
    cut = max(1, T // 2)
    options = contract.kernel_options(spec, case)
    (u, r, end), _ = module.forward(**arguments, **options, **launch)
    parts, state = [], arguments["u0"]
    for first, last in ((0, cut), (cut, T)):
        if first < last:
            segment = contract.along_time(spec, arguments | {"u0": state}, first, last)
            changed = options | {"steps": last - first, "first_step": first}
            (*found, state), _ = module.forward(**segment, **changed, **launch)
            parts.append(found)
    for whole, pieces in zip((u, r), zip(*parts, strict=True), strict=True):
        assert torch.equal(torch.cat(pieces, 2), whole)
    assert torch.equal(state, end)
