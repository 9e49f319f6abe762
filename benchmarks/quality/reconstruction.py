"""Fit a preset, measure every run on a test trajectory, compare the medians with the targets, write JSON."""

from __future__ import annotations

import argparse
import dataclasses
import json
import shlex
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from benchmarks.provenance import ROOT, provenance
from benchmarks.quality.settings import changed
from neurorbit.engine.analysis import median_mad, pe_n
from neurorbit.engine.data import TimeSeries, read_time_series
from neurorbit.engine.models.plrnn import PRESETS, DataSource, FittedPlrnn, evaluate_runs, fit, load, resume
from neurorbit.engine.training.progress import Progress
from neurorbit.engine.training.settings import to_dict

Extra = Callable[[list[FittedPlrnn]], dict[str, Any]]
More = Callable[[list[FittedPlrnn], TimeSeries], dict[str, list[float]]]


class Lines:
    """Progress as lines on stderr, one a minute."""

    def __init__(self) -> None:
        self.last = 0.0

    def progress(self, progress: Progress) -> None:
        if time.monotonic() - self.last < 60:
            return
        self.last = time.monotonic()
        values = ", ".join(f"{name} {value:.4g}" for name, value in progress.values.items())
        text = f"step {progress.step} of {progress.steps}, {progress.steps_per_s:.0f} steps/s, {values}"
        print(text, file=sys.stderr, flush=True)

    def note(self, text: str) -> None:
        print(text, file=sys.stderr, flush=True)


def parse(preset: str, runs: int, arguments: list[str] | None) -> argparse.Namespace:
    data = ROOT.parent / "shared/data" / preset
    parser = argparse.ArgumentParser(prog=f"python -m benchmarks.quality.{preset}")
    parser.add_argument("--runs", type=int, default=runs)
    parser.add_argument("--steps", type=int, default=PRESETS[preset].steps)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--set", nargs="*", default=[], metavar="NAME=VALUE", help="settings other than the preset's")
    parser.add_argument("--train", type=Path, default=data / "train.npy")
    parser.add_argument("--test", type=Path, default=data / "test.npy")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument("--workdir", type=Path, help="run folder; a run that is there already is resumed")
    parser.add_argument("--state", choices=("best", "last"), default="last", help="best: chosen on training data")
    parser.add_argument("--json", type=Path, help="file for the result")
    return parser.parse_args(arguments)


def judged(median: Mapping[str, float | None], targets: Mapping[str, tuple[float, float]]) -> dict[str, Any]:
    """Each target (low, high) beside the median found, and whether it lies within."""
    found: dict[str, Any] = {}
    for name, (low, high) in targets.items():
        value = median.get(name)
        found[name] = {"found": value, "low": low, "high": high, "met": value is not None and low <= value <= high}
    return found


def shown(path: Path) -> str:
    """A path as it is seen from the repository."""
    whole = path.resolve()
    return str(Path("..") / whole.relative_to(ROOT.parent)) if whole.is_relative_to(ROOT.parent) else path.name


class InDataUnits:
    """A fitted ensemble that takes and gives observations in the units of the data file."""

    def __init__(self, fitted: FittedPlrnn) -> None:
        self.model, self.n_models = fitted.model, fitted.model.n_models
        device = fitted.model.A.device
        self.mean, self.sd = fitted.standardiser.mean.to(device), fitted.standardiser.sd.to(device)
        self.free_run, self.jacobian = fitted.model.free_run, fitted.model.jacobian
        self.cell_arguments = fitted.model.cell_arguments

    def initial_state(self, x0: torch.Tensor) -> torch.Tensor:
        """States [E, B, M] for observations [E, B, N]."""
        return self.model.initial_state((x0 - self.mean) / self.sd)

    def observe(self, z: torch.Tensor) -> torch.Tensor:
        """Observations [E, ..., N] of states [E, ..., M]."""
        return self.model.observe(z) * self.sd + self.mean


def pe_20_data(fits: list[FittedPlrnn], test: TimeSeries) -> dict[str, list[float]]:
    """The 20-step squared prediction error of every run in the squared units of the data file."""
    found = []
    for fitted in fits:
        dynamics = InDataUnits(fitted)
        found += pe_n(dynamics, test.longest().to(dynamics.sd.device), 20).tolist()
    return {"pe_20_data": found}


def extended(measures: dict[str, Any], more: Mapping[str, list[float]]) -> dict[str, Any]:
    """The measures of evaluate_runs with further ones, a value per run each."""
    runs = [run | {name: values[at] for name, values in more.items()} for at, run in enumerate(measures["runs"])]
    lost = torch.tensor([run["run"] in measures["diverged"] for run in measures["runs"]])
    of_all = {name: torch.tensor(values, dtype=torch.float64) for name, values in more.items()}
    centre = {name: median_mad(values.masked_fill(lost, torch.nan)) for name, values in of_all.items()}
    median = measures["median"] | {name: float(one.median) for name, one in centre.items()}
    mad = measures["mad"] | {name: float(one.mad) for name, one in centre.items()}
    return measures | {"runs": runs, "median": median, "mad": mad}


def train(options: argparse.Namespace, preset: str) -> tuple[list[FittedPlrnn], dict[str, Any]]:
    """The fitted ensembles in the state asked for, and how the training went."""
    config = dataclasses.replace(
        changed(PRESETS[preset], options.set),
        runs=options.runs,
        steps=options.steps,
        seed=options.seed,
        device=options.device,
    )
    series, start = read_time_series(options.train), time.perf_counter()
    resumed = options.workdir is not None and (options.workdir / "config.json").exists()
    if resumed:
        done = resume(options.workdir, reporter=Lines())
    else:
        done = fit(config, series, options.workdir, source=DataSource(str(options.train)), reporter=Lines())
    record = {
        "status": done.status,
        "steps": [outcome.step for outcome in done.outcomes],
        "train_s": time.perf_counter() - start,
        "resumed": resumed,  # train_s is then the last part alone
        "config": to_dict(done.fitted[0].config),
    }
    if options.state == "best" or options.workdir is None:
        return done.fitted, record | {"state": "best"}
    device = str(done.fitted[0].model.A.device)
    return load(options.workdir, state="last", device=device), record | {"state": "last"}


def run(
    preset: str,
    targets: Mapping[str, tuple[float, float]],
    *,
    runs: int,
    extra: Extra = lambda _: {},
    more: More = lambda *_: {},
    arguments: list[str] | None = None,
    command: str = "",
) -> dict[str, Any]:
    """The whole benchmark; the result is printed as a summary and written to --json."""
    options = parse(preset, runs, arguments)
    for path in (options.train, options.test):
        if not path.is_file():
            raise SystemExit(f"{path}: no such file: name the data with --train and --test")
    fitted, record = train(options, preset)
    test, start = read_time_series(options.test), time.perf_counter()
    measures = extended(evaluate_runs(fitted, test), more(fitted, test))
    device = "cuda" if fitted[0].model.A.is_cuda else "cpu"
    words = sys.argv[1:] if arguments is None else arguments
    result = {
        "system": "plrnn",
        "preset": preset,
        "command": command or f"python -m benchmarks.quality.{preset} {shlex.join(words)}".strip(),
        "train": shown(options.train),
        "test": shown(options.test),
        **record,
        "evaluate_s": time.perf_counter() - start,
        "parameters_per_model": sum(p[0].numel() for p in fitted[0].model.parameters()),
        "targets": judged(measures["median"], targets),
        **measures,
        **extra(fitted),
        **provenance(device),
    }
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    summary = {name: result[name] for name in ("steps", "train_s", "state", "median", "mad", "targets")}
    print(json.dumps(summary, indent=1))
    return result


def standardised_points(points: Any, orbit: torch.Tensor) -> torch.Tensor:
    """Known points of a system in units of an orbit's mean and standard deviation."""
    return (torch.as_tensor(points, dtype=torch.float64) - orbit.mean(0)) / orbit.std(0)
