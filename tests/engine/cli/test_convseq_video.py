"""neurorbit convseq video: a film of the optimisation as .gif, and .mp4 where there is ffmpeg."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from neurorbit.engine.cli.main import main
from neurorbit.engine.data import read_spike_events
from neurorbit.engine.models.convseq.film import watch
from neurorbit.engine.models.convseq.fitted import load
from neurorbit.engine.plots.convseq_video import encoder

PLANT = ["--seqlen", "16", "--gap_ts", "100", "--jitter_std", "1", "--neurons", "20", "--steps", "900"]
SMALL = ["--width", "30", "--epochs", "30", "--loss.total-variation", "5", "--stopping.patience", "0"]
SMALL += ["--training.log-every", "5", "--device", "cpu", "--runs", "2", "--filters", "2", "--no-report"]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    assert main(["convseq", "simulate", *PLANT, "--rate_hz", "0.2", "--out", str(folder / "sim.npz")]) == 0
    words = ["--data", str(folder / "sim.npz"), "--workdir", str(folder / "run"), *SMALL]
    assert main(["convseq", "fit", *words]) == 0
    return folder / "run"


def video(*words: str | Path) -> int:
    return main(["convseq", "video", *map(str, words)])


def test_a_gif_with_a_frame_every_few_steps(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "film.gif"
    assert video("--workdir", run, "--out", out, "--every", "10") == 0
    assert capsys.readouterr().out == f"4 frames: {out}\n"
    with Image.open(out) as film:
        assert film.format == "GIF" and film.n_frames >= 4  # type: ignore[attr-defined]


def test_the_run_is_trained_again_as_it_was(run: Path) -> None:
    """Frames of the second run's second filter: from its start to its end, the loss is the one in metrics.csv."""
    fitted, recording = load(run), read_spike_events(run.parent / "sim.npz")
    film = watch(fitted, recording, run=1, every=1, sequence=1)
    assert film.steps.tolist() == list(range(31)) and film.w.shape == (31, 20, 30)
    assert np.allclose(film.w[0], fitted.initial_w()[1, 1], atol=1e-3)
    assert np.allclose(film.w[30], fitted.w()[1, 1], atol=1e-3) and not np.allclose(film.w[29], film.w[30], atol=1e-3)
    w = fitted.w().clone()
    w[1, 1] = torch.from_numpy(film.w[20].astype(np.float32))
    assert np.allclose(film.response[20], fitted.respond(recording, w)[1, 1], atol=2e-2)
    lines = [line.split(",") for line in (run / "metrics.csv").read_text().splitlines()]
    total = {int(x[0]): float(x[2]) + float(x[3]) for x in lines[1:] if x[1] == "1"}
    for step in range(5, 31, 5):
        assert film.loss[step - 5 : step].mean() == pytest.approx(total[step], rel=1e-4)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--out", "film.avi"], "film.avi: expected a name that ends in one of .mp4, .gif"),
        (["--out", "nowhere/film.gif"], "the folder nowhere does not exist; create it first"),
        (["--out", "film.mp4"], "film.mp4: needs ffmpeg, none found: pip install imageio-ffmpeg, or write .gif"),
        (["--every", "0"], "every: expected 1 or more, got 0"),
        (["--run", "2"], "run: expected 0 to 1, got 2"),
        (["--sequence", "2"], "sequence: expected 0 to 1, got 2"),
        (["--sequence", "-1"], "sequence: expected 0 to 1, got -1"),
        (["--workdir", "none"], "none: is not a run folder: config.json is missing"),
        (["--workdir", "plrnn"], "is not the configuration of a convSeq fit"),
        (["--loud"], "unknown setting '--loud'"),
    ],
)
def test_bad_input(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    words: list[str], message: str,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    Path("plrnn").mkdir()
    Path("plrnn/config.json").write_text('{"system": "plrnn", "format": 1, "config": {}, "data": {}}')
    assert video("--workdir", run, "--out", "film.gif", *words) == 2
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err.count("\n") == 1 and message in captured.err, captured.err
    assert not Path("film.gif").exists()


def has_ffmpeg() -> bool:
    try:
        return encoder("film.mp4") is not None
    except RuntimeError:
        return False


@pytest.mark.skipif(not has_ffmpeg(), reason="needs ffmpeg on PATH or imageio-ffmpeg")
def test_an_mp4(run: Path, tmp_path: Path) -> None:
    assert video("--workdir", run, "--out", tmp_path / "film.mp4", "--every", "10") == 0
    assert b"ftyp" in (tmp_path / "film.mp4").read_bytes()[:16]
