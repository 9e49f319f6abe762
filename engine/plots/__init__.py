"""Figures and self-contained reports: arrays or tensors in, matplotlib Figure objects out."""

from neurorbit.engine.plots.convseq_arguments import SequenceTruth
from neurorbit.engine.plots.convseq_f1 import f1_table
from neurorbit.engine.plots.convseq_filters import order_recovered, sequence_filters, sequence_participation
from neurorbit.engine.plots.convseq_histogram import response_histogram
from neurorbit.engine.plots.convseq_losses import loss_terms
from neurorbit.engine.plots.convseq_position import (
    PositionTuning,
    detections_over_position,
    position_tuning,
    running_direction,
)
from neurorbit.engine.plots.convseq_raster import aligned_average, sorted_raster
from neurorbit.engine.plots.convseq_report import sequence_sections, write_sequence_report
from neurorbit.engine.plots.convseq_responses import sequence_responses
from neurorbit.engine.plots.convseq_results import SequenceResults, sequence_figures
from neurorbit.engine.plots.convseq_stages import Snapshots, training_stages
from neurorbit.engine.plots.convseq_video import write_video
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
    "PositionTuning",
    "Section",
    "SequenceResults",
    "SequenceTruth",
    "Snapshots",
    "aligned_average",
    "attractor_gallery",
    "attractors",
    "detections_over_position",
    "f1_table",
    "fixed_points_in_plane",
    "loss_terms",
    "lyapunov_exponents",
    "measure_distributions",
    "measures_table",
    "order_recovered",
    "plrnn_figures",
    "png_bytes",
    "position_tuning",
    "power_spectra",
    "response_histogram",
    "running_direction",
    "save_figures",
    "sequence_figures",
    "sequence_filters",
    "sequence_participation",
    "sequence_responses",
    "sequence_sections",
    "sorted_raster",
    "time_series",
    "training_curves",
    "training_stages",
    "typical_run",
    "write_plrnn_report",
    "write_report",
    "write_sequence_report",
    "write_video",
]
