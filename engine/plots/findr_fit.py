"""How well a flow explains spikes: PSTHs with bands, agreement between folds, measures of the folds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from neurorbit.engine.analysis.psth import Psth
from neurorbit.engine.plots.arguments import Array
from neurorbit.engine.plots.style import GENERATED, legend_above, number_text, panels, styled

MOST_NEURONS = 12


@styled
def psths(observed: Psth, predicted: Psth, neurons: Sequence[int], *, bin_s: float, r2: Array | None = None) -> Figure:
    """One panel per neuron, one colour per condition: recorded means with their bands, predictions dashed."""
    figure, grid = panels(len(neurons), width=2.5, height=1.9, columns=4)
    t = np.arange(observed.mean.shape[1]) * bin_s
    for axes, n in zip(grid, neurons, strict=True):
        for k, condition in enumerate(observed.conditions.tolist()):
            color, word = f"C{k % 7}", f"choice {condition:g}, " if len(observed.conditions) > 1 else ""
            axes.fill_between(t, observed.low[k, :, n], observed.high[k, :, n], color=color, alpha=0.25, linewidth=0)
            axes.plot(t, observed.mean[k, :, n], color=color, linewidth=0.8, label=f"{word}recorded")
            axes.plot(t, predicted.mean[k, :, n], color=color, linewidth=1.6, linestyle="--",
                      label=f"{word}fitted")  # fmt: skip
        share = "" if r2 is None or not np.isfinite(r2[n]) else f", R² {number_text(r2[n], 2)}"
        axes.set_title(f"neuron {n}{share}", fontsize=8.5)
    for axes in grid[-4:]:
        axes.set_xlabel("time, s")
    for axes in grid[::4]:
        axes.set_ylabel("rate, Hz")
    legend_above(figure, grid, columns=4)
    return figure


def shown_neurons(observed: Psth) -> list[int]:
    """The neurons whose PSTHs differ most between bins and conditions, in order."""
    mean = observed.mean.numpy()
    flat = mean.reshape(-1, mean.shape[-1])
    spread = np.nanvar(flat, axis=0) / np.maximum(np.nanmean(flat, axis=0), 1e-3)
    return sorted(int(n) for n in np.argsort(-spread, kind="stable")[:MOST_NEURONS])


@styled
def fold_agreement(agreement: Array, folds: Sequence[int]) -> Figure:
    """R^2 of each fold's flow (across) in the place of another's (down), after the best affine map."""
    figure, [axes] = panels(1, width=4.0, height=3.4, columns=1)
    image = axes.imshow(agreement, vmin=0.0, vmax=1.0, cmap="YlGnBu")
    names = [f"fold {k}" for k in folds]
    axes.set_xticks(range(len(folds)), names)
    axes.set_yticks(range(len(folds)), names)
    for i in range(len(folds)):
        for j in range(len(folds)):
            value = agreement[i, j]
            axes.text(j, i, f"{value:.2f}", ha="center", va="center", fontsize=8,
                      color="white" if value > 0.6 else "#333333")  # fmt: skip
    figure.colorbar(image, ax=axes, label="R² of the flow")
    return figure


@styled
def fold_measures(measures: Mapping[str, Any]) -> Figure:
    """Each measure of each fold on validation and test trials."""
    names = [n for n in measures["mean"]["test"] if any(r["test"][n] is not None for r in measures["folds"])]
    figure, grid = panels(len(names), width=2.4, height=2.4, columns=5)
    for axes, name in zip(grid, names, strict=True):
        for x, part in enumerate(("validation", "test")):
            values = [np.nan if r[part][name] is None else r[part][name] for r in measures["folds"]]
            axes.plot(np.full(len(values), x), values, "o", color=GENERATED, alpha=0.6, markersize=5)
            mean = measures["mean"][part][name]
            if mean is not None:
                axes.plot([x - 0.25, x + 0.25], [mean, mean], color="#333333", linewidth=1.8)
        axes.set_xticks([0, 1], ["validation", "test"])
        axes.set_xlim(-0.5, 1.5)
        axes.set_title(name.replace("_", " "), fontsize=9)
    return figure


@styled
def latent_dimensions(rows: Sequence[Mapping[str, Any]]) -> Figure:
    """Bits per spike on validation trials by latent dimension, of neurons that the encoder sees and of others: the best
    model of each fold, a thin line per fold, and the mean over the folds."""
    best: dict[tuple[int, int], Mapping[str, Any]] = {}
    for row in rows:
        key, value = (row["latent_dim"], row["fold"]), row["validation"]["bits_per_spike"]
        if value is not None and (key not in best or value > best[key]["bits_per_spike"]):
            best[key] = row["validation"]
    dims, folds = (sorted({key[i] for key in best}) for i in (0, 1))
    figure, grid = panels(2, width=3.2, height=2.8, columns=2)
    titles = {"bits_per_spike": "validation trials", "co_bits_per_spike": "validation trials, held-out neurons"}
    for axes, (name, title) in zip(grid, titles.items(), strict=True):
        found = [[best.get((M, k), {}).get(name) for M in dims] for k in folds]
        values = np.array([[np.nan if v is None else v for v in row] for row in found])
        axes.plot(dims, values.T, ".-", color=GENERATED, alpha=0.5, linewidth=0.7)
        counted = np.isfinite(values).sum(0)
        mean = np.divide(np.nansum(values, 0), counted, out=np.full(len(dims), np.nan), where=counted > 0)
        axes.plot(dims, mean, color="#333333", linewidth=1.6)
        axes.set_xticks(dims)
        axes.set_xlabel("latent dimensions")
        axes.set_title(title)
    grid[0].set_ylabel("bits per spike")
    return figure
