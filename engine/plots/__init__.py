"""Figures of reconstructions and self-contained reports: arrays or tensors in, matplotlib Figure objects out."""

from neurorbit.engine.plots.ensemble import measure_distributions
from neurorbit.engine.plots.exponents import lyapunov_exponents
from neurorbit.engine.plots.fixed_points import FixedPointSet, fixed_points_in_plane
from neurorbit.engine.plots.orbits import attractor_gallery, attractors, time_series, typical_run
from neurorbit.engine.plots.plrnn_report import measures_table, plrnn_figures, write_plrnn_report
from neurorbit.engine.plots.report import Section, png_bytes, save_figures, write_report
from neurorbit.engine.plots.spectra import power_spectra
from neurorbit.engine.plots.training import training_curves

__all__ = [
    "FixedPointSet",
    "Section",
    "attractor_gallery",
    "attractors",
    "fixed_points_in_plane",
    "lyapunov_exponents",
    "measure_distributions",
    "measures_table",
    "plrnn_figures",
    "png_bytes",
    "power_spectra",
    "save_figures",
    "time_series",
    "training_curves",
    "typical_run",
    "write_plrnn_report",
    "write_report",
]
