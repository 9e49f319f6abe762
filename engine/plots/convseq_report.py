"""The report of a search for repeating sequences: tables, figures, and a film of the optimisation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from neurorbit.engine.plots.arguments import count, number
from neurorbit.engine.plots.convseq_arguments import DetectionsLike, filter_rows, members, one_row
from neurorbit.engine.plots.convseq_axes import time_axis
from neurorbit.engine.plots.convseq_results import MAX_SEQUENCES, SequenceResults, sequence_figures
from neurorbit.engine.plots.convseq_video import encoder, write_video
from neurorbit.engine.plots.report import Section, png_bytes, save_figures, write_report
from neurorbit.engine.plots.style import number_text

MAX_NEURONS = 15
Table = tuple[list[str], list[list[Any]]]

_MEANINGS = {
    "surrogate": "trained anew on recordings with shuffled inter-spike intervals",
    "crossfit": "found in blocks of time that the filters were not trained on",
    "random": "mean + 5 sd of random filters, as published; not calibrated, as filters are fitted to the recording",
}


def write_sequence_report(
    folder: str | Path,
    results: SequenceResults,
    *,
    video: str | None = None,
    title: str = "Repeating sequences",
    intro: str = "",
) -> Path:
    """Write folder/report.html and folder/figures/NAME.png; returns the path of the report.

    video: ".gif" or ".mp4" writes folder/optimisation.gif or .mp4 from results.snapshots too.
    """
    folder = Path(folder)
    if video is not None and results.snapshots is None:
        raise ValueError("video: needs results.snapshots: keep filters and responses every some steps of the training")
    if video is not None:
        encoder(folder / f"optimisation{video}")
    pictures = {name: png_bytes(figure) for name, figure in sequence_figures(results).items()}
    sections = sequence_sections(results, pictures)
    if video is not None and results.snapshots is not None:
        film = write_video(folder / f"optimisation{video}", results.snapshots, bin_s=results.recording.bin_s)
        sections.append(Section("Film", f"{film.name}, beside this report, shows the filter and its response by step."))
    save_figures(folder / "figures", pictures)
    return write_report(folder / "report.html", title, intro or sequence_intro(results), sections)


def sequence_sections(results: SequenceResults, pictures: Mapping[str, Figure | bytes]) -> list[Section]:
    """The sections of a report, which may also be part of a longer one; pictures: of sequence_figures, by name."""
    sections = []
    if results.score is not None:
        sections.append(
            Section("Score against the planted sequences", _score_text(results), table=score_table(results))
        )
    drawn = _drawn(pictures, "responses", "histogram", "statistic")
    sections.append(Section("Detections", _detections_text(results), drawn, detections_table(results)))
    sections.append(Section("The sequence in the recording", figures=_drawn(pictures, "raster")))
    sections.append(Section("Filters", figures=_drawn(pictures, "filters")))
    if results.participation:
        drawn, table = _drawn(pictures, "participation", "order"), neurons_table(results)
        sections.append(Section("Neurons that take part", _neurons_text(results), drawn, table if table[1] else None))
    if results.position is not None:
        drawn = _drawn(pictures, "position")
        text = "" if drawn else "No detection, so nothing to compare with the position."
        sections.append(Section("Position", text, drawn))
    training = _drawn(pictures, "losses", "stages")
    if training:
        sections.append(Section("Training", figures=training))
    if results.settings:
        sections.append(Section("Settings", table=settings_table(results.settings)))
    return sections


def sequence_intro(results: SequenceResults) -> str:
    """One sentence: what was found in what."""
    recording, found = results.recording, results.detections
    K = len(filter_rows("w", results.w))
    axis = time_axis(recording.n_bins, recording.bin_s)
    length = "" if recording.bin_s is None else f" ({number_text(recording.n_bins * axis.scale)} {axis.unit})"
    return (
        f"{count(len(one_row('time_bin', found.time_bin)), 'detection')} of {count(K, 'sequence')} in "
        f"{count(recording.n_neurons, 'neuron')} x {count(recording.n_bins, 'bin')}{length}, "
        f"significance {found.significance!r}{_level(found)}."
    )


def score_table(results: SequenceResults) -> Table:
    """Precision, recall and F1 by one-to-one matching, and by the published zones where the score has them."""
    score, bin_s = results.score, results.recording.bin_s
    head = ["", "precision", "recall", "F1", "planted", "detected", "matched", "median timing error", "offset"]
    times = [_times(_of(score, name), bin_s) for name in ("timing_error_bins", "offset_bins")]
    one = [_of(score, name) for name in ("precision", "recall", "f1", "n_true", "n_detected", "matched")]
    rows = [["matched one to one", *map(_plain, one), *times]]
    zones = _of(score, "zones")
    if isinstance(zones, Mapping) and zones:
        rows.append(
            ["zones, as published", *(_plain(zones.get(n)) for n in ("precision", "recall", "f1")), *[None] * 5]
        )
    return head, rows


def detections_table(results: SequenceResults) -> Table:
    """What each way to judge significance gives; the one that was used comes first."""
    found = results.detections
    rows: list[list[Any]] = [
        [found.significance, len(one_row("time_bin", found.time_bin)), "used", _MEANINGS.get(found.significance, "")]
    ]
    rows += [
        [name, int(n), "", _MEANINGS.get(name, "")]
        for name, n in (found.other_counts or {}).items()
        if name != found.significance
    ]
    tried = {found.significance, *(found.other_counts or {})}
    rows += [
        [name, None, "not run (see detection.compare)", meaning]
        for name, meaning in _MEANINGS.items()
        if name not in tried
    ]
    return ["significance", "detections", "", "threshold from"], rows


def neurons_table(results: SequenceResults) -> Table:
    """The neurons that take part in each sequence, the 15 with the smallest p-values, by their lag."""
    bin_s = results.recording.bin_s
    unit = "bins" if bin_s is None else "s"
    head = ["sequence", "neuron", f"lag ({unit})", "share of response", "p-value"]
    rows: list[list[Any]] = []
    for k, part in enumerate(results.participation[:MAX_SEQUENCES]):
        p, share = one_row("p_value", part.p_value), one_row("share", part.share)
        lag = one_row("lag_bins", part.lag_bins)
        chosen = members(part, results.level)
        best = [i for i in np.lexsort((-share, p)) if chosen[i]][:MAX_NEURONS]
        for i in sorted(best, key=lambda i: float(lag[i])):
            rows.append([k, int(part.neuron[i]), float(lag[i] * (bin_s or 1.0)), float(share[i]), float(p[i])])
    return head, rows


def settings_table(settings: Mapping[str, Any]) -> Table:
    """Name and value of every setting; nested ones with dots between."""
    rows: list[list[Any]] = []

    def add(prefix: str, values: Mapping[str, Any]) -> None:
        for name, value in values.items():
            if isinstance(value, Mapping):
                add(f"{prefix}{name}.", value)
            else:
                rows.append([f"{prefix}{name}", _plain(value)])

    add("", settings)
    return ["setting", "value"], rows


_CAPTIONS = {
    "responses": "Response before and after training on one scale, the whole recording and its shaded part.",
    "histogram": "How often each value of the response occurs, against random filters; the axis is logarithmic.",
    "statistic": "How often each value of the thresholded statistic occurs, against shuffled recordings.",
    "raster": "Neurons sorted by the filter's peak lag, in the stretch with the most detections (windows shaded), and "
    "the average around all detections. Sorting alone puts noise on the line too: look for what stands out beside it.",
    "filters": "Weights by lag. Any filter shows a diagonal once its neurons are sorted, random ones too: compare "
    "width and strength.",
    "participation": "Share of each neuron in the response at the detections, at the lag where it fires most; filled "
    "where it keeps to its lag more than in windows at random times (false discovery rate controlled over neurons).",
    "order": "Rank of each planted neuron against the lag that the filter found for it.",
    "position": "Where the detections lie, and their counts by place and running direction against detections that are "
    "shifted in time.",
    "losses": "Loss and its terms over the steps.",
    "stages": "The filter and its response at some steps; the neurons are sorted by their lag at the last one.",
}


def _drawn(pictures: Mapping[str, Figure | bytes], *kinds: str) -> list[tuple[Figure | bytes, str]]:
    drawn = []
    for kind in kinds:
        for name, picture in pictures.items():
            stem, _, tail = name.rpartition("_")
            if name == kind:
                drawn.append((picture, _CAPTIONS[kind]))
            elif stem == kind and tail.isdigit():
                drawn.append((picture, f"Sequence {tail}. {_CAPTIONS[kind]}"))
    return drawn


def _score_text(results: SequenceResults) -> str:
    return (
        "Each planted occurrence is matched to at most one detection; the offset is what was added to the times of "
        "each filter before, for the constant distance between its middle and that of the planted sequence."
    ) + (
        " The published zones leave little room for false positives where sequences are close together."
        if isinstance(_of(results.score, "zones"), Mapping) and _of(results.score, "zones")
        else ""
    )


def _detections_text(results: SequenceResults) -> str:
    found = results.detections
    heights = one_row("height_sd", found.height_sd)
    middle = f" Median height {number_text(float(np.median(heights)))} sd of the null." if heights.size else ""
    p = _of(found, "p_any")
    any_at_all = (
        "" if p is None else f" A recording without any sequence reaches the highest value with p = {number_text(p)}."
    )
    return f"Local maxima above the threshold, at least {found.width} bins apart{_level(found)}.{middle}{any_at_all}"


def _level(found: DetectionsLike) -> str:
    return "" if found.level is None else f" at level {found.level:g}"


def _neurons_text(results: SequenceResults) -> str:
    some = [int(members(part, results.level).sum()) for part in results.participation]
    many = " and ".join([", ".join(map(str, some[:-1])), str(some[-1])]) if len(some) > 1 else str(some[0])
    return (
        f"{many} of {count(results.recording.n_neurons, 'neuron')} take part at a false discovery rate of "
        f"{results.level:g}."
    ) + (
        f" The table holds those with the smallest p-values, at most {MAX_NEURONS} of each sequence; lags count from "
        "the middle of the sequence."
        if any(some)
        else ""
    )


def _of(record: Any, name: str) -> Any:
    return record.get(name) if isinstance(record, Mapping) else getattr(record, name, None)


def _times(bins: Any, bin_s: float | None) -> str | None:
    """One time, or several, in seconds where the bin width is known; None without one."""
    values = [number(v) for v in np.ravel(np.asarray(bins, dtype=object))]
    if not np.isfinite(values).all():
        return None
    scale, unit = (1.0, "bins") if bin_s is None else (bin_s, "s")
    return f"{', '.join(number_text(scale * v) for v in values)} {unit}"


def _plain(value: Any) -> Any:
    """A cell of a table: lists as text, numpy's numbers as Python's."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray) or (isinstance(value, Sequence) and not isinstance(value, str)):
        return ", ".join(str(_plain(v)) for v in np.asarray(value, dtype=object).ravel().tolist())
    return value
