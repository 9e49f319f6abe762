"""Snapshots of an optimisation: filters, response and loss at some steps, as a picture of its stages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from matplotlib.figure import Figure

from neurorbit.engine.plots.arguments import Array, Values, as_array
from neurorbit.engine.plots.convseq_arguments import by_lag
from neurorbit.engine.plots.convseq_axes import INK, colour_of, neuron_ticks, time_axis
from neurorbit.engine.plots.convseq_thinning import envelope, fewer_columns, fewer_rows
from neurorbit.engine.plots.style import FAINT, plain_ticks, styled


@dataclass(frozen=True)
class Snapshots:
    """One filter during training: steps [F], w [F, N, W], response [F, T'] (all of it, or a part), loss [F]."""

    steps: Values
    w: Values
    response: Values
    loss: Values
    first_bin: float = 0.0

    def arrays(self) -> tuple[Array, Array, Array, Array]:
        """steps, w, response and loss, checked."""
        steps, loss = as_array("snapshots.steps", self.steps, "F"), as_array("snapshots.loss", self.loss, "F")
        response, w = as_array("snapshots.response", self.response, "FT"), _filters(self.w)
        for name, array in (("w", w), ("response", response), ("loss", loss)):
            if len(array) != len(steps):
                raise ValueError(f"snapshots.{name}: expected F={len(steps)} as in steps, got {list(array.shape)}")
        if (np.diff(steps) <= 0).any():
            raise ValueError("snapshots.steps: expected rising steps")
        if not (all(np.isfinite(each).all() for each in w) and np.isfinite(response).all()):
            raise ValueError("snapshots: expected finite filters and responses; leave out steps after a run was lost")
        return steps, w, response, loss


def _filters(w: Values) -> Array:
    """Snapshots of a filter [F, N, W] in the precision they came in: they may be gigabytes."""
    array = np.asarray(w.detach().cpu() if isinstance(w, torch.Tensor) else w)
    if array.dtype.kind not in "fiu":
        raise TypeError(f"snapshots.w: expected real numbers [F, N, W], got {array.dtype}")
    if array.ndim != 3 or 0 in array.shape:
        raise ValueError(f"snapshots.w: expected [F, N, W] with at least one entry each, got {list(array.shape)}")
    return array


def top_weight(w: Array) -> float:
    """The weight [F, N, W] at which the colours end."""
    return max(float(np.quantile(each.max(axis=1), 0.9)) for each in w) or 1.0


def range_of(values: Array) -> tuple[float, float]:
    """Limits of an axis that holds the finite values, with some room."""
    finite = values[np.isfinite(values)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
    room = 0.06 * (high - low) or 0.5
    return low - room, high + room


def step_words(step: float) -> str:
    """ "step 1 200"."""
    return f"step {int(step):,}".replace(",", "\N{THIN SPACE}")


@styled
def training_stages(snapshots: Snapshots, *, n: int = 5, bin_s: float | None = None, sequence: int = 0) -> Figure:
    """The filter, sorted by its final lag, and the response at n of the snapshots, the first and last among them."""
    steps, w, response, _ = snapshots.arrays()
    chosen = _spread(steps, n)
    figure = Figure(figsize=(2.0 * len(chosen) + 0.6, 4.2), layout="constrained")
    grid = figure.subplots(2, len(chosen), squeeze=False, height_ratios=(2.2, 1.0), sharex="row", sharey="row")
    W, N, order, top = w.shape[2], w.shape[1], by_lag(w[-1]), top_weight(w)
    lag, axis = time_axis(W, bin_s), time_axis(snapshots.first_bin + response.shape[1], bin_s)
    for j, f in enumerate(chosen):
        above, below = grid[0, j], grid[1, j]
        above.imshow(
            fewer_columns(fewer_rows(w[f][order], 400), 300), aspect="auto", cmap=INK, vmin=0, vmax=top,
            interpolation="nearest", extent=(-W / 2 * lag.scale, W / 2 * lag.scale, N - 0.5, -0.5),
        )  # fmt: skip
        above.set_title(step_words(steps[f]), fontsize=9)
        at, values = envelope(response[f], 350)
        below.plot((at + snapshots.first_bin) * axis.scale, values, color=colour_of(sequence), linewidth=0.6)
        for axes in (above, below):
            axes.spines["left"].set_color(FAINT)
            plain_ticks(axes.xaxis, 3)
            (neuron_ticks if axes is above else plain_ticks)(axes.yaxis, 4)
    grid[1, 0].set_ylim(*range_of(response[chosen]))
    grid[0, 0].set_ylabel("neuron, by final lag")
    grid[1, 0].set_ylabel("response")
    middle = len(chosen) // 2
    grid[0, middle].set_xlabel(lag.label("lag: time"))
    grid[1, middle].set_xlabel(axis.label())
    figure.align_ylabels(grid[:, 0])
    return figure


def _spread(steps: Array, n: int) -> Sequence[int]:
    """The snapshots nearest to n steps that lie close together early on, where most happens."""
    if n < 2:
        raise ValueError(f"n: expected at least 2 stages, got {n}")
    wanted = steps[0] + (steps[-1] - steps[0]) * np.linspace(0, 1, n) ** 2
    return sorted({int(np.argmin(np.abs(steps - s))) for s in wanted})
