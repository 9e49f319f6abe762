"""The report of an identification: measures, figures and settings in one page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from neurorbit.engine.analysis import median_mad
from neurorbit.engine.plots.arguments import Array, count, number
from neurorbit.engine.plots.convseq_report import Table, settings_table
from neurorbit.engine.plots.identification_figures import identification_figures
from neurorbit.engine.plots.identification_measures import scalar_measures
from neurorbit.engine.plots.identification_results import IdentificationResults, RecoveredNetwork
from neurorbit.engine.plots.measures import measure_words
from neurorbit.engine.plots.report import Section, png_bytes, save_figures, write_report
from neurorbit.engine.plots.style import number_text


def write_identification_report(
    folder: str | Path,
    results: IdentificationResults,
    *,
    title: str = "Identified network",
    intro: str = "",
) -> Path:
    """Write folder/report.html and folder/figures/NAME.png; returns the path of the report."""
    folder = Path(folder)
    pictures = {name: png_bytes(figure) for name, figure in identification_figures(results).items()}
    sections = identification_sections(results, pictures)
    save_figures(folder / "figures", pictures)
    return write_report(folder / "report.html", title, intro or identification_intro(results), sections)


def identification_sections(results: IdentificationResults, pictures: Mapping[str, Figure | bytes]) -> list[Section]:
    """The sections of a report, which may also be part of a longer one; pictures: of identification_figures."""
    sections = []
    networks = results.networks()
    words = _MEASURES if results.headings is None or np.ndim(results.headings) == 2 else _MEASURES_OF_SHEETS
    if any(scalar_measures(one.measures) for one in networks.values()):
        table = identification_table(networks, results.targets)
        sections.append(Section("Measures", words, _drawn(pictures, "measures"), table))
    for heading, text, names in _SECTIONS:
        drawn = _drawn(pictures, *names)
        if drawn:
            sections.append(Section(heading, text, drawn))
    if results.settings:
        sections.append(Section("Settings", table=settings_table(results.settings)))
    return sections


def identification_intro(results: IdentificationResults) -> str:
    """What was identified from what."""
    B, T, n = results.x.shape
    N = results.recovered.weights.shape[1]
    unseen = count(N - n, "hidden unit") if N > n else "no hidden unit"
    length = "" if results.dt_s is None else f" of {number_text(T * results.dt_s)} s"
    compared = " The true connectivity is known." if results.truth is not None else ""
    control = ""
    if results.control is not None:
        control = f" Beside them {count(len(results.control.weights), 'run')} of the {results.control.label}."
    return (
        f"{count(len(results.recovered.weights), 'run')} of {count(n, 'observed unit')} and {unseen}, against "
        f"{count(B, 'trial')}{length} ({count(T, 'step')}).{control}{compared}{_left_out(results)}"
    )


def _left_out(results: IdentificationResults) -> str:
    """Which runs diverged in training."""
    lost = [
        f"{count(len(one.diverged), 'run')} of {one.label} ({', '.join(map(str, one.diverged))})"
        for one in results.networks().values()
        if one.diverged
    ]
    return f" Left out, as they diverged in training: {'; '.join(lost)}." if lost else ""


def identification_table(networks: Mapping[str, RecoveredNetwork], targets: Mapping[str, float] | None = None) -> Table:
    """Columns (a measure each) and rows: median and median absolute deviation of each set, the target, every run."""
    columns = {name: _columns(one.measures) for name, one in networks.items()}
    names = list(dict.fromkeys(measure for one in columns.values() for measure in one))
    several = len(columns) > 1
    top: list[list[Any]] = []
    runs: list[list[Any]] = []
    for label, one in columns.items():
        middle = {name: median_mad(values) for name, values in one.items()}
        head = f"{label}: " if several else ""
        top.append([f"{head}median", *(float(middle[m].median) if m in middle else None for m in names)])
        top.append([f"{head}MAD", *(float(middle[m].mad) if m in middle else None for m in names)])
        for e, row in enumerate(networks[label].measures):
            runs.append([f"{head}run {row.get('run', e)}", *(float(one[m][e]) if m in one else None for m in names)])
    known = [number((targets or {}).get(name)) for name in names]
    if np.isfinite(known).any():
        top.append(["target", *known])
    return ["", *map(measure_words, names)], top + runs


def _columns(rows: Sequence[Mapping[str, Any]]) -> dict[str, Array]:
    """Scalar measures, and the two entries of a pair such as shifter_offsets_rad apart."""
    found = scalar_measures(rows)
    for name in dict.fromkeys(name for row in rows for name, cell in row.items() if _is_pair(cell)):
        pairs = [row.get(name) for row in rows]
        for k, way in enumerate(("v > 0", "v < 0")):
            stem, _, unit = name.rpartition("_rad")
            values = [number(pair[k]) if _is_pair(pair) else float("nan") for pair in pairs]  # type: ignore[index]
            if np.isfinite(values).any():
                found[f"{stem or unit}, {way}{'_rad' if stem else ''}"] = np.array(values)
    return found


def _is_pair(cell: Any) -> bool:
    return isinstance(cell, Sequence) and not isinstance(cell, str) and len(cell) == 2


_MEASURES = (
    "Kernel correlation: Pearson's, of the mean weight by difference of preferred headings with the truth; in the "
    "leading modes: of what the weights do to the activity that the data hold. Circulant share: of the variance of the "
    "sorted weights. Heading error: median over a free run driven by the inputs alone, against the true heading or the "
    "one that the recorded activity shows. Bump drift: net turn without input. Activity correlation: of the free run "
    "with the recording, at the same steps. Shifter offsets: median phase of the "
    "output of the hidden units ahead of their own heading, for those that fire while turning either way; agreement: "
    "the share of these whose offset has the sign of the velocity they fire for; share: of all hidden units."
)
_MEASURES_OF_SHEETS = (
    "Kernel correlation: Pearson's, of the mean weight by displacement on the sheet with the truth; in the leading "
    "modes: of what the weights do to the activity that the data hold. Grid score: median over the observed units in a "
    "free run driven by the inputs alone; grid share: of these, how many score above 0.3, which one map of smoothed "
    "noise in six does too. Activity correlation: of the free run with the recording, at the same steps."
)

_SECTIONS: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("Activity", "", ("activity", "sheet", "tuning", "maps", "maps_free_run", "maps_free_run_control", "grid_scores")),
    ("Connectivity", "", ("connectivity", "matrices", "kernels", "sheet_kernels")),
    ("Hidden units", "", ("shifters", "unit_maps")),
    ("Free run", "", ("free_run", "free_run_control")),
    (
        "The control",
        "Without separated inputs every unit is observed and receives the input; the same figures of its units.",
        ("shifters_control", "unit_maps_control"),
    ),
    ("Dynamics", "", ("eigenvalues", "slow_points")),
    ("Training", "", ("training",)),
)

_CAPTIONS = {
    "measures": "Each dot is one run, the bar its median.",
    "activity": "The first trial: recorded, and as the network continues from its first step with the inputs alone.",
    "sheet": "Activity on the sheet at some moments of the first trial.",
    "tuning": "Mean activity by heading; each row of an image is divided by its largest value.",
    "maps": "Rate maps of the recording and their autocorrelograms, from the lowest to the highest grid score.",
    "maps_free_run": "The same of the free run.",
    "maps_free_run_control": "The same of the control's free run.",
    "grid_scores": "How hexagonal the rate maps are.",
    "connectivity": "All weights of the shown run; colours end at the 99th percentile of their sizes.",
    "matrices": "Weights among the observed units, sorted by preferred heading.",
    "kernels": "Mean weight by how far the receiver's preferred heading lies ahead of the sender's: thick the shown "
    "run, thin the others. The bars compare the shapes by Fourier mode.",
    "sheet_kernels": "Mean weight by displacement on the sheet.",
    "shifters": "Rates by velocity and heading, averaged over each population with every unit's own heading in the "
    "middle; all units by velocity gain and by the phase of their output, larger where the output is stronger; and the "
    "mean output of each population: it lies ahead on the side that its units turn to.",
    "unit_maps": "Rate by heading and velocity of the hidden units with the strongest output, each on its own scale.",
    "shifters_control": "Shifters sought among the observed units.",
    "unit_maps_control": "Rate by heading and velocity of the units with the strongest output, each on its own scale.",
    "free_run": "The heading that the network shows when only the input drives it.",
    "free_run_control": "The same of the control.",
    "eigenvalues": "Eigenvalues of the recovered weights of all units, and of the true weights of the observed ones.",
    "slow_points": "States that hardly move without input.",
    "training": "Loss and its terms over the steps.",
}


def _drawn(pictures: Mapping[str, Figure | bytes], *names: str) -> list[tuple[Figure | bytes, str]]:
    return [(pictures[name], _CAPTIONS[name]) for name in names if name in pictures]
