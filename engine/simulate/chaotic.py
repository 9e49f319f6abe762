"""Chaotic systems of ordinary differential equations, the benchmarks of dynamical-systems reconstruction."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

LORENZ63_LYAPUNOV = (0.906, 0.0, -14.57)  # per unit of time, sigma 10, rho 28, beta 8/3
ROSSLER_LYAPUNOV = (0.0714, 0.0, -5.3943)  # per unit of time, a 0.2, b 0.2, c 5.7; Sprott 2003


class System(Protocol):
    """What `simulate` needs to know about dx/dt = f(x).

    A system whose class names a `field` of rollout_ode, whose parameters are its own fields, is integrated by that op.
    """

    @property
    def n_variables(self) -> int: ...
    @property
    def dt(self) -> float:
        """Usual sampling interval."""
        ...

    @property
    def max_step(self) -> float:
        """Longest integration step that keeps the fourth-order error negligible."""
        ...

    @property
    def transient_time(self) -> float:
        """Time after which an orbit from `initial_state` is on the attractor."""
        ...

    def vector_field(self, x: Array) -> Array:
        """f(x), x [..., N] -> [..., N]."""
        ...

    def jacobian(self, x: Array) -> Array:
        """df/dx, x [..., N] -> [..., N, N]."""
        ...

    def initial_state(self, generator: np.random.Generator, n_orbits: int) -> Array:
        """Random states [n_orbits, N] in the attractor's basin."""
        ...

    def fixed_points(self) -> Array:
        """Real zeros of f that are known in closed form, [n, N]."""
        ...


@dataclass(frozen=True)
class Lorenz63:
    """x' = sigma (y - x), y' = x (rho - z) - y, z' = x y - beta z (Lorenz 1963)."""

    sigma: float = 10.0
    rho: float = 28.0
    beta: float = 8.0 / 3.0
    field: ClassVar[str] = "lorenz63"
    n_variables: ClassVar[int] = 3
    dt: ClassVar[float] = 0.01
    max_step: ClassVar[float] = 0.01
    transient_time: ClassVar[float] = 50.0

    def vector_field(self, x: Array) -> Array:
        a, b, c = x.T
        return np.array((self.sigma * (b - a), a * (self.rho - c) - b, a * b - self.beta * c)).T

    def jacobian(self, x: Array) -> Array:
        a, b, c = np.moveaxis(x, -1, 0)
        J = np.zeros((*x.shape, 3))
        J[..., 0, 0], J[..., 0, 1] = -self.sigma, self.sigma
        J[..., 1, 0], J[..., 1, 1], J[..., 1, 2] = self.rho - c, -1.0, -a
        J[..., 2, 0], J[..., 2, 1], J[..., 2, 2] = b, a, -self.beta
        return J

    def initial_state(self, generator: np.random.Generator, n_orbits: int) -> Array:
        return np.array([0.0, 0.0, self.rho - 1.0]) + 5.0 * generator.standard_normal((n_orbits, 3))

    def fixed_points(self) -> Array:
        if self.rho <= 1.0:
            return np.zeros((1, 3))
        wing = np.sqrt(self.beta * (self.rho - 1.0))
        return np.array([[0.0, 0.0, 0.0], [wing, wing, self.rho - 1.0], [-wing, -wing, self.rho - 1.0]])


@dataclass(frozen=True)
class Rossler:
    """x' = -y - z, y' = x + a y, z' = b + z (x - c) (Rossler 1976)."""

    a: float = 0.2
    b: float = 0.2
    c: float = 5.7
    field: ClassVar[str] = "rossler"
    n_variables: ClassVar[int] = 3
    dt: ClassVar[float] = 0.1
    max_step: ClassVar[float] = 0.02
    transient_time: ClassVar[float] = 200.0

    def vector_field(self, x: Array) -> Array:
        p, q, r = x.T
        return np.array((-q - r, p + self.a * q, self.b + r * (p - self.c))).T

    def jacobian(self, x: Array) -> Array:
        J = np.zeros((*x.shape, 3))
        J[..., 0, 1] = J[..., 0, 2] = -1.0
        J[..., 1, 0], J[..., 1, 1] = 1.0, self.a
        J[..., 2, 0], J[..., 2, 2] = x[..., 2], x[..., 0] - self.c
        return J

    def initial_state(self, generator: np.random.Generator, n_orbits: int) -> Array:
        return generator.uniform(-1.0, 1.0, (n_orbits, 3))

    def fixed_points(self) -> Array:
        discriminant = self.c**2 - 4.0 * self.a * self.b
        if discriminant < 0.0:
            return np.zeros((0, 3))
        far = (self.c + np.sqrt(discriminant)) / (2.0 * self.a)
        near = self.b / (self.a * far)  # the product of the roots is b / a: no cancellation
        return np.array([[self.a * z, -z, z] for z in (near, far)])


@dataclass(frozen=True)
class Lorenz96:
    """x_i' = (x_{i+1} - x_{i-2}) x_{i-1} - x_i + F on a ring of N variables (Lorenz 1996)."""

    n: int = 20
    forcing: float = 8.0
    field: ClassVar[str] = "lorenz96"
    dt: ClassVar[float] = 0.01
    max_step: ClassVar[float] = 0.01
    transient_time: ClassVar[float] = 50.0

    def __post_init__(self) -> None:
        if self.n < 4:
            raise ValueError(f"n: Lorenz-96 needs at least 4 variables, got {self.n}")

    @property
    def n_variables(self) -> int:
        return self.n

    def vector_field(self, x: Array) -> Array:
        ring = np.concatenate((x[..., -2:], x, x[..., :1]), axis=-1)  # x_{i-2} .. x_{i+1}
        return (ring[..., 3:] - ring[..., :-3]) * ring[..., 1:-2] - x + self.forcing

    def jacobian(self, x: Array) -> Array:
        i = np.arange(self.n)
        J = np.zeros((*x.shape, self.n))
        J[..., i, i] = -1.0
        J[..., i, (i + 1) % self.n] = x[..., i - 1]
        J[..., i, i - 2] = -x[..., i - 1]
        J[..., i, i - 1] = x[..., (i + 1) % self.n] - x[..., i - 2]
        return J

    def initial_state(self, generator: np.random.Generator, n_orbits: int) -> Array:
        return self.forcing + generator.standard_normal((n_orbits, self.n))

    def fixed_points(self) -> Array:
        return np.full((1, self.n), self.forcing)
