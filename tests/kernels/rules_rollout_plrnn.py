"""What is particular to the contract of rollout_plrnn."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import contract
import torch

from neurorbit.kernels.spec import Case, KernelSpec

OPTIONS = ("cell", "n_relu", "steps")
STATE = {"first_step": 0}
MEMBERS = ("E", "B")
COMPARED = ("z0", "A", "W1", "drive")
SAME_BITS = "odd-sizes"
member = contract.sliced


def check_segments(
    spec: KernelSpec, module: ModuleType, case: Case, arguments: contract.Arguments, **launch: Any
) -> None:
    """A rollout cut in two, with the state carried over, equals the whole."""
    T = case.sizes["T"]
    cut = max(1, T // 2)
    options = contract.kernel_options(spec, case)
    (whole, end), _ = module.forward(**arguments, **options, **launch)
    first = contract.along_time(spec, arguments, 0, cut)
    (z1, state), _ = module.forward(**first, **(options | {"steps": cut}), **launch)
    parts = [z1]
    if cut < T:
        second = contract.along_time(spec, arguments | {"z0": state}, cut, T)
        changed = options | {"steps": T - cut, "first_step": cut}
        (z2, state), _ = module.forward(**second, **changed, **launch)
        parts.append(z2)
    assert torch.equal(torch.cat(parts, 2), whole)
    assert torch.equal(state, end)
