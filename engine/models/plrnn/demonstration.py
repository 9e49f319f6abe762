"""The demonstration: Lorenz-63 reconstructed from noisy observations, against the known truth."""

from __future__ import annotations

import dataclasses
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from neurorbit.engine.data import TimeSeries
from neurorbit.engine.models.plrnn.config import (
    EvaluationConfig,
    ForcingConfig,
    ModelConfig,
    PlrnnConfig,
)
from neurorbit.engine.models.plrnn.fitted import evaluate_runs
from neurorbit.engine.models.plrnn.fitting import fit
from neurorbit.engine.models.plrnn.run_report import write_run_reports
from neurorbit.engine.simulate import LORENZ63_LYAPUNOV, Lorenz63, lorenz63
from neurorbit.engine.training.config import TrainingConfig
from neurorbit.engine.training.progress import Reporter

ROWS = 50_000
NOISE = 0.05
TIMED_STEPS = 100
FEWEST_STEPS, MOST_STEPS = 200, 60_000


@dataclass(frozen=True)
class Demonstration:
    """Measures as evaluate_runs gives them, the known values beside them, and the report's path."""

    measures: dict[str, Any]
    truth: dict[str, Any]
    report: Path


def demonstrate(
    workdir: str | os.PathLike[str],
    *,
    minutes: float = 2.0,
    runs: int = 8,
    seed: int = 0,
    device: Literal["auto", "cpu", "cuda"] = "auto",
    backend: Literal["numba", "triton", "reference"] | None = None,
    reporter: Reporter | None = None,
) -> Demonstration:
    """Simulate noisy Lorenz-63, train for about `minutes`, evaluate on a clean orbit of its own, write the report."""
    if not minutes > 0:
        raise ValueError(f"minutes: expected more than 0, got {minutes}")
    train = TimeSeries.from_arrays(lorenz63(ROWS, noise=NOISE, seed=seed))
    test = TimeSeries.from_arrays(lorenz63(ROWS, seed=seed + 1_000_000))
    config = PlrnnConfig(
        runs=runs,
        seed=seed,
        device=device,
        backend=backend,
        model=ModelConfig(cell="shallow-clipped", latent_dim=3, hidden_dim=50),
        forcing=ForcingConfig(alpha=0.1),
        training=TrainingConfig(
            learning_rate=2e-2, learning_rate_final=1e-5, gradient_clip=1.0, sequence_length=100, log_every=250
        ),
        evaluation=EvaluationConfig(every_epochs=40, dt=Lorenz63.dt),
    )
    config = dataclasses.replace(config, steps=_steps_for(60 * minutes, config, train))
    fitted = fit(config, train, workdir, overwrite=True, reporter=reporter).fitted
    measures = evaluate_runs(fitted, test)
    truth = {
        "lyapunov_max": LORENZ63_LYAPUNOV[0],
        "lyapunov": list(LORENZ63_LYAPUNOV),
        "fixed_points": np.asarray(Lorenz63().fixed_points()),
    }
    reports = write_run_reports(
        workdir,
        test,
        measures=measures,
        truth=truth,
        with_fixed_points=True,
        title="Lorenz-63, reconstructed from noisy observations",
        intro=f"{runs} models were trained side by side for {config.steps} steps on {ROWS} observations of the Lorenz "
        f"system with {NOISE:.0%} observation noise, and are compared with an independent orbit without noise.",
    )
    return Demonstration(measures, truth, reports[0])


def _steps_for(seconds: float, config: PlrnnConfig, series: TimeSeries) -> int:
    """Whole epochs that fit into the time on this machine, by a short trial without a folder."""
    trial = dataclasses.replace(config, evaluation=EvaluationConfig(every_epochs=0))
    fit(dataclasses.replace(trial, steps=2), series)  # compiles the kernels
    start = time.perf_counter()
    fit(dataclasses.replace(trial, steps=TIMED_STEPS), series)
    per_step = (time.perf_counter() - start) / TIMED_STEPS
    epoch = config.training.batches_per_epoch
    steps = min(max(seconds / per_step, FEWEST_STEPS), MOST_STEPS)
    return max(1, round(steps / epoch)) * epoch
