"""PLRNN reconstruction: seconds per step of a whole fit, with sampling, regularisers, forcing and optimiser."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from typing import Any, Literal, cast

import numpy as np

from benchmarks.provenance import provenance
from benchmarks.timing import Timing
from benchmarks.workload import OURS
from neurorbit.engine.data import TimeSeries
from neurorbit.engine.models.plrnn import PRESETS, EvaluationConfig, PlrnnConfig, fit
from neurorbit.engine.simulate import lorenz63

PUBLISHED_STEPS = 250_000
Row = dict[str, Any]


def _data(preset: str) -> TimeSeries:
    """Signals of the preset's width; their values do not change the cost."""
    if preset == "lorenz63":
        return TimeSeries.from_arrays(lorenz63(20_000, noise=0.05))
    return TimeSeries.from_arrays(np.random.default_rng(0).standard_normal((20_000, 5)))


def _config(preset: str, runs: int, device: str) -> PlrnnConfig:
    chosen = cast(Literal["cpu", "cuda"], device)
    return dataclasses.replace(PRESETS[preset], runs=runs, device=chosen, evaluation=EvaluationConfig(every_epochs=0))


def _seconds(config: PlrnnConfig, steps: int, series: TimeSeries) -> float:
    start = time.perf_counter()
    fit(dataclasses.replace(config, steps=steps), series)
    return time.perf_counter() - start


def measure(device: str, *, quick: bool = False, say: Callable[[str], None] = lambda _: None) -> list[Row]:
    """Per-step time as the difference of a long and a short fit, so that what happens once drops out."""
    few, many, rounds = (5, 25, 1) if quick else (50, 550, 5)
    counts = {"lorenz63": (1, 5, 20), "ecg": (1, 5, 20)}
    rows: list[Row] = []
    for preset, runs_of in counts.items():
        series = _data(preset)
        configs = {runs: _config(preset, runs, device) for runs in runs_of[: 1 if quick else None]}
        for config in configs.values():
            _seconds(config, few, series)
        samples: dict[int, list[float]] = {runs: [] for runs in configs}
        for _ in range(rounds):
            for runs, config in configs.items():
                spent = _seconds(config, many, series) - _seconds(config, few, series)
                samples[runs].append(max(spent, 1e-9) / (many - few))
        for runs, seconds in samples.items():
            timing = Timing.of(seconds)
            minutes = timing.median_s * PUBLISHED_STEPS / 60
            name = f"step of a whole fit, preset {preset}, {runs} {'run' if runs == 1 else 'runs'} at once"
            say(f"  {name}: {1e3 * timing.median_s:.3f} ms; {PUBLISHED_STEPS} steps: {minutes:.1f} min")
            model, training = configs[runs].model, configs[runs].training
            sizes = {"E": runs, "B": training.batch_size, "T": training.sequence_length, "M": model.latent_dim,
                     "H": model.hidden_dim, "N": series.n_observed}  # fmt: skip
            rows.append(
                {"op": "plrnn", "workload": name, "phase": "fit", "implementation": OURS, **dataclasses.asdict(timing),
                 "ratio": 1.0, "published_protocol_min": minutes, "sizes": sizes,
                 "options": {"preset": preset, "cell": model.cell}, "dtype": "float32", **provenance(device)}
            )  # fmt: skip
    return rows
