"""neurorbit simulate ring, torus, headdirection: the library's simulators, from a terminal."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from neurorbit.engine.cli.main import main
from neurorbit.engine.data import read_rates
from neurorbit.engine.simulate import as_spikes, head_direction, ring_attractor, torus_attractor, with_hidden

SHORT = ["--trials", "2", "--steps", "12", "--silent-steps", "5", "--seed", "3"]
SHORTLY: dict[str, Any] = {"n_trials": 2, "steps": 12, "silent_steps": 5, "seed": 3}


def simulate(*words: str | Path) -> int:
    return main(["simulate", *map(str, words)])


@pytest.mark.parametrize(
    ("system", "words", "generator", "settings"),
    [
        ("ring", ["--n", "20", "--mu", "0.5", "--alpha", "0.9"], ring_attractor, {"n": 20, "mu": 0.5, "alpha": 0.9}),
        ("torus", ["--side", "16", "--box", "2", "--turn-sd", "1", "--speed", ".3"], torus_attractor,
         {"side": 16, "box": 2.0, "turn_sd": 1.0, "speed": 0.3}),
        ("headdirection", ["--compass", "20", "--shifter", "10", "--offset", "0.5", "--observe-shifters"],
         head_direction, {"n_compass": 20, "n_shifter": 10, "offset_rad": 0.5, "observe_shifters": True}),
    ],
)  # fmt: skip
@pytest.mark.parametrize("ending", ["npz", "h5"])
def test_the_file_is_what_the_library_simulates(
    tmp_path: Path, system: str, words: list[str], generator: Callable[..., Any], settings: dict[str, Any], ending: str,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    out = tmp_path / f"a.{ending}"
    assert simulate(system, *SHORT, *words, "--noise", "0.05", "--dt_s", "0.02", "--out", out) == 0
    expected = generator(**SHORTLY, **settings, noise=0.05, dt_s=0.02)
    found = read_rates(out)
    assert found.fingerprint() == expected.fingerprint() and found.truth is not None and found.headings is not None
    assert np.array_equal(found.headings, expected.headings) and found.truth.settings == expected.truth.settings
    for word in ("W", "Wv", "W_in", "observed", "preferred", "population"):
        one, two = getattr(found.truth, word), getattr(expected.truth, word)
        assert (one is None and two is None) or np.array_equal(one, two), word
    n, inputs = expected.n_observed, "2 inputs" if system == "torus" else "1 input"
    assert capsys.readouterr().out == f"2 trials x 12 steps, {n} of {n} units, {inputs}: {out}\n"


def test_the_defaults_are_the_librarys(tmp_path: Path) -> None:
    for system, few, generator, fewer in (
        ("ring", ["--trials", "1", "--steps", "2"], ring_attractor, {"n_trials": 1, "steps": 2}),
        ("torus", ["--trials", "1", "--steps", "2"], torus_attractor, {"n_trials": 1, "steps": 2}),
        ("headdirection", ["--trials", "1", "--steps", "2"], head_direction, {"n_trials": 1, "steps": 2}),
    ):
        assert simulate(system, *few, "--out", tmp_path / "a.npz") == 0
        assert read_rates(tmp_path / "a.npz").fingerprint() == generator(**fewer).fingerprint(), system  # type: ignore


def test_spikes_and_unobserved_units(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "a.npz"
    assert simulate("ring", *SHORT, "--n", "20", "--spikes-hz", "30", "--unobserved", "0.4", "--out", out) == 0
    expected = as_spikes(with_hidden(ring_attractor(20, **SHORTLY), 0.4, 3), 30.0, 3)
    found = read_rates(out)
    assert found.kind == "spikes" and found.rate_hz == 30.0 and found.fingerprint() == expected.fingerprint()
    assert found.truth is not None and expected.truth is not None
    assert np.array_equal(found.truth.observed, expected.truth.observed)
    spikes = int(expected.activity.sum())
    assert capsys.readouterr().out == f"2 trials x 12 steps, 12 of 20 units, {spikes} spikes, 1 input: {out}\n"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["ring", "--n", "4"], "neurorbit simulate ring: n: expected 8 or more, got 4"),
        (["ring", "--trials", "0"], "n_trials: expected 1 or more, got 0"),
        (["ring", "--side", "20"], "unknown setting '--side' (see neurorbit simulate ring --help)"),
        (["ring", "--unobserved", "1"], "--unobserved: expected a share from 0 to below 1, got 1"),
        (["ring", "--n", "8", "--unobserved", "0.99"], "share: 0.99 hides all 8 units; leave at least one"),
        (["ring", "--spikes-hz", "0"], "--spikes-hz: expected a rate above 0, got 0"),
        (["torus", "--side", "12"], "neurorbit simulate torus: side: expected 16 or more, got 12"),
        (["torus", "--side", "100"], "side: expected at most 64, which is 4096 neurons, got 100"),
        (["headdirection", "--offset", "3"], "neurorbit simulate headdirection: offset_rad: expected an angle"),
        (["headdirection", "--out", "a.csv"], "a.csv: expected a name that ends in one of .npz, .h5, .hdf5"),
        (["headdirection", "--out", "nowhere/a.npz"], "nowhere does not exist; create it first"),
        (["cylinder", "--steps", "3"], "neurorbit simulate: system: expected one of lorenz63, "),
        (["cylinder", "--steps", "3"], "bursting, ring, torus, headdirection, decision, flipflop, ou, got 'cylinder'"),
        (["rng"], "got 'rng'; did you mean ring?"),
        (["--steps", "3", "ring"], "system: expected before the options: neurorbit simulate ring ..."),
    ],
)
def test_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    out = [] if "--out" in words else ["--out", "a.npz"]
    assert simulate(*words, *out) == 2
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err.count("\n") == 1 and message in captured.err, captured.err
    assert not list(tmp_path.iterdir())


def test_every_system_is_listed(capsys: pytest.CaptureFixture[str]) -> None:
    from neurorbit.engine.cli.main import COMMANDS
    from neurorbit.engine.simulate import SYSTEMS

    listed = []
    for words, code in ((["--help"], 0), (["--steps", "3", "-h"], 0), ([], 2)):
        assert simulate(*words) == code
        listed.append(capsys.readouterr().out)
    assert listed[0] == listed[1] == listed[2]
    lines = [line.split("  ")[1] for line in listed[0].splitlines() if line.startswith("  ")]
    assert {word for names in lines for word in names.split()} == {
        *SYSTEMS,
        *(n.split()[1] for n in COMMANDS if n.startswith("simulate ")),
    }
    assert main(["simulate", "lorenz63", "--help"]) == 0 and "--orbits" in capsys.readouterr().out


def test_the_system_may_follow_its_options(tmp_path: Path) -> None:
    assert simulate("--steps", "3", "rossler", "--out", tmp_path / "a.npy") == 0
    assert np.load(tmp_path / "a.npy").shape == (3, 3)
