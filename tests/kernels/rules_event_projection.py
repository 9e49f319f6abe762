"""What is particular to the contract of event_projection."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import contract
import torch
from torch import Tensor
from torch.nn.functional import pad

from neurorbit.bindings.dispatch import load
from neurorbit.kernels.event_projection.spec import EVENTS, pack
from neurorbit.kernels.spec import Case, KernelSpec

OPTIONS = ("n_bins", "padding")
STATE: dict[str, Any] = {}
MEMBERS = ("E", "K")
COMPARED = ("w", "x")
SAME_BITS = "several-tiles"


def dense(arguments: contract.Arguments, n_bins: int) -> Tensor:
    """The recordings as a matrix, [R, N, T]."""
    if arguments["x"] is not None:
        return arguments["x"]
    names = ("neurons", "times", "counts", "starts", "neuron_starts")
    recording = load("event_projection", "reference").recording
    return recording(*(arguments[n] for n in names), n_bins, arguments["w"].dtype)


def with_recording(arguments: contract.Arguments, x: Tensor) -> contract.Arguments:
    """The arguments with another recording, in the form that they have."""
    return arguments | ({"x": x} if arguments["x"] is not None else pack(x))


def member(spec: KernelSpec, arguments: contract.Arguments, letter: str, index: int) -> contract.Arguments:
    """One model with its recording, or one filter of every model."""
    part = contract.sliced(spec, arguments, letter, index)
    own = letter == "E" and arguments["x"] is None and arguments["starts"].numel() > 2
    if not own:
        return part
    N = arguments["w"].shape[2]
    by_time = slice(*arguments["starts"][index : index + 2].tolist())
    rows = arguments["neuron_starts"][index * N : index * N + N + 1]
    by_neuron = slice(int(rows[0]), int(rows[-1]))
    cuts = {n: by_neuron if n.endswith("_by_neuron") else by_time for n in EVENTS if not n.endswith("starts")}
    ends = torch.tensor([0, by_time.stop - by_time.start]).to(rows)
    return part | {n: arguments[n][cut] for n, cut in cuts.items()} | {"starts": ends, "neuron_starts": rows - rows[0]}


def check_segments(
    spec: KernelSpec, module: ModuleType, case: Case, arguments: contract.Arguments, **launch: Any
) -> None:
    """Blocks of time with a halo of W - 1 bins and no padding, put together, are the whole."""
    options = contract.kernel_options(spec, case)
    (whole,), _ = module.forward(**arguments, **options, **launch)
    P, W = options["padding"], case.sizes["W"]
    x = pad(dense(arguments, options["n_bins"]), (P, P))
    cut = whole.shape[2] // 2
    parts = []
    for first, last in ((0, cut), (cut, whole.shape[2])):
        if first < last:
            block = x[:, :, first : last + W - 1]
            changed = {"n_bins": block.shape[2], "padding": 0}
            parts += module.forward(**with_recording(arguments, block), **changed, **launch)[0]
    contract.assert_close(torch.cat(parts, 2), whole, "blocks")
