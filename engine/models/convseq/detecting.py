"""Detections of a fitted model with one of three significances, and the neurons that take part."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from neurorbit.engine.analysis.detections import Detections, peak_bins
from neurorbit.engine.analysis.participation import Participation, participation
from neurorbit.engine.data import DenseRecording, EventBlocks, SpikeEvents
from neurorbit.engine.models.convseq.config import ConvseqConfig, DetectionConfig, Significance
from neurorbit.engine.models.convseq.fitted import FittedConvseq, check_same_neurons
from neurorbit.engine.models.convseq.fitting import ConvseqFit, fits_in_memory, train
from neurorbit.engine.models.convseq.members import Member
from neurorbit.engine.models.convseq.null import Null, random_null
from neurorbit.engine.models.convseq.responses import Recording, Responder, responder
from neurorbit.engine.models.convseq.significance import (
    Window,
    by_null,
    by_surrogates,
    by_templates,
    fold_templates,
    fold_weights,
    sequence_shifts,
    upper,
)
from neurorbit.engine.models.convseq.templates import refine
from neurorbit.engine.training.device import find_device
from neurorbit.engine.training.folder import RunFolder
from neurorbit.engine.training.progress import Reporter
from neurorbit.engine.training.settings import to_dict

_SHUFFLE_STREAM = 0x5EED


@dataclass(frozen=True, eq=False)
class Found:
    """Detections of one run, the neurons of each sequence, the published null, the filters behind them [K, N, W], and
    the fingerprint of the recording."""

    run: int
    detections: Detections
    participation: list[Participation]
    null: Null
    w: np.ndarray
    recording: str


def detect(
    fitted: FittedConvseq,
    recording: Recording,
    config: DetectionConfig | None = None,
    *,
    run: int | None = None,
    trained_on: Recording | None = None,
    workdir: str | os.PathLike[str] | None = None,
    cache: str | os.PathLike[str] | None = None,
    reporter: Reporter | None = None,
) -> Found:
    """Detections of one run's filters in a recording.

    Args:
        fitted: the ensemble; run: which of its models, the best one when None.
        recording: where to look.
        trained_on: the recording of the fit, when it is another one.
        workdir: run folder of the fit, where the extra trainings of crossfit and surrogate are kept and resumed; they
            run in memory when None.
        cache: folder of the published null, kept by content.
    """
    config = config or DetectionConfig()
    significance = check_search(fitted.config, recording, config, same=trained_on is None)
    check_same_neurons(fitted, recording)
    run = fitted.best_run if run is None else run
    if not 0 <= run < len(fitted.members):
        raise ValueError(f"run: expected 0 to {len(fitted.members) - 1}, got {run}")
    search = _Search(fitted, run, recording, config, trained_on, workdir, reporter)
    settings = fitted.config
    null = random_null(
        recording,
        width=settings.width,
        padding=settings.padding,
        n_filters=config.null_filters,
        gaussian=settings.model.sigma if settings.model.formulation == "gaussian" else None,
        backend=settings.backend,
        device=search.device,
        cache=cache,
    )
    shifts = search.shifts(null.threshold)
    published = by_null(search.o, null, shifts, search.window)
    w = search.w
    if significance == "random":
        found = published
    elif significance == "surrogate":
        found, shifts = search.surrogate()
    else:
        found, w = search.crossfit()
        shifts = [0] * len(w)
    counts = {} if found is published else {"random": len(published)}
    if config.compare and isinstance(recording, SpikeEvents | DenseRecording):
        if significance != "crossfit" and isinstance(recording, SpikeEvents):
            counts["crossfit"] = len(search.crossfit()[0])
        if significance != "surrogate":
            counts["surrogate"] = len(search.surrogate()[0])
    found = dataclasses.replace(found, other_counts=counts)
    return Found(run, found, search.participation(found, w, shifts), null, w, recording.fingerprint())


class _Search:
    """One run of a fit and the recording it looks at."""

    def __init__(
        self,
        fitted: FittedConvseq,
        run: int,
        recording: Recording,
        config: DetectionConfig,
        trained_on: Recording | None,
        workdir: str | os.PathLike[str] | None,
        reporter: Reporter | None,
    ) -> None:
        self.fitted, self.recording, self.config, self.reporter = fitted, recording, config, reporter
        self.trained_on = trained_on
        self.workdir = None if workdir is None else Path(workdir)
        self.member = fitted.members[run]
        self.settings = fitted.config
        self.device = find_device(fitted.config.device)
        self.window = Window(fitted.config.width, fitted.config.padding, recording.bin_s)
        self.respond = self._responder(recording)
        self.filters = fitted.w()[run : run + 1].to(self.device)  # [1, K, N, W]
        with torch.no_grad():
            self.response = self.respond(self.filters)  # [1, K, T']
        self.o = self.response[0].cpu().numpy().astype(np.float64)
        self.w = self.filters[0].cpu().numpy()

    def shifts(self, threshold: float) -> list[int]:
        """Bins from the peaks of each filter's response to the middle of its sequence; 0 for real-valued activity."""
        if not isinstance(self.recording, SpikeEvents):
            return [0] * len(self.o)
        bins = [peak_bins(one, threshold, self.window.width) for one in self.o]
        return sequence_shifts(self.recording, bins, self.window)

    def surrogate(self) -> tuple[Detections, list[int]]:
        """Against the same optimisation on shuffled recordings; and the shifts of the sequences.

        In a recording that the filters have not seen, against their own responses to its shuffles.
        """
        assert isinstance(self.recording, SpikeEvents | DenseRecording)
        generator = np.random.default_rng((self.member.seed, _SHUFFLE_STREAM))
        copies = (self.recording.shuffled(generator) for _ in range(self.config.surrogates))
        if self.trained_on is None:
            o = self._retrained(list(copies))
        else:
            with torch.no_grad():
                o = np.concatenate([self._responder(one)(self.filters).cpu().numpy() for one in copies])
        threshold = upper(np.sort(o.max((1, 2))), self.config.level)
        shifts = self.shifts(threshold)
        return by_surrogates(self.o, o, shifts, self.window, level=self.config.level), shifts

    def _retrained(self, copies: list[SpikeEvents | DenseRecording]) -> np.ndarray:
        """Responses [S, K, T'] of the run's optimisation repeated on S other recordings."""
        members = [dataclasses.replace(self.member, run=s, seed=self.member.seed + s) for s in range(len(copies))]
        respond = self._responder(copies)
        trained = self._train("surrogate", members, respond).fitted
        with torch.no_grad():
            return respond(trained.w().to(self.device)).cpu().numpy()

    def _responder(self, recordings: Recording | list[SpikeEvents | DenseRecording]) -> Responder:
        return responder(recordings, self.window.padding, self.device, self.settings.backend)

    def crossfit(self) -> tuple[Detections, np.ndarray]:
        """Templates of each fold in its own block; and the templates of the whole recording [K, N, W]."""
        assert isinstance(self.recording, SpikeEvents)
        generator = np.random.default_rng((self.member.seed, _SHUFFLE_STREAM))
        n, window = self.o.shape[-1], self.window
        if self.trained_on is not None:  # a recording that the filters have not seen is one block
            if not isinstance(self.trained_on, SpikeEvents):
                raise ValueError("significance: crossfit needs the recording of the fit in memory as events")
            edges = np.array([0, n])
            respond = self._responder(self.trained_on)
            with torch.no_grad():
                whole = refine(self.trained_on, respond, respond(self.filters), window.width, window.padding)[0]
            folds = [whole]
        else:
            edges, weight = fold_weights(n, self.config.folds, window.width)
            weight = weight.to(self.device)
            members = [dataclasses.replace(self.member, run=f) for f in range(self.config.folds)]
            trained = self._train("crossfit", members, self.respond, weight).fitted
            with torch.no_grad():
                o = self.respond(trained.w().to(self.device))
            folds, whole = fold_templates(self.recording, self.respond, self.response, o, weight, window)
        found = by_templates(
            self.recording,
            folds,
            edges,
            window,
            level=self.config.level,
            generator=generator,
            device=self.device,
            backend=self.settings.backend,
            shuffles=self.config.shuffles,
        )
        return found, np.stack([t.w for t in whole])

    def _train(self, name: str, members: list[Member], respond: Responder, weight: Tensor | None = None) -> ConvseqFit:
        """An extra training with the settings of the run, in a folder of its own inside the run folder."""
        n_neurons = self.recording.n_neurons
        if self.workdir is None:
            return _whole(train(self.settings, members, respond, n_neurons, None, self.reporter, weight))
        path = self.workdir / name
        content: dict[str, Any] = {
            "system": f"convseq {name}",
            "format": 1,
            "config": to_dict(self.settings),
            "members": [dataclasses.asdict(m) for m in members],
            "recording": (self.trained_on or self.recording).fingerprint(),
        }
        record = json.loads(json.dumps(content))  # tuples as lists, as in the file
        same = (path / "config.json").exists() and RunFolder(path).config == record
        folder = RunFolder(path) if same else RunFolder.create(path, record, overwrite=True)
        with folder.lock():
            found = train(self.settings, members, respond, n_neurons, folder, self.reporter, weight)
        return _whole(found)

    def participation(self, found: Detections, w: np.ndarray, shifts: list[int]) -> list[Participation]:
        """Neurons of each sequence, from windows `shifts` bins before its middle; none for recordings that are not
        events in memory."""
        if not isinstance(self.recording, SpikeEvents):
            return []
        generator = np.random.default_rng((self.member.seed, _SHUFFLE_STREAM, 1))
        starts = np.rint(found.time_bin - (self.window.width - 1) / 2).astype(np.int64)
        return [
            participation(w[k], self.recording, starts[found.sequence == k] - shift, generator=generator, shift=shift)
            for k, shift in enumerate(shifts)
        ]


def _whole(found: ConvseqFit) -> ConvseqFit:
    """An extra training that reached its end; the signal that stopped it acts on the process."""
    if found.outcome.status == "stopped":
        signal.raise_signal(signal.Signals[found.outcome.signal or "SIGTERM"])
        raise RuntimeError(f"stopped by {found.outcome.signal} at step {found.outcome.step}")
    return found


def check_search(
    settings: ConvseqConfig, recording: Recording, config: DetectionConfig, *, same: bool = True, whole: bool = False
) -> Significance:
    """Which significance a search in the recording has; ValueError when it cannot be had. Asked before any training.

    same: the recording is that of the fit; whole: blocks of time will be read whole if they fit into memory.
    """
    config.check()
    found = config.significance or ("surrogate" if isinstance(recording, DenseRecording) else "crossfit")
    blocks = isinstance(recording, EventBlocks) and not (whole and fits_in_memory(recording))
    if blocks and found != "random":
        raise ValueError(
            f"significance: {found} needs the recording in memory, not in blocks of time: use random, which is not "
            "calibrated, or block_bins 0"
        )
    if found == "crossfit" and isinstance(recording, DenseRecording):
        raise ValueError("significance: crossfit needs spikes: use surrogate or random for real-valued activity")
    if same and (found == "crossfit" or (config.compare and isinstance(recording, SpikeEvents))):
        fold_weights(recording.n_bins + 2 * settings.padding - settings.width + 1, config.folds, settings.width)
    return found
