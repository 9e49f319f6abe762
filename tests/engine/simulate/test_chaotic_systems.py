"""Vector fields, Jacobians and fixed points against finite differences and closed forms."""

import numpy as np
import pytest

from neurorbit.engine.simulate import LORENZ63_LYAPUNOV, ROSSLER_LYAPUNOV, Lorenz63, Lorenz96, Rossler, System, rossler

CASES = [
    Lorenz63(),
    Lorenz63(16.0, 45.92, 4.0),
    Rossler(),
    Rossler(0.1, 0.1, 14.0),
    Lorenz96(4),
    Lorenz96(7, 5.0),
    Lorenz96(40),
]


@pytest.mark.parametrize("system", CASES, ids=repr)
def test_jacobian_is_the_derivative_of_the_field(system: System) -> None:
    x = 5.0 * np.random.default_rng(1).standard_normal((2, 3, system.n_variables))
    h = 1e-5
    columns = [
        (system.vector_field(x + h * e) - system.vector_field(x - h * e)) / (2 * h) for e in np.eye(system.n_variables)
    ]
    J = system.jacobian(x)
    assert J.shape == (2, 3, system.n_variables, system.n_variables)
    assert np.abs(J - np.stack(columns, -1)).max() < 1e-7  # central differences are exact for quadratic fields


@pytest.mark.parametrize("system", CASES, ids=repr)
def test_field_of_a_batch_is_the_field_of_its_members(system: System) -> None:
    x = 5.0 * np.random.default_rng(2).standard_normal((2, 3, system.n_variables))
    f = system.vector_field(x)
    assert f.shape == x.shape
    for i in np.ndindex(2, 3):
        assert np.array_equal(f[i], system.vector_field(x[i]))
        assert np.array_equal(system.jacobian(x)[i], system.jacobian(x[i]))


def test_lorenz63_field_by_hand() -> None:
    assert Lorenz63().vector_field(np.array([1.0, 2.0, 3.0])) == pytest.approx([10.0, 23.0, -6.0])


def test_rossler_field_by_hand() -> None:
    assert Rossler().vector_field(np.array([1.0, 2.0, 3.0])) == pytest.approx([-5.0, 1.4, 0.2 + 3.0 * (1.0 - 5.7)])


def test_lorenz96_field_by_its_formula() -> None:
    x = np.random.default_rng(3).standard_normal(9)
    by_hand = [(x[(i + 1) % 9] - x[i - 2]) * x[i - 1] - x[i] + 8.0 for i in range(9)]
    assert Lorenz96(9).vector_field(x) == pytest.approx(by_hand)


@pytest.mark.parametrize("system", CASES, ids=repr)
def test_fixed_points_are_zeros_of_the_field(system: System) -> None:
    points = system.fixed_points()
    assert len(points) == {Lorenz63: 3, Rossler: 2, Lorenz96: 1}[type(system)]
    assert np.abs(system.vector_field(points)).max() < 1e-12 * max(1.0, np.abs(points).max()) * 10
    assert len(np.unique(points.round(9), axis=0)) == len(points)


def test_fixed_points_vanish_at_the_bifurcations() -> None:
    assert Lorenz63(rho=0.5).fixed_points() == pytest.approx(np.zeros((1, 3)))
    assert Rossler(1.0, 1.0, 1.9).fixed_points().shape == (0, 3)
    assert Rossler(1.0, 1.0, 2.1).fixed_points().shape == (2, 3)


def test_lorenz63_fixed_points_lose_stability_at_the_known_rho() -> None:
    """Hopf bifurcation at rho = sigma (sigma + beta + 3) / (sigma - beta - 1) = 24.7368."""
    for rho, unstable in ((24.73, False), (24.75, True)):
        system = Lorenz63(rho=rho)
        eigenvalues = np.linalg.eigvals(system.jacobian(system.fixed_points()[1]))
        assert (eigenvalues.real.max() > 0.0) is np.bool_(unstable)


def test_published_exponents_sum_to_the_divergence_of_the_field() -> None:
    assert sum(LORENZ63_LYAPUNOV) == pytest.approx(np.trace(Lorenz63().jacobian(np.zeros(3))), abs=0.01)
    x = rossler(1000, n_orbits=50, substeps=2)
    divergence = np.trace(Rossler().jacobian(x), axis1=-2, axis2=-1).mean()
    assert sum(ROSSLER_LYAPUNOV) == pytest.approx(divergence, abs=0.05)


def test_lorenz96_needs_four_variables() -> None:
    with pytest.raises(ValueError, match="n: Lorenz-96 needs at least 4 variables, got 3"):
        Lorenz96(3)
