"""What is particular to the contract of rollout_ode."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import contract
import torch

from neurorbit.kernels.spec import Case, KernelSpec

OPTIONS = ("field", "method", "dt", "steps", "keep_every")
STATE: dict[str, Any] = {}
MEMBERS = ("E", "B")
COMPARED = ("z0", "parameters", "drive")
SAME_BITS = "odd-sizes"
member = contract.sliced


def check_segments(
    spec: KernelSpec, module: ModuleType, case: Case, arguments: contract.Arguments, **launch: Any
) -> None:
    """A rollout cut in two at a kept state, with the state carried over, equals the whole."""
    T, every = case.sizes["T"], case.options["keep_every"]
    cut = T // 2
    if every > 1:
        cut = max(every, cut // every * every)
    options = contract.kernel_options(spec, case)
    (whole, end), _ = module.forward(**arguments, **options, **launch)
    state, parts = arguments["z0"], []
    for first, last in ((0, cut), (cut, T)):
        if first < last:
            part = arguments | {"z0": state}
            if part["drive"] is not None:
                part["drive"] = part["drive"].narrow(2, first, last - first)
            (z, state), _ = module.forward(**part, **(options | {"steps": last - first}), **launch)
            parts.append(z)
    assert torch.equal(torch.cat(parts, 2), whole)
    assert torch.equal(state, end)
