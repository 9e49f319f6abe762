"""A bursting neuron: the benchmark with fast spikes on slow waves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from neurorbit.engine.simulate.chaotic import Array


def _sigmoid(x: Array) -> Array:
    return 0.5 * (1.0 + np.tanh(0.5 * x))  # cannot overflow


@dataclass(frozen=True)
class BurstingNeuron:
    """Membrane potential V (mV) and gates n, h; time in ms (Durstewitz 2009). The NMDA conductance sets the regime.

    C V' = -g_L (V - E_L) - g_Na m (V - E_Na) - (g_K n + g_M h) (V - E_K) - g_NMDA s V, n' = (n_inf - n) / tau_n,
    h' = (h_inf - h) / tau_h; m, n_inf, h_inf = sigmoid((V - V_) / k_), s = 1 / (1 + 0.33 exp(-V / 16)).
    """

    C: float = 6.0
    g_L: float = 8.0
    E_L: float = -80.0
    g_Na: float = 20.0
    E_Na: float = 60.0
    V_Na: float = -20.0
    k_Na: float = 15.0
    g_K: float = 10.0
    E_K: float = -90.0
    V_K: float = -25.0
    k_K: float = 5.0
    tau_n: float = 1.0
    g_M: float = 25.0
    V_M: float = -15.0
    k_M: float = 5.0
    tau_h: float = 200.0
    g_NMDA: float = 10.2
    field: ClassVar[str] = "bursting"
    n_variables: ClassVar[int] = 3
    dt: ClassVar[float] = 0.5
    max_step: ClassVar[float] = 0.05
    transient_time: ClassVar[float] = 1000.0

    def vector_field(self, x: Array) -> Array:
        V, n, h = np.moveaxis(x, -1, 0)
        m, n_inf, h_inf = self._gates(V)
        s = 1.0 / (1.0 + 0.33 * np.exp(-0.0625 * V))
        out = self.g_L * (V - self.E_L) + self.g_Na * m * (V - self.E_Na) + self.g_NMDA * s * V
        out = out + (self.g_K * n + self.g_M * h) * (V - self.E_K)
        return np.stack((-out / self.C, (n_inf - n) / self.tau_n, (h_inf - h) / self.tau_h), -1)

    def _gates(self, V: Array) -> tuple[Array, Array, Array]:
        return (
            _sigmoid((V - self.V_Na) / self.k_Na),
            _sigmoid((V - self.V_K) / self.k_K),
            _sigmoid((V - self.V_M) / self.k_M),
        )

    def jacobian(self, x: Array) -> Array:
        V, n, h = np.moveaxis(x, -1, 0)
        m, n_inf, h_inf = self._gates(V)
        s = 1.0 / (1.0 + 0.33 * np.exp(-0.0625 * V))
        slope = self.g_L + self.g_Na * (m + m * (1.0 - m) / self.k_Na * (V - self.E_Na)) + self.g_K * n + self.g_M * h
        slope = slope + self.g_NMDA * s * (1.0 + 0.0625 * V * (1.0 - s))
        J = np.zeros((*x.shape, 3))
        J[..., 0, 0] = -slope / self.C
        J[..., 0, 1], J[..., 0, 2] = -self.g_K * (V - self.E_K) / self.C, -self.g_M * (V - self.E_K) / self.C
        J[..., 1, 0], J[..., 1, 1] = n_inf * (1.0 - n_inf) / (self.k_K * self.tau_n), -1.0 / self.tau_n
        J[..., 2, 0], J[..., 2, 2] = h_inf * (1.0 - h_inf) / (self.k_M * self.tau_h), -1.0 / self.tau_h
        return J

    def initial_state(self, generator: np.random.Generator, n_orbits: int) -> Array:
        return generator.uniform((-70.0, 0.0, 0.04), (-30.0, 0.3, 0.1), (n_orbits, 3))

    def fixed_points(self) -> Array:
        """None in closed form."""
        return np.zeros((0, 3))
