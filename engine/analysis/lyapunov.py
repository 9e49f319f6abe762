"""Lyapunov spectra by QR decomposition of the Jacobians along orbits."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from neurorbit.engine.analysis.orbits import as_real, require_positive

MAX_CONDITION = 1e11
MAX_PRODUCT = 16
BLOCK_ELEMENTS = 1 << 18  # small enough for the cache


class LyapunovSum:
    """Running sum of log stretching rates: feed it the Jacobians of consecutive steps, in blocks of any length.

    Jacobians of a few steps are multiplied pairwise and the frame is made orthonormal again after each product.
    every: steps per product; None chooses it from the condition numbers in the first block, so that a product stays
    below 1e11. The products are brought to the CPU, whose QR of many small matrices has the lower latency.
    """

    def __init__(self, n_exponents: int | None = None, every: int | None = None) -> None:
        if every is not None and every < 1:
            raise ValueError(f"every: expected at least 1 step, got {every}")
        if n_exponents is not None and n_exponents < 1:
            raise ValueError(f"n_exponents: expected at least 1, got {n_exponents}")
        self.n_exponents, self.every = n_exponents, every
        self.frame: Tensor | None = None
        self.log_stretch: Tensor | None = None
        self.steps, self.device = 0, torch.device("cpu")

    def restart(self) -> None:
        """Forgets the sums and keeps the frame: call it after a transient in which the frame aligns."""
        self.steps = 0
        self.log_stretch = None if self.log_stretch is None else torch.zeros_like(self.log_stretch)

    def add(self, jacobians: Tensor) -> None:
        """Jacobians [..., T, M, M] of T further steps, in order."""
        J = jacobians.detach().double()
        finite = torch.isfinite(J.sum((-3, -2, -1)))[..., None, None, None]
        if not bool(finite.all()):
            J = torch.where(finite, J, torch.nan)  # a diverged orbit is NaN from here on, without touching the others
        if self.frame is None or self.log_stretch is None:
            width = J.shape[-1] if self.n_exponents is None else self.n_exponents
            if width > J.shape[-1]:
                raise ValueError(f"n_exponents: expected at most M={J.shape[-1]}, got {width}")
            self.frame = torch.eye(J.shape[-1], width, dtype=J.dtype).expand(*J.shape[:-3], -1, -1)
            self.log_stretch = torch.zeros(*J.shape[:-3], width, dtype=J.dtype)
            self.device = J.device
        if self.every is None:
            self.every = _steps_per_product(J)
        steps = J.shape[-3]
        cut = steps - steps % self.every
        pieces = [_products(J[..., :cut, :, :], self.every)] if cut else []
        pieces += [_products(J[..., cut:, :, :], steps - cut)] if cut < steps else []
        for piece in pieces:
            diagonals = []
            for product in piece.cpu().unbind(-3):
                self.frame, R = torch.linalg.qr(product @ self.frame)
                diagonals.append(R.diagonal(dim1=-2, dim2=-1))
            self.log_stretch = self.log_stretch + torch.stack(diagonals).abs().log().sum(0)
        self.steps += steps

    def spectrum(self, dt: float = 1.0) -> Tensor:
        """Exponents [..., n], in descending order, per unit of time when dt is the time of one step."""
        if self.steps == 0 or self.log_stretch is None:
            raise ValueError("spectrum: no Jacobian was added yet")
        return (self.log_stretch / (self.steps * dt)).sort(-1, descending=True).values.to(self.device)


def _products(J: Tensor, every: int) -> Tensor:
    """Ordered products of each `every` consecutive matrices: [..., T, M, M] -> [..., T // every, M, M]."""
    P = J.unflatten(-3, (-1, every))  # [..., T // every, every, M, M]
    while P.shape[-3] > 1:
        n = P.shape[-3]
        pairs = P[..., 1::2, :, :] @ P[..., 0 : n - 1 : 2, :, :]
        P = torch.cat([pairs, P[..., -1:, :, :]], -3) if n % 2 else pairs
    return P.squeeze(-3)


def _steps_per_product(J: Tensor) -> int:
    """How many Jacobians may be multiplied before the smallest exponent drowns in rounding: tried on stretches of J."""
    length = min(MAX_PRODUCT, J.shape[-3])
    starts = torch.linspace(0, J.shape[-3] - length, 8, device=J.device).long()
    sample = J[..., starts[:, None] + torch.arange(length, device=J.device), :, :].flatten(0, -4)  # [S, length, M, M]
    sample = sample[torch.isfinite(sample).flatten(1).all(1)][:256]
    product = torch.eye(J.shape[-1], dtype=J.dtype, device=J.device).expand(len(sample), -1, -1)
    for steps in range(length if len(sample) else 0):
        product = sample[:, steps] @ product
        s = torch.linalg.svdvals(product)
        if bool((s[:, 0] > MAX_CONDITION * s[:, -1]).any()):
            return max(1, steps)
    return MAX_PRODUCT if len(sample) else 1


def lyapunov_spectrum(
    orbit: Any,
    jacobian: Callable[[Tensor], Tensor],
    *,
    dt: float = 1.0,
    transient: int = 0,
    n_exponents: int | None = None,
    every: int | None = None,
) -> Tensor:
    """Lyapunov exponents per unit of time [E, B, n], descending, along given orbits.

    lambda_i = 1 / (T dt) sum_t log |R_ii(t)| with Q(t+1) R(t) = J(z_t) Q(t).

    Args:
        orbit: states [E, B, T, M], already on the attractor; the Jacobian of the step out of each state is used.
        jacobian: states [E, B, t, M] -> Jacobians [E, B, t, M, M]; called on blocks of time: memory stays bounded.
        dt: time of one step.
        transient: first steps that turn the frame towards the Oseledets directions and are not counted.
        n_exponents: only the n largest exponents; all M when None.
        every: steps between two QR decompositions; chosen from the condition of the Jacobians when None.

    Returns NaN for orbits that are not finite. Not differentiable.
    """
    z = orbit if isinstance(orbit, Tensor) else as_real(orbit, "orbit", (4,), "[E, B, T, M]")
    if z.dim() != 4:
        raise ValueError(f"orbit: expected [E, B, T, M], got {list(z.shape)}")
    require_positive(dt, "dt")
    E, B, T, M = z.shape
    if not 0 <= transient < T:
        raise ValueError(f"transient: expected 0 <= transient < T={T} steps, got {transient}")
    total = LyapunovSum(n_exponents, every)
    block = max(MAX_PRODUCT, BLOCK_ELEMENTS // (E * B * M * M) // MAX_PRODUCT * MAX_PRODUCT)
    for part, counted in ((z[:, :, :transient], False), (z[:, :, transient:], True)):
        for piece in part.split(block, 2) if part.shape[2] else ():
            total.add(jacobian(piece))
        if not counted:
            total.restart()
    return total.spectrum(dt)
