"""A mouse that teleports on a circle, and neurons with cosine tuning to where it is."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import numpy as np

from neurorbit.engine.data.spike_events import SpikeEvents
from neurorbit.engine.simulate.arguments import bin_width_s, number, rate, whole


@dataclass(frozen=True, eq=False)
class TuningTrain:
    """A recording without sequences whose neurons know the position."""

    events: SpikeEvents
    position: np.ndarray  # [T] angle from 0 to 2 pi
    preferred: np.ndarray  # [N] angle at which each neuron fires most
    settings: dict[str, Any]

    def truth(self) -> dict[str, np.ndarray]:
        """What a simulated file holds besides the events."""
        settings = np.array(json.dumps(self.settings))
        return {"position": self.position, "truth_preferred": self.preferred, "settings": settings}


def tuning_train(
    *,
    n_neurons: int = 100,
    n_bins: int = 18137,
    rate_hz: float = 1.0,
    depth: float = 1.0,
    hold_s: float = 1.0,
    bin_s: float = 0.05,
    seed: int = 0,
) -> TuningTrain:
    """Poisson spikes of rate rate_hz (1 + depth cos(position - preferred)).

    The position stays for a geometrically distributed time of hold_s on average and jumps to a new one, uniform on the
    circle. Preferred angles lie evenly on the circle, in random order over the neurons.

    Args:
        rate_hz: mean rate of each neuron. depth: 0 no tuning, 1 silence opposite to the preferred angle.
    """
    N, T = whole("n_neurons", n_neurons, 1), whole("n_bins", n_bins, 1)
    width, mean_hz = bin_width_s(bin_s), rate(rate_hz)
    share = number("depth", depth, 0.0, 1.0, "a share from 0 to 1")
    hold = number("hold_s", hold_s, 1e-9, 1e9, "a time in seconds above 0")
    if hold < width:
        raise ValueError(f"hold_s: expected at least one bin of {width:g} s, got {hold:g}")
    generator = np.random.default_rng(whole("seed", seed, 0))
    jumps = generator.random(T) < width / hold
    jumps[0] = True
    position = generator.uniform(0.0, 2.0 * np.pi, int(jumps.sum()))[np.cumsum(jumps) - 1]
    preferred = 2.0 * np.pi * generator.permutation(N) / N
    counts = np.stack([
        generator.poisson(mean_hz * width * (1.0 + share * np.cos(position - angle))) for angle in preferred
    ])  # fmt: skip
    if not counts.any():
        raise ValueError(f"rate_hz: {N} neurons x {T} bins at {mean_hz:g} Hz gave no spike; raise it")
    settings = {"kind": "tuning", "n_neurons": N, "n_bins": T, "rate_hz": mean_hz, "depth": share, "hold_s": hold,
                "bin_s": width, "seed": int(seed)}  # fmt: skip
    return TuningTrain(SpikeEvents.from_dense(counts, bin_s=width, name="tuning"), position, preferred, settings)
