"""Power spectra of the true and the generated orbits."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from scipy.signal import welch

from neurorbit.engine.plots.arguments import (
    Array,
    Values,
    count,
    diverged_at,
    generated_orbits,
    rate_unit,
    time_step,
    true_orbit,
    variable_names,
)
from neurorbit.engine.plots.coordinates import fill_missing
from neurorbit.engine.plots.style import GENERATED, TRUE, legend_above, log_ticks, panels, styled

MAX_VARIABLES = 9


def power_spectrum(x: Array, dt: float, segment: int) -> tuple[Array, Array]:
    """Frequencies [F] above zero and the power density [F, N] of [T, N] by Welch's method; gaps are interpolated."""
    frequency, power = welch(fill_missing(x), fs=1.0 / dt, nperseg=min(segment, len(x)), axis=0, detrend="constant")
    return frequency[1:], power[1:]


@styled
def power_spectra(
    x_true: Values,
    x_generated: Values,
    *,
    dt: float = 1.0,
    time_unit: str | None = None,
    names: Sequence[str] | None = None,
) -> Figure:
    """Power density per variable: the true orbit, and the median and quartiles of the generated ones [E, T, N]."""
    x_true = true_orbit(x_true)
    x_generated = generated_orbits(x_generated, x_true.shape[1])
    labels = variable_names(names, x_true.shape[1])
    dt, unit = time_step(dt, time_unit)
    segment = int(np.clip(min(len(x_true), x_generated.shape[1]) // 5, 16, 4096))
    frequency, true = power_spectrum(x_true, dt, segment)
    stays = np.flatnonzero(diverged_at(x_true, x_generated) < 0)
    scale = np.nanvar(x_true, axis=0)
    scale = np.where(scale > 0, scale, 1.0)
    true = true / scale
    spectra = [power_spectrum(x_generated[e], dt, segment) for e in stays]
    n_drawn = min(x_true.shape[1], MAX_VARIABLES)
    figure, grid = panels(n_drawn, width=2.95 if n_drawn > 1 else 5.5, height=2.6 if n_drawn > 1 else 3.2, columns=3)
    n_diverged = len(x_generated) - len(stays)
    left_out = f", {n_diverged} diverged left out" if n_diverged else ""
    for n, axes in enumerate(grid):
        axes.loglog(frequency, _positive(true[:, n]), color=TRUE, linewidth=1.6, label="true")
        if spectra:
            power = np.stack([values[:, n] for _, values in spectra]) / scale[n]  # [E, F]
            text = (
                f"generated, median of {count(len(spectra), 'run')}{left_out}" if len(x_generated) > 1 else "generated"
            )
            median = np.median(power, axis=0)
            axes.loglog(spectra[0][0], _positive(median), color=GENERATED, linewidth=1.2, label=text)
            top = np.maximum(true[:, n], median) if len(median) == len(true) else true[:, n]
            if len(spectra) > 2:
                low, high = (_positive(edge) for edge in np.quantile(power, [0.25, 0.75], axis=0))
                axes.fill_between(spectra[0][0], low, high, color=GENERATED, alpha=0.25, linewidth=0, label="quartiles")
        else:
            axes.plot([], [], color=GENERATED, linestyle=":", label="every run diverged")
            top = true[:, n]
        peak = float(true[:, n].max())
        if peak > 0:
            floor = max(float(true[:, n].min()), 1e-9 * peak)
            axes.set_ylim(floor / 3, peak * 10)
            axes.set_xlim(frequency[0], frequency[np.flatnonzero(top >= floor)[-1]])
        axes.set_title(labels[n])
        axes.grid(True, which="major")
        log_ticks(axes.xaxis)
    more = x_true.shape[1] - n_drawn
    figure.supylabel(
        "power density / variance" + (f" ({more} further variables not shown)" if more else ""), fontsize=9
    )
    figure.supxlabel(f"frequency ({rate_unit(unit)})", fontsize=9)
    legend_above(figure, grid)
    return figure


def _positive(values: Array) -> Array:
    return np.where(values > 0, values, np.nan)
