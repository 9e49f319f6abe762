"""The demonstration: planted spike sequences found again."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from neurorbit.engine.analysis.sequence_scores import SequenceScore
from neurorbit.engine.data.planted_truth import PlantedTruth
from neurorbit.engine.models.convseq.config import ConvseqConfig, DetectionConfig
from neurorbit.engine.models.convseq.detecting import Found
from neurorbit.engine.models.convseq.fitting import fit
from neurorbit.engine.models.convseq.run_report import write_run_report
from neurorbit.engine.simulate import plant_sequences
from neurorbit.engine.training.progress import Reporter

P_DROP = 0.3


@dataclass(frozen=True)
class SequenceDemonstration:
    """What was found, its score against what was planted, and the report's path."""

    found: Found
    score: SequenceScore
    report: Path


def demonstrate(
    workdir: str | os.PathLike[str],
    *,
    seed: int = 0,
    n_neurons: int = 452,
    n_bins: int = 18137,
    seqlen: int = 120,
    gap_ts: int = 400,
    epochs: int = 4000,
    width: int = 200,
    null_filters: int = 3000,
    device: Literal["auto", "cpu", "cuda"] = "auto",
    backend: Literal["numba", "triton", "reference"] | None = None,
    reporter: Reporter | None = None,
) -> SequenceDemonstration:
    """Plant a sequence in Poisson spikes, of which 0.3 are dropped and the others jittered by 10 bins; train a filter;
    detect with crossfit; score; write the report."""
    planted = plant_sequences(
        None, seqlen=seqlen, p_drop=P_DROP, gap_ts=gap_ts, n_neurons=n_neurons, n_bins=n_bins, seed=seed
    )
    config = ConvseqConfig(epochs=epochs, width=width, seed=seed, device=device, backend=backend)
    detection = DetectionConfig(null_filters=null_filters)
    done = fit(config, planted.events, workdir, detection=detection, overwrite=True, reporter=reporter)
    if done.outcome.status == "stopped":
        raise KeyboardInterrupt
    truth = PlantedTruth(planted.times, planted.sequence, planted.order)
    made = write_run_report(
        workdir,
        recording=planted.events,
        truth=truth,
        reporter=reporter,
        title="Planted spike sequences, found again",
        intro=f"{len(planted.times)} occurrences of a sequence of {seqlen} neurons were planted among {n_neurons} "
        f"neurons x {n_bins} bins of {planted.events.bin_s} s; {P_DROP:.0%} of its spikes are missing, the others come "
        "with a jitter of 10 bins. A filter was trained without knowing any of it.",
    )
    assert made.score is not None
    return SequenceDemonstration(made.found, made.score, made.path)
