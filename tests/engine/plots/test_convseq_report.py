import base64
import re
import sys
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from neurorbit.engine.plots import (
    SequenceResults,
    SequenceTruth,
    Snapshots,
    sequence_figures,
    sequence_sections,
    write_sequence_report,
)
from neurorbit.engine.plots.convseq_report import (
    detections_table,
    neurons_table,
    score_table,
    sequence_intro,
    settings_table,
)

N, T, W = 8, 400, 20
PNG = b"\x89PNG\r\n\x1a\n"


def make(K: int = 1, **changes) -> SequenceResults:
    """Neurons 0..4 fire one after the other at 60, 160, 260 (and, for a second filter, backwards at 110, 210)."""
    rng = np.random.default_rng(0)
    middles = [[60, 160, 260], [110, 210]][:K]
    orders = [[0, 1, 2, 3, 4], [4, 3, 2, 1, 0]][:K]
    x = np.zeros((N, T), int)
    w = 0.01 * rng.random((K, N, W))
    for k in range(K):
        for i, n in enumerate(orders[k]):
            w[k, n, 2 + 4 * i] = 1.0
            for m in middles[k]:
                x[n, m - W // 2 + 2 + 4 * i] = 1
    times, neurons = np.nonzero(x.T)
    o = np.zeros((K, T + 1))
    padded = np.pad(x, ((0, 0), (W // 2, W // 2)))
    for k in range(K):
        for t in range(T + 1):
            o[k, t] = (w[k] * padded[:, t : t + W]).sum()
    found = np.concatenate([np.array(m, float) for m in middles])
    which = np.repeat(np.arange(K), [len(m) for m in middles])
    lags = w.argmax(axis=2)
    sorted_ = lags.argsort(axis=1, kind="stable")
    values = {
        "recording": SimpleNamespace(
            neurons=neurons, times=times, counts=x[neurons, times], n_neurons=N, n_bins=T, bin_s=0.05
        ),
        "w": w,
        "response": o,
        "detections": SimpleNamespace(null_edges=None, null_counts=None,
            time_bin=found, sequence=which, height_sd=np.full(len(found), 9.0), p_value=np.full(len(found), 0.01),
            significance="surrogate", threshold=np.full(K, 3.5), level=0.05, width=W, statistic=o,
            other_counts={"random": 17, "surrogate": len(found)},
        ),
        "participation": [
            SimpleNamespace(
                neuron=sorted_[k], lag_bins=lags[k][sorted_[k]] - W / 2,
                share=np.where(sorted_[k] < 5, 1.0, 0.1), p_value=np.where(sorted_[k] < 5, 1e-3, 0.7),
            )
            for k in range(K)
        ],
        "truth": SequenceTruth(found + 1, which, np.array(orders)),
    }  # fmt: skip
    return SequenceResults(**{**values, **changes})


def full(K: int) -> SequenceResults:
    r = make(K)
    counts, edges = np.histogram(np.random.default_rng(0).standard_normal(999), 50)
    steps = np.arange(3) * 10
    return replace(
        r, w_before=np.full_like(r.w, 1 / W), response_before=np.full_like(r.response, 0.2),
        null=SimpleNamespace(mean=0.0, sd=0.2, edges=edges, counts=counts, threshold=1.0),
        score=SimpleNamespace(
            precision=1.0, recall=0.75, f1=6 / 7, n_true=4, n_detected=3, matched=3, timing_error_bins=2.0,
            offset_bins=(-1.0,), zones={"precision": 0.5, "recall": 1.0, "f1": 2 / 3},
        ),
        position=50 * np.sin(np.arange(T) / 9), position_unit="cm",
        metrics=[{"step": s, "run": 0, "loss": -s} for s in (1, 2, 3)],
        snapshots=Snapshots(steps, np.repeat(r.w[:1], 3, axis=0), np.repeat(r.response[:1], 3, axis=0), -steps / 9),
        settings={"width": W, "loss": {"tv": {"o": 200.0}}, "seeds": np.arange(2), "note": "<b>"},
    )  # fmt: skip


def test_each_figure_stands_for_what_was_given():
    assert set(sequence_figures(make())) == {"responses", "histogram", "filters", "raster", "order", "participation"}
    assert set(sequence_figures(make(participation=(), truth=None))) == {"responses", "histogram", "filters", "raster"}
    names = {"responses", "histogram", "filters", "participation", "losses", "stages"}
    names |= {f"{kind}_{k}" for kind in ("raster", "order", "position") for k in (0, 1)}
    assert set(sequence_figures(full(2))) == names


def test_a_statistic_that_is_not_the_response_has_its_own_histogram_and_threshold():
    r = full(1)
    r.detections.statistic = 3 * r.response - 1
    figures = sequence_figures(r)
    labels = {
        name: {line.get_label() for line in figures[name].axes[0].get_lines()} for name in ("histogram", "statistic")
    }
    assert labels == {"histogram": {"random, mean + 5 sd 1"}, "statistic": {"surrogate 3.5"}}
    assert "detection statistic" in [axes.get_title(loc="left") for axes in figures["responses"].axes]
    r.detections.statistic = r.response
    labels = {line.get_label() for line in sequence_figures(r)["histogram"].axes[0].get_lines()}
    assert labels == {"random, mean + 5 sd 1", "surrogate 3.5"}


def test_responses_are_placed_in_the_recording_whatever_the_padding():
    r = make()
    for padding in (0, 4, W // 2):
        start = W // 2 - padding
        o = r.response[:, start : T + 1 - start]
        found = SimpleNamespace(**{**vars(r.detections), "statistic": o})
        trace = (
            sequence_figures(replace(r, response=o, detections=found, padding=padding))["responses"]
            .axes[0]
            .get_lines()[0]
        )
        at = trace.get_xdata()[trace.get_ydata() > 4]
        np.testing.assert_allclose(at, np.array([60, 160, 260]) * 0.05)


def test_the_filters_peaks_are_moved_to_the_middle_of_the_sequence():
    r = make()
    r.participation[0].lag_bins[:] += 4
    (line,) = sequence_figures(r)["raster"].axes[1].get_lines()
    assert {-200, 0, 200, 400, 600} <= set(line.get_xdata().round(6))  # ms; 4 bins later than in the window


def test_rasters_show_those_that_take_part(monkeypatch):
    label = sequence_figures(make())["raster"].axes[0].get_ylabel()
    assert label == "8 neurons, sorted by lag"  # five of them are too few to leave the others out
    many = make()
    part = SimpleNamespace(neuron=np.arange(N), lag_bins=np.ones(N), share=np.ones(N), p_value=np.full(N, 1e-3))
    monkeypatch.setattr("neurorbit.engine.plots.convseq_results.FEWEST_SHOWN", 5)
    part.p_value[:2] = 0.9
    label = sequence_figures(replace(many, participation=[part], truth=None))["raster"].axes[0].get_ylabel()
    assert label == "6 of 8 neurons, sorted by lag"


@pytest.mark.parametrize("K", [1, 2])
def test_the_report_is_whole_in_itself(tmp_path, K):
    path = write_sequence_report(tmp_path / "out", full(K), video=".gif", title="A & B")
    assert path == tmp_path / "out" / "report.html"
    text = path.read_text(encoding="utf-8")
    pictures = sorted((tmp_path / "out" / "figures").iterdir())
    inside = re.findall(r'src="data:image/png;base64,([A-Za-z0-9+/=]+)"', text)
    assert sorted(base64.b64decode(data) for data in inside) == sorted(p.read_bytes() for p in pictures)
    assert all(p.read_bytes().startswith(PNG) for p in pictures) and len(pictures) == {1: 9, 2: 12}[K]
    bare = re.sub(r"base64,[A-Za-z0-9+/=]+", "", text)
    assert "http" not in bare and "<script" not in bare and "A &amp; B" in bare and "&lt;b&gt;" in bare
    headings = re.findall(r"<h2>(.*?)</h2>", bare)
    assert headings == [
        "Score against the planted sequences", "Detections", "The sequence in the recording", "Filters",
        "Neurons that take part", "Position", "Training", "Settings", "Film",
    ]  # fmt: skip
    assert (tmp_path / "out" / "optimisation.gif").read_bytes().startswith(b"GIF89a")
    for name in re.findall(r"<figcaption>(.*?)</figcaption>", bare):
        assert len(name) > 20
    assert ("Sequence 1. Neurons sorted" in bare) == (K == 2)


def test_a_filter_without_a_planted_sequence_has_no_order_to_compare():
    r = make(2)
    truth = SequenceTruth(r.truth.times, r.truth.sequence, np.array([[0, 1, 2, 3, 4], [-1, -1, -1, -1, -1]]))
    assert {n for n in sequence_figures(replace(r, truth=truth)) if n.startswith("order")} == {"order_0"}


def test_sections_of_a_run_without_truth_or_training_leave_them_out():
    r = make(participation=(), truth=None)
    assert [s.heading for s in sequence_sections(r, {})] == ["Detections", "The sequence in the recording", "Filters"]


def test_the_score_has_both_metrics_and_units():
    head, rows = score_table(full(1))
    assert [dict(zip(head, row, strict=True)) for row in rows] == [
        {"": "matched one to one", "precision": 1.0, "recall": 0.75, "F1": 6 / 7, "planted": 4, "detected": 3,
         "matched": 3, "median timing error": "0.1 s", "offset": "−0.05 s"},
        {"": "zones, as published", "precision": 0.5, "recall": 1.0, "F1": 2 / 3, "planted": None, "detected": None,
         "matched": None, "median timing error": None, "offset": None},
    ]  # fmt: skip
    _, (row,) = score_table(make(score={"precision": 0.5, "f1": 0.2, "offset_bins": (2, 0)}))
    assert row == ["matched one to one", 0.5, None, 0.2, None, None, None, None, "0.1, 0 s"]


def test_detections_are_listed_for_each_significance_and_the_one_used_is_first():
    _, rows = detections_table(make())
    expected = [["surrogate", 3, "used"], ["random", 17, ""], ["crossfit", None, "not run (see detection.compare)"]]
    assert [row[:3] for row in rows] == expected
    assert "not calibrated" in rows[1][3]


def test_the_chance_of_the_highest_value_is_told():
    r = full(1)
    r.detections.p_any = 0.25
    (section,) = (s for s in sequence_sections(r, {}) if s.heading == "Detections")
    assert "reaches the highest value with p = 0.25." in section.text


def test_the_neurons_with_the_smallest_p_values_are_listed_by_lag(monkeypatch):
    monkeypatch.setattr("neurorbit.engine.plots.convseq_report.MAX_NEURONS", 5)
    head, rows = neurons_table(make(2))
    assert head == ["sequence", "neuron", "lag (s)", "share of response", "p-value"]
    assert [row[:2] for row in rows] == [[0, n] for n in range(5)] + [[1, n] for n in (4, 3, 2, 1, 0)]
    np.testing.assert_allclose([row[2] for row in rows[:5]], [-0.4, -0.2, 0.0, 0.2, 0.4])


def test_without_detections_no_neuron_is_listed():
    r = make()
    part = r.participation[0]
    part.p_value[:], part.lag_bins[:] = 1.0, np.nan
    assert neurons_table(r)[1] == [] and "order" not in sequence_figures(r)
    (section,) = (s for s in sequence_sections(r, {}) if s.heading == "Neurons that take part")
    assert section.table is None and section.text == "0 of 8 neurons take part at a false discovery rate of 0.05."


def test_settings_are_flat():
    head, rows = settings_table(full(1).settings)
    assert rows == [["width", 20], ["loss.tv.o", 200.0], ["seeds", "0, 1"], ["note", "<b>"]] and len(head) == 2


def test_the_intro_says_what_was_found_in_what():
    assert sequence_intro(make(2)) == (
        "5 detections of 2 sequences in 8 neurons x 400 bins (20 s), significance 'surrogate' at level 0.05."
    )


def test_a_recording_without_any_detection_still_makes_a_report(tmp_path):
    r = full(1)
    for name in ("time_bin", "sequence", "height_sd", "p_value"):
        setattr(r.detections, name, np.zeros(0))
    path = write_sequence_report(tmp_path, r)
    text = path.read_text(encoding="utf-8")
    assert "0 detections of 1 sequence" in text and "No detection, so nothing to compare" in text
    assert not (tmp_path / "figures" / "position.png").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"w": np.ones((1, 7, W))}, r"w: expected \[K, N=8, W\] as in the recording, got \[1, 7, 20\]"),
        ({"padding": 0}, r"response: expected \[K=1, T'=381\] for 400 bins, W=20 and padding 0, got \[1, 401\]"),
        ({"participation": [1, 2]}, "participation: expected K=1, one per filter, got 2"),
        ({"position": np.ones(9)}, r"position: expected \[T=400\] as in the recording, got \[9\]"),
    ],
)
def test_results_that_do_not_fit_are_named_and_leave_nothing(tmp_path, changes, message):
    with pytest.raises(ValueError, match=message):
        write_sequence_report(tmp_path / "out", make(**changes))
    assert not (tmp_path / "out").exists()


def test_a_film_needs_snapshots_and_what_writes_it_before_anything_is_drawn(tmp_path, monkeypatch):
    def drawn(*_: object):
        raise AssertionError

    monkeypatch.setattr("neurorbit.engine.plots.convseq_report.sequence_figures", drawn)
    with pytest.raises(ValueError, match=r"video: needs results\.snapshots"):
        write_sequence_report(tmp_path / "out", make(), video=".gif")
    with pytest.raises(ValueError, match="expected a name that ends in"):
        write_sequence_report(tmp_path / "out", full(1), video=".avi")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    with pytest.raises(RuntimeError, match=r"needs ffmpeg, none found: pip install imageio-ffmpeg, or write \.gif"):
        write_sequence_report(tmp_path / "out", full(1), video=".mp4")
    assert not (tmp_path / "out").exists()
