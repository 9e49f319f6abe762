"""A fit that is killed ends, resumed, bit for bit like one that was not."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from neurorbit.engine.models.plrnn.fitting import resume
from neurorbit.engine.simulate import lorenz63

FIT = """
import sys
from neurorbit.engine.models.plrnn.fitting import DataSource, fit
from neurorbit.engine.models.plrnn.config import *
from neurorbit.engine.training.config import TrainingConfig
source = DataSource(sys.argv[1])
config = PlrnnConfig(
    steps=int(sys.argv[3]), runs=2, device="cpu", model=ModelConfig(hidden_dim=8),
    forcing=ForcingConfig(alpha=0.8, adaptive="arithmetic_mean"),
    training=TrainingConfig(batch_size=3, sequence_length=15, log_every=7, checkpoint_every=25, observation_noise=0.01),
    evaluation=EvaluationConfig(every_epochs=1, steps=200),
)
found = fit(config, source.read(), sys.argv[2], source=source)
print(found.status)
"""
STEPS = 600


def start(data: Path, workdir: Path) -> subprocess.Popen[bytes]:
    words = [sys.executable, "-c", FIT, str(data), str(workdir), str(STEPS)]
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def wait_for(path: Path, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + 120
    while not path.exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.005)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    np.save(folder / "x.npy", lorenz63(500, noise=0.02, seed=1))
    process = start(folder / "x.npy", folder / "run")
    assert process.communicate()[0] == b"finished\n"
    return folder


def assert_same_result(a: Path, b: Path) -> None:
    for name in ("metrics.csv", "best.safetensors", f"checkpoints/step_{STEPS:08d}.safetensors"):
        assert (a / name).read_bytes() == (b / name).read_bytes(), name


@pytest.mark.parametrize("kind", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_killed_and_resumed(whole: Path, tmp_path: Path, kind: signal.Signals) -> None:
    process = start(whole / "x.npy", tmp_path / "run")
    wait_for(tmp_path / "run" / "checkpoints" / "step_00000050.json", process)
    os.kill(process.pid, kind)
    output, errors = process.communicate()
    if kind == signal.SIGKILL:
        assert process.returncode == -signal.SIGKILL
    else:
        assert (process.returncode, output) == (0, b"stopped\n"), errors
    newest = max((tmp_path / "run" / "checkpoints").glob("*.json"))
    reached = json.loads(newest.read_text())["step"]
    assert 50 <= reached < STEPS
    assert resume(tmp_path / "run").status == "finished"
    assert_same_result(tmp_path / "run", whole / "run")


def test_resumed_from_the_checkpoint_before_a_damaged_one(whole: Path, tmp_path: Path) -> None:
    process = start(whole / "x.npy", tmp_path / "run")
    wait_for(tmp_path / "run" / "checkpoints" / "step_00000075.json", process)
    process.kill()
    process.communicate()
    newest = max((tmp_path / "run" / "checkpoints").glob("*.safetensors"))
    newest.write_bytes(newest.read_bytes()[:-20])

    class Listener:
        def __init__(self) -> None:
            self.notes: list[str] = []

        def progress(self, progress: object) -> None:
            pass

        def note(self, text: str) -> None:
            self.notes.append(text)

    listener = Listener()
    assert resume(tmp_path / "run", reporter=listener).status == "finished"
    assert any("cut or edited; the checkpoint before it is used" in note for note in listener.notes)
    assert_same_result(tmp_path / "run", whole / "run")
