"""Identifications: ensembles equal their members alone, grids, shapes, spikes, gaps, and every kind of bad input."""

import csv
import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from neurorbit.engine.data.rate_trials import RateTrials
from neurorbit.engine.models.identification import (
    PRESETS,
    GridConfig,
    IdentificationConfig,
    LossConfig,
    NetworkConfig,
    WindowConfig,
    fit,
    load,
    resume,
)
from neurorbit.engine.models.identification.members import GRID
from neurorbit.engine.models.identification.objective import SHARE_OF_COUNTS
from neurorbit.engine.models.identification.prepared import find_scaling, start_rates
from neurorbit.engine.simulate.network_spikes import as_spikes
from neurorbit.engine.simulate.ring_attractor import ring_attractor

RING = ring_attractor(16, n_trials=4, steps=60, silent_steps=60, seed=1, sigma=6.0)
SPIKES = as_spikes(RING, 200.0, seed=2)


def config(steps: int = 12, runs: int = 2, **changes: Any) -> IdentificationConfig:
    training = WindowConfig(batch_size=3, sequence_length=10, batches_per_epoch=4, log_every=4, checkpoint_every=6)
    base = IdentificationConfig(
        steps=steps, runs=runs, hidden=8, device="cpu", model=NetworkConfig(rank=3), training=training
    )
    return dataclasses.replace(base, **changes)


def with_training(c: IdentificationConfig, **changes: Any) -> IdentificationConfig:
    return dataclasses.replace(c, training=dataclasses.replace(c.training, **changes))


def last(workdir: Path) -> dict[str, torch.Tensor]:
    [fitted] = load(workdir, state="last")
    return dict(fitted.network.named_parameters())


class Listener:
    def __init__(self) -> None:
        self.notes: list[str] = []

    def progress(self, progress: object) -> None:
        pass

    def note(self, text: str) -> None:
        self.notes.append(text)


def with_gaps(trials: RateTrials) -> RateTrials:
    y = trials.activity.numpy().copy()
    y[1, 20:40, 3] = y[2, :, 5] = np.nan if trials.kind == "rates" else -1
    kind, rate = trials.kind, trials.rate_hz
    return RateTrials.from_arrays(y, trials.inputs, kind=kind, rate_hz=rate, dt_s=trials.dt_s)


VARIANTS: dict[str, tuple[IdentificationConfig, RateTrials]] = {
    "noise, penalties, clipping": (
        with_training(
            config(
                model=NetworkConfig(rank=3, noise=0.02),
                loss=LossConfig(rates_l1=0.1, rates_l2=0.1, weights_l1=0.1, weights_l2=0.1, factors=0.1, inputs_l1=0.1),
            ),
            gradient_clip=0.1,
        ),
        RING,
    ),
    "dense, full inputs": (config(model=NetworkConfig(rank=0, inputs="full")), RING),
    "Zhang's form, unit norm": (
        config(hidden=0, separate_inputs=False, model=NetworkConfig(inputs="modulated", unit_norm=True)),
        RING,
    ),
    "spikes": (config(), SPIKES),
    "rates with gaps": (config(), with_gaps(RING)),
    "spikes with gaps": (config(), with_gaps(SPIKES)),
}


@pytest.mark.parametrize("name", VARIANTS)
def test_a_model_of_an_ensemble_trains_as_it_would_alone(name: str, tmp_path: Path) -> None:
    c, trials = VARIANTS[name]
    c = dataclasses.replace(c, runs=3, seed=5)
    fit(c, trials, tmp_path / "three")
    fit(dataclasses.replace(c, runs=1, seed=6), trials, tmp_path / "one")
    alone = last(tmp_path / "one")
    for parameter, values in last(tmp_path / "three").items():
        torch.testing.assert_close(values[1], alone[parameter][0], rtol=1e-4, atol=1e-5)
        assert bool(values.isfinite().all())
    assert not torch.equal(values[0], values[1])


def test_a_member_of_a_grid_trains_as_with_its_settings_alone(tmp_path: Path) -> None:
    grid = GridConfig(learning_rate=(1e-3, 1e-2), alpha=(0.2, 1.0), noise=(0.0, 0.02), factors=(0.0, 0.1))
    c = config(runs=2, grid=grid, seed=1)
    found = fit(c, RING, tmp_path / "grid").fitted[0].members
    assert len(found) == 32 and len({tuple(m.settings.items()) for m in found}) == 16
    at = found[31]
    assert at.label == "run 31 (seed 2, training.learning_rate 0.01, model.alpha 1, model.noise 0.02, loss.factors 0.1)"
    alone = config(runs=1, seed=2, model=NetworkConfig(rank=3, alpha=1.0, noise=0.02), loss=LossConfig(factors=0.1))
    fit(with_training(alone, learning_rate=1e-2), RING, tmp_path / "one")
    one = last(tmp_path / "one")
    for parameter, values in last(tmp_path / "grid").items():
        torch.testing.assert_close(values[31], one[parameter][0], rtol=1e-4, atol=1e-5)


def test_shapes_of_a_grid_have_folders_of_their_own(tmp_path: Path) -> None:
    c = config(runs=1, grid=GridConfig(hidden=(4, 8), rank=(0, 2)))
    assert [(s.n_hidden, s.model.rank) for s in GRID.shapes(c)] == [(4, 0), (4, 2), (8, 0), (8, 2)]
    fit(c, RING, tmp_path / "run")
    fits = load(tmp_path / "run")
    assert [(f.network.n_units, f.network.W is None) for f in fits] == [
        (20, False),
        (20, True),
        (24, False),
        (24, True),
    ]
    assert sorted(p.name for p in (tmp_path / "run").glob("shape_*")) == [f"shape_{k}" for k in range(4)]


def test_the_error_falls_and_what_was_fitted_loads_again(tmp_path: Path) -> None:
    c = with_training(config(steps=300), learning_rate=1e-2)
    found = fit(c, RING, tmp_path / "run")
    rows = (tmp_path / "run" / "metrics.csv").read_text().splitlines()
    first, final = (float(rows[i].split(",")[2]) for i in (1, -1))
    assert final < 0.65 * first
    [fitted], [loaded] = found.fitted, load(tmp_path / "run")
    assert torch.equal(fitted.W(), loaded.W()) and fitted.response_block().shape == (2, 16, 16)
    start = loaded.start_rates(RING)[:, 0]
    assert torch.equal(start, RING.activity[:, 0])
    run = loaded.free_run(RING.inputs[:, 1:], start)
    assert run.shape == (2, 4, 59, 24) and torch.equal(run, fitted.free_run(RING.inputs[:, 1:], start))
    assert torch.equal(loaded.silent_run(start, 5), loaded.free_run(torch.zeros(4, 5, 1), start))
    assert json.loads((tmp_path / "run" / "config.json").read_text())["system"] == "identification"


def test_data_other_than_those_of_the_fit_are_refused(tmp_path: Path) -> None:
    fit(config(), RING, tmp_path / "run")
    with pytest.raises(ValueError, match="trials: the fit was given arrays, not a file"):
        resume(tmp_path / "run")
    with pytest.raises(ValueError, match="trials: these data: differ from the data the fit began with"):
        resume(tmp_path / "run", trials=ring_attractor(16, n_trials=4, steps=60, silent_steps=60, seed=2))
    [fitted] = load(tmp_path / "run")
    for trials, message in (
        (ring_attractor(32, n_trials=2, steps=9, silent_steps=9), r"n=16 observed units .* got 32; its network has 24"),
        (SPIKES, "data: expected rates as in the fit, got spikes"),
    ):
        with pytest.raises(ValueError, match=message):
            fitted.start_rates(trials)


def trials(y: Any, v: Any = None, **options: Any) -> RateTrials:
    return RateTrials.from_arrays(y, RING.inputs if v is None else v, **options)


BAD: dict[str, tuple[IdentificationConfig, Any, str]] = {
    "rates above the range": (
        config(), lambda: trials(3 * RING.activity),
        r"rs: expected rates from 0 to 1, the range of relu_tanh, got 0 to 2\.\d+: set normalise .* model.phi relu",
    ),
    "rates below the range": (
        config(), lambda: trials(RING.activity - 0.5),
        r"rs: expected rates from 0 to 1, .*: shift them, or choose model.phi tanh",
    ),
    "window longer than the data": (
        with_training(config(), sequence_length=60), lambda: RING,
        r"training.sequence_length: expected at most 59, since a window holds one step more and a trial has 60, got 60",
    ),
    "inputs that never vary": (
        config(), lambda: trials(RING.activity, torch.ones(4, 60), still=True), r"inputs never vary"
    ),
    "no hidden unit for separated inputs": (
        config(hidden=0), lambda: RING, r"separate_inputs: needs hidden units for the inputs to reach, got hidden 0"
    ),
    "fewer than no hidden units": (config(hidden=-1), lambda: RING, r"hidden: expected 0 to 4095, got -1"),
    "too many units": (
        config(hidden=4090), lambda: RING,
        r"hidden: expected at most 4080, for 4096 units together with the 16 observed ones, got 4090",
    ),
    "too many observed units": (
        config(), lambda: RateTrials.from_arrays(torch.rand(1, 60, 4100), torch.randn(1, 60, 1)),
        r"rs: expected at most 4096 units, observed and hidden together, got 4100 observed ones: leave some out",
    ),
    "rank above the units": (
        config(model=NetworkConfig(rank=30)), lambda: RING, r"model.rank: expected at most N=24, .* got 30"
    ),
    "normalised spikes": (config(normalise=True), lambda: SPIKES, "normalise: is for rates"),
    "spikes of negative rates": (
        config(model=NetworkConfig(phi="tanh")), lambda: SPIKES, "model.phi: .* without negative rates for spikes"
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_refused_before_anything_is_written(name: str, tmp_path: Path) -> None:
    c, make, message = BAD[name]
    with pytest.raises(ValueError, match=message):
        fit(c, make(), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_normalised_rates_are_fitted_in_the_range_of_the_nonlinearity() -> None:
    c = config(normalise=True)
    loud = trials(50 * RING.activity)
    assert find_scaling(loud, c).gain == float(50 * RING.activity.max())
    [a], [b] = (fit(c, t).fitted for t in (loud, RING))
    torch.testing.assert_close(a.W(), b.W(), rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(a.start_rates(loud), RING.activity / RING.activity.max())


def test_constant_units_are_named_and_trained_around() -> None:
    y = RING.activity.clone()
    y[..., 3] = 0.25
    y[..., 7] = 0
    listener = Listener()
    [fitted] = fit(config(), trials(y), reporter=listener).fitted
    assert listener.notes == ["2 of 16 observed units never vary (3, 7): what reaches them is not identified"] and bool(
        fitted.W().isfinite().all()
    )


def test_a_model_that_grows_beyond_all_bounds_stops_alone() -> None:
    c = config(steps=40, runs=1, model=NetworkConfig(phi="relu", rank=0), grid=GridConfig(learning_rate=(1e-3, 1e30)))
    listener = Listener()
    found = fit(c, RING, reporter=listener)
    assert found.status == "finished" and len(listener.notes) == 1
    assert listener.notes[0].startswith("run 1 (seed 0, training.learning_rate 1e+30) stopped at step")
    assert "of the 3 windows of the batch)" in listener.notes[0]
    [sane] = fit(with_training(dataclasses.replace(c, grid=GridConfig()), learning_rate=1e-3), RING).fitted
    torch.testing.assert_close(found.fitted[0].W()[0], sane.W()[0], rtol=1e-4, atol=1e-5)
    assert bool(found.fitted[0].W().isfinite().all())


def test_gaps_in_the_start_are_interpolated_in_time() -> None:
    y = torch.rand(2, 9, 3, generator=torch.Generator().manual_seed(0))
    whole = y.clone()
    y[0, 3:6, 1] = y[0, 7:, 2] = y[0, :2, 0] = y[1, :, 1] = torch.nan
    v = torch.randn(2, 9, 1, generator=torch.Generator().manual_seed(0))
    gaps = trials(y, v)
    found = start_rates(gaps, find_scaling(gaps, config()), 1.0)
    expected = whole.clone()
    for k, t in enumerate((3, 4, 5)):
        expected[0, t, 1] = whole[0, 2, 1] + (k + 1) / 4 * (whole[0, 6, 1] - whole[0, 2, 1])
    expected[0, 7:, 2], expected[0, :2, 0], expected[1, :, 1] = whole[0, 6, 2], whole[0, 2, 0], 0.0
    torch.testing.assert_close(found, expected)


def test_smoothed_counts_are_rates() -> None:
    rates = torch.full((1, 400, 2), 0.5)
    rates[..., 1] = 0.1
    steady = RateTrials.from_arrays(rates, torch.randn(1, 400, 1, generator=torch.Generator()), dt_s=0.1)
    spikes = as_spikes(steady, 1000.0, seed=0)
    found = start_rates(spikes, find_scaling(spikes, config()), 5.0)
    assert (found - rates).abs().max() < 0.05  # 100 spikes per step at rate 1
    assert find_scaling(spikes, config()).gain == pytest.approx(100.0)


def test_presets_and_defaults() -> None:
    assert {n: (c.n_hidden, c.separate_inputs, c.model.rank) for n, c in PRESETS.items()} == {
        "published": (100, True, 0), "control": (0, False, 0), "modulated": (0, False, 12),
    }  # fmt: skip
    for c in PRESETS.values():
        c.check()
        assert len(GRID.members(c)) == c.runs
    assert IdentificationConfig().n_hidden == 100


@pytest.mark.parametrize(("data", "share"), [(RING, 1.0), (SPIKES, SHARE_OF_COUNTS)], ids=["rates", "spikes"])
def test_penalties_are_scaled_to_the_error(data: RateTrials, share: float, tmp_path: Path) -> None:
    fit(config(loss=LossConfig(factors=0.2, weights_l1=0.5)), data, tmp_path / "run")
    rows = list(csv.DictReader((tmp_path / "run" / "metrics.csv").read_text().splitlines()))
    for row in rows:
        assert float(row["factors"]) == pytest.approx(0.2 * share * float(row["loss"]), rel=1e-4)
        assert float(row["weights_l1"]) == pytest.approx(0.5 * share * float(row["loss"]), rel=1e-4)
    assert len(rows) == 6
