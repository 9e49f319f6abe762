"""F1 against planted sequences over dropout and jitter, a panel for each way to judge significance."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from neurorbit.engine.plots.arguments import number
from neurorbit.engine.plots.convseq_axes import INK
from neurorbit.engine.plots.style import TRUE, number_text, styled

_NEEDED = ("p_drop", "jitter_std", "significance", "f1")


@styled
def f1_table(rows: Iterable[Mapping[str, Any]], *, bin_s: float | None = None) -> Figure:
    """Median F1 over seeds, and its range, for each p_drop x jitter_std; one panel per significance.

    rows: dicts with p_drop, jitter_std (bins), significance and f1, such as those of a benchmark's result.
    """
    rows = list(rows)
    if not rows:
        raise ValueError("rows: expected at least one row with p_drop, jitter_std, significance and f1, got none")
    missing = [name for name in _NEEDED if name not in rows[0]]
    if missing:
        raise ValueError(f"rows: column {missing[0]!r} is missing, got {', '.join(map(str, rows[0]))}")
    drops, jitters = (sorted({number(row[name]) for row in rows}) for name in ("p_drop", "jitter_std"))
    kinds = list(dict.fromkeys(str(row["significance"]) for row in rows))
    width, height = max(2.3, 0.85 * len(jitters) + 0.5), max(1.7, 0.55 * len(drops) + 0.9)
    figure = Figure(figsize=(width * len(kinds) + 0.9, height), layout="constrained")
    grid = figure.subplots(1, len(kinds), squeeze=False, sharey=True)[0]
    image: Any = None
    for axes, kind in zip(grid, kinds, strict=True):
        table = np.full((len(drops), len(jitters)), np.nan)
        for i, drop in enumerate(drops):
            for j, jitter in enumerate(jitters):
                values = np.array([number(r["f1"]) for r in rows if str(r["significance"]) == kind
                                   and (number(r["p_drop"]), number(r["jitter_std"])) == (drop, jitter)])  # fmt: skip
                values = values[np.isfinite(values)]
                if not values.size:
                    axes.text(j, i, "–", ha="center", va="center", color="#888888")
                    continue
                table[i, j] = np.median(values)
                colour = "white" if table[i, j] > 0.45 else TRUE
                spread = values.min() < values.max()
                axes.text(j, i - (0.13 if spread else 0), f"{table[i, j]:.2f}", ha="center", va="center", color=colour)
                if spread:
                    axes.text(j, i + 0.22, f"{values.min():.2f}–{values.max():.2f}", ha="center", va="center",
                              color=colour, fontsize=6.5)  # fmt: skip
        image = axes.imshow(table, cmap=INK, vmin=0, vmax=1, aspect="auto")
        axes.set_xticks(range(len(jitters)), [_jitter(j, bin_s) for j in jitters])
        axes.set_yticks(range(len(drops)), [number_text(d) for d in drops])
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        axes.set_title(kind, fontsize=9)
    grid[0].set_ylabel("dropout probability")
    figure.supxlabel("jitter, sd (bins)" if bin_s is None else "jitter, sd (s)", fontsize=9)
    bar = figure.colorbar(image, ax=list(grid), pad=0.02, aspect=18)
    bar.set_label("F1")
    bar.outline.set_visible(False)  # type: ignore[operator]
    return figure


def _jitter(bins: float, bin_s: float | None) -> str:
    return number_text(bins if bin_s is None else bins * bin_s)
