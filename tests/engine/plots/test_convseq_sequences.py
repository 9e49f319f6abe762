from types import SimpleNamespace

import numpy as np
import pytest

from neurorbit.engine.plots import (
    Snapshots,
    aligned_average,
    f1_table,
    loss_terms,
    order_recovered,
    sequence_filters,
    sequence_participation,
    sorted_raster,
    training_stages,
)
from neurorbit.engine.plots.convseq_arguments import by_lag


def recording(neurons, times, n_neurons: int, n_bins: int, bin_s: float | None = None) -> SimpleNamespace:
    return SimpleNamespace(
        neurons=np.asarray(neurons), times=np.asarray(times), counts=np.ones(len(times), int), n_neurons=n_neurons,
        n_bins=n_bins, bin_s=bin_s,
    )  # fmt: skip


def template(lags, W: int) -> np.ndarray:
    return np.exp(-((np.arange(W) - np.asarray(lags)[:, None]) ** 2) / 8)


def planted(lags, middles, W: int, n_bins: int) -> SimpleNamespace:
    """A spike of every neuron at its lag in each occurrence, and nothing else."""
    times = np.array([[m - W // 2 + lag for lag in lags] for m in middles])
    neurons = np.tile(np.arange(len(lags)), (len(middles), 1))
    return recording(neurons.ravel(), times.ravel(), len(lags), n_bins)


LAGS = [17, 3, 9, 12]


def test_aligned_average_has_each_neuron_at_its_lag():
    average = aligned_average(planted(LAGS, [50, 120, 150], 20, 200), [50, 120.2, 150], 20, columns=20)
    assert average.n_detections == 3
    np.testing.assert_allclose(average.lag_bins, np.arange(20) - 10)
    assert average.rate.argmax(axis=1).tolist() == LAGS
    np.testing.assert_allclose(average.rate.sum(axis=1), 1.0)


def test_aligned_average_of_counts_equals_that_of_the_dense_recording():
    rng = np.random.default_rng(0)
    x = rng.integers(0, 3, (6, 300))
    times, neurons = np.nonzero(x.T)
    events = SimpleNamespace(**{**vars(recording(neurons, times, 6, 300)), "counts": x[neurons, times]})
    dense = SimpleNamespace(x=x, n_neurons=6, n_bins=300, bin_s=None)
    at = [5, 40, 111.4, 250, 295]
    a, b = (aligned_average(r, at, 31, columns=7) for r in (events, dense))
    assert a.n_detections == b.n_detections == 3  # the first and last windows leave the recording
    np.testing.assert_allclose(a.rate, b.rate)
    np.testing.assert_allclose(a.rate @ np.diff(np.linspace(0, 31, 8).round()),
                               np.mean([x[:, s : s + 31].sum(axis=1) for s in (24, 96, 234)], axis=0))  # fmt: skip


def test_a_raster_is_sorted_by_lag_and_marks_detections_and_truth():
    events = planted(LAGS, [50, 120], 20, 200)
    figure = sorted_raster(events, template(LAGS, 20), [50, 120], truth_times=[51, 119], stretch=(30, 200))
    left, right, _ = figure.axes
    lines = {line.get_label(): line for line in left.get_lines()}
    spikes = np.concatenate([line.get_xydata() for line in left.get_lines() if str(line.get_label()).startswith("_")])
    first = spikes[spikes[:, 0] < 80]
    np.testing.assert_array_equal(first[np.argsort(first[:, 1])], [[43, 0], [49, 1], [52, 2], [57, 3]])
    assert lines["detected"].get_xdata().tolist() == [50, 120] and lines["planted"].get_xdata().tolist() == [51, 119]
    assert left.get_xlim() == (30, 200) and left.get_ylim() == (3.5, -0.5)
    shaded = sorted((p.get_x(), p.get_x() + p.get_width()) for p in left.patches)
    assert shaded == [(40, 60), (110, 130)]
    (peak,) = right.get_lines()
    np.testing.assert_array_equal(peak.get_xydata(), [[-7, 0], [-1, 1], [2, 2], [7, 3]])
    image = right.get_images()[0].get_array()
    assert image.shape == (4, 20) and image.argmax(axis=1).tolist() == sorted(LAGS)
    assert right.get_title(loc="left") == "average of 2 detections" and left.get_xlabel() == "time (bins)"


def test_spikes_within_a_detections_window_have_its_colour():
    events = recording([0, 0, 0, 0], [39, 40, 60, 61], 1, 100)
    left = sorted_raster(events, template([5], 20), [50], sequence=2, stretch=(0, 100)).axes[0]
    spikes = {line.get_color(): line.get_xdata().tolist() for line in left.get_lines() if len(line.get_xdata()) == 2}
    assert spikes == {"#8A8A8A": [39, 61], "#009E73": [40, 60]}


def test_a_raster_of_some_neurons_says_how_many_and_keeps_their_order():
    events = planted(LAGS, [50], 20, 200)
    left = sorted_raster(events, template(LAGS, 20), [50], neurons=[3, 0]).axes[0]
    spikes = np.concatenate([line.get_xydata() for line in left.get_lines() if str(line.get_label()).startswith("_")])
    assert sorted(map(tuple, spikes.tolist())) == [(52, 0), (57, 1)]
    assert left.get_ylabel() == "2 of 4 neurons, sorted by lag"


def test_the_filters_peak_is_drawn_where_the_sequence_is():
    figure = sorted_raster(planted(LAGS, [50], 20, 200), template(LAGS, 20), [53], shift=3)
    average, line = figure.axes[1].get_images()[0], figure.axes[1].get_lines()[0]
    peak = average.get_array().argmax(axis=1) - 10  # each row of the average, in bins from the detection
    np.testing.assert_array_equal(line.get_xdata(), peak)


def test_a_raster_without_detections_says_so():
    figure = sorted_raster(planted(LAGS, [50], 20, 200), template(LAGS, 20), [])
    assert [text.get_text() for text in figure.axes[1].texts] == ["no detection with\na whole window"]


def test_a_crowded_stretch_becomes_a_picture_with_every_event(monkeypatch):
    monkeypatch.setattr("neurorbit.engine.plots.convseq_raster.MAX_MARKS", 3)
    left = sorted_raster(planted(LAGS, [50, 120], 20, 200), template(LAGS, 20), [50, 120], stretch=(30, 130)).axes[0]
    (image,) = left.get_images()
    rows, columns = np.nonzero(image.get_array())
    assert image.get_array().shape == (4, 100) and image.get_extent() == [30, 130, 3.5, -0.5]
    assert list(zip(rows, columns, strict=True)) == [
        (0, 13),
        (0, 83),
        (1, 19),
        (1, 89),
        (2, 22),
        (2, 92),
        (3, 27),
        (3, 97),
    ]


def test_real_valued_activity_is_drawn_as_a_picture_in_the_filters_order():
    x = np.zeros((4, 200))
    x[LAGS.index(3), 43] = 7.0
    dense = SimpleNamespace(x=x, n_neurons=4, n_bins=200, bin_s=0.1)
    figure = sorted_raster(dense, template(LAGS, 20), [50], stretch=(0, 100))
    image = figure.axes[0].get_images()[0].get_array()
    assert np.argwhere(image == 7.0).tolist() == [[0, 43]]
    assert figure.axes[2].get_ylabel() == "activity" and figure.axes[0].get_xlabel() == "time (s)"


def test_rasters_refuse_what_does_not_fit():
    events, w = planted(LAGS, [50], 20, 200), template(LAGS, 20)
    with pytest.raises(ValueError, match=r"w: expected \[N=4, W\] as in the recording, got \[3, 20\]"):
        sorted_raster(events, w[:3], [50])
    with pytest.raises(ValueError, match=r"neurons: expected 0\.\.3, got 1\.\.4"):
        sorted_raster(events, w, [50], neurons=[1, 4])
    with pytest.raises(ValueError, match="neurons: expected at least one"):
        sorted_raster(events, w, [50], neurons=[])
    with pytest.raises(ValueError, match="stretch: expected a part of the 200 bins"):
        sorted_raster(events, w, [50], stretch=(300, 400))
    with pytest.raises(ValueError, match="width: expected at least 1"):
        aligned_average(events, [50], 0)


def test_filters_are_drawn_as_recorded_and_sorted_before_and_after():
    before, after = template([1, 15, 8, 4], 20)[None], template(LAGS, 20)[None]
    figure = sequence_filters(after, before, bin_s=0.1)
    panels = figure.axes[:4]
    peaks = [axes.get_images()[0].get_array().argmax(axis=1).tolist() for axes in panels]
    assert peaks == [[1, 15, 8, 4], [1, 4, 8, 15], LAGS, sorted(LAGS)]
    assert [axes.get_title(loc="left") for axes in panels] == [
        f"{when} training, {how}" for when in ("before", "after") for how in ("as recorded", "sorted")
    ]
    assert panels[0].get_images()[0].get_extent() == pytest.approx([-1, 1, 3.5, -0.5])
    assert "(s)" in figure.get_supxlabel()
    assert len({axes.get_images()[0].get_clim() for axes in panels}) == 1  # one scale of colours
    with pytest.raises(ValueError, match=r"before: expected \[1, 4, 20\] as in after, got \[1, 4, 19\]"):
        sequence_filters(after, before[..., :19])


def test_tall_filters_keep_every_peak_in_fewer_rows():
    lags = np.random.default_rng(0).integers(0, 50, 5000)
    image = sequence_filters(template(lags, 50)).axes[1].get_images()[0].get_array()
    assert image.shape == (420, 50) and (np.diff(image.argmax(axis=1)) >= 0).all() and image.max() == 1.0
    assert by_lag(template([5, 2, 5, 2], 9)).tolist() == [1, 3, 0, 2]


def part(**changes) -> SimpleNamespace:
    values = {"neuron": [4, 0, 2, 1], "lag_bins": [-8.0, -5, 1, 8], "share": [0.9, 0.1, 0.8, 0.7],
              "p_value": [1e-4, 0.6, 1e-4, 1e-3]}  # fmt: skip
    return SimpleNamespace(**{name: np.array(v) for name, v in {**values, **changes}.items()})


def test_participation_fills_the_significant_and_rings_the_planted():
    figure = sequence_participation([part()], width=20, orders=[[4, 2, 0]], bin_s=0.1)
    (axes,) = figure.axes
    marks = {c.get_label(): c.get_offsets().tolist() for c in axes.collections}
    expected = {
        "not significant": [[-0.5, 0.1]],
        "takes part": [[-0.8, 0.9], [0.1, 0.8], [0.8, 0.7]],
        "planted": [[-0.8, 0.9], [-0.5, 0.1], [0.1, 0.8]],
    }
    assert set(marks) == set(expected)
    for name, points in expected.items():
        np.testing.assert_allclose(marks[name], points, atol=1e-12)
    assert axes.get_title(loc="left") == "3 neurons of 4, 2 of 3 planted" and axes.get_xlim() == (-1.0, 1.0)


def test_participation_that_does_not_fit_is_named():
    with pytest.raises(ValueError, match="parts: expected one Participation per sequence"):
        sequence_participation([], width=20)
    with pytest.raises(ValueError, match="orders: expected 1, one per sequence, got 2"):
        sequence_participation([part()], width=20, orders=[None, None])
    with pytest.raises(ValueError, match=r"participation.share: expected \[4\] as in lag_bins, got \[3\]"):
        sequence_participation([part(share=[1.0, 2, 3])], width=20)


def test_the_order_is_compared_by_rank():
    same = order_recovered(part(), [4, 2, 1], width=20).axes[0]
    assert same.get_title(loc="left") == "rank correlation 1"
    np.testing.assert_allclose(same.get_lines()[0].get_xydata(), [[0, -8], [1, 1], [2, 8]])
    assert order_recovered(part(), [1, 2, 4], width=20).axes[0].get_title(loc="left") == "rank correlation −1"
    with pytest.raises(ValueError, match="order: expected at least 2 of its neurons among the filter's, got 1"):
        order_recovered(part(), [4, 77], width=20)


def rows() -> list[dict[str, object]]:
    return [
        {"step": s, "run": e, "loss": "nan" if e == 1 and s == 20 else -s - e, "variance": s, "tv": 0.0, "seconds": s}
        for s in (0, 10, 20) for e in range(3)
    ]  # fmt: skip


def test_losses_show_each_term_and_the_best_run():
    figure = loss_terms(rows())
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["loss", "variance"]  # tv is zero throughout
    loss = {line.get_label(): line for line in figure.axes[0].get_lines()}
    np.testing.assert_array_equal(loss["run 2"].get_ydata(), [-2, -12, -22])
    assert loss["not finite from here"].get_xydata().tolist() == [[10, -11]]
    assert "2 other runs" in loss
    assert "run 0" in {line.get_label() for line in loss_terms(rows(), run=0).axes[1].get_lines()}
    with pytest.raises(ValueError, match="run: expected one of 0, 1, 2, got 7"):
        loss_terms(rows(), run=7)
    with pytest.raises(ValueError, match="columns: xcorr: the metrics hold loss"):
        loss_terms(rows(), columns=["xcorr"])


def test_f1_is_written_into_its_cell_with_the_range_over_seeds():
    table = [
        {"p_drop": p, "jitter_std": j, "significance": kind, "f1": f}
        for p, j, kind, f in [
            (0.1, 10, "random", 0.9), (0.1, 10, "random", 0.8), (0.1, 10, "random", 0.95), (0.3, 10, "random", 0.4),
            (0.1, 20, "random", float("nan")), (0.1, 10, "crossfit", 0.7),
        ]
    ]  # fmt: skip
    figure = f1_table(table, bin_s=0.05)
    random, crossfit = figure.axes[:2]
    assert [axes.get_title(loc="left") for axes in (random, crossfit)] == ["random", "crossfit"]
    np.testing.assert_array_equal(random.get_images()[0].get_array().filled(-1), [[0.9, -1], [0.4, -1]])
    written = {(round(t.get_position()[0]), round(t.get_position()[1]), t.get_text()) for t in random.texts}
    assert written == {(0, 0, "0.90"), (0, 0, "0.80–0.95"), (0, 1, "0.40"), (1, 0, "–"), (1, 1, "–")}
    assert [t.get_text() for t in random.get_xticklabels()] == ["0.5", "1"]
    assert [t.get_text() for t in random.get_yticklabels()] == ["0.1", "0.3"]
    assert figure.get_supxlabel() == "jitter, sd (s)"
    with pytest.raises(ValueError, match="rows: column 'f1' is missing"):
        f1_table([{"p_drop": 0, "jitter_std": 0, "significance": "x"}])
    with pytest.raises(ValueError, match="rows: expected at least one row"):
        f1_table([])


def test_stages_are_sorted_by_the_final_lag():
    w = np.stack([template(lags, 20) for lags in ([3, 3, 3, 3], [9, 3, 3, 9], LAGS)])
    o = np.arange(3)[:, None] * np.ones(50)
    figure = training_stages(Snapshots([0, 25, 1000], w, o, [3.0, 2, 1], first_bin=10), n=7)
    top, bottom = figure.axes[:3], figure.axes[3:]
    assert [axes.get_title(loc="left") for axes in top] == ["step 0", "step 25", "step 1\u2009000"]
    peaks = [axes.get_images()[0].get_array().argmax(axis=1).tolist() for axes in top]
    assert peaks == [[3, 3, 3, 3], [3, 3, 9, 9], sorted(LAGS)]
    assert bottom[0].get_lines()[0].get_xdata()[[0, -1]].tolist() == [10, 59]
    assert bottom[2].get_lines()[0].get_ydata()[0] == 2.0
    assert bottom[0].get_ylim()[0] < 0 and bottom[0].get_ylim()[1] > 2


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"loss": [1.0]}, r"snapshots.loss: expected F=2 as in steps, got \[1\]"),
        ({"steps": [3, 3]}, "snapshots.steps: expected rising"),
        ({"w": np.ones((2, 9))}, r"snapshots.w: expected \[F, N, W\].*got \[2, 9\]"),
        ({"response": np.full((2, 9), np.nan)}, "snapshots: expected finite"),
    ],
)
def test_snapshots_that_do_not_fit_are_named(changes, message):
    given = {"steps": [0, 1], "w": np.ones((2, 3, 4)), "response": np.ones((2, 9)), "loss": [1.0, 0.5], **changes}
    with pytest.raises(ValueError, match=message):
        training_stages(Snapshots(**given))
