"""Reads back what a fit saved: its settings, the folder of each shape, and the tensors of a fitted state."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol, TypeVar

from torch import Tensor, nn

from neurorbit.engine.training.checkpoint import load_digested
from neurorbit.engine.training.folder import RunFolder
from neurorbit.engine.training.settings import from_dict

STATES = ("best", "last")


class Settings(Protocol):
    """A configuration that checks itself."""

    def check(self) -> None:
        """ValueError for a setting out of its range."""


C = TypeVar("C", bound=Settings)


def saved_settings(folder: RunFolder, kind: type[C], system: str, title: str) -> tuple[C, dict[str, Any]]:
    """The settings of a run folder, checked, and the whole content of its config.json."""
    content = folder.config
    if not isinstance(content, dict) or content.get("system") != system or "config" not in content:
        raise ValueError(f"{folder.path / 'config.json'}: is not the configuration of {title}")
    config = from_dict(kind, content["config"])
    config.check()
    return config, content


def shape_folders(root: RunFolder) -> list[RunFolder]:
    """The folder of each shape; of a grid that was stopped those that have begun."""
    found = sorted(root.path.glob("shape_*"), key=lambda p: int(p.name.split("_")[1]))
    begun = [p for p in found if (p / "best.safetensors").exists() or (p / "checkpoints").exists()]
    return [RunFolder(p) for p in begun or found[:1]] or [root]


def saved_tensors(folder: RunFolder, state: str) -> dict[str, Tensor]:
    """The tensors of each model's best state, or of the last checkpoint; ValueError when there are none, or damaged."""
    if state not in STATES:
        raise ValueError(f"state: expected best or last, got {state!r}")
    if state == "best":
        return _best(folder.path / "best.safetensors")
    checkpoint, _ = folder.newest()
    if checkpoint is None:
        raise ValueError(f"{folder.path}: holds no checkpoint yet: let the fit run longer, or resume it")
    return checkpoint.tensors | {name: checkpoint.tensors[f"record/{name}"] for name in ("alive", "best_value")}


def _best(path: Path) -> dict[str, Tensor]:
    try:
        return load_digested(path)
    except FileNotFoundError:
        raise ValueError(f"{path.parent}: holds no fitted state yet: let the fit run longer, or resume it") from None
    except ValueError as error:
        raise ValueError(f"{error}: resume the fit, which writes it again") from None


def load_parameters(module: nn.Module, tensors: dict[str, Tensor], **buffers: Tensor) -> None:
    """Fills a module from saved tensors; ValueError when they have other shapes than its configuration asks for."""
    values = {n.removeprefix("parameters/"): v for n, v in tensors.items() if n.startswith("parameters/")}
    try:
        module.load_state_dict(values | buffers)
    except RuntimeError as error:
        raise ValueError(
            f"parameters: do not fit config.json, which was edited: {' '.join(str(error).split())}"
        ) from None
