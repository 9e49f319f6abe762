"""Back-and-forth runs on a linear track, and place cells along it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import numpy as np

from neurorbit.engine.data.spike_events import SpikeEvents
from neurorbit.engine.simulate.arguments import bin_width_s, number, rate, whole


@dataclass(frozen=True, eq=False)
class TrackRuns:
    """A recording in which each run is an occurrence: of sequence 0 forwards, of sequence 1 backwards."""

    events: SpikeEvents
    position: np.ndarray  # [T] from 0 to 1
    times: np.ndarray  # [D] middle of each whole run in bins
    sequence: np.ndarray  # [D] 0 forwards, 1 backwards
    order: np.ndarray  # [2, N] neurons in firing order
    centre: np.ndarray  # [N] position of each neuron's field
    settings: dict[str, Any]

    def truth(self) -> dict[str, np.ndarray]:
        """What a simulated file holds besides the events."""
        return {
            "position": self.position,
            "truth_times": self.times,
            "truth_sequence": self.sequence,
            "truth_order": self.order,
            "truth_centre": self.centre,
            "settings": np.array(json.dumps(self.settings)),
        }


def track_runs(
    *,
    n_neurons: int = 60,
    n_bins: int = 18137,
    rate_hz: float = 5.0,
    base_hz: float = 0.05,
    field: float = 0.05,
    run_s: float = 8.0,
    bin_s: float = 0.05,
    seed: int = 0,
) -> TrackRuns:
    """Poisson spikes of rate base_hz + rate_hz exp(-(position - centre)^2 / (2 field^2)).

    The position goes from 0 to 1 and back at constant speed. Centres lie evenly on the track, in random order over the
    neurons; a cell fires in both directions.

    Args:
        rate_hz: rate in the middle of a cell's field. base_hz: rate elsewhere. field: standard deviation of a place
            field, as a share of the track. run_s: time from one end to the other.
    """
    N, T = whole("n_neurons", n_neurons, 1), whole("n_bins", n_bins, 1)
    width, peak_hz = bin_width_s(bin_s), rate(rate_hz)
    base = number("base_hz", base_hz, 0.0, 1e6, "a rate of 0 or more")
    sd = number("field", field, 1e-6, 1e6, "a share of the track above 0")
    run = number("run_s", run_s, 1e-9, 1e9, "a time in seconds above 0") / width
    if not 2.0 <= run <= T:
        raise ValueError(f"run_s: expected a run of 2 to T={T} bins of {width:g} s, got {run_s:g} s")
    generator = np.random.default_rng(whole("seed", seed, 0))
    position = 1.0 - np.abs(1.0 - ((np.arange(T) + 0.5) / run) % 2.0)
    centre = ((np.arange(N) + 0.5) / N)[generator.permutation(N)]
    counts = np.stack([
        generator.poisson(width * (base + peak_hz * np.exp(-0.5 * ((position - c) / sd) ** 2))) for c in centre
    ])  # fmt: skip
    if not counts.any():
        raise ValueError(f"rate_hz: {N} neurons x {T} bins at {peak_hz:g} Hz gave no spike; raise it")
    forwards = np.argsort(centre)
    runs = np.arange(int(T / run + 1e-9))
    settings = {"kind": "track", "n_neurons": N, "n_bins": T, "rate_hz": peak_hz, "base_hz": base, "field": sd,
                "run_s": float(run_s), "bin_s": width, "seed": int(seed)}  # fmt: skip
    return TrackRuns(
        SpikeEvents.from_dense(counts, bin_s=width, name="track"),
        position,
        (runs + 0.5) * run - 0.5,
        runs % 2,
        np.stack([forwards, forwards[::-1]]),
        centre,
        settings,
    )
