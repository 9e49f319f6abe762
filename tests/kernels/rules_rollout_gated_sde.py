"""What is particular to the contract of rollout_gated_sde."""

from __future__ import annotations

from types import ModuleType

import contract
import torch

from neurorbit.kernels.spec import Case, KernelSpec

OPTIONS = ("hidden", "steps")
STATE = {"first_step": 0}
MEMBERS = ("E", "B")
COMPARED = ("weights", "z0", "path", "drive", "e", "V", "sigma")
SAME_BITS = "odd-sizes"
member = contract.sliced


def check_segments(
    spec: KernelSpec, module: ModuleType, case: Case, arguments: contract.Arguments, **launch: object
) -> None:
    """A rollout cut in two, with the state carried over and the noise continued, equals the whole.

    Drifts along a known path are cut with the state before the cut in the place of the first one.
    """
    T = case.sizes["T"]
    cut = max(1, T // 2)
    options = contract.kernel_options(spec, case)
    (z, mu, end), _ = module.forward(**arguments, **options, **launch)
    parts, state, path = [], arguments["z0"], arguments["path"]
    for first, last in ((0, cut), (cut, T)):
        if first < last:
            segment = contract.along_time(spec, arguments | {"z0": state}, first, last)
            changed = options | {"steps": last - first, "first_step": first}
            (*found, reached), _ = module.forward(**segment, **changed, **launch)
            parts.append(found)
            if state is not None:
                state = reached if path is None else path[:, :, last - 1]
    for whole, pieces in zip((z, mu), zip(*parts, strict=True), strict=True):
        assert torch.equal(torch.cat(pieces, 2), whole)
    if path is None:
        assert torch.equal(state, end)
