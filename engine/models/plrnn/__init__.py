"""The PLRNN family: dynamical systems reconstruction from time series."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from neurorbit.engine.models.plrnn.config import (
        EvaluationConfig,
        ForcingConfig,
        GridConfig,
        ModelConfig,
        PlrnnConfig,
        RegularisationConfig,
    )
    from neurorbit.engine.models.plrnn.fitted import FittedPlrnn, evaluate_runs, load
    from neurorbit.engine.models.plrnn.fitting import DataSource, Fit, fit, resume
    from neurorbit.engine.models.plrnn.model import Plrnn
    from neurorbit.engine.models.plrnn.presets import PRESETS

_HOME = {
    "EvaluationConfig": "config",
    "ForcingConfig": "config",
    "GridConfig": "config",
    "ModelConfig": "config",
    "PlrnnConfig": "config",
    "RegularisationConfig": "config",
    "DataSource": "fitting",
    "Fit": "fitting",
    "fit": "fitting",
    "resume": "fitting",
    "FittedPlrnn": "fitted",
    "evaluate_runs": "fitted",
    "load": "fitted",
    "Plrnn": "model",
    "PRESETS": "presets",
}
__all__ = [  # noqa: RUF022
    "DataSource",
    "EvaluationConfig",
    "Fit",
    "FittedPlrnn",
    "ForcingConfig",
    "GridConfig",
    "ModelConfig",
    "PRESETS",
    "Plrnn",
    "PlrnnConfig",
    "RegularisationConfig",
    "evaluate_runs",
    "fit",
    "load",
    "resume",
]


def __getattr__(name: str) -> Any:
    """Import on first use: the settings alone need no torch."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
