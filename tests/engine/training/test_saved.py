"""Reading back what a fit saved."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from torch import nn

from neurorbit.engine.training.folder import RunFolder
from neurorbit.engine.training.saved import load_parameters, saved_settings, saved_tensors, shape_folders


@dataclass(frozen=True)
class Settings:
    size: int = 1

    def check(self) -> None:
        if self.size < 1:
            raise ValueError(f"size: expected at least 1, got {self.size}")


def folder(path: Path, **config: object) -> RunFolder:
    return RunFolder.create(path, {"system": "toy", "config": {"size": 2}} | config)


def test_settings_come_back_checked(tmp_path: Path) -> None:
    config, content = saved_settings(folder(tmp_path / "a", data=5), Settings, "toy", "a toy")
    assert config == Settings(2) and content["data"] == 5
    with pytest.raises(ValueError, match=r"config\.json: is not the configuration of a toy"):
        saved_settings(folder(tmp_path / "b", system="other"), Settings, "toy", "a toy")
    with pytest.raises(ValueError, match="size: expected at least 1, got 0"):
        saved_settings(folder(tmp_path / "c", config={"size": 0}), Settings, "toy", "a toy")


def test_shapes_that_have_begun(tmp_path: Path) -> None:
    root = folder(tmp_path / "run")
    assert [f.path for f in shape_folders(root)] == [root.path]
    parts = [folder(root.path / f"shape_{k}") for k in (0, 2, 10)]
    assert [f.path.name for f in shape_folders(root)] == ["shape_0"]
    for part in parts[:0:-1]:
        part.save_best({"x": torch.zeros(1)})
    assert [f.path.name for f in shape_folders(root)] == ["shape_2", "shape_10"]


def test_a_fitted_state_that_is_missing_cut_or_edited(tmp_path: Path) -> None:
    run = folder(tmp_path / "run")
    for state, words in (("best", "no fitted state yet"), ("last", "no checkpoint yet"), ("worst", "best or last")):
        with pytest.raises(ValueError, match=words):
            saved_tensors(run, state)
    run.save_best({"parameters/w": torch.arange(3.0)})
    assert saved_tensors(run, "best")["parameters/w"].tolist() == [0, 1, 2]
    path = run.path / "best.safetensors"
    whole = path.read_bytes()
    for damaged in (whole[:-2], whole[:-1] + b"\x01"):
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match=r"cut or edited.*resume the fit"):
            saved_tensors(run, "best")


def test_parameters_of_another_shape_name_the_configuration() -> None:
    module = nn.Linear(2, 3, bias=False)
    load_parameters(module, {"parameters/weight": torch.ones(3, 2), "constants/other": torch.zeros(1)})
    assert torch.equal(module.weight, torch.ones(3, 2))
    with pytest.raises(ValueError, match=r"do not fit config\.json, which was edited"):
        load_parameters(module, {"parameters/weight": torch.ones(2, 2)})


def test_the_folder_of_another_program(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps([1, 2]))
    with pytest.raises(ValueError, match="is not the configuration of a toy"):
        saved_settings(RunFolder(tmp_path), Settings, "toy", "a toy")
