"""Bits per spike by latent dimension, as a figure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from matplotlib.figure import Figure

from neurorbit.engine.plots.style import legend_above, panels, styled

_TITLES = {"bits_per_spike": "validation trials", "co_bits_per_spike": "validation trials, held-out neurons"}


@styled
def dimensions_figure(systems: Mapping[str, Mapping[str, Any]]) -> Figure:
    """Medians as shares of the true rates' bits over M, a line per system with a ring at its true dimension; a dot
    per seed."""
    figure, grid = panels(len(_TITLES), width=3.6, height=3.2, columns=2)
    for axes, (part, title) in zip(grid, _TITLES.items(), strict=True):
        for k, (name, found) in enumerate(systems.items()):
            shares = found["share_of_true_bits"][part]
            sizes = [int(word[2:]) for word in shares]
            axes.plot(sizes, list(shares.values()), color=f"C{k}", label=f"{name}, {found['latents']} latents")
            for row in found["runs"]:
                axes.plot(sizes, list(row[part].values()), ".", color=f"C{k}", markersize=4)
            true = found["latents"]
            axes.plot(true, shares[f"M {true}"], "o", color=f"C{k}", fillstyle="none", markersize=9)
        axes.axhline(1.0, color="#999999", linewidth=0.7, linestyle=":")
        axes.set_xticks(sizes)
        axes.set_xlabel("latent dimensions of the model")
        axes.set_title(title)
    grid[0].set_ylabel("share of the true rates' bits per spike")
    legend_above(figure, grid)
    return figure
