"""The search for cycles against every linear region in turn, and against the tent map."""

import itertools
from typing import Any

import pytest
import torch

from neurorbit.bindings.rollout_plrnn import CELLS, jacobian_plrnn, plrnn_step
from neurorbit.engine.analysis import PiecewiseLinearMap, fixed_points, linear_regions

M, H, D = 3, 5, 2


def random_cell(cell: str, seed: int, scale: float = 1.6) -> dict[str, Any]:
    g = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=g, dtype=torch.float64)

    p: dict[str, Any] = {"cell": cell, "A": 0.5 * normal(1, M), "h1": normal(1, M), "n_relu": 0}
    if cell.startswith("shallow"):
        p |= {"W1": scale * normal(1, M, H), "W2": normal(1, H, M), "h2": normal(1, H)}
    else:
        p["W1"] = scale * normal(1, M, M)
    if cell.startswith("dendritic"):
        p |= {"alpha": normal(1, D), "thresholds": normal(1, M, D)}
    if cell == "alrnn":
        p["n_relu"] = 2
    return p


def step(z: torch.Tensor, p: dict[str, Any]) -> torch.Tensor:
    return plrnn_step(z.unsqueeze(0), **p)[0]


def jacobian(z: torch.Tensor, p: dict[str, Any]) -> torch.Tensor:
    return jacobian_plrnn(z.unsqueeze(0), **p)[0]


def brute_force(p: dict[str, Any], order: int = 1) -> torch.Tensor:
    """First points [C, M] of all solutions of z = F^order(z), from every on/off pattern of every unit."""
    system = PiecewiseLinearMap.from_cell(p)
    patterns = torch.tensor(list(itertools.product([False, True], repeat=len(system.c))))
    maps = [system.affine(on) for on in patterns]
    found: list[torch.Tensor] = []
    for sequence in itertools.product(maps, repeat=order):
        J, b = torch.eye(M, dtype=torch.float64), torch.zeros(M, dtype=torch.float64)
        for J_k, b_k in sequence:
            J, b = J_k @ J, J_k @ b + b_k
        z = torch.linalg.solve(torch.eye(M, dtype=torch.float64) - J, b)
        end = z[None]
        for _ in range(order):
            end = step(end, p)
        if torch.allclose(end[0], z, atol=1e-8) and not any(torch.allclose(z, f, atol=1e-6) for f in found):
            found.append(z)
    return torch.stack(found) if found else torch.empty(0, M, dtype=torch.float64)


def tent_map() -> dict[str, Any]:
    """z' = 2 z on [0, 1/2], 2 - 2 z on [1/2, 1] as a shallow PLRNN."""
    one = torch.ones(1, 1, 1)
    return {"cell": "shallow", "A": 2 * one[0], "W1": -4 * one, "h1": 0 * one[0], "W2": one, "h2": -0.5 * one[0]}


@pytest.mark.parametrize("cell", CELLS)
def test_the_piecewise_linear_form_is_the_cell(cell: str) -> None:
    p = random_cell(cell, 0)
    z = 2 * torch.randn(50, M, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    system = PiecewiseLinearMap.from_cell(p)
    J, b = system.affine(system.regions(z))
    torch.testing.assert_close((J @ z.unsqueeze(-1)).squeeze(-1) + b, step(z, p))
    torch.testing.assert_close(J, jacobian(z, p))


@pytest.mark.parametrize("cell", CELLS)
def test_fixed_points_are_those_of_all_regions(cell: str) -> None:
    total = 0
    for seed in range(6 if cell not in ("shallow-clipped", "dendritic-clipped") else 2):
        p = random_cell(cell, seed)
        expected = brute_force(p)
        found = fixed_points(p)
        assert len(found) == len(expected)
        total += len(expected)
        if len(expected):
            distance = torch.cdist(expected, found.points[:, 0])
            assert distance.amin(1).max() < 1e-6
            eigenvalues = torch.linalg.eigvals(jacobian(found.points[:, 0], p))
            torch.testing.assert_close(found.eigenvalues.abs().sort().values, eigenvalues.abs().sort().values)
    assert total > 0


@pytest.mark.parametrize("cell", ["plrnn", "alrnn"])
def test_two_cycles_are_those_of_all_pairs_of_regions(cell: str) -> None:
    total = 0
    for seed in range(12):
        p = random_cell(cell, seed)
        both = brute_force(p, order=2)
        expected = [z for z in both if not torch.allclose(step(z[None], p)[0], z, atol=1e-6)]
        found = fixed_points(p, order=2)
        assert len(found) == len(expected) // 2
        total += len(found)
        torch.testing.assert_close(step(found.points[:, 0], p), found.points[:, 1])
        torch.testing.assert_close(step(found.points[:, 1], p), found.points[:, 0])
    assert total > 0


@pytest.mark.parametrize(("order", "number"), [(1, 2), (2, 1), (3, 2), (4, 3), (5, 6), (6, 9)])
def test_tent_map_has_all_its_cycles(order: int, number: int) -> None:
    found = fixed_points(tent_map(), order=order)
    assert found.points.shape == (number, order, 1)
    assert found.stability == ("unstable",) * number
    torch.testing.assert_close(found.eigenvalues.abs(), torch.full((number, 1), 2.0**order, dtype=torch.float64))


def test_tent_map_two_cycle_is_two_fifths_and_four_fifths() -> None:
    expected = torch.tensor([[[0.4], [0.8]]], dtype=torch.float64)
    torch.testing.assert_close(fixed_points(tent_map(), order=2).points, expected)


def test_stability_classes() -> None:
    # two independent units z' = a z + w relu(z_other) + h with w = 0: the fixed point h / (1 - a) has eigenvalues a
    def linear(a: list[float]) -> dict[str, Any]:
        zero = torch.zeros(1, 2, 2)
        return {"cell": "plrnn", "A": torch.tensor([a]), "W1": zero, "h1": torch.ones(1, 2)}

    assert fixed_points(linear([0.5, -0.5])).stability == ("stable",)
    assert fixed_points(linear([0.5, 1.5])).stability == ("saddle",)
    assert fixed_points(linear([2.0, -1.5])).stability == ("unstable",)
    assert fixed_points(linear([0.5, -1.0])).stability == ("non-hyperbolic",)
    assert len(fixed_points(linear([0.5, 1.0]))) == 0  # no isolated fixed point


def test_constant_input_moves_the_fixed_point() -> None:
    p = {"cell": "plrnn", "A": torch.full((1, 2), 0.5), "W1": torch.zeros(1, 2, 2), "h1": torch.zeros(1, 2)}
    p["C"] = torch.tensor([[[1.0], [2.0]]])
    found = fixed_points(p, u=torch.tensor([3.0]))
    torch.testing.assert_close(found.points[0, 0], torch.tensor([6.0, 12.0], dtype=torch.float64))


def test_regions_of_an_orbit_are_numbered() -> None:
    z = torch.tensor([[0.1], [0.2], [0.9], [0.3], [0.7]])
    code, regions = linear_regions(tent_map(), z)
    assert code.tolist() == [0, 0, 1, 0, 1]
    assert regions.tolist() == [[False], [True]]


def test_starts_are_searched_first() -> None:
    p = random_cell("shallow", 3)
    expected = brute_force(p)
    found = fixed_points(p, starts=expected, max_rounds=1, n_starts=1)
    assert len(expected) > 0
    assert torch.cdist(expected, found.points[:, 0]).amin(1).max() < 1e-6


def test_bad_parameters_are_named() -> None:
    p = random_cell("shallow", 0)
    with pytest.raises(ValueError, match="one model"):
        fixed_points(p | {"A": torch.zeros(2, M)})
    with pytest.raises(ValueError, match="W2: contains NaN"):
        fixed_points(p | {"W2": torch.full((1, H, M), torch.nan)})
    with pytest.raises(ValueError, match="starts:"):
        fixed_points(p, starts=torch.zeros(4, M + 1))
    with pytest.raises(ValueError, match="order:"):
        fixed_points(p, order=0)
    with pytest.raises(ValueError, match="u:"):
        fixed_points(p, u=torch.zeros(2))
    with pytest.raises(ValueError, match="cell:"):
        fixed_points(p | {"cell": "lstm"})
