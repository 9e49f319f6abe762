"""The integrator against exact solutions."""

import numpy as np
import pytest

from neurorbit.engine.simulate import Lorenz63, integrate, runge_kutta_step


def test_converges_with_order_four_to_the_exact_solution() -> None:
    def field(x: np.ndarray) -> np.ndarray:  # logistic growth, x' = x (1 - x)
        return x * (1.0 - x)

    x0, end = np.array([0.1]), 4.0
    exact = 1.0 / (1.0 + 9.0 * np.exp(-end))
    errors = [abs(integrate(field, x0, 2, end, substeps=n)[-1, 0] - exact) for n in (10, 20, 40, 80)]
    orders = np.log2(np.array(errors[:-1]) / np.array(errors[1:]))
    assert orders == pytest.approx([4.0, 4.0, 4.0], abs=0.25)


def test_rotation_keeps_phase_and_radius() -> None:
    orbit = integrate(lambda x: np.array([-x[1], x[0]]), np.array([1.0, 0.0]), 629, 0.01)
    t = 0.01 * np.arange(629)
    assert np.abs(orbit - np.stack((np.cos(t), np.sin(t)), 1)).max() < 1e-9


def test_first_row_is_the_initial_state_without_transient() -> None:
    x0 = np.array([1.0, 2.0, 3.0])
    orbit = integrate(Lorenz63().vector_field, x0, 3, 0.01)
    assert np.array_equal(orbit[0], x0)
    assert np.array_equal(orbit[1], runge_kutta_step(Lorenz63().vector_field, x0, 0.01))


def test_transient_drops_exactly_that_many_rows() -> None:
    field, x0 = Lorenz63().vector_field, np.array([1.0, 2.0, 3.0])
    whole = integrate(field, x0, 30, 0.01, substeps=2)
    assert np.array_equal(integrate(field, x0, 20, 0.01, substeps=2, transient=10), whole[10:])


def test_substeps_are_shorter_steps() -> None:
    field, x0 = Lorenz63().vector_field, np.array([1.0, 2.0, 3.0])
    fine = integrate(field, x0, 41, 0.005)
    assert np.allclose(integrate(field, x0, 11, 0.02, substeps=4), fine[::4], rtol=1e-12)
