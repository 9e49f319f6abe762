"""Measures of reconstructed dynamics, and what a fitted system contains."""

from neurorbit.engine.analysis.basins import Basins, label_basins
from neurorbit.engine.analysis.evaluate import MEASURES, ensemble_lyapunov, evaluate, generate_orbit
from neurorbit.engine.analysis.fixed_points import Cycles, fixed_points
from neurorbit.engine.analysis.forcing_interval import estimate_forcing_interval
from neurorbit.engine.analysis.lyapunov import LyapunovSum, lyapunov_spectrum
from neurorbit.engine.analysis.orbits import VARIANT, Dynamics
from neurorbit.engine.analysis.piecewise_linear import PiecewiseLinearMap, linear_regions
from neurorbit.engine.analysis.prediction import pe_n
from neurorbit.engine.analysis.spectra import d_h, power_spectrum_smoothed
from neurorbit.engine.analysis.state_space import d_stsp, d_stsp_binned, d_stsp_gmm
from neurorbit.engine.analysis.statistics import MedianMad, median_mad

__all__ = [
    "MEASURES",
    "VARIANT",
    "Basins",
    "Cycles",
    "Dynamics",
    "LyapunovSum",
    "MedianMad",
    "PiecewiseLinearMap",
    "d_h",
    "d_stsp",
    "d_stsp_binned",
    "d_stsp_gmm",
    "ensemble_lyapunov",
    "estimate_forcing_interval",
    "evaluate",
    "fixed_points",
    "generate_orbit",
    "label_basins",
    "linear_regions",
    "lyapunov_spectrum",
    "median_mad",
    "pe_n",
    "power_spectrum_smoothed",
]
