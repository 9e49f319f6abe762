"""convSeq: repeating spike sequences found by optimised filters."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from neurorbit.engine.models.convseq.config import (
        AdamConfig,
        ConvseqConfig,
        DetectionConfig,
        FilterConfig,
        GridConfig,
        LossConfig,
        StoppingConfig,
    )
    from neurorbit.engine.models.convseq.detecting import Found, detect
    from neurorbit.engine.models.convseq.filters import SequenceFilters
    from neurorbit.engine.models.convseq.fitted import FittedConvseq, load
    from neurorbit.engine.models.convseq.fitting import ConvseqFit, SpikeSource, fit, resume
    from neurorbit.engine.models.convseq.null import Null, random_null
    from neurorbit.engine.models.convseq.run_report import write_run_report

_HOME = {
    "AdamConfig": "config",
    "ConvseqConfig": "config",
    "DetectionConfig": "config",
    "FilterConfig": "config",
    "GridConfig": "config",
    "LossConfig": "config",
    "StoppingConfig": "config",
    "Found": "detecting",
    "detect": "detecting",
    "SequenceFilters": "filters",
    "FittedConvseq": "fitted",
    "load": "fitted",
    "ConvseqFit": "fitting",
    "SpikeSource": "fitting",
    "fit": "fitting",
    "resume": "fitting",
    "Null": "null",
    "random_null": "null",
    "write_run_report": "run_report",
}
__all__ = [
    "AdamConfig",
    "ConvseqConfig",
    "ConvseqFit",
    "DetectionConfig",
    "FilterConfig",
    "FittedConvseq",
    "Found",
    "GridConfig",
    "LossConfig",
    "Null",
    "SequenceFilters",
    "SpikeSource",
    "StoppingConfig",
    "detect",
    "fit",
    "load",
    "random_null",
    "resume",
    "write_run_report",
]


def __getattr__(name: str) -> Any:
    """Import on first use: the settings alone need no torch."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
