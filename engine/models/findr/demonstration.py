"""The demonstration: the flow behind the spikes of a simulated decision, beside the true one."""

from __future__ import annotations

import dataclasses
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from neurorbit.engine.models.findr.config import FindrConfig
from neurorbit.engine.models.findr.fitted import FittedFindr
from neurorbit.engine.models.findr.fitting import fit
from neurorbit.engine.models.findr.measures import evaluate_fits
from neurorbit.engine.models.findr.presets import PRESETS
from neurorbit.engine.models.findr.recovery import recover, true_bits
from neurorbit.engine.models.findr.run_report import write_run_report
from neurorbit.engine.simulate.decision import decision
from neurorbit.engine.training.progress import Reporter

TIMED_EPOCHS = 2
FEWEST_EPOCHS = 20


@dataclass(frozen=True)
class FlowDemonstration:
    """Measures of the flow and of the spikes it explains on test trials, the known values beside them, the report."""

    measures: dict[str, Any]
    truth: dict[str, Any]
    fitted: FittedFindr
    report: Path


def demonstrate(
    workdir: str | os.PathLike[str],
    *,
    minutes: float = 2.0,
    seed: int = 0,
    n_trials: int = 500,
    n_neurons: int = 60,
    config: FindrConfig | None = None,
    device: Literal["auto", "cpu", "cuda"] = "auto",
    backend: Literal["numba", "triton", "reference"] | None = None,
    reporter: Reporter | None = None,
) -> FlowDemonstration:
    """Simulate a decision between left and right, fit one fold for about `minutes`, compare with the truth, write the
    report.

    config: the settings, `fast` when None; its epochs are the most that are made.
    """
    if not minutes > 0:
        raise ValueError(f"minutes: expected more than 0, got {minutes}")
    trials = decision(n_trials=n_trials, n_neurons=n_neurons, seed=seed)
    chosen = dataclasses.replace(
        config or PRESETS["fast"], fold=(0,), seed=seed, device=device, backend=backend, baseline="constant"
    )
    brief = dataclasses.replace(chosen, loss=dataclasses.replace(chosen.loss, annealing=0.0))
    fit(dataclasses.replace(brief, epochs=1), trials)  # compiles
    start = time.monotonic()
    fit(dataclasses.replace(brief, epochs=TIMED_EPOCHS), trials)
    per_epoch = (time.monotonic() - start) / TIMED_EPOCHS
    epochs = max(min(FEWEST_EPOCHS, chosen.epochs), min(chosen.epochs, int(60 * minutes / per_epoch)))
    done = fit(dataclasses.replace(chosen, epochs=epochs), trials, workdir, overwrite=True, reporter=reporter)
    if done.status == "stopped":
        raise KeyboardInterrupt
    [fitted] = done.fitted
    [fold] = evaluate_fits([fitted], [trials])["folds"]
    found = recover(fitted, fold["model"], trials).measures()
    test = trials.select(fitted.session(trials).folds[0].test)
    report = write_run_report(
        workdir,
        [trials],
        title="The flow behind the spikes of a decision",
        intro=f"{n_neurons} neurons fire in {n_trials} trials of 0.6 to 1 s, driven by two latents with two sinks and "
        "a saddle that clicks from left and right push around. The flow was inferred from spikes and clicks alone.",
    )
    kinds = [p["kind"] for p in found["points"]]
    measures = {
        "flow_r2": found["flow_r2"][0],
        "latent_r2": found["latent_r2"][0],
        "sinks": kinds.count("sink"),
        "saddles": kinds.count("saddle"),
        "bits_per_spike": fold["test"]["bits_per_spike"],
    }
    truth = {"flow_r2": 1.0, "latent_r2": 1.0, "sinks": 2, "saddles": 1, "bits_per_spike": true_bits(test)}
    return FlowDemonstration(measures, truth, fitted, report)
