"""What the loop tells while it runs; the library itself prints nothing."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Progress:
    """State of a fit at a logged step; the numbers are medians over the models still training."""

    step: int
    steps: int
    steps_per_s: float
    alive: int
    n_models: int
    values: dict[str, float]


class Reporter(Protocol):
    """Gets the progress of a fit."""

    def progress(self, progress: Progress) -> None:
        """Called at every logged step."""

    def note(self, text: str) -> None:
        """Something that the user should read, in one sentence."""


class LoggingReporter:
    """Progress is dropped, notes go to the logger `neurorbit` as warnings."""

    def progress(self, progress: Progress) -> None:
        """Nothing."""

    def note(self, text: str) -> None:
        """A warning."""
        logging.getLogger("neurorbit").warning(text)
