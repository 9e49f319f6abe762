"""A convSeq fit that is killed ends, resumed, bit for bit like one that was not."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from neurorbit.engine.data import write_spike_events
from neurorbit.engine.models.convseq.config import (
    AdamConfig,
    ConvseqConfig,
    DetectionConfig,
    LossConfig,
    StoppingConfig,
)
from neurorbit.engine.models.convseq.detecting import detect
from neurorbit.engine.models.convseq.fitting import SpikeSource, fit, resume
from neurorbit.engine.simulate import plant_sequences

FIT = """
import sys
from neurorbit.engine.models.convseq.config import *
from neurorbit.engine.models.convseq.fitting import SpikeSource, fit
source = SpikeSource(sys.argv[1])
config = ConvseqConfig(
    epochs=int(sys.argv[3]), width=40, filters=2, runs=2, device="cpu",
    model=FilterConfig(loadings=True), loss=LossConfig(total_variation=8.0, cross_correlation=10.0),
    training=AdamConfig(log_every=7, checkpoint_every=25), stopping=StoppingConfig(every=10, patience=1000),
)
print(fit(config, source.open(config), sys.argv[2], source=source).outcome.status)
"""
STEPS = 200


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
    planted = plant_sequences(seqlen=20, gap_ts=120, jitter_std=2, n_neurons=30, n_bins=1800, rate_hz=0.2)
    write_spike_events(folder / "x.h5", planted.events)
    process = start(folder / "x.h5", folder / "run")
    output, errors = process.communicate()
    assert output == b"finished\n", errors
    return folder


def assert_same_result(a: Path, b: Path) -> None:
    for name in ("metrics.csv", "best.safetensors", f"checkpoints/step_{STEPS:08d}.safetensors"):
        assert (a / name).read_bytes() == (b / name).read_bytes(), name


@pytest.mark.parametrize("kind", [signal.SIGKILL, signal.SIGTERM])
def test_killed_and_resumed(whole: Path, tmp_path: Path, kind: signal.Signals) -> None:
    process = start(whole / "x.h5", tmp_path / "run")
    wait_for(tmp_path / "run" / "checkpoints" / "step_00000050.json", process)
    os.kill(process.pid, kind)
    output, errors = process.communicate()
    if kind == signal.SIGKILL:
        assert process.returncode == -signal.SIGKILL
    else:
        assert (process.returncode, output) == (0, b"stopped\n"), errors
    newest = max((tmp_path / "run" / "checkpoints").glob("*.json"))
    assert 50 <= json.loads(newest.read_text())["step"] < STEPS
    assert resume(tmp_path / "run").outcome.status == "finished"
    assert_same_result(tmp_path / "run", whole / "run")


def test_a_fit_in_blocks_is_resumed_in_blocks(whole: Path, tmp_path: Path) -> None:
    config = ConvseqConfig(
        epochs=12, width=40, block_bins=1000, training=AdamConfig(log_every=4), stopping=StoppingConfig(patience=0)
    )
    source = SpikeSource(str(whole / "x.h5"))
    expected = fit(config, source.open(config)).fitted.w()
    stopped = fit(config, source.open(config), tmp_path / "run", source=source, reporter=Interrupting(2))
    assert (stopped.outcome.status, stopped.outcome.step) == ("stopped", 8)
    assert torch.equal(resume(tmp_path / "run").fitted.w(), expected)


def test_another_file_in_the_same_place_is_refused(whole: Path, tmp_path: Path) -> None:
    (tmp_path / "x.h5").write_bytes((whole / "x.h5").read_bytes())
    config = ConvseqConfig(epochs=3, width=40, stopping=StoppingConfig(patience=0))
    source = SpikeSource(str(tmp_path / "x.h5"))
    fit(config, source.open(config), tmp_path / "run", source=source)
    resume(tmp_path / "run")
    recording = source.read()
    write_spike_events(tmp_path / "x.h5", recording.shuffled(np.random.default_rng(0)))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"x\.h5: differs from the one the fit began with"):
        resume(tmp_path / "run")
    (tmp_path / "x.h5").unlink()
    with pytest.raises(FileNotFoundError, match=r"x\.h5: no such file"):
        resume(tmp_path / "run")


class Interrupting:
    """A reporter that asks the process to stop at the nth progress."""

    def __init__(self, at: int) -> None:
        self.left = at

    def progress(self, progress: object) -> None:
        self.left -= 1
        if self.left == 0:
            signal.raise_signal(signal.SIGINT)

    def note(self, text: str) -> None:
        pass


@pytest.fixture
def interrupts() -> Iterator[None]:
    """SIGINT as in a terminal; what a shell starts in the background begins with it ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("significance", ["crossfit", "surrogate"])
def test_the_trainings_of_a_detection_are_kept_stopped_and_resumed(
    whole: Path, tmp_path: Path, significance: str, interrupts: None
) -> None:
    config = ConvseqConfig(epochs=300, width=40, loss=LossConfig(total_variation=8.0), stopping=StoppingConfig(50, 3))
    source = SpikeSource(str(whole / "x.h5"))
    recording = source.read()
    fitted = fit(config, recording, tmp_path / "run", source=source).fitted
    search = DetectionConfig(
        significance=significance,  # type: ignore[arg-type]
        level=0.25, folds=3, shuffles=10, surrogates=3, null_filters=20,
    )  # fmt: skip
    with pytest.raises(KeyboardInterrupt):
        detect(fitted, recording, search, workdir=tmp_path / "run", reporter=Interrupting(1))
    reached = max((tmp_path / "run" / significance / "checkpoints").glob("*.json"))
    assert json.loads(reached.read_text())["step"] == 100
    a = detect(fitted, recording, search, workdir=tmp_path / "run", reporter=Interrupting(0)).detections
    trained = Interrupting(1)
    b = detect(fitted, recording, search, workdir=tmp_path / "run", reporter=trained).detections  # nothing is trained
    assert trained.left == 1
    c = detect(fitted, recording, search).detections  # in memory
    for other in (b, c):
        assert np.array_equal(a.statistic, other.statistic) and np.array_equal(a.time_bin, other.time_bin)
        assert np.array_equal(a.threshold, other.threshold) and np.array_equal(a.p_value, other.p_value)
