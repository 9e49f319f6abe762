"""FINDR: flows recovered from the spikes of simulations, latent dimensions, and what an ensemble changes.

python -m benchmarks.quality.findr decision|dimension|ensemble|resume
    [--epochs N] [--seeds S ...] [--preset P] [--set NAME=VALUE ...] [--trials B] [--neurons N] [--json FILE]

decision: the bistable decision of 500 trials x 60 neurons, one fold per seed, against the true flow and true rates.
dimension: validation bits per spike for M = 1 .. 4 of four simulations, with a figure beside the JSON file.
ensemble: the models of an ensemble against the same models alone. resume: a fit that was resumed in the middle against
one that was not.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import shlex
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch

from benchmarks.provenance import provenance
from benchmarks.quality.settings import changed
from neurorbit.engine.data.spike_trials import SpikeTrials
from neurorbit.engine.models.findr import PRESETS, FindrConfig, GridConfig, evaluate_fits, fit, load, resume
from neurorbit.engine.models.findr.fitted import FittedFindr
from neurorbit.engine.models.findr.recovery import recover, true_bits
from neurorbit.engine.simulate.decision import decision
from neurorbit.engine.simulate.flip_flop import flip_flop
from neurorbit.engine.training.progress import LoggingReporter, Progress
from neurorbit.engine.training.settings import to_dict

TARGETS = {"flow_r2": 0.9, "share_of_true_bits": 0.95, "minutes": 10.0}
SYSTEMS: dict[str, Callable[..., SpikeTrials]] = {
    "decision": decision,
    "disk": partial(flip_flop, "disk"),
    "rectangle": partial(flip_flop, "rectangle"),
    "prism": partial(flip_flop, "prism"),
}
BITS = ("bits_per_spike", "co_bits_per_spike")
LEVEL = 0.01


class Timed(NamedTuple):
    """A fit with its wall and CPU seconds."""

    found: FittedFindr
    seconds: float
    cpu: float


def sizes(options: argparse.Namespace) -> dict[str, int]:
    """Sizes that differ from a simulation's own."""
    given = {"n_trials": options.trials, "n_neurons": options.neurons}
    return {name: value for name, value in given.items() if value is not None}


def asked(options: argparse.Namespace) -> FindrConfig:
    """The settings of the command line: a preset, then every NAME=VALUE."""
    config = changed(PRESETS[options.preset] if options.preset else FindrConfig(), options.set)
    config = dataclasses.replace(config, device=options.device)
    return config if options.epochs is None else dataclasses.replace(config, epochs=options.epochs)


def decisions(options: argparse.Namespace) -> dict[str, Any]:
    """One fold of a session of its own per seed."""
    rows = []
    for seed in options.seeds:
        trials = decision(seed=seed, **sizes(options))
        config = dataclasses.replace(asked(options), fold=(0,), seed=seed)
        start, cpu = time.perf_counter(), time.process_time()
        [fitted] = fit(config, trials).fitted
        seconds, cpu_seconds = time.perf_counter() - start, time.process_time() - cpu
        found = evaluate_fits([fitted], [trials])
        [fold] = found["folds"]
        test = trials.select(fitted.session(trials).folds[0].test)
        bits = true_bits(test)
        share = (fold["test"]["bits_per_spike"] or float("nan")) / bits
        recovered = recover(fitted, fold["model"], trials).measures()
        row = {"seed": seed, "flow_r2": recovered["flow_r2"][0], "share_of_true_bits": share, "true_bits": bits,
               "minutes": seconds / 60, "cpu_minutes": cpu_seconds / 60, **recovered,
               **{f"{n}_{part}": v for part in ("validation", "test") for n, v in fold[part].items()}}  # fmt: skip
        row["flow_r2_axes"], row["flow_r2"] = recovered["flow_r2"], recovered["flow_r2"][0]
        report(row)
        rows.append(row)
    names = ("flow_r2", "profile_r2", "share_of_true_bits", "minutes", "cpu_minutes")
    return {"runs": rows, "median": {n: _median([r[n] for r in rows]) for n in names},
            "bistable": sum(r["bistable"] for r in rows), "targets": TARGETS}  # fmt: skip


def dimensions(options: argparse.Namespace) -> dict[str, Any]:
    """Bits per spike by latent dimension on validation trials, of neurons that the encoder sees and of held-out ones,
    as shares of the true rates' bits."""
    found: dict[str, Any] = {}
    for name in options.systems:
        rows = []
        for seed in options.seeds:
            start = time.perf_counter()
            trials = SYSTEMS[name](seed=seed, **sizes(options))
            grid = GridConfig(latent_dim=tuple(range(1, 5)))
            fits = fit(dataclasses.replace(asked(options), fold=(0,), grid=grid, seed=seed), trials).fitted
            every = evaluate_fits(fits, [trials], all_models=True)["folds"]
            bits = true_bits(trials.select(fits[0].session(trials).folds[0].validation))
            row = {"seed": seed, "trials": trials.n_trials, "neurons": trials.n_neurons, "true_bits": bits}
            row |= {part: {f"M {r['latent_dim']}": r["validation"][part] / bits for r in every} for part in BITS}
            report({"system": name, **row, "seconds": time.perf_counter() - start})
            rows.append(row)
        assert trials.truth is not None
        shares = {part: {k: _median([r[part][k] for r in rows]) for k in rows[0][part]} for part in BITS}
        found[name] = {"runs": rows, "latents": trials.truth.n_latents, "share_of_true_bits": shares,
                       "level_from": {part: level_from(v) for part, v in shares.items()}}  # fmt: skip
    return {"level": LEVEL, "systems": found}


def level_from(shares: dict[str, float]) -> int:
    """Smallest M whose share of the true rates' bits is less than LEVEL below the largest."""
    return next(int(k[2:]) for k, v in shares.items() if v >= max(shares.values()) - LEVEL)


def ensembles(options: argparse.Namespace) -> dict[str, Any]:
    """25 models, five rates x five folds, at once and each alone: time and numbers; ensembles before, between and
    after the single fits."""
    trials = decision(**sizes(options))
    config = dataclasses.replace(asked(options), rates=(1e-3, 3e-3, 5e-3, 1e-2, 2e-2))
    members = [(m.rate, m.fold) for m in fit(dataclasses.replace(config, epochs=1), trials).fitted[0].members]

    def single(rate: float, fold: int) -> FindrConfig:
        return dataclasses.replace(config, rates=(rate,), fold=(fold,))

    fit(dataclasses.replace(single(*members[0]), epochs=1), trials)  # both have compiled now
    together, alone = [timed(config, trials)], []
    for k, m in enumerate(members):
        alone.append(timed(single(*m), trials))
        if k in (len(members) // 2, len(members) - 1):
            together.append(timed(config, trials))
    whole = [t.found for t in together]
    differences, sizes_of = {}, dict(whole[0].network.named_parameters())
    for name, p in sizes_of.items():
        one = torch.stack([dict(t.found.network.named_parameters())[name][0] for t in alone])
        differences[name] = float((p - one).abs().max() / p.abs().max())
    bits = [evaluate_fits([f], [trials], all_models=True)["folds"] for f in (whole[0], *(t.found for t in alone))]
    of = [[r["test"]["bits_per_spike"] for r in rows] for rows in bits]
    return {
        "models": len(members),
        "seconds_alone": sum(t.seconds for t in alone),
        "seconds_together": _median([t.seconds for t in together]),
        "ratio": sum(t.seconds for t in alone) / _median([t.seconds for t in together]),
        "cpu_ratio": sum(t.cpu for t in alone) / _median([t.cpu for t in together]),
        "ensembles_equal_bit_for_bit": all(_same(whole[0], other) for other in whole[1:]),
        "largest_relative_difference_of_a_parameter": max(differences.values()),
        "largest_difference_in_bits_per_spike": max(abs(a - b[0]) for a, b in zip(of[0], of[1:], strict=True)),
        "bits_per_spike": {"together": of[0], "alone": [b[0] for b in of[1:]]},
    }


def timed(config: FindrConfig, trials: SpikeTrials) -> Timed:
    """A fit at its last states and what it cost."""
    start, cpu = time.perf_counter(), time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        fit(config, trials, Path(folder) / "run")
        seconds, cpu_seconds = time.perf_counter() - start, time.process_time() - cpu
        return Timed(load(Path(folder) / "run", state="last")[0], seconds, cpu_seconds)


def _same(a: FittedFindr, b: FittedFindr) -> bool:
    return all(torch.equal(p, q) for p, q in zip(a.network.parameters(), b.network.parameters(), strict=True))


def resumed(options: argparse.Namespace) -> dict[str, Any]:
    """A fit, and one resumed from a copy of its folder that was taken in the middle, as kill -9 would have left it:
    every file is the same."""
    trials = decision(**sizes(options))
    config = dataclasses.replace(asked(options), fold=(0,))
    with tempfile.TemporaryDirectory() as folder:
        whole, parts = Path(folder) / "whole", Path(folder) / "parts"
        start = time.perf_counter()
        fit(config, trials, whole, reporter=CopyHalfway(whole, parts))
        seconds, start = time.perf_counter() - start, time.perf_counter()
        at = json.loads(max((parts / "checkpoints").glob("*.json")).read_text(encoding="utf-8"))["step"]
        resume(parts, sessions=trials)
        again = time.perf_counter() - start
        names = sorted(str(p.relative_to(whole)) for p in whole.rglob("*") if p.is_file() and p.name != "lock")
        same = {n: (whole / n).read_bytes() == (parts / n).read_bytes() for n in names}
        [row] = evaluate_fits(load(parts), [trials])["folds"]
        steps = [int(line.split(",")[0]) for line in (whole / "metrics.csv").read_text().splitlines()[1:]]
    return {"steps": max(steps), "copied_at_step": at, "seconds": seconds, "seconds_resumed": again, "same": same,
            "test": row["test"]}  # fmt: skip


class CopyHalfway(LoggingReporter):
    """Copies a run folder when half of the steps are made."""

    def __init__(self, source: Path, target: Path) -> None:
        self.source, self.target = source, target

    def progress(self, progress: Progress) -> None:
        """Once, after half of the steps and a checkpoint."""
        report({"step": progress.step, "steps_per_s": round(progress.steps_per_s, 2)})
        begun = list((self.source / "checkpoints").glob("*.json"))
        if 2 * progress.step >= progress.steps > progress.step and begun and not self.target.exists():
            shutil.copytree(self.source, self.target, ignore=shutil.ignore_patterns("lock"))


def _median(values: list[float]) -> float:
    return float(torch.tensor(values, dtype=torch.float64).nanmedian())


def report(row: dict[str, Any]) -> None:
    print(json.dumps(row), file=sys.stderr, flush=True)


WORK = {"decision": decisions, "dimension": dimensions, "ensemble": ensembles, "resume": resumed}


def main(arguments: list[str] | None = None) -> dict[str, Any]:
    """Run one of the works; the result is printed and written to --json."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.quality.findr")
    parser.add_argument("work", choices=tuple(WORK))
    parser.add_argument("--epochs", type=int, help="those of the settings when not given")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--systems", nargs="+", default=list(SYSTEMS), choices=list(SYSTEMS))
    parser.add_argument("--trials", type=int, help="those of the simulation when not given")
    parser.add_argument("--neurons", type=int, help="those of the simulation when not given")
    parser.add_argument("--preset", choices=tuple(PRESETS), help="settings to start from")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="as model.bias=true")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--json", type=Path, help="file for the result")
    options = parser.parse_args(arguments)
    start = time.perf_counter()
    found = WORK[options.work](options)
    words = sys.argv[1:] if arguments is None else arguments
    result = {
        "system": "findr",
        "work": options.work,
        "command": f"python -m benchmarks.quality.findr {shlex.join(words)}",
        "config": to_dict(asked(options)),
        **found,
        "seconds": time.perf_counter() - start,
        **provenance(options.device),
    }
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
        if options.work == "dimension":
            from benchmarks.quality.findr_dimensions import dimensions_figure
            from neurorbit.engine.plots.report import png_bytes

            options.json.with_suffix(".png").write_bytes(png_bytes(dimensions_figure(result["systems"])))
    print(json.dumps({k: v for k, v in result.items() if k != "config"}, indent=1))
    return result


if __name__ == "__main__":
    main()
