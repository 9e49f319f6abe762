"""torch.sparse: the recording as a CSR matrix [T', N W] with one entry per event and lag, times the filters."""

from __future__ import annotations

import warnings
from typing import Any

import torch
from torch import Tensor

from benchmarks.torch_phases import training_phases
from benchmarks.workload import Inputs, Prepared, Workload

MOST_ENTRIES = 50_000_000


def entries(inputs: Inputs, sizes: Any, padding: int) -> Tensor:
    """The matrix as coordinates; o[t] = sum_(n, lag) S[t, n W + lag] w[n, lag]."""
    n, t = inputs["neurons"].long(), inputs["times"].long()
    lag = torch.arange(sizes["W"], device=n.device)
    row, column = (t[:, None] + padding - lag).flatten(), (n[:, None] * sizes["W"] + lag).flatten()
    rows = sizes["T"] + 2 * padding - sizes["W"] + 1
    inside = (row >= 0) & (row < rows)
    values = inputs["counts"].to(inputs["w"].dtype)[:, None].expand(-1, len(lag)).flatten()
    index = torch.stack([row[inside], column[inside]])
    return torch.sparse_coo_tensor(index, values[inside], (rows, sizes["N"] * sizes["W"])).coalesce()


class _Product(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, matrix: Tensor, transposed: Tensor, w: Tensor) -> Tensor:
        ctx.transposed = transposed
        return matrix @ w

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        return None, None, ctx.transposed @ grads[0]


class SparseProduct:
    """Both orientations are made once."""

    name = "torch.sparse"

    def missing(self, workload: Workload, device: str) -> str | None:
        if workload.sizes["E"] > 1:
            return "one model at a time"
        if workload.options.get("dense"):
            return "the recording is dense"
        return None if workload.sizes["J"] * workload.sizes["W"] <= MOST_ENTRIES else "the matrix is too large"

    def prepare(self, workload: Workload, inputs: Inputs) -> Prepared:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # beta state, and that invariants are not checked
            found = entries(inputs, workload.sizes, workload.options["padding"])
            matrix, transposed = found.to_sparse_csr(), found.t().coalesce().to_sparse_csr()
        leaf = inputs["w"].detach().clone().requires_grad_()

        def respond() -> Tensor:
            return _Product.apply(matrix, transposed, leaf[0].flatten(1).T).T[None]

        return training_phases(respond, {"w": leaf}, inputs["target"])
