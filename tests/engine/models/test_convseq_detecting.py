"""Detections of fitted filters: what is planted is found, what is not is found as rarely as the level says."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import binom

from neurorbit.engine.analysis.sequence_scores import SequenceScore, score_detections
from neurorbit.engine.data import DenseRecording, SpikeEvents, open_event_blocks, write_spike_events
from neurorbit.engine.models.convseq.config import (
    ConvseqConfig,
    DetectionConfig,
    FilterConfig,
    LossConfig,
    StoppingConfig,
)
from neurorbit.engine.models.convseq.detecting import Found, check_search, detect
from neurorbit.engine.models.convseq.fitted import FittedConvseq
from neurorbit.engine.models.convseq.fitting import fit
from neurorbit.engine.simulate import Planted, plant_sequences

CONFIG = ConvseqConfig(
    epochs=100, width=40, loss=LossConfig(total_variation=8.0), stopping=StoppingConfig(every=25, patience=3)
)
SEARCH = DetectionConfig(level=0.05, shuffles=39, surrogates=19, null_filters=60)


def plant(**values: Any) -> Planted:
    settings = {"seqlen": 24, "p_drop": 0.05, "gap_ts": 150, "jitter_std": 2.0, "n_neurons": 30, "rate_hz": 0.2}
    return plant_sequences(**settings | {"n_bins": 2000} | values)


@pytest.fixture(scope="module")
def planted() -> Planted:
    return plant()


@pytest.fixture(scope="module")
def fitted(planted: Planted) -> FittedConvseq:
    return fit(CONFIG, planted.events).fitted


def scored(found: Found, planted: Planted, *, align: bool = False) -> SequenceScore:
    d = found.detections
    return score_detections(
        d.time_bin, planted.times, tolerance=10, filters=d.sequence, sequences=planted.sequence, align=align
    )


@pytest.mark.parametrize("significance", [None, "crossfit", "surrogate", "random"])
def test_each_significance_finds_what_was_planted(planted: Planted, fitted: FittedConvseq, significance: Any) -> None:
    found = detect(fitted, planted.events, dataclasses.replace(SEARCH, significance=significance))
    d, score = found.detections, scored(found, planted)
    assert (score.precision, score.recall) == (1.0, 1.0) and d.significance == (significance or "crossfit")
    assert score.timing_error_bins is not None and score.timing_error_bins <= 4
    assert (d.p_value <= 0.05).all() and (d.height_sd > 0).all() and (np.diff(d.time_bin) > 0).all()
    assert d.bin_s == 0.05 and d.width == 40
    if significance == "random":
        assert d.level is None and d.other_counts == {}
        assert d.threshold[0] == pytest.approx(found.null.mean + 5 * found.null.sd)
    else:
        assert d.level == 0.05 and d.other_counts == {"random": len(planted.times)}


def test_what_the_other_significances_give() -> None:
    """As each gives alone, where the sequence is so blurred that they differ."""
    blurred = plant(p_drop=0.3, jitter_std=5.0).events
    fitted = fit(CONFIG, blurred).fitted
    searches = {n: dataclasses.replace(SEARCH, significance=n) for n in ("random", "crossfit", "surrogate")}
    alone = {n: len(detect(fitted, blurred, search).detections) for n, search in searches.items()}
    assert len(set(alone.values())) > 1
    for name, search in searches.items():
        found = detect(fitted, blurred, dataclasses.replace(search, compare=True)).detections
        assert len(found) == alone[name]
        assert found.other_counts == {n: count for n, count in alone.items() if n != name}


@pytest.mark.parametrize("significance", ["crossfit", "surrogate", "random"])
def test_the_neurons_that_take_part_and_their_order(planted: Planted, fitted: FittedConvseq, significance: Any) -> None:
    (found,) = detect(fitted, planted.events, dataclasses.replace(SEARCH, significance=significance)).participation
    order = planted.order[0]
    lag = dict(zip(found.neuron.tolist(), found.lag_bins.tolist(), strict=True))
    significant = set(found.neuron[found.significant(0.05)].tolist())
    assert set(order.tolist()) <= significant and len(significant) <= len(order) + 2
    expected = np.arange(24) - 11.5  # bins from the middle of the sequence
    error = np.array([lag[int(n)] for n in order]) - expected
    assert abs(np.median(error)) <= 3 and np.abs(error - np.median(error)).max() <= 6
    fires = np.isfinite(found.lag_bins)
    assert (np.diff(found.lag_bins[fires]) >= 0).all() and not fires[int(fires.sum()) :].any()
    assert found.share.sum() == pytest.approx(1) and (found.share[~fires] == 0).all()


@pytest.mark.parametrize(("gap_ts", "rate_hz"), [(100, 0.2), (130, 0.2), (100, 0.1)])
def test_frequent_sequences_do_not_hide_in_their_own_response(gap_ts: int, rate_hz: float) -> None:
    frequent = plant(gap_ts=gap_ts, rate_hz=rate_hz, n_neurons=40, n_bins=3000)
    found = detect(fit(CONFIG, frequent.events).fitted, frequent.events, SEARCH)
    assert scored(found, frequent, align=True).f1 > 0.9


def test_false_alarms_are_as_rare_as_the_level_says() -> None:
    """Of 20 recordings without a sequence, those with any detection: at most the binomial's 0.999 quantile."""
    search = DetectionConfig(level=0.2, folds=3, shuffles=19, null_filters=20)
    config = dataclasses.replace(CONFIG, epochs=150, width=30, stopping=StoppingConfig(patience=0))
    real = plant(seqlen=20, n_neurons=20, n_bins=1500).events
    hits = 0
    for seed in range(20):
        recording = real.shuffled(np.random.default_rng(seed))
        fitted = fit(dataclasses.replace(config, seed=seed), recording).fitted
        hits += len(detect(fitted, recording, search).detections) > 0
    assert hits <= binom.ppf(0.999, 20, 0.2)


def test_two_sequences_each_by_a_filter_of_its_own() -> None:
    two = plant(seqlen=20, gap_ts=100, n_neurons=40, n_bins=3400, n_sequences=2)
    config = dataclasses.replace(
        CONFIG, epochs=300, filters=2, loss=LossConfig(total_variation=8.0, cross_correlation=1000.0), runs=2
    )
    fitted = fit(config, two.events).fitted
    scores = [scored(detect(fitted, two.events, SEARCH, run=run), two, align=True) for run in range(2)]
    best = max(scores, key=lambda s: s.f1)
    assert best.f1 > 0.9 and set(best.sequence_of_filter) == {0, 1}


@pytest.mark.parametrize("significance", ["crossfit", "surrogate", "random"])
def test_another_recording_of_the_same_neurons(fitted: FittedConvseq, planted: Planted, significance: Any) -> None:
    """The second half of a longer recording, searched with filters that have seen the first."""
    longer = plant(n_bins=4000)
    first, second = longer.events.block(0, 2000), longer.events.block(2000, 4000)
    half = fit(CONFIG, first).fitted
    found = detect(half, second, dataclasses.replace(SEARCH, significance=significance), trained_on=first)
    times = longer.times[longer.times > 2000] - 2000
    d = found.detections
    score = score_detections(d.time_bin, times, tolerance=10, align=False)
    assert score.recall >= 0.9 and score.precision >= 0.9
    silent = second.shuffled(np.random.default_rng(0))
    assert len(detect(half, silent, dataclasses.replace(SEARCH, significance=significance), trained_on=first)
               .detections) <= (0 if significance != "random" else 3)  # fmt: skip


@pytest.mark.parametrize("significance", ["crossfit", "surrogate"])
def test_another_recording_with_more_spikes_is_judged_by_its_own_chance(
    fitted: FittedConvseq, planted: Planted, significance: Any
) -> None:
    """Four times as many spikes and nothing planted: higher responses, no detections."""
    other = plant(rate_hz=2.0, n_bins=3000).events.shuffled(np.random.default_rng(1))
    assert other.n_spikes / other.n_bins > 4 * planted.events.n_spikes / planted.events.n_bins
    search = dataclasses.replace(SEARCH, significance=significance)
    assert len(detect(fitted, other, search, trained_on=planted.events).detections) == 0


def test_a_recording_in_blocks_has_the_published_significance_only(
    planted: Planted, fitted: FittedConvseq, tmp_path: Path
) -> None:
    path = write_spike_events(tmp_path / "x.h5", planted.events)
    blocks = open_event_blocks(path, block_bins=300, width=40, padding=20)
    for significance in (None, "crossfit", "surrogate"):
        said = f"{significance or 'crossfit'} needs the recording in memory, not in blocks of time: use random"
        with pytest.raises(ValueError, match=said):
            detect(fitted, blocks, dataclasses.replace(SEARCH, significance=significance))  # type: ignore[arg-type]
    search = dataclasses.replace(SEARCH, significance="random")
    found, expected = (detect(fitted, r, search).detections for r in (blocks, planted.events))
    assert len(found) == len(planted.times) and np.allclose(found.statistic, expected.statistic, atol=1e-4)
    offset = found.time_bin - expected.time_bin
    assert np.ptp(offset) <= 1  # without events in memory the middle of the sequence is not looked for


def test_calcium_is_compared_with_shifted_surrogates(planted: Planted) -> None:
    decay = np.exp(-np.arange(12) / 4.0)
    x = np.stack([np.convolve(row, decay)[:2000] for row in planted.events.dense()])
    x += 0.02 * np.random.default_rng(0).standard_normal(x.shape)
    dense = DenseRecording.from_array(x)
    fitted = fit(CONFIG, dense).fitted
    with pytest.raises(ValueError, match="crossfit needs spikes: use surrogate or random"):
        detect(fitted, dense, dataclasses.replace(SEARCH, significance="crossfit"))
    found = detect(fitted, dense, SEARCH)
    assert found.detections.significance == "surrogate" and found.participation == []
    assert found.detections.time_s is None
    assert scored(found, planted, align=True).f1 == 1.0


def test_gaussian_filters_have_a_null_of_their_own(planted: Planted) -> None:
    """Their responses are ten times those of filters that sum to 1; the published rule still tells them from chance."""
    model = FilterConfig(formulation="gaussian", sigma=4.0)
    fitted = fit(dataclasses.replace(CONFIG, epochs=200, model=model), planted.events).fitted
    found = detect(fitted, planted.events, dataclasses.replace(SEARCH, significance="random"))
    mean_rate = planted.events.n_spikes / planted.events.n_bins
    assert found.null.mean == pytest.approx(mean_rate * 4.0 * np.sqrt(2 * np.pi), rel=0.1)
    assert len(found.detections) <= 1.2 * len(planted.times)


def test_a_recording_without_any_repetition_left(planted: Planted) -> None:
    """One spike per neuron: nothing can repeat, and nothing breaks."""
    rng = np.random.default_rng(0)
    events = SpikeEvents.from_events(np.arange(30), rng.integers(0, 2000, 30), n_neurons=30, n_bins=2000)
    fitted = fit(CONFIG, events).fitted
    for significance in ("crossfit", "surrogate"):
        search = dataclasses.replace(SEARCH, significance=significance)  # type: ignore[arg-type]
        d = detect(fitted, events, search).detections
        assert np.isfinite(d.statistic).all() and len(d) == 0


def test_silent_and_always_firing_neurons_keep_their_place(planted: Planted) -> None:
    x = planted.events.dense()
    others = [n for n in range(30) if n not in planted.order[0]]
    x[others[0]], x[others[1]] = 0, 1
    events = SpikeEvents.from_dense(x)
    found = detect(fit(CONFIG, events).fitted, events, SEARCH)
    assert np.isfinite(found.detections.statistic).all() and np.isfinite(found.w).all()
    assert scored(found, planted).f1 == 1.0
    (part,) = found.participation
    p = dict(zip(part.neuron.tolist(), part.p_value.tolist(), strict=True))
    assert p[others[0]] == 1.0 and p[others[1]] == 1.0


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"level": 0.0}, "level: expected above 0 and below 1, got 0.0"),
        ({"level": 1.0}, "level: expected above 0 and below 1"),
        ({"level": float("nan")}, "level: expected above 0 and below 1, got nan"),
        ({"folds": 1}, "folds: expected 2 or more, got 1"),
        ({"shuffles": 18}, "shuffles: level 0.05 needs 19 or more, got 18"),
        ({"surrogates": 5}, "surrogates: level 0.05 needs 19 or more, got 5"),
        ({"null_filters": 1}, "null_filters: expected 2 or more, got 1"),
        ({"folds": 13}, "folds: 13 blocks of 153 bins are too short for filters of 40 bins"),
    ],
)
def test_refused_searches(planted: Planted, fitted: FittedConvseq, values: dict[str, Any], message: str) -> None:
    search = dataclasses.replace(SEARCH, **values)
    for attempt in (
        lambda: detect(fitted, planted.events, search),
        lambda: check_search(CONFIG, planted.events, search),
    ):
        with pytest.raises(ValueError) as error:
            attempt()
        assert str(error.value).startswith(message)


def test_other_neurons_and_other_runs_are_refused(planted: Planted, fitted: FittedConvseq) -> None:
    other = SpikeEvents.from_dense(planted.events.dense()[:29])
    with pytest.raises(ValueError, match="expected N=30 neurons as in the fit, got 29"):
        detect(fitted, other, SEARCH)
    for run in (-1, 1):
        with pytest.raises(ValueError, match=f"run: expected 0 to 0, got {run}"):
            detect(fitted, planted.events, SEARCH, run=run)
