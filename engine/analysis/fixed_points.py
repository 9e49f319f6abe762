"""Fixed points and cycles of a PLRNN by searching its linear regions (SCYFI, Eisenmann et al. 2023)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from neurorbit.bindings.rollout_plrnn import plrnn_step
from neurorbit.engine.analysis.orbits import as_real, require_positive
from neurorbit.engine.analysis.piecewise_linear import PiecewiseLinearMap

IDLE_ROUNDS = 5
HYPERBOLIC_MARGIN = 1e-6


@dataclass(frozen=True)
class Cycles:
    """Cycles of one order (1: fixed points) of one model, ordered by their first coordinates.

    points [C, order, M]; eigenvalues [C, M] complex, of the Jacobian of `order` steps; stability, one of "stable",
    "saddle", "unstable", "non-hyperbolic" each; n_regions, how many sequences of linear regions were solved.
    """

    points: Tensor
    eigenvalues: Tensor
    stability: tuple[str, ...]
    n_regions: int

    def __len__(self) -> int:
        return len(self.points)


@torch.no_grad()
def fixed_points(
    parameters: Mapping[str, Any],
    *,
    order: int = 1,
    n_starts: int = 256,
    max_rounds: int = 100,
    starts: Tensor | None = None,
    u: Tensor | None = None,
    tolerance: float = 1e-6,
    generator: torch.Generator | None = None,
) -> Cycles:
    """Fixed points (order 1) or cycles of minimal period `order` of one model of the PLRNN family.

    Within a sequence of linear regions the candidate solves z = J z + b. If the map itself leads from the candidate
    back to it, it is real; else the search goes on in the regions that its orbit visits, and restarts at random where
    those were solved before. All `n_starts` searches run as one batch.

    Args:
        parameters: cell arguments of one model, tensors [1, ...], as `rollout_plrnn` takes them.
        order: period of the cycles.
        n_starts: searches side by side. max_rounds: linear systems solved by each; it ends earlier when no new region
            turns up any more.
        starts: states [S, M], for instance of a generated orbit, in whose regions the search begins.
        u: constant input [U].
        tolerance: largest distance, relative to 1 + |z|, at which two points are the same.
        generator: CPU torch.Generator of the random starts; seeded with 0 when None.

    Regions where J - I is singular (line attractors) have no isolated candidate and are left out. The search is a
    heuristic: with enough rounds it finds all in practice, but it does not prove that there are no others.
    """
    for value, name in ((order, "order"), (n_starts, "n_starts"), (max_rounds, "max_rounds"), (tolerance, "tolerance")):
        require_positive(value, name)
    system = PiecewiseLinearMap.from_cell(parameters, u)
    search = _Search(system, parameters, order, u, tolerance, generator or torch.Generator().manual_seed(0))
    regions = search.random_regions(n_starts)
    if starts is not None:
        z = as_real(starts, "starts", (2,), "[S, M]").to(system.h)
        if z.shape[1] != len(system.h):
            raise ValueError(f"starts: expected [S, M={len(system.h)}], got {list(z.shape)}")
        regions = torch.cat([system.regions(search.orbit(z)[:, :-1]), regions])
    idle = 0
    for _ in range(max_rounds):
        idle = 0 if search.advance(regions) else idle + 1
        if idle == IDLE_ROUNDS:
            break
        regions = search.next_regions(n_starts)
    return search.result()


class _Search:
    """What a batch of searches knows: the regions already solved, the cycles found, where to look next."""

    def __init__(
        self,
        system: PiecewiseLinearMap,
        parameters: Mapping[str, Any],
        order: int,
        u: Tensor | None,
        tolerance: float,
        generator: torch.Generator,
    ) -> None:
        self.system, self.order, self.tolerance, self.generator = system, order, tolerance, generator
        kept = {k: v for k, v in parameters.items() if k != "C"}
        self.parameters = {k: v.detach().double() if isinstance(v, Tensor) else v for k, v in kept.items()}
        self.drive = 0.0 if u is None else parameters["C"][0].detach().double() @ u.to(system.h)
        K, device = len(system.c), system.h.device
        self.weights = torch.randint(-(2**62), 2**62, (order, K), generator=generator).to(device)
        self.solved = torch.empty(0, dtype=torch.int64, device=device)
        self.pending = torch.empty(0, order, K, dtype=torch.bool, device=device)
        self.found: list[Tensor] = []
        distance = system.c.abs() / system.G.norm(dim=1).clamp(min=1e-30)
        distance = distance[(distance > 0) & (distance < 1e12)]
        self.near, self.far = (float(distance.min()) / 2, float(distance.max()) * 4) if len(distance) else (1.0, 1.0)

    def step(self, z: Tensor) -> Tensor:
        """One step of the model's own map, z [S, M]."""
        return plrnn_step(z.unsqueeze(0), **self.parameters)[0] + self.drive

    def orbit(self, z: Tensor) -> Tensor:
        """States [S, order + 1, M] from z [S, M] on."""
        states = [z]
        for _ in range(self.order):
            states.append(self.step(states[-1]))
        return torch.stack(states, 1)

    def random_regions(self, n: int) -> Tensor:
        """Regions [n, order, K] at random states: half along an orbit, half independent of each other."""
        M = len(self.system.h)
        scale = torch.rand(n, self.order, 1, generator=self.generator, dtype=torch.float64)
        z = torch.randn(n, self.order, M, generator=self.generator, dtype=torch.float64)
        z = (z * self.near * (self.far / self.near) ** scale).to(self.system.h)
        return self.system.regions(torch.cat([self.orbit(z[: n // 2, 0])[:, :-1], z[n // 2 :]]))

    def advance(self, regions: Tensor) -> bool:
        """Solves the regions [S, order, K] that are new; keeps the real cycles, remembers where the others lead."""
        keys = (regions * self.weights).sum((1, 2))
        keys, first = _first_of_each(keys)
        new = ~torch.isin(keys, self.solved)
        self.solved = torch.cat([self.solved, keys[new]])
        self.pending = self.pending[:0]
        if not bool(new.any()):
            return False
        J, b = self.composed(regions[first[new]])
        z, failed = torch.linalg.solve_ex(torch.eye(J.shape[-1]).to(J) - J, b)
        points = self.orbit(z[(failed == 0) & torch.isfinite(z).all(-1)])
        points = points[torch.isfinite(points).flatten(1).all(1)]
        real = self.same(points[:, -1], points[:, 0])
        self.found.append(points[real, :-1])
        self.pending = self.system.regions(points[~real, :-1])
        return True

    def next_regions(self, n: int) -> Tensor:
        """Regions to solve next: those of the last virtual candidates, filled up with random ones."""
        return torch.cat([self.pending, self.random_regions(max(0, n - len(self.pending)))])

    def composed(self, regions: Tensor) -> tuple[Tensor, Tensor]:
        """The linear map of `order` steps through regions [S, order, K]."""
        J, b = self.system.affine(regions[:, 0])
        for k in range(1, self.order):
            J_k, b_k = self.system.affine(regions[:, k])
            J, b = J_k @ J, (J_k @ b.unsqueeze(-1)).squeeze(-1) + b_k
        return J, b

    def same(self, a: Tensor, b: Tensor) -> Tensor:
        """Whether points [..., M] agree within the tolerance."""
        return (a - b).abs().amax(-1) <= self.tolerance * (1 + b.abs().amax(-1))

    def result(self) -> Cycles:
        """The distinct cycles of minimal period, with their stability."""
        points = torch.cat(self.found) if self.found else self.system.h.new_empty(0, self.order, len(self.system.h))
        for period in (d for d in range(1, self.order) if self.order % d == 0):
            points = points[~self.same(points[:, period], points[:, 0])]
        distinct = points[:0]
        for cycle in points:
            if not bool(self.same(distinct, cycle[0]).any()):
                cycle = cycle.roll(-int(cycle[:, 0].argmin()), 0)
                distinct = torch.cat([distinct, cycle.unsqueeze(0)])
        order = sorted(range(len(distinct)), key=lambda i: distinct[i, 0].tolist())
        distinct = distinct[order]
        J, _ = self.composed(self.system.regions(distinct))
        eigenvalues = torch.linalg.eigvals(J) if len(J) else J.new_empty(0, J.shape[-1], dtype=torch.complex128)
        return Cycles(distinct, eigenvalues, tuple(map(stability_of, eigenvalues)), len(self.solved))


def stability_of(eigenvalues: Tensor) -> str:
    """Class of a fixed point of a map by the moduli of its eigenvalues [M]."""
    moduli = eigenvalues.abs()
    if bool(((moduli - 1).abs() < HYPERBOLIC_MARGIN).any()):
        return "non-hyperbolic"
    outside = int((moduli > 1).sum())
    return "stable" if outside == 0 else "unstable" if outside == len(moduli) else "saddle"


def _first_of_each(keys: Tensor) -> tuple[Tensor, Tensor]:
    """Distinct keys and the index of one occurrence of each."""
    distinct, inverse = keys.unique(return_inverse=True)
    first = torch.empty_like(distinct)
    first[inverse] = torch.arange(len(keys), device=keys.device)
    return distinct, first
