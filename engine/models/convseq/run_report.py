"""Detections, tables, figures and report.html of a run folder."""

from __future__ import annotations

import csv
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from neurorbit.engine.analysis.sequence_scores import SequenceScore, score_detections
from neurorbit.engine.data.planted_truth import PlantedTruth, find_truth
from neurorbit.engine.models.convseq.config import ConvseqConfig, DetectionConfig
from neurorbit.engine.models.convseq.detecting import Found, detect
from neurorbit.engine.models.convseq.fitted import load, read_config
from neurorbit.engine.models.convseq.fitting import same_recording
from neurorbit.engine.models.convseq.members import Member
from neurorbit.engine.models.convseq.null import cache_folder
from neurorbit.engine.models.convseq.responses import Recording
from neurorbit.engine.models.convseq.tables import write_detections, write_neurons
from neurorbit.engine.training.folder import RunFolder
from neurorbit.engine.training.progress import Reporter
from neurorbit.engine.training.settings import from_dict, to_dict


@dataclass(frozen=True, eq=False)
class SequenceReport:
    """What was found, its score when the truth is known, and the report's path."""

    found: Found
    score: SequenceScore | None
    path: Path


def write_run_report(
    workdir: str | os.PathLike[str],
    detection: DetectionConfig | None = None,
    *,
    recording: Recording | None = None,
    truth: PlantedTruth | None = None,
    position: np.ndarray | None = None,
    position_unit: str = "",
    run: int | None = None,
    reporter: Reporter | None = None,
    title: str = "Repeating sequences",
    intro: str = "",
) -> SequenceReport:
    """Detect in the recording of the fit; write detections.csv, neurons.csv, figures/ and report.html.

    Args:
        detection: as the fit was told when None.
        recording: that of the fit, read again from its file when None.
        truth: planted sequences; those in the recording's file when None and it holds any.
        position: [T] of the animal, for the detections by place and running direction.
        run: which model, the best one when None.
    """
    from neurorbit.engine.plots.convseq_arguments import SequenceTruth
    from neurorbit.engine.plots.convseq_report import write_sequence_report
    from neurorbit.engine.plots.convseq_results import SequenceResults

    folder = RunFolder(workdir)
    config, record = read_config(folder)
    recording = same_recording(config, record["data"], recording, whole=True)
    if truth is None and record["data"]["path"] is not None:
        truth = find_truth(record["data"]["path"])
    fitted = load(workdir)
    if detection is None:
        detection = from_dict(DetectionConfig, record.get("detection", {}))
    found = detect(fitted, recording, detection, run=run, workdir=workdir, cache=cache_folder(), reporter=reporter)
    write_detections(folder.path / "detections.csv", found)
    write_neurons(folder.path / "neurons.csv", found)
    score = planted = None
    if truth is not None:
        score = score_found(found, truth)
        planted = SequenceTruth(
            truth.times, _numbered(truth.sequence, score, len(found.w)), _ordered(truth.order, score, len(found.w))
        )
    results = SequenceResults(
        recording=recording,  # type: ignore[arg-type]
        w=fitted.w()[found.run],
        response=fitted.respond(recording)[found.run],
        detections=found.detections,
        w_before=fitted.initial_w()[found.run],
        response_before=fitted.respond(recording, fitted.initial_w())[found.run],
        padding=config.padding,
        participation=found.participation,
        null=found.null,
        truth=planted,
        score=score,
        position=position,
        position_unit=position_unit,
        metrics=_metrics(folder.path),
        run=found.run,
        settings=_settings(config, detection, fitted.members[found.run], found),
    )
    return SequenceReport(found, score, write_sequence_report(folder.path, results, title=title, intro=intro))


def score_found(found: Found, truth: PlantedTruth) -> SequenceScore:
    """One-to-one score of detections within a quarter of a width."""
    d = found.detections
    return score_detections(
        d.time_bin, truth.times, tolerance=d.width / 4, filters=d.sequence, sequences=truth.sequence
    )


def _settings(config: ConvseqConfig, detection: DetectionConfig, member: Member, found: Found) -> dict[str, Any]:
    """All settings, as this run had them where the config leaves them open or has several values."""
    values = to_dict(config)
    values["model"]["padding"] = config.padding
    values["loss"] |= member.factors
    values["training"]["learning_rate"] = member.learning_rate
    return values | {"detection": to_dict(detection) | {"significance": found.detections.significance}}


def _numbered(sequence: np.ndarray, score: SequenceScore, n_filters: int) -> np.ndarray:
    """Number of the filter that a planted sequence was assigned to; sequences without one come after the filters."""
    filters = {j: k for k, j in enumerate(score.sequence_of_filter) if j is not None}
    return np.array([filters.get(int(j), n_filters + int(j)) for j in sequence], np.int64)


def _ordered(order: np.ndarray, score: SequenceScore, n_filters: int) -> np.ndarray | None:
    """Rows of the planted orders in the order of the filters; -1 for a filter without a sequence."""
    if not len(order):
        return None
    found = np.full((n_filters, order.shape[1]), -1, np.int64)
    for k, j in enumerate(score.sequence_of_filter):
        if j is not None:
            found[k] = order[j]
    return found


def _metrics(folder: Path) -> list[dict[str, str]]:
    with open(folder / "metrics.csv", newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))
