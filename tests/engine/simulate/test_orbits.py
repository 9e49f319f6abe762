"""Orbits: known statistics of the attractors, reproducibility, noise, refusals."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from neurorbit.engine.simulate import SYSTEMS, Lorenz63, Rossler, bursting, lorenz63, lorenz96, rossler, simulate

ORBITS: dict[str, Callable[..., np.ndarray]] = {
    "lorenz63": lorenz63,
    "lorenz96": lorenz96,
    "rossler": rossler,
    "bursting": bursting,
}


def test_lorenz63_attractor_has_its_known_moments() -> None:
    x = lorenz63(2500, n_orbits=200).reshape(-1, 3)
    assert x[:, 2].mean() == pytest.approx(23.55, abs=0.06)
    assert x.std(axis=0) == pytest.approx([7.92, 9.01, 8.62], abs=0.06)
    assert x[:, :2].mean(axis=0) == pytest.approx([0.0, 0.0], abs=0.4)  # the symmetry (x, y) -> (-x, -y)


def test_lorenz63_averages_obey_the_exact_balances() -> None:
    """Time averages of bounded orbits: d<z>/dt = 0 gives <xy> = beta <z>; d<x^2>/dt = 0 gives <xy> = <x^2>."""
    x, y, z = np.moveaxis(lorenz63(2500, n_orbits=200), -1, 0)
    assert (x * y).mean() == pytest.approx(8.0 / 3.0 * z.mean(), rel=0.005)
    assert (x * y).mean() == pytest.approx((x * x).mean(), rel=0.005)


def test_lorenz63_visits_both_lobes() -> None:
    x = lorenz63(5000)[:, 0]
    assert 0.2 < (x > 0).mean() < 0.8
    assert 10 < np.count_nonzero(np.diff(np.sign(x))) < 100


def test_rossler_attractor_has_its_known_shape() -> None:
    x = rossler(2000, n_orbits=20).reshape(-1, 3)
    low, high = x.min(axis=0), x.max(axis=0)
    assert (low > [-10, -12, 0]).all() and (high < [13, 9, 25]).all()
    assert high[2] > 20  # the excursions in z
    turns = np.unwrap(np.arctan2(*np.moveaxis(rossler(2000)[:, [1, 0]], -1, 0)))
    period = 2 * np.pi * 1999 * 0.1 / (turns[-1] - turns[0])
    assert period == pytest.approx(5.86, abs=0.05)


def test_lorenz96_energy_balances_forcing() -> None:
    """d<sum x^2>/dt = 0: the quadratic terms cancel, so <x^2> = F <x>."""
    x = lorenz96(1000, n=12, n_orbits=50)
    assert (x * x).mean() == pytest.approx(8.0 * x.mean(), rel=0.01)


@pytest.mark.parametrize("name", SYSTEMS)
def test_shapes_and_types(name: str) -> None:
    n = SYSTEMS[name]().n_variables
    one, many = ORBITS[name](7), ORBITS[name](7, n_orbits=2)
    assert one.shape == (7, n) and many.shape == (2, 7, n)
    assert one.dtype == many.dtype == np.float64
    assert many.flags.c_contiguous


@pytest.mark.parametrize("name", SYSTEMS)
def test_the_seed_fixes_the_orbit(name: str) -> None:
    orbit = ORBITS[name]
    assert np.array_equal(orbit(20, seed=3, noise=0.1), orbit(20, seed=3, noise=0.1))
    assert not np.allclose(orbit(20, seed=3), orbit(20, seed=4))
    assert np.array_equal(orbit(20, seed=3), simulate(SYSTEMS[name](), 20, seed=3))


@pytest.mark.parametrize("name", SYSTEMS)
def test_first_of_many_orbits_is_the_single_one(name: str) -> None:
    many = ORBITS[name](30, n_orbits=3, seed=5)
    assert np.array_equal(many[0], ORBITS[name](30, seed=5))
    assert np.abs(many[0] - many[1]).max() > 0.1


def test_a_longer_orbit_begins_with_the_shorter_one() -> None:
    assert np.array_equal(lorenz63(50, seed=1)[:20], lorenz63(20, seed=1))


def test_noise_is_a_fraction_of_each_standard_deviation() -> None:
    clean, noisy = lorenz63(20000, seed=1), lorenz63(20000, seed=1, noise=0.05)
    residue = (noisy - clean) / clean.std(axis=0)
    assert residue.std(axis=0) == pytest.approx([0.05] * 3, rel=0.03)
    assert np.abs(np.corrcoef(residue[:-1].T, residue[1:].T) - np.eye(6)).max() < 0.04  # white, independent


def test_no_global_generator_is_touched() -> None:
    before = np.random.get_state(legacy=False)  # noqa: NPY002
    lorenz63(5, noise=0.1)
    after = np.random.get_state(legacy=False)  # noqa: NPY002
    assert isinstance(before, dict) and isinstance(after, dict)
    assert np.array_equal(before["state"]["key"], after["state"]["key"])
    assert before["state"]["pos"] == after["state"]["pos"]


def test_no_initial_state_of_rossler_escapes() -> None:
    x0 = Rossler().initial_state(np.random.default_rng(0), 1000)
    corners = np.array(np.meshgrid(*[[-1.0, 1.0]] * 3)).reshape(3, -1).T
    assert (np.abs(x0) <= 1.0).all()
    assert np.isfinite(simulate(_From(np.concatenate((x0, corners))), 2, n_orbits=1008, transient=1000)).all()


class _From(Rossler):
    """Rossler from given states."""

    def __init__(self, x0: np.ndarray) -> None:
        super().__init__()
        object.__setattr__(self, "x0", x0)

    def initial_state(self, generator: np.random.Generator, n_orbits: int) -> np.ndarray:
        x0: np.ndarray = self.__dict__["x0"]
        return x0


def test_default_substeps_follow_dt() -> None:
    """Sampled every 0.05, the orbit is still integrated with steps of 0.01."""
    args: dict[str, Any] = {"seed": 2, "transient": 0}
    assert np.allclose(lorenz63(20, dt=0.05, **args), lorenz63(96, dt=0.01, **args)[::5], rtol=1e-9)
    assert np.array_equal(lorenz63(20, dt=0.05, **args), lorenz63(20, dt=0.05, substeps=5, **args))


@pytest.mark.parametrize(
    ("argument", "value", "error"),
    [
        ("steps", 0, ValueError),
        ("steps", 10.0, TypeError),
        ("steps", True, TypeError),
        ("dt", 0.0, ValueError),
        ("dt", float("nan"), ValueError),
        ("noise", -0.1, ValueError),
        ("noise", float("inf"), ValueError),
        ("seed", -1, ValueError),
        ("transient", -1, ValueError),
        ("n_orbits", 0, ValueError),
        ("substeps", 0, ValueError),
    ],
)
def test_bad_arguments_are_named(argument: str, value: object, error: type[Exception]) -> None:
    arguments: dict[str, Any] = {"steps": 5, argument: value}
    with pytest.raises(error, match=rf"^{argument}: expected .*, got {value}"):
        simulate(Lorenz63(), **arguments)


def test_a_diverging_orbit_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^dt: the orbit diverged with dt=1.0 in 1 substeps"):
        lorenz63(100, dt=1.0, substeps=1)
