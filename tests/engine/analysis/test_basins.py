"""Basins of maps whose attractors are known in closed form."""

from collections.abc import Callable

import pytest
import torch

from neurorbit.engine.analysis import label_basins


def runner(step: Callable[[torch.Tensor], torch.Tensor]) -> Callable[[torch.Tensor, int, int], torch.Tensor]:
    def free_run(z: torch.Tensor, steps: int, keep_every: int) -> torch.Tensor:
        kept = []
        for t in range(1, steps + 1):
            z = step(z)
            if t % keep_every == 0:
                kept.append(z)
        return torch.stack(kept, 2)

    return free_run


def cubic(z: torch.Tensor) -> torch.Tensor:
    """Fixed points -1 and 1 attract (-2, 0) and (0, 2); |z| > 2 escapes."""
    return z + 0.5 * (z - z**3 / 1.0) * (z.abs() < 2) + (z.abs() >= 2) * z


@pytest.mark.parametrize("chunk", [7, 1000])
def test_bistable_map_and_escape(chunk: int) -> None:
    z0 = torch.linspace(-3, 3, 61, dtype=torch.float64)
    z0 = z0[(z0.abs() < 1.6) & (z0.abs() > 0.05) | (z0.abs() > 2.05)]
    found = label_basins(runner(cubic), z0[None, :, None], transient=2000, window=10, chunk=chunk)
    left, right = found.labels[0][(z0 < 0) & (z0 > -2)].unique(), found.labels[0][(z0 > 0) & (z0 < 2)].unique()
    assert len(found.attractors[0]) == 2
    assert len(left) == len(right) == 1
    assert left != right
    assert (found.labels[0][z0.abs() > 2] == -1).all()
    torch.testing.assert_close(found.attractors[0][int(right)], torch.ones(10, 1, dtype=torch.float64))
    torch.testing.assert_close(found.attractors[0][int(left)], -torch.ones(10, 1, dtype=torch.float64))


def test_a_fixed_point_and_a_limit_cycle_of_two_models() -> None:
    def step(z: torch.Tensor) -> torch.Tensor:
        radius = z.norm(dim=-1, keepdim=True)
        grown = torch.where(radius > 0.5, 1 + 0.2 * (radius - 1), 0.5 * radius)  # circle of radius 1, or the origin
        angle = torch.tensor(0.37)
        turn = torch.tensor([[angle.cos(), -angle.sin()], [angle.sin(), angle.cos()]])
        both = z / radius.clamp(min=1e-30) * grown @ turn.T
        return torch.stack([both[0], 0.5 * z[1]])  # the second model knows the origin alone

    z0 = torch.randn(1, 300, 2, generator=torch.Generator().manual_seed(0)).expand(2, -1, -1)
    found = label_basins(runner(step), z0, transient=100, window=300, chunk=128)
    inside = z0[0].norm(dim=-1) <= 0.5
    assert [len(a) for a in found.attractors] == [2, 1]
    origin = found.labels[0][inside].unique()
    circle = found.labels[0][~inside].unique()
    assert len(origin) == len(circle) == 1
    assert origin != circle
    assert (found.labels[1] == 0).all()
    radius = found.attractors[0][int(circle)].norm(dim=-1)
    torch.testing.assert_close(radius, torch.ones(300), atol=1e-4, rtol=0)


def test_too_many_attractors_stay_unresolved() -> None:
    z0 = torch.arange(10.0).view(1, 10, 1)
    found = label_basins(runner(lambda z: z), z0, transient=1, window=2, max_attractors=3)
    assert found.labels.tolist() == [[0, 1, 2, -2, -2, -2, -2, -2, -2, -2]]


def test_bad_arguments_are_named() -> None:
    with pytest.raises(ValueError, match="z0: expected a tensor"):
        label_basins(runner(cubic), torch.zeros(3, 1))
    with pytest.raises(ValueError, match="window:"):
        label_basins(runner(cubic), torch.zeros(1, 3, 1), window=0)


def test_a_state_stays_with_the_attractor_met_first() -> None:
    z0 = torch.tensor([0.0, 1.0, 2.0, 10.0]).view(1, 4, 1)
    tolerance = 1.5 / z0.std(correction=0).item()  # 1 is near both 0 and 2
    found = label_basins(runner(lambda z: z), z0, transient=1, window=2, tolerance=tolerance)
    assert found.labels.tolist() == [[0, 0, 1, 2]]
