"""convSeq: the published demonstration, the chance of false detections, F1 by dropout and jitter, and real data.

python -m benchmarks.quality.convseq demo|calibration|table|three|position [--json FILE]
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import shlex
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import scipy.io

from benchmarks.provenance import ROOT, provenance
from neurorbit.engine.analysis.detections import Detections
from neurorbit.engine.analysis.sequence_scores import SequenceScore, score_detections
from neurorbit.engine.data import SpikeEvents, read_spike_events
from neurorbit.engine.models.convseq.config import ConvseqConfig, DetectionConfig, Significance, StoppingConfig
from neurorbit.engine.models.convseq.detecting import detect
from neurorbit.engine.models.convseq.fitting import fit, train
from neurorbit.engine.models.convseq.members import members
from neurorbit.engine.models.convseq.responses import responder
from neurorbit.engine.models.convseq.significance import Window, by_surrogates
from neurorbit.engine.plots.convseq_f1 import f1_table
from neurorbit.engine.plots.convseq_position import detections_over_position, position_tuning
from neurorbit.engine.plots.report import save_figures
from neurorbit.engine.simulate import Planted, plant_sequences

BIN_S = 0.05
LEVEL = 0.05
WIDTH = 200
EVERY_STEP = StoppingConfig(patience=0)
SIGNIFICANCES: tuple[Significance, ...] = ("random", "crossfit", "surrogate")
RESULTS = ROOT / "benchmarks/results/quality"
CELLS = tuple((p_drop, jitter) for p_drop in (0.0, 0.1, 0.3, 0.5) for jitter in (0.0, 10.0, 20.0))  # of the table


def background(data: Path) -> SpikeEvents:
    found = read_spike_events(data / "neuronal_activity_mat.mat", bin_s=BIN_S)
    assert isinstance(found, SpikeEvents)
    return found


def scored(found: Detections, planted: Planted) -> SequenceScore:
    return score_detections(
        found.time_bin,
        planted.times,
        tolerance=WIDTH / 4,
        filters=found.sequence,
        sequences=planted.sequence,
    )


def demo(data: Path, options: argparse.Namespace) -> dict[str, Any]:
    """As published: simulate, 4000 steps, null of 15000 filters, detection; per seed and dropout, timed as a whole."""
    real = background(data)
    rows: list[dict[str, Any]] = []
    for p_drop in (0.1, 0.3):
        for seed in range(options.seeds):
            start = time.perf_counter()
            planted = plant_sequences(real, p_drop=p_drop, seed=seed)
            done = fit(ConvseqConfig(seed=seed, stopping=EVERY_STEP), planted.events)
            trained = time.perf_counter()
            random = detect(done.fitted, planted.events, DetectionConfig(significance="random"))
            end = time.perf_counter()
            crossfit = detect(done.fitted, planted.events, DetectionConfig(null_filters=100))
            row: dict[str, Any] = {"p_drop": p_drop, "seed": seed, "train_s": trained - start, "random_s": end - start}
            row["crossfit_s"] = time.perf_counter() - end
            for name, found in (("random", random.detections), ("crossfit", crossfit.detections)):
                score = scored(found, planted)
                row |= {f"f1_{name}": score.f1, f"timing_{name}_bins": score.timing_error_bins}
            report(row)
            rows.append(row)
    medians = {
        f"p_drop {p}": {
            k: float(np.median([r[k] for r in rows if r["p_drop"] == p]))
            for k in ("f1_random", "f1_crossfit", "random_s", "crossfit_s")
        }
        for p in (0.1, 0.3)
    }
    return {"runs": rows, "median": medians, "targets": {"p_drop 0.1": 0.94, "p_drop 0.3": 0.85, "random_s": 60}}


def calibration(data: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Recordings with nothing planted: how many show a detection, by significance.

    For `surrogate` one ensemble is trained on the recordings and their surrogates together: all of them are shuffles of
    the same recording, so one threshold serves all recordings.
    """
    real = background(data)
    rng = np.random.default_rng(options.seed)
    recordings = [real.shuffled(rng).permuted(rng.permutation(real.n_neurons)) for _ in range(options.recordings)]
    config = ConvseqConfig(epochs=options.epochs)
    rows: list[dict[str, Any]] = []
    for i, recording in enumerate(recordings):
        done = fit(dataclasses.replace(config, seed=i), recording)
        found = detect(done.fitted, recording, DetectionConfig(null_filters=100)).detections
        random = found.other_counts["random"]
        rows.append({"recording": i, "crossfit": len(found), "p_any": found.p_any, "random": random})
        report(rows[-1])
    names = ["crossfit", "random"]
    if options.surrogates:
        names.append("surrogate")
        for row, found in zip(rows, _by_surrogates(recordings, real, config, options), strict=True):
            row |= {"surrogate": len(found), "surrogate_p_any": found.p_any}
            report(row)
    alarms = {n: sum(r[n] > 0 for r in rows) for n in names}
    settings = {"recordings": options.recordings, "surrogates": options.surrogates, "epochs": options.epochs}
    return {**settings, "level": LEVEL, "rows": rows, "with_a_detection": alarms}


def _by_surrogates(
    recordings: list[SpikeEvents], real: SpikeEvents, config: ConvseqConfig, options: argparse.Namespace
) -> list[Detections]:
    rng = np.random.default_rng(options.seed + 1)
    copies = recordings + [real.shuffled(rng) for _ in range(options.surrogates)]
    respond = responder(copies, config.padding)
    models = members(dataclasses.replace(config, runs=len(copies)))
    done = train(config, models, respond, real.n_neurons, None, None)
    o = respond(done.fitted.w()).numpy()
    own, window = o[len(recordings) :], Window(config.width, config.padding, BIN_S)
    return [by_surrogates(one, own, [0], window, level=LEVEL) for one in o[: len(recordings)]]


def table(data: Path, options: argparse.Namespace) -> dict[str, Any]:
    """F1 by dropout, jitter and significance; writes the figure too."""
    real, rows, origin = background(data), [], {}
    for p_drop, jitter in CELLS:
        for seed in range(options.seeds):
            planted = plant_sequences(real, p_drop=p_drop, jitter_std=jitter, seed=seed)
            done = fit(ConvseqConfig(seed=seed, epochs=options.epochs), planted.events)
            for name in SIGNIFICANCES:
                if name == "surrogate" and not options.surrogates:
                    continue
                wanted = DetectionConfig(significance=name, null_filters=300, surrogates=max(options.surrogates, 19))
                score = scored(detect(done.fitted, planted.events, wanted).detections, planted)
                found = {"p_drop": p_drop, "jitter_std": jitter, "significance": name, "seed": seed, "f1": score.f1}
                report(found)
                rows.append(found | {"precision": score.precision, "recall": score.recall})
    if not options.surrogates and options.json and options.json.exists():
        before = json.loads(options.json.read_text(encoding="utf-8"))
        rows += [row for row in before["rows"] if row["significance"] == "surrogate"]
        origin = {"surrogate_rows": before.get("surrogate_rows") or {k: before[k] for k in ("command", "commit")}}
    save_figures(RESULTS, {"convseq_f1": f1_table(rows, bin_s=BIN_S)})
    return {"rows": rows, "surrogates": options.surrogates, **origin}


def three(data: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Three sequences and three filters: each filter's detections belong to one sequence."""
    real, rows = background(data), []
    for seed in range(options.seeds):
        planted = plant_sequences(real, p_drop=0.1, n_sequences=3, seed=seed)
        done = fit(ConvseqConfig(filters=3, seed=seed, epochs=options.epochs), planted.events)
        found = detect(done.fitted, planted.events, DetectionConfig(null_filters=100)).detections
        score = scored(found, planted)
        row = {"seed": seed, "f1": score.f1, "assigned": score.sequence_of_filter}
        row["detections"] = np.bincount(found.sequence, minlength=3).tolist()
        row["planted"] = np.bincount(planted.sequence, minlength=3).tolist()
        report(row)
        rows.append(row)
    return {"rows": rows, "median_f1": float(np.median([r["f1"] for r in rows]))}


def position(data: Path, options: argparse.Namespace) -> dict[str, Any]:
    """The CA1 recording itself: where on the track its sequences occur, against detections shifted in time."""
    real = background(data)
    file = scipy.io.loadmat(data / "position_per_frame.mat")
    x = np.asarray(next(v for k, v in file.items() if not k.startswith("__")), np.float64).ravel()
    config = ConvseqConfig(filters=options.filters, width=options.width, runs=options.seeds, epochs=options.epochs)
    done = fit(config, real)
    rows, figures = [], {}
    found = detect(done.fitted, real, DetectionConfig(null_filters=1000)).detections
    for k in range(options.filters):
        times = found.time_bin[found.sequence == k]
        times = times[(times >= 0) & (times <= real.n_bins - 1)]
        row: dict[str, Any] = {"sequence": k, "detections": len(times)}
        if len(times):
            tuning = position_tuning(times, x, bin_s=BIN_S)
            row |= {
                "information_bits": tuning.information_bits,
                "shifted_bits": float(tuning.shifted_bits.mean()),
                "p_value": tuning.p_value,
                "forward": int((tuning.direction == 0).sum()),
                "backward": int((tuning.direction == 1).sum()),
                "still": int((tuning.direction == 2).sum()),
            }
            figures[f"convseq_ca1_position_{k}"] = detections_over_position(times, x, sequence=k, bin_s=BIN_S)
        report(row)
        rows.append(row)
    save_figures(RESULTS, figures)
    return {"rows": rows, "significance": "crossfit", "other_counts": found.other_counts, "width": options.width}


def without_paths(words: list[str]) -> list[str]:
    """The words of a command that decide its result."""
    paths = {i + shift for i, word in enumerate(words) if word in ("--data", "--json") for shift in (0, 1)}
    return [word for i, word in enumerate(words) if i not in paths]


def report(row: dict[str, Any]) -> None:
    print(json.dumps(row), file=sys.stderr, flush=True)


WORK: dict[str, Callable[[Path, argparse.Namespace], dict[str, Any]]] = {
    "demo": demo,
    "calibration": calibration,
    "table": table,
    "three": three,
    "position": position,
}


def main(arguments: list[str] | None = None) -> dict[str, Any]:
    """Run one of the works; the result is printed and written to --json."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.quality.convseq")
    parser.add_argument("work", choices=tuple(WORK))
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared/data/ca1", help="folder of the recording")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=4000)
    parser.add_argument("--recordings", type=int, default=20)
    parser.add_argument(
        "--surrogates", type=int, default=39, help="0: without `surrogate`; table keeps its rows in --json then"
    )
    parser.add_argument("--filters", type=int, default=2)
    parser.add_argument("--width", type=int, default=WIDTH)
    parser.add_argument("--json", type=Path, help="file for the result")
    options = parser.parse_args(arguments)
    if not options.data.is_dir():
        raise SystemExit(f"{options.data}: no such folder: name the data with --data")
    start = time.perf_counter()
    found = WORK[options.work](options.data, options)
    words = sys.argv[1:] if arguments is None else arguments
    result = {
        "system": "convseq",
        "work": options.work,
        "command": f"python -m benchmarks.quality.convseq {shlex.join(without_paths(words))}",
        **found,
        "seconds": time.perf_counter() - start,
        **provenance("cpu"),
    }
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(json.dumps({k: v for k, v in result.items() if k not in ("runs", "rows")}, indent=1))
    return result


if __name__ == "__main__":
    main()
