"""What is particular to the contract of rollout_gru."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import contract
import torch

from neurorbit.kernels.spec import Case, KernelSpec

OPTIONS: tuple[str, ...] = ()
STATE: dict[str, Any] = {}
MEMBERS = ("E", "B")
COMPARED = ("drive", "W", "b", "W_in", "b_in", "h0")
SAME_BITS = "odd-sizes"
member = contract.sliced


def check_segments(
    spec: KernelSpec, module: ModuleType, case: Case, arguments: contract.Arguments, **launch: object
) -> None:
    """Onward alone is its part of both; cut in two with the state carried over, it equals the whole."""
    (h, end), _ = module.forward(**arguments, **launch)
    onward = dict(arguments)
    for argument in spec.arguments:
        if "D" in argument.dims and arguments[argument.name] is not None:
            onward[argument.name] = arguments[argument.name].narrow(argument.dims.index("D"), 0, 1)
    T = case.sizes["T"]
    cut = max(1, T // 2)
    state, parts = onward["h0"], []
    for start, stop in ((0, cut), (cut, T)):
        if start < stop:
            part = contract.along_time(spec, onward | {"h0": state}, start, stop)
            (found, state), _ = module.forward(**part, **launch)
            parts.append(found)
    assert torch.equal(torch.cat(parts, 2), h[:, :, :, :1]) and torch.equal(state, end[:, :, :1])
