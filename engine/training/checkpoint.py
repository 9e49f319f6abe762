"""Checkpoints: step_00001000.safetensors and, written last, step_00001000.json with the digests of both."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
from torch import Tensor

from neurorbit.engine.whole_files import read_json, write_atomically, write_json

KEPT = 2


@dataclass(frozen=True)
class Checkpoint:
    """Tensors and plain values after `step` steps."""

    step: int
    tensors: dict[str, Tensor]
    values: dict[str, Any]


def save_checkpoint(folder: Path, checkpoint: Checkpoint) -> None:
    """Write atomically, then delete all but the newest two. The JSON comes last: without it there is no checkpoint."""
    folder.mkdir(exist_ok=True)
    stem = f"step_{checkpoint.step:08d}"
    content = tensor_bytes(checkpoint.tensors)
    write_atomically(folder / f"{stem}.safetensors", content)
    record = {"step": checkpoint.step, "sha256": hashlib.sha256(content).hexdigest(), "values": checkpoint.values}
    write_json(folder / f"{stem}.json", record | {"digest": _digest(record)})
    for path in checkpoint_files(folder)[KEPT:]:
        path.unlink()
        path.with_suffix(".safetensors").unlink(missing_ok=True)


def tensor_bytes(tensors: dict[str, Tensor]) -> bytes:
    """The safetensors file of tensors on any device."""
    return safetensors.torch.save({n: t.detach().cpu().contiguous() for n, t in tensors.items()})


def digested_bytes(tensors: dict[str, Tensor]) -> bytes:
    """The same with a digest of itself in its header, for a file that stands alone."""
    plain = tensor_bytes(tensors)
    metadata = {"sha256": hashlib.sha256(plain).hexdigest()}
    return safetensors.torch.save(safetensors.torch.load(plain), metadata)


def load_digested(path: Path) -> dict[str, Tensor]:
    """The tensors of a file of `digested_bytes`; ValueError when it was cut or edited."""
    content = path.read_bytes()
    try:
        tensors = safetensors.torch.load(content)
    except safetensors.SafetensorError as error:
        raise ValueError(f"{path}: was cut or edited ({error})") from None
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    digest = header.get("__metadata__", {}).get("sha256")
    if digest is None:
        raise ValueError(f"{path}: holds no digest: it was cut or edited, or an earlier version wrote it")
    if digest != hashlib.sha256(tensor_bytes(tensors)).hexdigest():
        raise ValueError(f"{path}: does not match its digest: it was cut or edited")
    return tensors


def checkpoint_files(folder: Path) -> list[Path]:
    """The JSON files of the checkpoints, newest first."""
    return sorted(folder.glob("step_*.json"), reverse=True)


def load_checkpoint(path: Path) -> Checkpoint:
    """The checkpoint of a JSON file; ValueError when either file was cut or edited, OSError when one is missing."""
    record = read_json(path)
    if not isinstance(record, dict) or not {"step", "sha256", "values", "digest"} <= record.keys():
        raise ValueError(f"{path}: is not a checkpoint: it was cut or edited")
    if record.pop("digest") != _digest(record):
        raise ValueError(f"{path}: does not match its digest: it was cut or edited")
    content = path.with_suffix(".safetensors").read_bytes()
    if hashlib.sha256(content).hexdigest() != record["sha256"]:
        raise ValueError(f"{path.with_suffix('.safetensors')}: does not match its digest: it was cut or edited")
    return Checkpoint(record["step"], safetensors.torch.load(content), record["values"])


def load_newest(folder: Path) -> tuple[Checkpoint | None, list[str]]:
    """The newest whole checkpoint, and one sentence per damaged one passed over; ValueError when all are damaged."""
    damaged: list[str] = []
    for path in checkpoint_files(folder):
        try:
            return load_checkpoint(path), damaged
        except (ValueError, OSError) as error:
            damaged.append(str(error))
    if damaged:
        raise ValueError("; ".join(damaged) + ": no earlier checkpoint is whole: start again in another workdir")
    return None, damaged


def _digest(record: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()
