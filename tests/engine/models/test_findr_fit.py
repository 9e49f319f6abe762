"""Fits: ensembles equal their members alone, shapes, sessions, divergence, measures, and every kind of bad input."""

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from neurorbit.engine.data.spike_trials import SpikeTrials
from neurorbit.engine.models.findr import (
    FindrConfig,
    GridConfig,
    ModelConfig,
    ObjectiveConfig,
    TrainingConfig,
    evaluate_fits,
    fit,
    load,
    resume,
)
from neurorbit.engine.models.findr.measures import best_per_fold
from neurorbit.engine.simulate.decision import decision

TRIALS = decision(n_trials=40, n_neurons=8, shortest=8, longest=16, seed=3)
OTHER = decision(n_trials=30, n_neurons=5, shortest=6, longest=20, seed=4)
AT_ONCE = ObjectiveConfig(annealing=0.0)
TRAINING = TrainingConfig(batch_size=8, evaluate_every=2, checkpoint_every=2, rise_epochs=1)


def config(epochs: int = 4, **changes: Any) -> FindrConfig:
    base = FindrConfig(
        features=(6,), encoder_size=4, epochs=epochs, folds=4, fold=(0, 2), device="cpu", training=TRAINING
    )
    return dataclasses.replace(base, **changes)


def last(workdir: Path, shape: int = 0) -> dict[str, torch.Tensor]:
    return dict(load(workdir, state="last")[shape].network.named_parameters())


class Listener:
    def __init__(self) -> None:
        self.notes: list[str] = []

    def progress(self, progress: object) -> None:
        pass

    def note(self, text: str) -> None:
        self.notes.append(text)


VARIANTS: dict[str, FindrConfig] = {
    "published": config(training=dataclasses.replace(TRAINING, optimiser="sgd"), rates=(0.01, 0.1)),
    "adam, two layers": config(features=(6, 5), rates=(1e-3, 1e-2)),
    "irrelevant GRU, bias, exp": config(
        model=ModelConfig(irrelevant_size=3, bias=True, link="exp"), rates=(1e-3, 1e-2)
    ),
    "bistable": config(model=ModelConfig(flow="bistable"), rates=(1e-3, 1e-2)),
    "tied, principal": config(
        model=ModelConfig(posterior="tied", readout_start="principal"), rates=(1e-3, 1e-2)
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", VARIANTS)
def test_a_model_of_an_ensemble_trains_as_it_would_alone(name: str, tmp_path: Path) -> None:
    c = dataclasses.replace(VARIANTS[name], runs=2)
    fit(c, TRIALS, tmp_path / "all")
    alone = dataclasses.replace(c, runs=1, seed=1, rates=c.rates[1:], fold=(2,))
    fit(alone, TRIALS, tmp_path / "one")
    [all_fitted], one = load(tmp_path / "all"), last(tmp_path / "one")
    at = next(m.number for m in all_fitted.members if (m.fold, m.rate, m.seed) == (2, c.rates[1], 1))
    assert at == 7 and len(all_fitted.members) == 8
    for parameter, values in last(tmp_path / "all").items():
        torch.testing.assert_close(values[at], one[parameter][0], rtol=1e-4, atol=1e-6)  # seen: the same bits
        assert bool(values.isfinite().all())
    start = dataclasses.replace(alone, epochs=1, rates=(1e-9,))
    fit(start, TRIALS, tmp_path / "start")
    moved = [float((one[n] - p).abs().max()) for n, p in last(tmp_path / "start").items() if not n.startswith("b")]
    assert max(moved) > 1e-3


def test_shapes_of_a_grid_have_folders_of_their_own(tmp_path: Path) -> None:
    c = config(grid=GridConfig(features=(4, 6), encoder_size=(3, 4)))
    found = fit(c, TRIALS, tmp_path / "run")
    assert [o.status for o in found.outcomes] == ["finished"] * 4
    fits = load(tmp_path / "run")
    assert [(f.config.features, f.config.encoder_size) for f in fits] == [((4,), 3), ((4,), 4), ((6,), 3), ((6,), 4)]
    fit(config(), TRIALS, tmp_path / "one")
    for parameter, values in last(tmp_path / "one").items():
        assert torch.equal(values, last(tmp_path / "run", 3)[parameter])
    rows = evaluate_fits(fits, [TRIALS], n_samples=2)["folds"]
    assert [row["fold"] for row in rows] == [0, 2]


def test_training_explains_spikes_and_what_was_fitted_loads_again(tmp_path: Path) -> None:
    data = decision(n_trials=90, n_neurons=40, shortest=20, longest=30, gain_hz=25.0, high_hz=60.0, seed=1)
    c = config(
        120,
        fold=(1,),
        baseline="constant",
        rates=(2e-2,),
        loss=ObjectiveConfig(annealing=0.9),
        training=dataclasses.replace(TRAINING, batch_size=15, evaluate_every=10, checkpoint_every=100, select="nll"),
    )
    found = fit(c, data, tmp_path / "run")
    [fitted], [loaded] = found.fitted, load(tmp_path / "run")
    for name, p in fitted.network.named_parameters():
        assert torch.equal(p, dict(loaded.network.named_parameters())[name])
    measures = evaluate_fits([loaded], [data])
    [row] = measures["folds"]
    assert row["test"]["bits_per_spike"] > 0.04
    assert 0.02 < row["test"]["co_bits_per_spike"] < row["test"]["bits_per_spike"] + 0.02
    assert row["test"]["psth_r2"] > 0.05  # 22 trials leave most of the PSTHs to chance
    assert measures["mean"]["test"]["nll"] == pytest.approx(row["test"]["nll"])
    json.dumps(measures, allow_nan=False)
    rows = (tmp_path / "run" / "metrics.csv").read_text().splitlines()
    columns = rows[0].split(",")
    chosen = [row.split(",")[columns.index("selected_by")] for row in rows[1:]]
    nll = [float(row.split(",")[columns.index("validation_nll")]) for row in rows[1:]]
    assert chosen[:4] == ["nan"] * 4 and chosen[4] != "nan"  # annealed after 43 epochs
    assert float(fitted.selected_by[0]) == pytest.approx(min(nll[4:]), rel=1e-6)


def test_samples_of_the_flow_and_their_spikes() -> None:
    [fitted] = fit(config(2), TRIALS).fitted
    u = TRIALS.inputs
    still = fitted.sample(u, TRIALS.lengths, noise=False)
    assert still.shape == (2, 40, 16, 2)
    assert torch.equal(still, fitted.sample(u, TRIALS.lengths, noise=False, seed=5))
    noisy = [fitted.sample(u, TRIALS.lengths, seed=seed) for seed in (0, 0, 1)]
    assert torch.equal(noisy[0], noisy[1]) and not torch.equal(noisy[0], noisy[2])
    after = torch.arange(16) >= TRIALS.lengths[:, None]
    assert bool((noisy[0][:, after] == 0).all())
    longer = fitted.sample(np.zeros((3, 25, 2)))
    counts = fitted.spikes(longer[0], 0, seed=2)
    assert counts.shape == (3, 25, 8) and torch.equal(counts, fitted.spikes(longer[0], 0, seed=2))
    many = fitted.spikes(torch.zeros(400, 16, 2), 0)
    rates = TRIALS.select(torch.cat([f for f in [torch.arange(40)]])).n_spikes / (TRIALS.lengths.sum() * 0.01)
    assert float((many.float().mean((0, 1)) / 0.01).mean()) == pytest.approx(float(rates.mean()), rel=0.1)
    with pytest.raises(ValueError, match=r"inputs: expected \[B, T, U=2\], got \[3, 25, 1\]"):
        fitted.sample(np.zeros((3, 25, 1)))


def test_sessions_share_the_flow_and_nothing_else(tmp_path: Path) -> None:
    c = config(3, fold=(0,), training=dataclasses.replace(TRAINING, batch_size=5))
    found = fit(c, [TRIALS, OTHER], tmp_path / "two")
    network = found.fitted[0].network
    assert [tuple(network.C(s).shape) for s in (0, 1)] == [(1, 8, 2), (1, 5, 2)]
    assert len(network.encoder.W_in) == 2
    measures = evaluate_fits(load(tmp_path / "two"), [TRIALS, OTHER], n_samples=2)
    assert 0 < measures["mean"]["test"]["nll"] < float("inf")
    with pytest.raises(ValueError, match="sessions: expected 2 as in the fit, got 1"):
        resume(tmp_path / "two", sessions=TRIALS)
    with pytest.raises(ValueError, match=r"expected the trials of the fit, \[B, T, N\] \[40, 16, 8\]"):
        evaluate_fits(load(tmp_path / "two"), [OTHER, TRIALS])
    twice = fit(dataclasses.replace(c, training=TRAINING), [TRIALS, TRIALS]).fitted[0].network
    assert not torch.equal(twice.C(0), twice.C(1))


def test_a_flow_that_explodes_stops_alone() -> None:
    listener = Listener()
    c = config(6, fold=(0,), rates=(1e-3, 1e30), loss=AT_ONCE)
    found = fit(c, TRIALS, reporter=listener)
    assert found.status == "finished" and len(listener.notes) == 1
    assert listener.notes[0].startswith("model 1 (fold 0, rate 1e+30, seed 0) stopped at step")
    [sane] = fit(dataclasses.replace(c, rates=(1e-3,)), TRIALS).fitted
    for name, p in found.fitted[0].network.named_parameters():
        torch.testing.assert_close(p[0], dict(sane.network.named_parameters())[name][0], rtol=1e-3, atol=1e-5)
        assert bool(p.isfinite().all())


def test_a_fit_that_ends_before_the_annealing_says_what_is_kept(tmp_path: Path) -> None:
    listener = Listener()
    c = config(5, loss=ObjectiveConfig(annealing=0.4))  # annealed after epoch 5
    fit(c, TRIALS, tmp_path / "run", reporter=listener)
    [note] = listener.notes
    assert note.startswith("epochs: 5 end before beta is annealed, after epoch 5: the models' last states are kept")
    [best] = load(tmp_path / "run")
    for name, p in best.network.named_parameters():
        assert torch.equal(p, last(tmp_path / "run")[name])
    assert bool(best.selected_by.isinf().all())
    fit(dataclasses.replace(c, epochs=6), TRIALS, reporter=listener)
    assert len(listener.notes) == 1


def test_a_model_that_stopped_at_once_is_not_the_best_of_its_fold() -> None:
    c = config(3, fold=(0,), rates=(1e-9, 1e30), loss=AT_ONCE)
    [fitted] = fit(c, TRIALS).fitted
    every = evaluate_fits([fitted], [TRIALS], n_samples=1, all_models=True)["folds"]
    assert [row["selected_by"] is None for row in every] == [False, True]
    every[1]["validation"]["bits_per_spike"] = 9.0
    assert best_per_fold(every) == [every[0]] and best_per_fold(every[1:]) == [every[1]]


def arrays(**changes: Any) -> SpikeTrials:
    given = {"counts": TRIALS.counts, "lengths": TRIALS.lengths, "inputs": TRIALS.inputs} | changes
    return SpikeTrials.from_arrays(**given)


def silent() -> SpikeTrials:
    counts = TRIALS.counts.clone()
    counts[..., [1, 4]] = 0
    return arrays(counts=counts)


def test_silent_neurons_a_single_neuron_and_no_inputs_are_fitted() -> None:
    listener = Listener()
    [fitted] = fit(config(2, loss=AT_ONCE), silent(), reporter=listener).fitted
    assert listener.notes == ["spikes: 2 of 8 neurons never fire (1, 4): they say nothing"]
    assert math.isfinite(evaluate_fits([fitted], [silent()], n_samples=1)["mean"]["test"]["nll"])
    single = TRIALS.select_neurons([2])
    [fitted] = fit(config(2), single).fitted
    assert evaluate_fits([fitted], [single], n_samples=1)["mean"]["test"]["co_bits_per_spike"] is None
    free = arrays(inputs=None)
    [fitted] = fit(config(2), free).fitted
    assert fitted.sample(shape=(3, 9)).shape == (2, 3, 9, 2)
    assert math.isfinite(evaluate_fits([fitted], [free], n_samples=1)["mean"]["test"]["bits_per_spike"])


BAD: dict[str, tuple[FindrConfig, Any, str]] = {
    "one trial": (
        config(), lambda: TRIALS.select([0]), "decision: expected at least as many trials as folds, 4, got 1; 3 folds"
    ),
    "fewer trials than folds": (
        config(), lambda: TRIALS.select([0, 1, 2]), "decision: expected at least as many trials as folds, 4, got 3"
    ),
    "batch larger than the training trials": (
        config(training=dataclasses.replace(TRAINING, batch_size=30)), lambda: TRIALS,
        "training.batch_size: expected at most 20, .* got 30",
    ),
    "no baseline in the file": (config(baseline="given"), lambda: TRIALS, "decision: holds no baseline_hz"),
    "sessions with other inputs": (
        config(), lambda: [TRIALS, arrays(inputs=None)], "spikes: expected the inputs of decision, 2, got 0"
    ),
    "a line in three dimensions": (
        config(latent_dim=3, model=ModelConfig(flow="line")), lambda: TRIALS, "latent_dim: expected 2 for the flow line"
    ),
    "no hidden layer": (config(features=()), lambda: TRIALS, "features: expected at least one"),
    "a fold that is none": (config(fold=(4,)), lambda: TRIALS, "fold: expected 0 to 3, got 4"),
    "a rate of 0": (config(rates=(0.0,)), lambda: TRIALS, "rates: expected > 0, got 0.0"),
    "annealing that never ends": (
        config(loss=ObjectiveConfig(annealing=1.0)), lambda: TRIALS, "loss.annealing: expected 0 to below 1, got 1.0"
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_refused_before_anything_is_written(name: str, tmp_path: Path) -> None:
    c, make, message = BAD[name]
    with pytest.raises(ValueError, match=message):
        fit(c, make(), tmp_path / "run")
    assert not (tmp_path / "run").exists()
