"""Measures of reconstructed dynamics, and what a fitted system contains."""

from neurorbit.engine.analysis.evaluate import MEASURES, ensemble_lyapunov, evaluate, generate_orbit
from neurorbit.engine.analysis.lyapunov import LyapunovSum, lyapunov_spectrum
from neurorbit.engine.analysis.orbits import VARIANT, Dynamics
from neurorbit.engine.analysis.prediction import pe_n
from neurorbit.engine.analysis.spectra import d_h, power_spectrum_smoothed
from neurorbit.engine.analysis.state_space import d_stsp, d_stsp_binned, d_stsp_gmm
from neurorbit.engine.analysis.statistics import MedianMad, median_mad

__all__ = [
    "MEASURES",
    "VARIANT",
    "Dynamics",
    "LyapunovSum",
    "MedianMad",
    "d_h",
    "d_stsp",
    "d_stsp_binned",
    "d_stsp_gmm",
    "ensemble_lyapunov",
    "evaluate",
    "generate_orbit",
    "lyapunov_spectrum",
    "median_mad",
    "pe_n",
    "power_spectrum_smoothed",
]
