"""The command line: every command, in process where a new interpreter is not the point."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from neurorbit.engine.cli.main import COMMANDS, main
from neurorbit.engine.simulate import lorenz63

SMALL = ["--runs", "2", "--model.hidden-dim", "6", "--training.batch-size", "2", "--training.sequence-length", "10"]
SMALL += ["--device", "cpu", "--training.log-every", "2", "--evaluation.steps", "200"]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    x = lorenz63(400, noise=0.05, seed=2)
    np.save(folder / "train.npy", x)
    np.save(folder / "test.npy", lorenz63(300, seed=8))
    np.savez(folder / "two.npz", x=x, u=np.ones((400, 1)))
    np.save(folder / "narrow.npy", x[:, :2])
    return folder


@pytest.fixture(scope="module")
def fitted(data: Path) -> Path:
    workdir = data / "fitted"
    code = main(["plrnn", "fit", "--data", str(data / "train.npy"), "--workdir", str(workdir), "--steps", "6", *SMALL])
    assert code == 0
    return workdir


def refused(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """The one line on stderr of a command that ends with exit code 2."""
    assert main(list(words)) == 2
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err.count("\n") == 1, captured.err
    return captured.err.strip()


def test_a_fit_leaves_a_whole_run_folder(fitted: Path) -> None:
    names = {p.name for p in fitted.iterdir()}
    assert {"config.json", "versions.json", "metrics.csv", "checkpoints", "best.safetensors", "lock"} <= names
    assert {"figures", "report.html"} <= names and len(list((fitted / "figures").glob("*.png"))) >= 4
    record = json.loads((fitted / "config.json").read_text())
    assert record["config"]["runs"] == 2 and record["config"]["model"]["hidden_dim"] == 6
    assert record["data"]["n_observed"] == 3
    assert [p.name for p in sorted((fitted / "checkpoints").iterdir())] == [
        "step_00000006.json",
        "step_00000006.safetensors",
    ]


def test_evaluate_prints_the_json_of_every_run(fitted: Path, data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plrnn", "evaluate", "--workdir", str(fitted), "--data", str(data / "test.npy"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert list(found) == ["runs", "diverged", "median", "mad", "variants"] and len(found["runs"]) == 2
    assert {"d_stsp", "d_h", "pe_20", "lyapunov_max"} <= set(found["runs"][0])
    assert "gtf2023" in found["variants"]["d_stsp"]
    assert main(["plrnn", "evaluate", "--workdir", str(fitted), "--data", str(data / "test.npy")]) == 0
    table = capsys.readouterr().out
    assert "lyapunov_max" in table and "median" in table


def test_generate_writes_orbits(fitted: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["plrnn", "generate", "--workdir", str(fitted), "--steps", "7", "--data", str(data / "test.npy")]
    assert main([*words, "--out", str(tmp_path / "all.npy"), "--all-runs"]) == 0
    assert main([*words, "--out", str(tmp_path / "one.csv"), "--run", "1"]) == 0
    every, one = np.load(tmp_path / "all.npy"), np.loadtxt(tmp_path / "one.csv", delimiter=",", skiprows=1)
    assert every.shape == (2, 7, 3)
    np.testing.assert_allclose(one, every[1], rtol=1e-5)
    assert "[7, 3] written to" in capsys.readouterr().out
    assert "run: expected 0 to 1, got 2" in refused(capsys, *words, "--out", str(tmp_path / "x.npy"), "--run", "2")
    if not torch.cuda.is_available():
        said = refused(capsys, *words, "--out", str(tmp_path / "x.npy"), "--device", "cuda")
        assert "device: cuda was asked for, but torch finds no CUDA device" in said


def test_simulate_is_the_library_function(tmp_path: Path) -> None:
    out = tmp_path / "x.npy"
    assert main(["simulate", "lorenz63", "--steps", "50", "--noise", "0.05", "--seed", "4", "--out", str(out)]) == 0
    np.testing.assert_array_equal(np.load(out), lorenz63(50, noise=0.05, seed=4))
    assert main(["simulate", "rossler", "--steps", "5", "--orbits", "3", "--out", str(out)]) == 0
    assert np.load(out).shape == (3, 5, 3)


def test_info_names_the_backends(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info"]) == 0
    out = capsys.readouterr().out
    assert re.search(r"rollout_plrnn\W+numba\W+triton", out) and "torch" in out


def test_a_preset_sets_defaults_and_single_settings_win(data: Path, tmp_path: Path) -> None:
    words = ["plrnn", "fit", "--data", str(data / "two.npz"), "--key", "x", "--inputs-key", "u", "--workdir"]
    words += [
        str(tmp_path / "run"),
        "--preset",
        "ecg",
        "--steps",
        "2",
        *SMALL,
        "--forcing.alpha",
        "0.25",
        "--no-report",
    ]
    words += ["--grid.learning-rate", "1e-3", "3e-4"]
    assert main(words) == 0
    config = json.loads((tmp_path / "run" / "config.json").read_text())["config"]
    assert (config["model"]["observation"], config["model"]["latent_dim"]) == ("affine", 5)
    assert (config["forcing"]["alpha"], config["regularisation"]["observation"]) == (0.25, 1e-7)
    assert config["model"]["hidden_dim"] == 6 and config["grid"]["learning_rate"] == [1e-3, 3e-4]
    rows = (tmp_path / "run" / "metrics.csv").read_text().splitlines()
    assert len(rows) == 1 + 4 and not (tmp_path / "run" / "report.html").exists()


BAD: list[tuple[list[str], str]] = [
    (["--forcing.strength", "3"], "unknown setting '--forcing.strength'"),
    (["--steps", "many"], "--steps: invalid literal"),
    (["--model.cell", "lstm"], "--model.cell: invalid choice: 'lstm'"),
    (["--preset", "eggs"], "--preset: expected one of lorenz63, ecg, eeg, fmri, got 'eggs'"),
    (["--forcing.alpha", "1.5"], "forcing.alpha: expected 0 to 1, got 1.5"),
    (["--grid.alpha", "0.5", "-1"], "alpha"),
    (["--training.sequence-length", "400"], "training.sequence_length: expected at most 399"),
    (["--model.latent-dim", "2"], "latent_dim: expected at least N=3"),
    (["--data", "none.npy"], "none.npy: no such file"),
    (["--key", "y"], "key"),
    (["--workdir", "/proc/none/run"], "workdir /proc/none/run: could not be made"),
    (["--validation", "narrow"], "validation: expected N=3, U=0"),
]


@pytest.mark.parametrize(("words", "message"), BAD, ids=[" ".join(w) for w, _ in BAD])
def test_bad_settings(
    words: list[str], message: str, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [str(data / "narrow.npy") if w == "narrow" else w for w in words]
    base = [
        "plrnn",
        "fit",
        "--data",
        str(data / "train.npy"),
        "--workdir",
        str(tmp_path / "run"),
        "--steps",
        "2",
        *SMALL,
    ]
    base = [w for i, w in enumerate(base) if w not in words[::2] and (i == 0 or base[i - 1] not in words[::2])]
    assert message in refused(capsys, *base, *words)
    assert list(tmp_path.iterdir()) == []


def test_bad_data(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    x = np.load(data / "train.npy")
    nan_column, infinite, constant = x.copy(), x.copy(), x.copy()
    nan_column[:, 1], infinite[4, 2], constant[:, 0] = np.nan, np.inf, 3.0
    arrays = {"rank": x[:, 0], "half": x.astype(np.float16), "complex": x + 1j, "nan": nan_column, "inf": infinite}
    arrays |= {"constant": constant}
    for name, array in arrays.items():
        np.save(tmp_path / f"{name}.npy", array)
    np.save(tmp_path / "pickle.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with h5py.File(tmp_path / "keys.h5", "w") as file:
        file["a"], file["b"] = x, x
    (tmp_path / "cut.npy").write_bytes((data / "train.npy").read_bytes()[:300])
    before = {p.name for p in tmp_path.iterdir()}
    said = {}
    for path in sorted(tmp_path.iterdir()):
        words = ["plrnn", "fit", "--data", str(path), "--workdir", str(tmp_path / "run"), "--steps", "2", *SMALL]
        said[path.stem] = refused(capsys, *words)
    for name, word in {"half": "float16", "complex": "complex", "nan": "NaN", "inf": "infinite", "pickle": "pickle",
                       "constant": "constant", "keys": "key", "rank": "[T, N]", "cut": "cut"}.items():  # fmt: skip
        assert (word in said[name] and str(tmp_path) in said[name]) or name == "constant", said[name]
    assert {p.name for p in tmp_path.iterdir()} == before


def test_what_does_not_fit_the_run_folder(
    fitted: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    evaluate = ["plrnn", "evaluate", "--workdir", str(fitted), "--data"]
    assert "expected N=3 variables as in the fit, got N=2" in refused(capsys, *evaluate, str(data / "narrow.npy"))
    assert "is not a run folder" in refused(capsys, "plrnn", "resume", "--workdir", str(tmp_path))
    again = ["plrnn", "fit", "--data", str(data / "train.npy"), "--workdir", str(fitted), "--steps", "2", *SMALL]
    assert "already holds a run: resume it" in refused(capsys, *again)
    assert "unknown command 'plrnn fti'" in refused(capsys, "plrnn", "fti")
    assert "--steps" in refused(capsys, "plrnn", "generate", "--workdir", str(fitted), "--out", str(tmp_path / "x.npy"))


def test_every_command_has_help_and_a_debug_switch(capsys: pytest.CaptureFixture[str]) -> None:
    for name in COMMANDS:
        assert main([*name.split(), "--help"]) == 0
        assert f"usage: neurorbit {name}" in capsys.readouterr().out
    assert main(["--help"]) == 0
    listed = capsys.readouterr().out
    assert all(n in listed for n in COMMANDS)
    with pytest.raises(FileNotFoundError):
        main(["plrnn", "resume", "--workdir", "none", "--debug"])


def command(*words: str) -> list[str]:
    return [sys.executable, "-m", "neurorbit.engine.cli.main", *words]


def test_help_comes_without_torch() -> None:
    code = "import sys; from neurorbit.engine.cli.main import main; main(['plrnn', 'fit', '--help'])"
    code += "; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.endswith("False\n") and "--model.latent-dim" in done.stdout


def test_a_signal_saves_and_the_second_process_is_refused(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    workdir = tmp_path / "run"
    words = ["plrnn", "fit", "--data", str(data / "train.npy"), "--workdir", str(workdir), "--steps", "1000000", *SMALL]
    process = subprocess.Popen(command(*words, "--training.checkpoint-every", "5"), stderr=subprocess.PIPE, text=True)
    end = time.monotonic() + 120
    while not list(workdir.glob("checkpoints/*.json")):
        assert process.poll() is None and time.monotonic() < end
        time.sleep(0.02)
    assert f"in use by process {process.pid}" in refused(capsys, "plrnn", "resume", "--workdir", str(workdir))
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate()
    assert process.returncode == 128 + signal.SIGTERM
    assert re.fullmatch(
        rf"stopped by SIGTERM at step \d+, saved; continue with: neurorbit plrnn resume --workdir {workdir}\n", errors
    )


FULL_DISK = """
import contextlib, io, resource, sys
from neurorbit.engine.cli.main import main
words, first = sys.argv[1:], sys.argv[1:]
first[first.index("--workdir") + 1] += "_before"
with contextlib.redirect_stderr(io.StringIO()):
    assert main([*first, "--no-report"]) == 0  # what a fit compiles is stored before the disk is full
resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000))
sys.exit(main(words))
"""


def test_a_full_disk_ends_in_one_line_and_loses_nothing(data: Path, tmp_path: Path) -> None:
    workdir = tmp_path / "run"
    words = ["plrnn", "fit", "--data", str(data / "train.npy"), "--workdir", str(workdir), "--steps", "20", *SMALL]
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run([sys.executable, "-c", FULL_DISK, *words], capture_output=True, text=True, env=environment)
    assert done.returncode == 2, done.stderr
    assert done.stderr.count("\n") == 1 and "could not be written (File too large" in done.stderr
    assert not [p for p in workdir.rglob("*") if p.name.endswith(".tmp")]
    assert json.loads((workdir / "config.json").read_text())["system"] == "plrnn"
    assert main(["plrnn", "resume", "--workdir", str(workdir), "--no-report"]) == 0


def test_demo_writes_a_report_with_its_figures_inside(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["demo", "--workdir", str(tmp_path / "demo"), "--minutes", "0.001", "--runs", "2", "--device", "cpu"]
    assert main([*words, "--systems", "plrnn"]) == 0
    out = capsys.readouterr().out
    assert "0.906" in out and "lyapunov_max" in out and "report.html" in out
    page = (tmp_path / "demo" / "report.html").read_text()
    assert page.count("data:image/png;base64,") >= 5 and "://" not in page.split("</style>")[1]


def test_demo_refuses_a_system_that_is_not_one(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    said = refused(capsys, "demo", "--workdir", str(tmp_path / "demo"), "--systems", "plrn")
    assert "plrn" in said and not (tmp_path / "demo").exists()


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ({}, "passive 1000"),
        ({"OMP_WAIT_POLICY": "active"}, "active None"),
        ({"GOMP_SPINCOUNT": "7"}, "passive 7"),
    ],
)
def test_threads_of_a_command_wait_briefly_unless_told_otherwise(given: dict[str, str], found: str) -> None:
    environment = {k: v for k, v in os.environ.items() if k not in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")} | given
    program = "import os, sys; from neurorbit.engine.cli.main import main; sys.argv = ['neurorbit', 'info']; main()"
    program += "; print('waits', os.environ['OMP_WAIT_POLICY'], os.environ.get('GOMP_SPINCOUNT'))"
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == f"waits {found}"


def test_main_from_python_leaves_the_environment_alone(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    assert main(["info"]) == 0
    assert "OMP_WAIT_POLICY" not in os.environ
    assert "numba" in capsys.readouterr().out


def test_too_much_memory_is_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def ask(arguments: list[str], prog: str) -> int:
        np.empty(2**50)
        return 0

    monkeypatch.setattr("neurorbit.engine.cli.info.main", ask)
    assert main(["info"]) == 2
    assert re.fullmatch(r"neurorbit info: Unable to allocate .*\n", capsys.readouterr().err)
