"""Fitted convSeq ensembles: what a fit returns and a run folder holds."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from neurorbit.engine.models.convseq.config import ConvseqConfig
from neurorbit.engine.models.convseq.filters import SequenceFilters
from neurorbit.engine.models.convseq.members import Member, members
from neurorbit.engine.models.convseq.responses import Recording, responder
from neurorbit.engine.training.device import find_device
from neurorbit.engine.training.diverged import best_surviving
from neurorbit.engine.training.folder import RunFolder
from neurorbit.engine.training.saved import load_parameters, saved_settings, saved_tensors


@dataclass(frozen=True, eq=False)
class FittedConvseq:
    """The filters of every run as they were when training ended.

    `loss` [E] is each run's minus variance of the responses at its best, by which the best run is chosen; `diverged`
    [E]: runs that left the finite numbers in training, of which the last good filters are kept.
    """

    config: ConvseqConfig
    members: tuple[Member, ...]
    filters: SequenceFilters
    loss: Tensor
    diverged: Tensor

    @property
    def labels(self) -> tuple[str, ...]:
        """One name per run."""
        return tuple(m.label for m in self.members)

    @property
    def best_run(self) -> int:
        """The run with the lowest loss, of those that did not diverge; ValueError when none is left."""
        return best_surviving(self, self.loss)

    @torch.no_grad()
    def w(self) -> Tensor:
        """Filters [E, K, N, W]."""
        found: Tensor = self.filters()
        return found

    @torch.no_grad()
    def initial_w(self) -> Tensor:
        """The filters before training, [E, K, N, W]."""
        found: Tensor = SequenceFilters(self.config, self.filters.n_neurons, [m.seed for m in self.members])()
        return found

    @torch.no_grad()
    def respond(self, recording: Recording, w: Tensor | None = None) -> Tensor:
        """Responses [E, K, T'] of the filters, or of others w [E, K, N, W], to a recording; computed where it was
        trained, returned on the CPU."""
        check_same_neurons(self, recording)
        device = find_device(self.config.device)
        respond = responder(recording, self.config.padding, device, self.config.backend)
        return respond((self.w() if w is None else w).to(device)).cpu()


def check_same_neurons(fitted: FittedConvseq, recording: Recording) -> None:
    """ValueError when the recording has other neurons than the fit."""
    if recording.n_neurons != fitted.filters.n_neurons:
        raise ValueError(
            f"{recording.name}: expected N={fitted.filters.n_neurons} neurons as in the fit, got {recording.n_neurons}"
        )


def load(workdir: str | os.PathLike[str]) -> FittedConvseq:
    """The fitted ensemble of a run folder, as of its newest checkpoint."""
    folder = RunFolder(workdir)
    config, content = read_config(folder)
    return build(config, content["data"]["n_neurons"], saved_tensors(folder, "last"))


def read_config(folder: RunFolder) -> tuple[ConvseqConfig, dict[str, Any]]:
    """The settings of a run folder, checked, and the whole content of its config.json."""
    return saved_settings(folder, ConvseqConfig, "convseq", "a convSeq fit")


def build(
    config: ConvseqConfig, n_neurons: int, tensors: dict[str, Tensor], of: Sequence[Member] | None = None
) -> FittedConvseq:
    """A fitted ensemble from the tensors of a checkpoint; its models are those of the settings unless given."""
    found = tuple(members(config) if of is None else of)
    filters = SequenceFilters(config, n_neurons, [m.seed for m in found])
    load_parameters(filters, tensors)
    return FittedConvseq(config, found, filters.requires_grad_(False), tensors["best_value"], ~tensors["alive"].cpu())
