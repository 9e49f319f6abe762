"""The bursting neuron against its equations, and the op's orbits against the same method in numpy."""

import numpy as np
import pytest

from neurorbit.bindings.rollout_ode import FIELDS
from neurorbit.engine.simulate import (
    BurstingNeuron,
    Lorenz63,
    Lorenz96,
    Rossler,
    System,
    bursting,
    integrate,
    simulate,
)
from neurorbit.engine.simulate.runge_kutta import integrate_field


def test_field_by_hand() -> None:
    """At V = V_Na = -20 mV the sodium gate is half open."""
    s = 1 / (1 + 0.33 * np.exp(1.25))
    current = 8 * 60 + 10 * (-80) + 10.2 * s * (-20) + (10 * 0.2 + 25 * 0.1) * 70
    f = BurstingNeuron().vector_field(np.array([-20.0, 0.2, 0.1]))
    n_inf, h_inf = 1 / (1 + np.exp(-1.0)), 1 / (1 + np.exp(1.0))
    assert f == pytest.approx([-current / 6, n_inf - 0.2, (h_inf - 0.1) / 200])


def test_jacobian_is_the_derivative_of_the_field() -> None:
    system = BurstingNeuron()
    x = system.initial_state(np.random.default_rng(1), 20).reshape(4, 5, 3)
    h = 1e-5
    columns = [(system.vector_field(x + h * e) - system.vector_field(x - h * e)) / (2 * h) for e in np.eye(3)]
    assert np.abs(system.jacobian(x) - np.stack(columns, -1)).max() < 1e-6


def test_spikes_come_in_bursts() -> None:
    V = bursting(8000, seed=1)[:, 0]
    spikes = np.flatnonzero((V[1:] > -25) & (V[:-1] <= -25)) * 0.5
    gaps = np.diff(spikes)
    assert (gaps < 20).sum() > len(gaps) / 3 and (gaps > 40).sum() > 5


@pytest.mark.parametrize("system", [Lorenz63(), Rossler(c=4.0), Lorenz96(6, 4.0), BurstingNeuron()], ids=repr)
def test_the_op_takes_the_same_steps(system: System) -> None:
    x0 = system.initial_state(np.random.default_rng(2), 3)
    field: str = system.field  # type: ignore[attr-defined]
    parameters = {p.name: getattr(system, p.name) for p in FIELDS[field].parameters}
    found = integrate_field(field, parameters, x0, 20, system.dt, substeps=3, transient=7)
    expected = integrate(system.vector_field, x0, 20, system.dt, substeps=3, transient=7)
    assert np.abs(found - expected).max() < 1e-9


def test_a_subclass_with_a_field_of_its_own_is_taken_at_its_word() -> None:
    class Still(Lorenz63):
        def vector_field(self, x: np.ndarray) -> np.ndarray:
            return 0.0 * x

    orbit = simulate(Still(), 5, n_orbits=2)
    assert np.array_equal(orbit[:, 0], orbit[:, -1])
    assert simulate(Still(), 5).shape == (5, 3)
