"""Adaptive teacher forcing: the strength alpha from the norms of the Jacobians along the states of a batch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from neurorbit.bindings.rollout_plrnn import jacobian_plrnn


def spectral_norm(J: Tensor, squarings: int = 6) -> Tensor:
    """Largest singular value of J [..., M, M]: in closed form for M <= 3, otherwise by repeated squaring of J' J.

    torch's own norm solves one small problem after the other; this takes a million 3 x 3 Jacobians at once. Squaring
    never overestimates; it is exact to a few 1e-3, to 1e-6 where the two largest singular values differ by a fifth.
    """
    G = _gram(J)
    if G.shape[-1] <= 3:
        return _largest_eigenvalue(G).clamp_min(0).sqrt()
    tiny = torch.finfo(G.dtype).tiny
    trace = G.diagonal(dim1=-2, dim2=-1).sum(-1)[..., None, None]  # bounds the largest eigenvalue
    G = G / trace.clamp_min(tiny)
    P = G
    for _ in range(squarings):
        P = _gram(P)
        P = P / P.diagonal(dim1=-2, dim2=-1).sum(-1)[..., None, None].clamp_min(tiny)
    at = P.diagonal(dim1=-2, dim2=-1).argmax(-1)[..., None, None]
    v = torch.gather(P, -1, at.expand(*P.shape[:-1], 1)).squeeze(-1)  # nearly the first eigenvector
    quotient = torch.einsum("...i,...ij,...j->...", v, G, v) / v.square().sum(-1).clamp_min(tiny)
    return (quotient * trace[..., 0, 0]).clamp_min(0).sqrt()


def _largest_eigenvalue(G: Tensor) -> Tensor:
    """Of symmetric matrices [..., M, M], M <= 3, by the trigonometric formula."""
    M = G.shape[-1]
    if M == 1:
        return G[..., 0, 0]
    mean = G.diagonal(dim1=-2, dim2=-1).sum(-1) / M
    if M == 2:
        return mean + (((G[..., 0, 0] - G[..., 1, 1]) / 2).square() + G[..., 0, 1].square()).sqrt()
    a, b, c = (G[..., i, i] - mean for i in range(3))
    f, e, d = G[..., 0, 1], G[..., 0, 2], G[..., 1, 2]
    p = ((a * a + b * b + c * c + 2 * (d * d + e * e + f * f)) / 6).sqrt()
    determinant = a * (b * c - d * d) - f * (f * c - d * e) + e * (f * d - b * e)
    r = (determinant / (2 * p**3).clamp_min(torch.finfo(p.dtype).tiny)).clamp(-1, 1)
    return mean + 2 * p * torch.cos(torch.arccos(r) / 3)


@torch.no_grad()
def batch_jacobians(z: Tensor, arguments: dict[str, Any]) -> Tensor:
    """Jacobians at the states z [E, B, T, M] of a batch, [E, B, T, M, M], without gradients.

    For the shallow cells A + sum_h d_h W1_h W2_h' is one product of the slopes d with the table of outer products.
    """
    if arguments["W2"] is None:
        return jacobian_plrnn(z, **arguments)
    A, W1, W2, h2 = (arguments[n] for n in ("A", "W1", "W2", "h2"))
    E, M, H = W1.shape
    outer = (W1.transpose(1, 2)[:, :, :, None] * W2[:, :, None, :]).reshape(E, H, M * M)
    found = z.new_empty(E, M * M, z[0, ..., 0].numel())  # one row per entry: what follows is elementwise
    block = E if z.is_cuda else 1  # one model's slopes fit a CPU's cache, all models' do not
    for at in range(0, E, block):
        part = slice(at, at + block)
        q = torch.bmm(z[part].reshape(-1, found.shape[2], M), W2[part].transpose(1, 2))
        slope = (q + h2[part, None]).gt_(0)
        if arguments["cell"] == "shallow-clipped":
            slope.sub_(q.gt_(0))
        torch.bmm(outer[part].transpose(1, 2), slope.transpose(1, 2), out=found[part])
    J = found.view(E, M, M, *z.shape[1:-1]).permute(0, 3, 4, 1, 2)
    J.diagonal(dim1=-2, dim2=-1).add_(A[:, None, None])
    return J


def _gram(J: Tensor) -> Tensor:
    """J' J; sums of outer products for up to 8 rows, where a batched matrix product is slow."""
    if max(J.shape[-2:]) > 8:
        return J.transpose(-1, -2) @ J
    total = J[..., 0, :, None] * J[..., 0, None, :]
    for row in range(1, J.shape[-2]):
        total = total + J[..., row, :, None] * J[..., row, None, :]
    return total


def jacobian_upper_bound(A: Tensor, W1: Tensor, W2: Tensor | None) -> Tensor:
    """max|A| + |W1| |W2| (or |W|), spectral norms: bounds the Jacobian's norm anywhere for slopes up to 1; [E]."""
    bound = torch.linalg.matrix_norm(W1, ord=2)
    if W2 is not None:
        bound = bound * torch.linalg.matrix_norm(W2, ord=2)
    return A.abs().amax(-1) + bound


def batch_maximum(J: Tensor) -> Tensor:
    """Largest norm over the batch; J [E, B, T, M, M] -> [E]."""
    return spectral_norm(J).amax((1, 2))


def product_upper_bound(J: Tensor) -> Tensor:
    """Largest over sequences of the geometric mean over time of the norms: bounds the norm of the product; [E]."""
    return spectral_norm(J).clamp_min(1e-12).log().mean(2).exp().amax(1)


def arithmetic_mean(J: Tensor) -> Tensor:
    """Largest over sequences of the norm of the mean Jacobian; [E]."""
    return spectral_norm(J.mean(2)).amax(1)


def explog(J: Tensor) -> Tensor:
    """Largest over sequences of the norm of exp(mean over time of log J), the matrices' geometric mean; [E]."""
    values, vectors = torch.linalg.eig(J.to(torch.complex128))  # log of a matrix by its eigenvectors
    values = torch.where(values.abs() < 1e-12, 1e-12, values)  # a singular Jacobian has no logarithm
    logs = vectors @ torch.diag_embed(torch.log(values)) @ torch.linalg.pinv(vectors)
    mean = torch.linalg.matrix_exp(logs.mean(2))
    finite = torch.isfinite(mean).flatten(2).all(2)
    norm = torch.linalg.matrix_norm(torch.where(finite[..., None, None], mean, 0), ord=2)
    return torch.where(finite, norm, torch.nan).amax(1).to(J.dtype)


ESTIMATORS: dict[str, Callable[[Tensor], Tensor]] = {
    "batch_maximum": batch_maximum,
    "product_upper_bound": product_upper_bound,
    "arithmetic_mean": arithmetic_mean,
    "explog": explog,
}


def updated_alpha(alpha: Tensor, norm: Tensor, rate: float) -> Tensor:
    """alpha* = max(0, 1 - 1/norm), taken whole when higher and by `rate` when lower; a NaN norm changes nothing."""
    target = (1 - 1 / norm).clamp(0, 1)
    new = torch.where(target > alpha, target, (1 - rate) * alpha + rate * target)
    return torch.where(norm.isnan(), alpha, new)
