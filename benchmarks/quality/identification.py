"""Identification: connectivity recovered from simulated attractor networks.

python -m benchmarks.quality.identification WORK
    [--steps S] [--runs R] [--json FILE], where WORK is one of ring, published, control, ablation, spikes, unobserved,
    headdirection, inputs and torus.

Every work trains an ensemble of runs side by side and measures it on trials of its own: free runs of 1000 steps, silent
runs of 1000 steps, kernels against the truth; medians over the runs.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import shlex
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.provenance import provenance
from neurorbit.engine.analysis import decode_heading, free_run_error, preferred_heading
from neurorbit.engine.data.rate_trials import RateTrials
from neurorbit.engine.models.identification import PRESETS, IdentificationConfig, LossConfig, NetworkConfig, fit
from neurorbit.engine.models.identification.input_units import infer_input_units, score_input_units
from neurorbit.engine.models.identification.measures import evaluate_runs
from neurorbit.engine.simulate.head_direction import head_direction
from neurorbit.engine.simulate.network_spikes import as_spikes, with_hidden
from neurorbit.engine.simulate.ring_attractor import ring_attractor
from neurorbit.engine.simulate.torus_attractor import torus_attractor

TARGETS = {"kernel_correlation": 0.9, "heading_error_rad": 0.1}
TEST_SEED, TEST_TRIALS = 1_000_000, 20
HIDDEN_SHARE = 0.5
SIDE = 16  # of the torus: 256 cells
RECORDINGS = 40
SHORT = ((10, 8, 12, 400), (14, 8, 2, 300), (14, 8, 6, 300), (14, 8, 12, 400), (20, 10, 2, 300), (20, 10, 6, 300),
         (40, 20, 2, 300), (40, 20, 6, 300), (40, 20, 12, 400))  # fmt: skip


def measured(config: IdentificationConfig, train: RateTrials, test: RateTrials) -> dict[str, Any]:
    """One ensemble: the measures of its runs, their medians, its settings and its time."""
    start, cpu = time.perf_counter(), time.process_time()
    done = fit(config, train)
    found = evaluate_runs(done.fitted, test)
    settings = {"steps": config.steps, "runs": config.runs, "hidden": config.n_hidden, "rank": config.model.rank,
                "separate_inputs": config.separate_inputs, "factors": config.loss.factors,
                "batch_size": config.training.batch_size, "learning_rate": config.training.learning_rate}  # fmt: skip
    row = {"settings": settings, **found, "seconds": time.perf_counter() - start}
    row |= {"cpu_seconds": time.process_time() - cpu, "simulated": _simulated(test)}
    report({"settings": settings, "median": found["median"], "seconds": row["seconds"]})
    return row


def _simulated(test: RateTrials) -> dict[str, float]:
    """How far the recorded network itself strays from the true heading."""
    if test.headings is None or test.headings.ndim == 3:
        return {}
    compass = preferred_heading(test.activity, test.headings).heading_rad
    return {"heading_error_rad": float(free_run_error(decode_heading(test.activity, compass), test.headings))}


def asked(config: IdentificationConfig, options: argparse.Namespace) -> IdentificationConfig:
    """The settings with the number of steps and runs of the command line."""
    config = dataclasses.replace(config, runs=options.runs, device=options.device)
    return config if options.steps is None else dataclasses.replace(config, steps=options.steps)


def rings(options: argparse.Namespace) -> tuple[RateTrials, RateTrials]:
    """Trials to learn from and trials to measure on, with the constants of the published ring."""
    sizes = {"n": options.units, "steps": options.trial_steps}
    return (
        ring_attractor(n_trials=options.trials, seed=options.seed, **sizes),
        ring_attractor(n_trials=TEST_TRIALS, seed=TEST_SEED, **sizes),
    )


def ring(options: argparse.Namespace) -> dict[str, Any]:
    """The default: separated inputs, a W of low rank, factors penalised."""
    return {"separated": measured(asked(IdentificationConfig(), options), *rings(options))}


def published(options: argparse.Namespace) -> dict[str, Any]:
    """The published recipe: a dense W, separated inputs."""
    return {"separated": measured(asked(PRESETS["published"], options), *rings(options))}


def control(options: argparse.Namespace) -> dict[str, Any]:
    """Inputs reach the observed units, none is hidden: the published form, and one of low rank."""
    data = rings(options)
    low_rank = asked(IdentificationConfig(separate_inputs=False), options)
    return {
        "published": measured(asked(PRESETS["control"], options), *data),
        "low_rank": measured(low_rank, *data),
        "modulated": measured(asked(PRESETS["modulated"], options), *data),
    }


def ablation(options: argparse.Namespace) -> dict[str, Any]:
    """What identifies the kernel: rank of W, penalty of its factors; noise and a penalty of a dense W beside them."""
    data, base = rings(options), asked(IdentificationConfig(), options)
    dense = dataclasses.replace(base.training, learning_rate=1e-3)
    forms: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
        "dense": ({"rank": 0}, {}),
        "dense, weights_l2 1": ({"rank": 0}, {"weights_l2": 1.0}),
        "dense, noise 0.01": ({"rank": 0, "noise": 0.01}, {}),
        "rank 24": ({"rank": 24}, {"factors": 0.0}),
        "rank 12": ({"rank": 12}, {"factors": 0.0}),
        "rank 6": ({"rank": 6}, {"factors": 0.0}),
        "rank 12, factors 0.3": ({"rank": 12}, {"factors": 0.3}),
        "rank 12, factors 1": ({"rank": 12}, {"factors": 1.0}),
    }
    found = {}
    for name, (model, loss) in forms.items():
        config = dataclasses.replace(base, model=NetworkConfig(**model), loss=LossConfig(**loss))
        found[name] = measured(config if model["rank"] else dataclasses.replace(config, training=dense), *data)
    return found


def spikes(options: argparse.Namespace) -> dict[str, Any]:
    """Poisson spikes in place of rates, by the highest rate."""
    train, test = rings(options)
    config = asked(IdentificationConfig(), options)
    return {
        f"{hz:g} Hz": measured(config, as_spikes(train, hz, options.seed), as_spikes(test, hz, TEST_SEED))
        for hz in options.rate_hz
    }


def unobserved(options: argparse.Namespace) -> dict[str, Any]:
    """Half of the compass units, drawn at random, were not observed."""
    train, test = (with_hidden(t, HIDDEN_SHARE, options.seed) for t in rings(options))
    return {"half": measured(asked(IdentificationConfig(), options), train, test)}


def headdirection(options: argparse.Namespace) -> dict[str, Any]:
    """A compass that true shifters move; the compass alone is observed."""
    train, test = head_direction(seed=options.seed), head_direction(seed=TEST_SEED, n_trials=TEST_TRIALS)
    return {"compass": measured(asked(IdentificationConfig(), options), train, test)}


def inputs(options: argparse.Namespace) -> dict[str, Any]:
    """Mutual inference: the units that carry the input, from the activity of compass and shifters alone; and how often
    it finds some in short recordings, with an input and without one."""
    rows: list[dict[str, Any]] = []
    for gain in (0.06, 0.03, 0.0):
        for seed in range(options.runs):
            trials = head_direction(60, 30, n_trials=12, seed=options.seed + seed, gain=gain, observe_shifters=True)
            assert trials.truth is not None
            truth = trials.truth.population > 0
            blind = dataclasses.replace(trials, inputs=torch.zeros_like(trials.inputs), headings=None, truth=None)
            found = infer_input_units(blind)
            row: dict[str, Any] = {
                "gain": gain,
                "seed": seed,
                "threshold": found.threshold,
                "found": int(found.carries.sum()),
            }
            row |= {n: _plain(v) for n, v in dataclasses.asdict(score_input_units(found, truth)).items()}
            report(row)
            rows.append(row)
    names = ("auc", "precision", "recall", "found")
    medians = {
        f"gain {g}": {n: _median([r[n] for r in rows if r["gain"] == g]) for n in names} for g in (0.06, 0.03, 0)
    }
    short = [_short(*sizes, options.seed) for sizes in SHORT]
    return {"runs": rows, "median": medians, "short": short}


def _short(compass: int, shifter: int, n_trials: int, steps: int, seed: int) -> dict[str, Any]:
    """Recordings of N units without an input in which one is found, and the recall where there is one."""
    false, recall, rests = 0, [], []
    for k in range(RECORDINGS):
        made: dict[str, Any] = {"n_trials": n_trials, "steps": steps, "seed": seed + k, "observe_shifters": True}
        false += bool(infer_input_units(head_direction(compass, shifter, gain=0.0, **made)).carries.any())
        trials = head_direction(compass, shifter, **made)
        assert trials.truth is not None
        found = infer_input_units(trials)
        recall.append(score_input_units(found, trials.truth.population > 0).recall)
        rests.append(found.samples_per_weight)
    row: dict[str, Any] = {"units": compass + 2 * shifter, "trials": n_trials, "steps": steps, "recordings": RECORDINGS}
    row |= {"with_a_false_unit": false, "recall": _median(recall), "samples_per_weight": _median(rests)}
    report(row)
    return row


def torus(options: argparse.Namespace) -> dict[str, Any]:
    """Grid cells: with separated inputs, and in Zhang's form."""
    train = torus_attractor(SIDE, seed=options.seed)
    test = torus_attractor(SIDE, n_trials=TEST_TRIALS, seed=TEST_SEED)
    separated = asked(IdentificationConfig(model=NetworkConfig(rank=24)), options)
    modulated = dataclasses.replace(separated, separate_inputs=False, model=NetworkConfig(rank=24, inputs="modulated"))
    return {"separated": measured(separated, train, test), "modulated": measured(modulated, train, test)}


def _median(values: Sequence[float | None]) -> float | None:
    known = [v for v in values if v is not None]
    return float(np.median(known)) if known else None


def _plain(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def report(row: dict[str, Any]) -> None:
    print(json.dumps(row), file=sys.stderr, flush=True)


def without_json(words: list[str]) -> list[str]:
    """A command's words but for where its result was written."""
    at = words.index("--json") if "--json" in words else len(words)
    return words[:at] + words[at + 2 :]


WORK: dict[str, Callable[[argparse.Namespace], dict[str, Any]]] = {
    "ring": ring,
    "published": published,
    "control": control,
    "ablation": ablation,
    "spikes": spikes,
    "unobserved": unobserved,
    "headdirection": headdirection,
    "inputs": inputs,
    "torus": torus,
}


def main(arguments: list[str] | None = None) -> dict[str, Any]:
    """Run one of the works; the result is printed and written to --json."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.quality.identification")
    parser.add_argument("work", choices=tuple(WORK))
    parser.add_argument("--steps", type=int, help="training steps; those of the settings when not given")
    parser.add_argument("--runs", type=int, default=4)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--units", type=int, default=100, help="of the ring")
    parser.add_argument("--trials", type=int, default=100, help="of the ring, to learn from")
    parser.add_argument("--trial-steps", type=int, default=1000)
    parser.add_argument("--rate-hz", type=float, nargs="+", default=[100.0, 40.0], help="of a unit at rate 1")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--json", type=Path, help="file for the result")
    options = parser.parse_args(arguments)
    start = time.perf_counter()
    found = WORK[options.work](options)
    words = sys.argv[1:] if arguments is None else arguments
    result = {
        "system": "identification",
        "work": options.work,
        "command": f"python -m benchmarks.quality.identification {shlex.join(without_json(words))}",
        "targets": TARGETS,
        **found,
        "seconds": time.perf_counter() - start,
        **provenance(options.device),
    }
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    shown = {k: {n: w for n, w in v.items() if n != "runs"} if isinstance(v, dict) else v for k, v in result.items()}
    print(json.dumps({k: v for k, v in shown.items() if k != "runs"}, indent=1))
    return result


if __name__ == "__main__":
    main()
