"""Trains the shapes of a configuration one after another, each as one ensemble."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from torch import Tensor

from neurorbit.engine.training.folder import RunFolder
from neurorbit.engine.training.loop import Outcome, Status, Trainer
from neurorbit.engine.training.settings import to_dict

C = TypeVar("C")
F = TypeVar("F")


@dataclass(frozen=True)
class Fit(Generic[F]):
    """Result of a fit: how each shape's training ended, and the fitted ensembles at their best states."""

    outcomes: list[Outcome]
    fitted: list[F]

    @property
    def status(self) -> Status:
        """stopped, or diverged when no model of any shape is left, or finished."""
        found = [o.status for o in self.outcomes]
        if "stopped" in found:
            return "stopped"
        return "diverged" if all(s == "diverged" for s in found) else "finished"


def train_shapes(
    shapes: Sequence[C],
    trainer: Callable[[C, RunFolder | None], Trainer],
    fitted: Callable[[C, dict[str, Tensor]], F],
    root: RunFolder | None = None,
    record: dict[str, Any] | None = None,
) -> Fit[F]:
    """One launch per shape, from its newest checkpoint; a stop leaves the later ones for `resume`.

    Args:
        trainer: makes the trainer of a shape, writing into its folder. fitted: an ensemble from the tensors that
            best.safetensors holds.
        root: the run folder, locked meanwhile; several shapes have a folder each inside it. None: nothing is written.
        record: its config.json.
    """
    outcomes, found = [], []
    with nullcontext() if root is None else root.lock():
        for k, config in enumerate(shapes):
            one = trainer(config, root if len(shapes) == 1 else _folder(root, k, config, record or {}))
            if root is not None:
                one.restore()
            outcomes.append(one.run())
            found.append(fitted(config, one.best_state()))
            if outcomes[-1].status == "stopped":
                break
    return Fit(outcomes, found)


def _folder(root: RunFolder | None, number: int, config: Any, record: dict[str, Any]) -> RunFolder | None:
    """The folder of one of several shapes."""
    if root is None:
        return None
    path = root.path / f"shape_{number}"
    if (path / "config.json").exists():
        return RunFolder(path)
    return RunFolder.create(path, record | {"config": to_dict(config)})
