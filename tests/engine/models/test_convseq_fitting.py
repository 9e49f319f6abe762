"""Fits: the planted sequences are found, ensembles are their models one by one, one model's trouble is its own."""

import csv
import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from neurorbit.engine.analysis.sequence_scores import score_detections
from neurorbit.engine.data import DenseRecording, SpikeEvents
from neurorbit.engine.models.convseq.config import (
    AdamConfig,
    ConvseqConfig,
    DetectionConfig,
    FilterConfig,
    GridConfig,
    LossConfig,
    StoppingConfig,
)
from neurorbit.engine.models.convseq.detecting import detect
from neurorbit.engine.models.convseq.fitted import load
from neurorbit.engine.models.convseq.fitting import ConvseqFit, fit, resume
from neurorbit.engine.models.convseq.members import members
from neurorbit.engine.models.convseq.objective import robust_peaks
from neurorbit.engine.simulate import Planted, plant_sequences

SMALL = ConvseqConfig(
    epochs=150, width=40, loss=LossConfig(total_variation=8.0), training=AdamConfig(log_every=25),
    stopping=StoppingConfig(every=25, patience=0),
)  # fmt: skip
RANDOM = DetectionConfig(significance="random", null_filters=60)


def with_(config: ConvseqConfig = SMALL, **values: Any) -> ConvseqConfig:
    return dataclasses.replace(config, **values)


@pytest.fixture(scope="module")
def planted() -> Planted:
    return plant_sequences(seqlen=24, p_drop=0.05, gap_ts=150, jitter_std=2, n_neurons=30, n_bins=2000, rate_hz=0.2)


@pytest.fixture(scope="module")
def fitted(planted: Planted) -> ConvseqFit:
    return fit(SMALL, planted.events)


def matched(found: ConvseqFit, planted: Planted, tolerance: float = 10.0) -> tuple[float, float]:
    d = detect(found.fitted, planted.events, RANDOM).detections
    score = score_detections(
        d.time_bin, planted.times, tolerance=tolerance, filters=d.sequence, sequences=planted.sequence, align=False
    )
    return score.precision, score.recall


class Listener:
    def __init__(self) -> None:
        self.losses: list[float] = []
        self.notes: list[str] = []

    def progress(self, progress: Any) -> None:
        self.losses.append(progress.values["loss"])

    def note(self, text: str) -> None:
        self.notes.append(text)


def test_the_loss_falls_and_the_planted_sequence_is_found(planted: Planted) -> None:
    listener = Listener()
    found = fit(SMALL, planted.events, reporter=listener)
    assert found.outcome.status == "finished" and found.outcome.step == 150
    assert len(listener.losses) == 6 and listener.losses == sorted(listener.losses, reverse=True)
    assert listener.losses[-1] < 5 * listener.losses[0] < 0
    assert matched(found, planted) == (1.0, 1.0)  # times in bins of the recording, no offset allowed


def test_the_loss_is_minus_the_variance_of_the_response(planted: Planted) -> None:
    """Logged at every step: the last row is of the filters one step before the end."""
    config = with_(epochs=6, training=AdamConfig(log_every=1))
    before = fit(with_(config, epochs=5), planted.events).fitted
    listener = Listener()
    fit(config, planted.events, reporter=listener)
    assert listener.losses[-1] == pytest.approx(-float(before.respond(planted.events).numpy().var()), rel=1e-4)


@pytest.mark.parametrize("formulation", ["free", "gaussian"])
def test_adam_on_the_loss_of_the_spec_written_in_torch(planted: Planted, formulation: str) -> None:
    """Twin: conv1d over the dense matrix, autograd, torch.optim.Adam."""
    model = FilterConfig(formulation=formulation, sigma=6.0, learn_sigma=formulation == "gaussian")  # type: ignore[arg-type]
    steps, W, P = 12, 40, 20
    config = with_(epochs=steps, model=model, loss=LossConfig(total_variation=8.0, filter_variation=3.0), seed=4)
    found = fit(config, planted.events).fitted
    generator = torch.Generator().manual_seed(4)
    N = planted.events.n_neurons
    x = torch.from_numpy(planted.events.dense()).double()[None]
    if formulation == "free":
        leaves = [torch.randn(1, N, W, generator=generator).double().requires_grad_()]
    else:
        start = 1 + (W - 1) * torch.rand(1, N, generator=generator).double()
        leaves = [start.requires_grad_(), torch.tensor(6.0).log().double().requires_grad_()]
    adam = torch.optim.Adam(leaves, lr=0.1)

    def filters() -> torch.Tensor:
        if formulation == "free":
            return leaves[0].softmax(-1)
        lag = torch.arange(1, W + 1, dtype=torch.float64)
        return torch.exp(-((lag - leaves[0][..., None]) ** 2) / (2 * leaves[1].exp() ** 2))

    for _ in range(steps):
        w = filters()
        o = torch.nn.functional.conv1d(x, w, padding=P)[0, 0]
        loss = -o.var(correction=0) + 8.0 * (o.diff() ** 2).mean() + 3.0 * (w.diff(dim=-1) ** 2).mean()
        adam.zero_grad()
        loss.backward()
        adam.step()
        if formulation == "gaussian":
            leaves[0].data.clamp_(1, W)
    assert (filters().detach() - found.initial_w()[0]).abs().max() > 0.03
    assert torch.allclose(found.w()[0].double(), filters().detach(), atol=2e-4)


def test_gaussian_filters_find_it_too(planted: Planted) -> None:
    config = with_(
        epochs=300, model=FilterConfig(formulation="gaussian", sigma=4.0),
        training=AdamConfig(learning_rate=0.5),
    )  # fmt: skip
    found = fit(config, planted.events)
    mu = found.fitted.filters.mu
    assert mu.min() >= 1 and mu.max() <= 40
    assert matched(found, planted) == (1.0, 1.0)


@pytest.mark.parametrize("formulation", ["free", "gaussian"])
def test_an_ensemble_is_its_models_one_by_one(planted: Planted, formulation: Any) -> None:
    """Seeds and grid in one launch; each model bit for bit as if alone."""
    config = with_(
        epochs=60, filters=2, runs=2, loss=LossConfig(total_variation=8.0, filter_variation=1.0, power_entropy=0.1),
        model=FilterConfig(formulation=formulation, sigma=4.0, learn_sigma=formulation == "gaussian"),
        grid=GridConfig(learning_rate=(0.1, 0.05), total_variation=(8.0, 20.0)),
    )  # fmt: skip
    together = fit(config, planted.events).fitted
    assert together.labels[0] == "run 0 (seed 0, learning_rate 0.1, total_variation 8)"
    assert together.labels[7] == "run 7 (seed 1, learning_rate 0.05, total_variation 20)"
    assert together.w().shape[0] == 8
    for run, (rate, factor, seed) in {0: (0.1, 8.0, 0), 3: (0.1, 20.0, 1), 7: (0.05, 20.0, 1)}.items():
        alone = fit(
            with_(
                config, runs=1, seed=seed, grid=GridConfig(),
                loss=dataclasses.replace(config.loss, total_variation=factor),
                training=dataclasses.replace(config.training, learning_rate=rate),
            ),
            planted.events,
        ).fitted  # fmt: skip
        assert torch.equal(alone.w()[0], together.w()[run]), run
        assert torch.equal(alone.loss[0], together.loss[run])
    assert together.best_run == int(together.loss.argmin())


def test_the_learning_rate_stays_unless_it_is_given_a_final_value(planted: Planted, tmp_path: Path) -> None:
    training = AdamConfig(learning_rate=0.3, log_every=2, batches_per_epoch=2)
    config = with_(epochs=6, training=training, grid=GridConfig(learning_rate=(0.3, 0.01)))
    for final, expected in ((0.0, [0.3, 0.01] * 3), (0.1, [0.3, 0.01, 0.03**0.5, 0.001**0.5, 0.1, 0.1])):
        workdir = tmp_path / f"{final}"
        fit(with_(config, training=dataclasses.replace(training, learning_rate_final=final)), planted.events, workdir)
        rows = list(csv.DictReader((workdir / "metrics.csv").read_text().splitlines()))
        assert [float(r["learning_rate"]) for r in rows] == pytest.approx(expected)


def test_an_ensemble_with_loadings_and_pairwise_terms_is_its_models_within_rounding(planted: Planted) -> None:
    """Seeds whose filters stay off the edges of the pairwise terms, where the last bit decides (that of 0 does not)."""
    loss = LossConfig(8.0, 1.0, 5.0, 0.1, 0.1, 0.1, 0.1)
    config = with_(epochs=40, filters=3, runs=3, seed=1, model=FilterConfig(loadings=True), loss=loss)
    together = fit(config, planted.events).fitted
    for run in range(3):
        alone = fit(with_(config, runs=1, seed=1 + run), planted.events).fitted
        assert (alone.w()[0] - together.w()[run]).abs().max() < 1e-5 < (alone.w() - alone.initial_w()).abs().max()


def test_early_stopping_is_each_models_own(planted: Planted) -> None:
    """A model is finished when its detections have not changed for two looks; then it stays as it is."""
    config = with_(epochs=400, runs=3, stopping=StoppingConfig(every=25, patience=2))
    together = fit(config, planted.events)
    ends = []
    for run in range(3):
        alone = fit(with_(config, runs=1, seed=run), planted.events)
        ends.append(alone.outcome.step)
        assert torch.equal(alone.fitted.w()[0], together.fitted.w()[run])
    assert together.outcome.step == max(ends) < 400
    quick = with_(config, runs=1, epochs=max(ends))
    patient = fit(with_(quick, stopping=StoppingConfig(every=25, patience=0)), planted.events)
    peaks = robust_peaks(patient.fitted.respond(planted.events), 40)
    last = robust_peaks(together.fitted.respond(planted.events), 40)
    assert int(peaks.sum()) == int(last[0].sum()) == len(planted.times)


def test_peaks_are_the_highest_bins_of_a_window() -> None:
    rng = np.random.default_rng(0)
    o = torch.from_numpy(rng.random((1, 1, 300)))
    o[..., [40, 45, 120, 299]] = torch.tensor([9.0, 10.0, 8.0, 7.0]).double()
    assert robust_peaks(o, 20)[0, 0].nonzero().flatten().tolist() == [45, 120, 299]
    weight = torch.ones(1, 300).double()
    weight[:, 100:] = 0
    assert robust_peaks(o, 20, weight)[0, 0].nonzero().flatten().tolist() == [45]


def test_one_models_divergence_is_its_own(planted: Planted) -> None:
    config = with_(epochs=75, grid=GridConfig(total_variation=(8.0, 1e30, 12.0)))
    listener = Listener()
    found = fit(config, planted.events, reporter=listener)
    assert found.outcome.status == "finished"
    assert len(listener.notes) == 1 and "run 1 (seed 0, total_variation 1e+30) stopped at step 0" in listener.notes[0]
    for run, factor in ((0, 8.0), (2, 12.0)):
        alone = fit(with_(config, grid=GridConfig(), loss=LossConfig(total_variation=factor)), planted.events).fitted
        assert torch.equal(alone.w()[0], found.fitted.w()[run])
    assert torch.equal(found.fitted.w()[1], found.fitted.initial_w()[1])  # its last good state
    assert found.fitted.diverged.tolist() == [False, True, False]
    promising = dataclasses.replace(found.fitted, loss=torch.tensor([-1.0, -9.0, -2.0]))
    assert promising.best_run == 2


def test_absurd_learning_rates_stay_finite_or_stop(planted: Planted) -> None:
    config = with_(epochs=50, grid=GridConfig(learning_rate=(0.1, 1e30)))
    found = fit(config, planted.events).fitted
    assert bool(found.w().isfinite().all())
    assert torch.equal(found.w()[0], fit(with_(config, grid=GridConfig()), planted.events).fitted.w()[0])


def test_when_all_diverge_it_says_so(planted: Planted, tmp_path: Path) -> None:
    config = with_(loss=LossConfig(total_variation=1e30), runs=2)
    found = fit(config, planted.events, tmp_path / "run", reporter=Listener())
    assert found.outcome.status == "diverged" and found.outcome.step == 25


def test_calcium_is_read_as_it_is() -> None:
    """Sequences of smooth transients in a dense real-valued recording."""
    planted = plant_sequences(
        seqlen=24, p_drop=0.0, gap_ts=150, jitter_std=1, n_neurons=30, n_bins=1500, rate_hz=0.1, seed=3
    )
    decay = np.exp(-np.arange(12) / 4.0)
    x = np.stack([np.convolve(row, decay)[:1500] for row in planted.events.dense()])
    x += 0.02 * np.random.default_rng(0).standard_normal(x.shape)
    dense = DenseRecording.from_array(x, bin_s=0.05)
    found = fit(with_(epochs=120), dense)
    d = detect(found.fitted, dense, RANDOM).detections
    score = score_detections(d.time_bin, planted.times, tolerance=12)
    assert (score.precision, score.recall) == (1.0, 1.0)


def test_silent_and_always_firing_neurons_and_several_spikes_in_a_bin(planted: Planted) -> None:
    x = planted.events.dense()
    x[3], x[7], x[9] = 0, 1, 5 * x[9]
    events = SpikeEvents.from_dense(x)
    found = fit(with_(epochs=60, runs=2), events).fitted
    assert bool(found.w().isfinite().all() and found.loss.isfinite().all())
    assert torch.allclose(found.w()[:, :, 3], found.initial_w()[:, :, 3], atol=1e-6)  # nothing to learn from
    assert torch.allclose(found.w().sum(-1), torch.ones(1), atol=1e-5)


def test_a_folder_holds_the_fit_and_refuses_another_recording(planted: Planted, tmp_path: Path) -> None:
    config = with_(epochs=30)
    found = fit(config, planted.events, tmp_path / "run").fitted
    again = load(tmp_path / "run")
    assert torch.equal(again.w(), found.w()) and again.config == config and torch.equal(again.loss, found.loss)
    with pytest.raises(ValueError, match="was given arrays, not a file"):
        resume(tmp_path / "run")
    with pytest.raises(ValueError, match="differs from the one the fit began with"):
        resume(tmp_path / "run", recording=planted.events.shuffled(np.random.default_rng(0)))
    assert torch.equal(resume(tmp_path / "run", recording=planted.events).fitted.w(), found.w())
    with pytest.raises(ValueError, match="already holds a run"):
        fit(config, planted.events, tmp_path / "run")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"epochs": 0}, "epochs: expected >= 1, got 0"),
        ({"filters": 0}, "filters: expected >= 1, got 0"),
        ({"width": 1}, "width: expected >= 2, got 1"),
        ({"width": 2001}, "width: expected at most T=2000, the bins of planted, got 2001"),
        ({"runs": 0}, "runs: expected >= 1, got 0"),
        ({"seed": -1}, "seed: expected 0 to 2"),
        ({"model": FilterConfig(padding=40)}, "model.padding: expected 0 to width - 1 = 39, got 40"),
        ({"model": FilterConfig(sigma=0.0)}, "model.sigma: expected > 0, got 0.0"),
        ({"model": FilterConfig(learn_sigma=True)}, "model.learn_sigma: needs model.formulation gaussian"),
        ({"loss": LossConfig(total_variation=-1.0)}, "loss.total_variation: expected >= 0"),
        ({"loss": LossConfig(total_variation=float("nan"))}, "loss.total_variation: expected >= 0, got nan"),
        ({"loss": LossConfig(cross_correlation=1.0)}, "loss.cross_correlation: compares filters, needs filters >= 2"),
        ({"grid": GridConfig(cross_correlation=(0.0, 1.0))}, "loss.cross_correlation: compares filters"),
        ({"grid": GridConfig(learning_rate=(0.1, 0.0))}, "training.learning_rate: expected > 0, got 0.0"),
        ({"filters": 2, "loss": LossConfig(loading_similarity=1.0)}, "loss.loading_similarity: needs model.loadings"),
        ({"stopping": StoppingConfig(every=0)}, "stopping.every: expected >= 1, got 0"),
    ],
)
def test_refused_settings(planted: Planted, values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError) as error:
        fit(with_(**values), planted.events)
    assert str(error.value).startswith(message)


@pytest.mark.parametrize(
    ("width", "given", "grid", "expected"),
    [(200, None, (), [200.0]), (40, None, (), [8.0]), (400, None, (), [800.0]), (40, 200.0, (), [200.0]),
     (40, 0.0, (), [0.0]), (40, None, (3.0, 5.0), [3.0, 5.0])],
)  # fmt: skip
def test_total_variation_goes_with_the_width_unless_given(
    width: int, given: float | None, grid: tuple[float, ...], expected: list[float]
) -> None:
    config = ConvseqConfig(width=width, loss=LossConfig(total_variation=given), grid=GridConfig(total_variation=grid))
    assert [m.factors["total_variation"] for m in members(config)] == pytest.approx(expected)


def test_every_term_of_the_loss_trains(planted: Planted) -> None:
    loss = LossConfig(8.0, 1.0, 1.0, 0.1, 0.1, 0.1, 0.1)
    config = with_(epochs=20, filters=3, model=FilterConfig(loadings=True), loss=loss)
    found = fit(config, planted.events).fitted
    plain = fit(with_(config, loss=LossConfig(total_variation=8.0)), planted.events).fitted
    assert bool(found.w().isfinite().all()) and not torch.allclose(found.w(), plain.w(), atol=1e-3)
