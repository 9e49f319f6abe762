"""Fits: ensembles equal their members alone, losses fall, grids, shapes, results that load again."""

import csv
import dataclasses
import json
import re
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch

from neurorbit.engine.data import TimeSeries, WindowSampler
from neurorbit.engine.models.plrnn import (
    EvaluationConfig,
    ForcingConfig,
    GridConfig,
    ModelConfig,
    PlrnnConfig,
    RegularisationConfig,
    evaluate_runs,
    fit,
    load,
    resume,
)
from neurorbit.engine.models.plrnn.config import Estimator
from neurorbit.engine.models.plrnn.fitted import generate_runs
from neurorbit.engine.models.plrnn.members import GRID
from neurorbit.engine.simulate import lorenz63
from neurorbit.engine.training.config import TrainingConfig
from neurorbit.engine.training.progress import Progress

LORENZ = lorenz63(1200, noise=0.02, seed=3)
SERIES = TimeSeries.from_arrays(LORENZ)


def config(steps: int = 12, runs: int = 2, **sections: Any) -> PlrnnConfig:
    training = TrainingConfig(batch_size=3, sequence_length=15, batches_per_epoch=4, log_every=4, checkpoint_every=6)
    base = PlrnnConfig(
        steps=steps,
        runs=runs,
        device="cpu",
        model=ModelConfig(hidden_dim=8),
        training=training,
        evaluation=EvaluationConfig(every_epochs=0),
    )
    return dataclasses.replace(base, **sections)


def with_training(c: PlrnnConfig, **changes: Any) -> PlrnnConfig:
    return dataclasses.replace(c, training=dataclasses.replace(c.training, **changes))


def last(workdir: Path) -> dict[str, torch.Tensor]:
    [fitted] = load(workdir, state="last")
    return dict(fitted.model.named_parameters())


VARIANTS: dict[str, PlrnnConfig] = {
    "adaptive": config(forcing=ForcingConfig(alpha=0.6, adaptive="product_upper_bound", adapt_every=2)),
    "decaying alpha": config(forcing=ForcingConfig(alpha=0.6, alpha_final=0.1)),
    "noise, clipping, penalties": with_training(
        config(regularisation=RegularisationConfig(latent=1e-3, manifold=0.1, stability=0.1)),
        observation_noise=0.1,
        gradient_clip=0.5,
    ),
    "affine": config(
        model=ModelConfig(latent_dim=4, hidden_dim=8, observation="affine", observation_bias=True),
        regularisation=RegularisationConfig(observation=1e-3),
    ),
    "dendritic, hidden states": config(model=ModelConfig(cell="dendritic", latent_dim=5)),
    "alrnn, sparse": config(model=ModelConfig(cell="alrnn", latent_dim=5), forcing=ForcingConfig(alpha=1, interval=4)),
}


@pytest.mark.parametrize("name", VARIANTS)
def test_a_model_of_an_ensemble_trains_as_it_would_alone(name: str, tmp_path: Path) -> None:
    c = dataclasses.replace(VARIANTS[name], runs=3, seed=5)
    fit(c, SERIES, tmp_path / "three")
    fit(dataclasses.replace(c, runs=1, seed=6), SERIES, tmp_path / "one")
    alone = last(tmp_path / "one")
    for parameter, values in last(tmp_path / "three").items():
        torch.testing.assert_close(values[1], alone[parameter][0], rtol=1e-4, atol=1e-5)
    assert not torch.equal(values[0], values[1])


def test_a_member_of_a_grid_trains_as_with_its_settings_alone(tmp_path: Path) -> None:
    grid = GridConfig(learning_rate=(1e-3, 1e-2), alpha=(0.0, 0.5), interval=(1, 3), latent=(0.0, 0.1))
    c = config(runs=2, grid=grid, seed=1)
    found = fit(c, SERIES, tmp_path / "grid").fitted[0].members
    assert len(found) == 32 and [m.seed for m in found[:4]] == [1, 2, 1, 2]
    assert len({tuple(m.settings.items()) for m in found}) == 16
    at = next(m for m in found if m.seed == 2 and tuple(m.settings[n] for n in grid_names()) == (1e-2, 0.5, 3, 0.1))
    alone = config(
        runs=1, seed=2, forcing=ForcingConfig(alpha=0.5, interval=3), regularisation=RegularisationConfig(latent=0.1)
    )
    fit(with_training(alone, learning_rate=1e-2), SERIES, tmp_path / "one")
    one = last(tmp_path / "one")
    for parameter, values in last(tmp_path / "grid").items():
        torch.testing.assert_close(values[at.run], one[parameter][0], rtol=1e-4, atol=1e-5)
    varied = "training.learning_rate 0.01, forcing.alpha 0.5, forcing.interval 3, regularisation.latent 0.1"
    assert at.label == f"run 31 (seed 2, {varied})"


def test_alpha_decays_per_epoch_from_each_model_s_own_to_the_final_one(tmp_path: Path) -> None:
    forcing = ForcingConfig(alpha=0.5, alpha_final=0.005)
    fit(config(runs=1, forcing=forcing, grid=GridConfig(alpha=(0.5, 0.02))), SERIES, tmp_path)  # 3 epochs
    with (tmp_path / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    for run, expected in (("0", [0.5, 0.05, 0.005]), ("1", [0.02, 0.01, 0.005])):
        assert [float(r["forcing_alpha"]) for r in rows if r["run"] == run] == pytest.approx(expected, rel=1e-6)


def test_resumed_within_an_epoch_a_decaying_alpha_goes_on_as_it_was(tmp_path: Path) -> None:
    fit(config(forcing=ForcingConfig(alpha=0.5, alpha_final=0.05)), SERIES, tmp_path)
    whole, metrics = last(tmp_path), (tmp_path / "metrics.csv").read_bytes()
    for file in (tmp_path / "checkpoints").glob("step_00000012.*"):
        file.unlink()  # back to step 6, in the second of three epochs
    resume(tmp_path, series=SERIES)
    assert (tmp_path / "metrics.csv").read_bytes() == metrics
    assert all(torch.equal(value, whole[name]) for name, value in last(tmp_path).items())


@pytest.mark.parametrize(
    ("forcing", "message"),
    [
        (ForcingConfig(alpha_final=1.5), "forcing.alpha_final: expected 0 to 1, got 1.5"),
        (ForcingConfig(alpha=0, alpha_final=0.1), "forcing.alpha: expected > 0 with an alpha_final, got 0"),
        (
            ForcingConfig(alpha_final=0.1, adaptive="explog"),
            "forcing.alpha_final: expected 0 with forcing.adaptive explog, got 0.1: choose one",
        ),
    ],
)
def test_a_schedule_of_alpha_that_contradicts_itself_is_refused(forcing: ForcingConfig, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        config(forcing=forcing).check()


@pytest.mark.parametrize("adaptive", ["off", *get_args(Estimator)[1:]])
@pytest.mark.parametrize("observation", ["identity", "affine"])
def test_a_member_with_an_absurd_rate_diverges_alone(observation: str, adaptive: str, tmp_path: Path) -> None:
    c = config(
        runs=1,
        model=ModelConfig(cell="shallow", hidden_dim=8, observation=observation),  # type: ignore[arg-type]
        forcing=ForcingConfig(alpha=0.1, adaptive=adaptive, adapt_every=1),  # type: ignore[arg-type]
    )
    notes: dict[str, list[str]] = {}
    for name, rate in (("sane", 1e-3), ("absurd", 1e38)):
        listener = Listener()
        grid = dataclasses.replace(c, grid=GridConfig(learning_rate=(1e-2, rate)))
        assert fit(grid, SERIES, tmp_path / name, reporter=listener).status == "finished"
        notes[name] = listener.notes
    sane, absurd = last(tmp_path / "sane"), last(tmp_path / "absurd")
    for parameter, values in absurd.items():
        assert torch.equal(values[0], sane[parameter][0]) and bool(values.isfinite().all()), parameter
    assert notes["sane"] == [] and len(notes["absurd"]) == 1
    assert notes["absurd"][0].startswith("run 1 (seed 0, training.learning_rate 1e+38) stopped at step")


def test_a_diverging_model_names_the_window() -> None:
    huge = np.full((200, 3), 1e25, dtype=np.float32)  # its square is no float32
    series = TimeSeries.from_arrays([LORENZ[:200], huge])
    huge_at_100 = TimeSeries.from_arrays([LORENZ[:200], np.concatenate([LORENZ[200:300], huge[:100]])])
    for data, least in ((series, 0), (huge_at_100, 100 - 15)):
        listener = Listener()
        fit(dataclasses.replace(config(runs=1), standardise=False), data, reporter=listener)
        [note] = listener.notes
        found = re.search(r"step (\d+): its loss is not finite in the window from row (\d+) of sequence 1 \((\d)", note)
        assert found is not None, note
        step, row, n_bad = map(int, found.groups())
        windows = WindowSampler(data, 16, 3, [0]).draw(step).x[0]
        bad = (windows > 1e20).any(-1).any(-1)
        assert n_bad == int(bad.sum()) and row >= least
        assert torch.equal(data.values[1][row : row + 16], windows[bad][0])


@pytest.mark.parametrize("data", [LORENZ[:15], [LORENZ, LORENZ[:15]]])
def test_a_window_longer_than_the_data_names_its_setting(data: Any) -> None:
    with pytest.raises(ValueError, match=r"training\.sequence_length: expected at most 14, .* 15, got 15$"):
        fit(config(), TimeSeries.from_arrays(data))
    with pytest.raises(ValueError, match=r"training\.sequence_length: .*transpose"):
        fit(config(), TimeSeries.from_arrays(LORENZ[:400].T))


class Listener:
    def __init__(self) -> None:
        self.notes: list[str] = []

    def progress(self, progress: Progress) -> None:
        pass

    def note(self, text: str) -> None:
        self.notes.append(text)


def grid_names() -> tuple[str, ...]:
    return ("learning_rate", "alpha", "interval", "latent")


def test_settings_that_change_shapes_get_a_folder_each(tmp_path: Path) -> None:
    c = config(steps=4, grid=GridConfig(hidden_dim=(4, 6), sequence_length=(5, 7), alpha=(0.1, 0.2)))
    sizes = [(s.model.hidden_dim, s.training.sequence_length) for s in GRID.shapes(c)]
    assert sizes == [(4, 5), (4, 7), (6, 5), (6, 7)]
    found = fit(c, SERIES, tmp_path)
    assert len(found.fitted) == 4 and found.status == "finished"
    fits = load(tmp_path)
    assert [f.model.W1.shape for f in fits] == [(4, 3, 4)] * 2 + [(4, 3, 6)] * 2
    report = evaluate_runs(fits, SERIES, measures=("pe",))
    assert len(report["runs"]) == 16
    assert report["runs"][13]["settings"] == {"alpha": 0.1, "hidden_dim": 6, "sequence_length": 7}
    assert generate_runs(fits, 5, run="all").shape == (16, 5, 3)
    assert resume(tmp_path, series=SERIES).status == "finished"


def test_the_loss_falls_and_the_prediction_beats_standing_still(tmp_path: Path) -> None:
    c = config(steps=1200, model=ModelConfig(hidden_dim=30), forcing=ForcingConfig(alpha=0.2))
    c = with_training(c, learning_rate=3e-2, learning_rate_final=1e-4, log_every=100)
    series = TimeSeries.from_arrays(lorenz63(1200, noise=0.02, seed=5))
    [fitted] = fit(c, series, tmp_path).fitted
    rows = [line.split(",") for line in (tmp_path / "metrics.csv").read_text().splitlines()]
    losses = {int(r[0]): float(r[2]) for r in rows[1:] if r[1] == "0"}
    assert losses[1200] < 0.1 * losses[100]
    test = TimeSeries.from_arrays(lorenz63(600, seed=9))
    x = fitted.standardiser.apply(test.longest())
    still = float((x[5:] - x[:-5]).square().mean())
    found = fitted.measures(test, measures=("pe",), n_ahead=5)["pe_5"]
    assert (found < 0.2 * still).all()


def test_measures_are_logged_and_the_best_state_kept(tmp_path: Path) -> None:
    c = config(steps=12, evaluation=EvaluationConfig(every_epochs=1, steps=300, dt=0.01))
    fit(c, SERIES, tmp_path)
    lines = (tmp_path / "metrics.csv").read_text().splitlines()
    assert lines[0] == "step,run,loss,gradient_norm,learning_rate,forcing_alpha,d_stsp,d_h,pe_20"
    values = np.array([[float(cell or "nan") for cell in line.split(",")] for line in lines[1:]])
    assert values.shape == (6, 9) and values[:, 8].min() > 0
    [best], [final] = load(tmp_path), load(tmp_path, state="last")
    measured = values[values[:, 1] == 0, 6]
    assert float(best.best_value[0]) == pytest.approx(np.nanmin(measured), rel=1e-5)
    differs = not torch.equal(best.model.A[0], final.model.A[0])
    assert differs == bool(np.nanargmin(measured) != 2)
    report = json.loads(json.dumps(evaluate_runs([best], SERIES), allow_nan=False))
    assert set(report) == {"runs", "diverged", "median", "mad", "variants"}
    assert set(report["median"]) == set(report["mad"]) == {"d_stsp", "d_h", "pe_20", "lyapunov_max"}
    pes = [run["pe_20"] for run in report["runs"]]
    assert report["median"]["pe_20"] == pytest.approx(np.median(pes))
    assert report["mad"]["pe_20"] == pytest.approx(np.median(np.abs(pes - np.median(pes))))


def test_orbits_come_in_the_units_of_the_data(tmp_path: Path) -> None:
    moved = TimeSeries.from_arrays(LORENZ * [1, 100, 0.01] + [1000, 0, -5])
    for name, series in (("plain", SERIES), ("moved", moved)):
        fit(config(), series, tmp_path / name)
    [plain], [other] = load(tmp_path / "plain"), load(tmp_path / "moved")
    x0 = LORENZ[17]
    expected = plain.generate(8, x0=x0).numpy() * [1, 100, 0.01] + [1000, 0, -5]
    np.testing.assert_allclose(
        other.generate(8, x0=x0 * [1, 100, 0.01] + [1000, 0, -5]), expected, rtol=1e-3, atol=1e-3
    )
    first = plain.generate(3)  # from the first row of the training data
    np.testing.assert_allclose(first, plain.generate(3, x0=LORENZ[0]), rtol=1e-4, atol=1e-4)
    one = generate_runs([plain], 6, run=1, series=SERIES)
    np.testing.assert_allclose(one, plain.generate(6, x0=LORENZ[0])[1], rtol=1e-4, atol=1e-4)


def test_inputs_lists_and_missing_values(tmp_path: Path) -> None:
    g = np.random.default_rng(0)
    x = [g.normal(size=(n, 2)) for n in (40, 25)]
    u = [g.normal(size=(n, 1)) for n in (40, 25)]
    x[0][5, 1] = np.nan
    series = TimeSeries.from_arrays(x, u)
    found = fit(config(model=ModelConfig(latent_dim=3, hidden_dim=5)), series, tmp_path)
    [fitted] = found.fitted
    assert all(bool(p.isfinite().all()) for p in fitted.model.parameters()) and fitted.model.C.shape == (2, 3, 1)
    assert generate_runs([fitted], 30, series=series).shape == (30, 2)
    with pytest.raises(ValueError, match="at most 39, the inputs"):
        generate_runs([fitted], 50, series=series)
    with pytest.raises(ValueError, match="needed for its inputs"):
        generate_runs([fitted], 5)


def test_an_interval_of_zero_is_estimated(tmp_path: Path) -> None:
    time = np.arange(600)
    series = TimeSeries.from_arrays(np.stack([np.sin(time / 8), np.cos(time / 8)], 1))
    found = fit(
        config(steps=2, model=ModelConfig(latent_dim=2), forcing=ForcingConfig(alpha=1, interval=0)), series, tmp_path
    )
    interval = found.fitted[0].config.forcing.interval
    assert interval in (24, 25, 26)  # half of the period of 16 pi
    assert GRID.members(found.fitted[0].config)[0].settings["interval"] == interval


def test_nothing_is_left_of_a_fit_that_could_not_begin(tmp_path: Path) -> None:
    cases: list[tuple[PlrnnConfig, TimeSeries, str]] = [
        (config(), TimeSeries.from_arrays(LORENZ[:10]), r"training\.sequence_length: expected at most 9"),
        (config(forcing=ForcingConfig(alpha=2)), SERIES, r"forcing\.alpha"),
        (config(grid=GridConfig(alpha=(0.5, 2.0))), SERIES, r"forcing\.alpha"),
        (config(model=ModelConfig(latent_dim=2)), SERIES, "latent_dim: expected at least N=3"),
        (config(), TimeSeries.from_arrays(LORENZ * [1, 0, 1]), "variable 1 is constant"),
    ]
    for k, (c, series, message) in enumerate(cases):
        with pytest.raises(ValueError, match=message):
            fit(c, series, tmp_path / str(k))
    with pytest.raises(ValueError, match="validation: expected N=3"):
        fit(config(), SERIES, tmp_path / "v", validation=TimeSeries.from_arrays(LORENZ[:, :2]))
    assert list(tmp_path.iterdir()) == []


def test_other_data_are_refused(tmp_path: Path) -> None:
    [fitted] = fit(config(steps=4), SERIES, tmp_path).fitted
    with pytest.raises(ValueError, match="expected N=3 variables as in the fit, got N=2"):
        evaluate_runs([fitted], TimeSeries.from_arrays(LORENZ[:, :2]))
    with pytest.raises(ValueError, match="differ from the data the fit began with"):
        resume(tmp_path, series=TimeSeries.from_arrays(LORENZ + 1e-3))
    with pytest.raises(ValueError, match="given arrays, not a file"):
        resume(tmp_path)


def test_test_data_shorter_than_the_prediction_are_refused(tmp_path: Path) -> None:
    [fitted] = fit(config(steps=4), SERIES).fitted
    with pytest.raises(ValueError, match="data: expected more than 20 rows for pe_20, got 20"):
        evaluate_runs([fitted], TimeSeries.from_arrays(LORENZ[:20]))


def test_rows_with_gaps_are_counted() -> None:
    [fitted] = fit(config(steps=4), SERIES).fitted
    x = LORENZ[:300].copy()
    assert "dropped_rows" not in evaluate_runs([fitted], TimeSeries.from_arrays(x))
    x[5:12, 1] = np.nan
    assert evaluate_runs([fitted], TimeSeries.from_arrays(x))["dropped_rows"] == 7


def test_a_grid_has_a_median_for_each_of_its_settings() -> None:
    grid = GridConfig(alpha=(0.1, 0.4), hidden_dim=(4, 5))
    fits = fit(config(steps=4, runs=3, grid=grid), SERIES).fitted
    found = evaluate_runs(fits, TimeSeries.from_arrays(LORENZ[:300]), lyapunov_steps=50)
    settings = [g["settings"] for g in found["by_settings"]]
    assert settings == [{"alpha": a, "hidden_dim": h} for h in (4, 5) for a in (0.1, 0.4)]
    for k, group in enumerate(found["by_settings"]):
        values = [r["pe_20"] for r in found["runs"][3 * k : 3 * k + 3]]
        assert group["runs"] == 3 and group["median"]["pe_20"] == np.median(values)
        assert group["mad"]["pe_20"] == pytest.approx(np.median(np.abs(values - np.median(values))))


def test_large_inputs_are_pointed_out(caplog: pytest.LogCaptureFixture) -> None:
    u = np.stack([np.linspace(-1, 1, len(LORENZ)), np.linspace(0, 50, len(LORENZ))], 1)
    fit(config(steps=2), TimeSeries.from_arrays(LORENZ, u / 50))
    assert caplog.messages == []
    fit(config(steps=2), TimeSeries.from_arrays(LORENZ, u))
    assert [m for m in caplog.messages if m.startswith("inputs: variable 1 reaches 50; inputs enter the model as they")]


def test_damaged_folders_are_named(tmp_path: Path) -> None:
    fit(config(steps=12), SERIES, tmp_path)
    best = tmp_path / "best.safetensors"
    content = best.read_bytes()
    for damaged in (content[: len(content) // 2], content[:-20] + bytes([content[-20] ^ 1]) + content[-19:]):
        best.write_bytes(damaged)
        with pytest.raises(ValueError, match=r"best\.safetensors: .*was cut or edited.*: resume the fit"):
            load(tmp_path)
        resume(tmp_path, series=SERIES)
        assert best.read_bytes() == content
    settings = json.loads((tmp_path / "config.json").read_text())
    settings["config"]["model"]["hidden_dim"] = 9
    (tmp_path / "config.json").write_text(json.dumps(settings))
    with pytest.raises(ValueError, match=r"config\.json"):
        load(tmp_path, state="last")
    with pytest.raises(ValueError, match=r"config\.json was edited"):
        resume(tmp_path, series=SERIES)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(ValueError, match=r"config\.json: is not JSON"):
        load(tmp_path)


def test_without_a_folder_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    before = torch.random.get_rng_state()
    [fitted] = fit(config(steps=4), SERIES).fitted
    fit(config(steps=4), SERIES, tmp_path / "run")
    assert [p.name for p in tmp_path.iterdir()] == ["run"]
    assert torch.equal(fitted.model.W1, load(tmp_path / "run")[0].model.W1)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_runs_that_diverged_are_named_and_left_out_of_the_medians() -> None:
    [fitted] = fit(config(runs=3), SERIES).fitted
    kept = dataclasses.replace(fitted, best_value=torch.tensor([0.1, 0.3, 0.2]))
    assert kept.diverged.tolist() == [False] * 3 and kept.best_run == 0
    lost = dataclasses.replace(kept, diverged=torch.tensor([True, False, False]))
    found = evaluate_runs([lost], SERIES, measures=("d_h", "pe"))
    assert found["diverged"] == [0] and lost.best_run == 2
    assert len(found["runs"]) == 3 and found["runs"][0]["d_h"] is not None
    for name in ("d_h", "pe_20"):
        second, third = (found["runs"][e][name] for e in (1, 2))
        assert found["median"][name] == pytest.approx((second + third) / 2)
        assert found["mad"][name] == pytest.approx(abs(second - third) / 2)
    assert torch.equal(generate_runs([lost], 4), generate_runs([lost], 4, run=2))
    other = dataclasses.replace(kept, best_value=torch.tensor([0.05, 0.4, 0.4]))
    gone = dataclasses.replace(other, diverged=torch.ones(3, dtype=torch.bool))
    assert torch.equal(generate_runs([gone, lost], 4), generate_runs([gone, lost], 4, run=5))
    for ask in (lambda: evaluate_runs([gone], SERIES), lambda: generate_runs([gone], 4), lambda: gone.best_run):
        with pytest.raises(ValueError, match="every run diverged in training, so there is nothing to measure"):
            ask()
