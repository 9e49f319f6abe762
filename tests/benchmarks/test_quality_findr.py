"""The quality benchmark of FINDR on settings that take seconds."""

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.quality import findr

TINY = ["--epochs", "2", "--set", "features=[4]", "--set", "encoder_size=3", "--set", "training.batch_size=100",
        "--set", "baseline=trial", "--set", "model.bias=true"]  # fmt: skip


def test_decision_writes_what_was_found(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out" / "decision.json"
    findr.main(["decision", "--seeds", "3", *TINY, "--json", str(out)])
    found = json.loads(out.read_text())
    assert found["config"]["model"]["bias"] is True and found["config"]["features"] == [4]
    assert found["config"]["baseline"] == "trial"
    [row] = found["runs"]
    assert row["seed"] == 3 and row["true_bits"] > 0.1 and set(found["median"]) >= {"flow_r2", "share_of_true_bits"}
    assert found["command"].startswith("python -m benchmarks.quality.findr decision --seeds 3")
    assert "flow_r2" in capsys.readouterr().out


def ran(tmp_path: Path, work: str, *words: str) -> dict[str, Any]:
    """What a work wrote, on 40 trials of 6 neurons."""
    out = tmp_path / "found.json"
    small = ["--trials", "40", "--neurons", "6", *TINY, "--set", "training.batch_size=8"]
    findr.main([work, *small, *words, "--json", str(out)])
    found: dict[str, Any] = json.loads(out.read_text())
    return found


def test_dimension_compares_every_latent_dimension_with_the_true_rates(tmp_path: Path) -> None:
    found = ran(tmp_path, "dimension", "--systems", "decision", "prism", "--seeds", "1", "--epochs", "1")
    assert [found["systems"][name]["latents"] for name in ("decision", "prism")] == [2, 3]
    for system in found["systems"].values():
        [row] = system["runs"]
        assert row["trials"] == 40 and row["neurons"] == 6 and row["true_bits"] > 0.02
        for part in ("bits_per_spike", "co_bits_per_spike"):
            assert list(row[part]) == ["M 1", "M 2", "M 3", "M 4"] and row[part] == system["share_of_true_bits"][part]
            assert len(set(row[part].values())) == 4
    assert (tmp_path / "found.png").read_bytes().startswith(b"\x89PNG")


def test_a_dimension_is_level_from_the_first_near_the_best() -> None:
    assert findr.level_from({"M 1": 0.5, "M 2": 0.985, "M 3": 0.992, "M 4": 1.0}) == 3
    assert findr.level_from({"M 1": -0.1, "M 2": -0.105, "M 3": -0.2, "M 4": -0.3}) == 1


def test_ensemble_compares_numbers_and_time(tmp_path: Path) -> None:
    found = ran(tmp_path, "ensemble", "--epochs", "2")
    assert found["models"] == 25 and found["ensembles_equal_bit_for_bit"] is True
    assert found["ratio"] == pytest.approx(found["seconds_alone"] / found["seconds_together"])
    assert found["largest_relative_difference_of_a_parameter"] < 1e-3
    assert found["largest_difference_in_bits_per_spike"] < 1e-3
    assert len(set(found["bits_per_spike"]["alone"])) > 20


def test_resume_compares_every_file(tmp_path: Path) -> None:
    words = ("--epochs", "8", "--set", "training.checkpoint_every=3", "--set", "training.evaluate_every=1")
    found = ran(tmp_path, "resume", *words)
    assert found["steps"] == 24 and found["copied_at_step"] == 9
    assert all(found["same"].values())
    assert {"metrics.csv", "best.safetensors", "checkpoints/step_00000024.safetensors"} <= set(found["same"])


@pytest.mark.parametrize("text", ["lattice.size=3", "lattice=3", "features"])
def test_an_unknown_setting_is_named(text: str) -> None:
    with pytest.raises(ValueError, match=f"--set: expected NAME=VALUE with the name of a setting, got '{text}'"):
        findr.main(["decision", "--set", text])
