"""The optimisation of one filter, step by step: the run is trained again from its seed and watched."""

from __future__ import annotations

import dataclasses
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from neurorbit.engine.data.write import check_writable
from neurorbit.engine.models.convseq.fitted import FittedConvseq
from neurorbit.engine.models.convseq.objective import ConvseqObjective
from neurorbit.engine.models.convseq.responses import Recording, responder
from neurorbit.engine.training.device import find_device
from neurorbit.engine.training.loop import Trainer
from neurorbit.engine.training.progress import Reporter


@dataclass(frozen=True, eq=False)
class Optimisation:
    """steps [F], one filter w [F, N, W] in half precision, its response [F, T'] and the loss [F] before these steps."""

    steps: np.ndarray
    w: np.ndarray
    response: np.ndarray
    loss: np.ndarray


class _Watched(ConvseqObjective):
    """Keeps what one filter of the first model is at every few steps."""

    every: int
    sequence: int

    def begin(self, every: int, sequence: int) -> None:
        self.every, self.sequence = every, sequence
        self.steps: list[int] = []
        self.kept: list[tuple[np.ndarray, np.ndarray, float]] = []

    def terms(self, step: int) -> list[torch.Tensor]:
        found = super().terms(step)
        if step % self.every == 0:
            assert self._response is not None
            with torch.no_grad():
                w = self.module()[0, self.sequence]
            self.steps.append(step)
            total = sum(float(t.detach()[0]) for t in found)
            self.kept.append((w.half().cpu().numpy(), self._response[0, self.sequence].cpu().numpy(), total))
        return found


def watch(
    fitted: FittedConvseq,
    recording: Recording,
    *,
    run: int | None = None,
    every: int = 20,
    sequence: int = 0,
    reporter: Reporter | None = None,
) -> Optimisation:
    """Train one run again on its recording and keep a filter every `every` steps, and at the end."""
    config = fitted.config
    run = fitted.best_run if run is None else run
    if not 0 <= run < len(fitted.members):
        raise ValueError(f"run: expected 0 to {len(fitted.members) - 1}, got {run}")
    if every < 1:
        raise ValueError(f"every: expected 1 or more, got {every}")
    if not 0 <= sequence < config.filters:
        raise ValueError(f"sequence: expected 0 to {config.filters - 1}, got {sequence}")
    device = find_device(config.device)
    respond = responder(recording, config.padding, device, config.backend)
    objective = _Watched(config, [fitted.members[run]], respond, recording.n_neurons, device)
    objective.begin(every, sequence)
    outcome = Trainer(
        objective, config.training, config.epochs, objective.learning_rate, reporter=reporter, rectified=False
    ).run()
    objective.every = 1
    with torch.no_grad():
        objective.terms(outcome.step)  # the end
    w, response, loss = zip(*objective.kept, strict=True)
    return Optimisation(np.array(objective.steps), np.stack(w), np.stack(response), np.array(loss))


def write_film(
    path: str | os.PathLike[str], film: Optimisation, *, bin_s: float | None = None, threshold: float | None = None
) -> Path:
    """An .mp4 (through ffmpeg) or .gif of an optimisation."""
    from neurorbit.engine.plots.convseq_stages import Snapshots
    from neurorbit.engine.plots.convseq_video import write_video

    snapshots = Snapshots(**{f.name: getattr(film, f.name) for f in dataclasses.fields(film)})
    return write_video(Path(path), snapshots, bin_s=bin_s, threshold=threshold)


def check_film(path: str | os.PathLike[str]) -> Path:
    """The path, or an error that says why `write_film` could not write there; asks before the work is done."""
    from neurorbit.engine.plots.convseq_video import encoder

    path = check_writable(path, (".mp4", ".gif"))
    encoder(path)
    return path
