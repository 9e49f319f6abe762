from types import SimpleNamespace

import numpy as np
import pytest
import torch

from neurorbit.engine.plots import SequenceTruth, response_histogram, sequence_responses
from neurorbit.engine.plots.convseq_arguments import members, response_rows
from neurorbit.engine.plots.convseq_axes import COLOURS, colour_of, time_axis
from neurorbit.engine.plots.convseq_thinning import busiest_stretch, envelope, fewer_columns, fewer_rows


def bumps(T: int, at: tuple[int, ...], height: float = 5.0) -> np.ndarray:
    o = 0.1 * np.sin(np.arange(T))
    o[list(at)] = height
    return o


def by_label(axes, label: str):
    (found,) = [line for line in axes.get_lines() if line.get_label() == label]
    return found


@pytest.mark.parametrize("T", [7, 1999, 2000, 2001, 123_457])
def test_an_envelope_keeps_every_extreme_and_the_order_of_time(T):
    rng = np.random.default_rng(T)
    o = rng.standard_normal(T)
    at, values = envelope(o, 1000, start=40)
    assert len(at) <= max(2000, min(T, 2000)) and (np.diff(at) >= 0).all()
    np.testing.assert_array_equal(values, o[at - 40])
    assert values.max() == o.max() and values.min() == o.min()


def test_an_envelope_shows_single_peaks_of_a_long_recording():
    o = bumps(1_000_000, (3, 500_001, 999_999))
    at, values = envelope(o, 900)
    assert at[values == 5.0].tolist() == [3, 500_001, 999_999]


def test_joined_rows_and_columns_keep_their_maximum():
    x = np.zeros((1000, 900))
    x[777, 333] = 4
    joined = fewer_columns(fewer_rows(x, 100), 90)
    assert joined.shape == (100, 90) and joined[77, 33] == 4 and joined.sum() == 4
    assert fewer_rows(x, 1000) is x


def test_the_busiest_stretch_holds_the_most_times_in_its_middle():
    assert busiest_stretch(np.array([10.0, 500, 520, 560, 900]), 100, 1000) == (480, 580)
    assert busiest_stretch(np.array([5.0]), 100, 1000) == (0, 100)
    assert busiest_stretch(np.zeros(0), 100, 50) == (0, 50)


def test_the_busiest_stretch_holds_whole_windows():
    times = np.array([50.0, 150, 250, 349])
    assert busiest_stretch(times, 300, 400) == (50, 350)  # cuts windows at both ends
    assert busiest_stretch(times, 300, 400, margin=15) == (0, 300)


@pytest.mark.parametrize(
    ("n_bins", "bin_s", "unit", "scale"),
    [
        (10, None, "bins", 1.0),
        (18137, 0.05, "s", 0.05),
        (100, 0.005, "ms", 5.0),
        (200_000, 0.05, "min", 0.05 / 60),
        (2_000_000, 0.05, "h", 0.05 / 3600),
    ],
)
def test_time_has_a_unit_that_suits_its_length(n_bins, bin_s, unit, scale):
    axis = time_axis(n_bins, bin_s)
    assert (axis.unit, axis.label()) == (unit, f"time ({unit})")
    assert axis.scale == pytest.approx(scale)
    with pytest.raises(ValueError, match="bin_s: expected a positive width"):
        time_axis(10, 0.0)


def test_colours_start_anew_after_the_last():
    assert colour_of(0) == colour_of(len(COLOURS)) != colour_of(1)


def test_neurons_take_part_by_benjamini_and_hochberg():
    part = SimpleNamespace(p_value=[0.9, 0.011, 0.012, 0.5, 0.03])
    assert members(part, 0.05).tolist() == [False, True, True, False, True]  # 0.03 = 0.05 * 3 / 5
    assert members(part, 0.049).tolist() == [False, True, True, False, False]
    assert members(SimpleNamespace(p_value=[]), 0.05).tolist() == []


def test_responses_mark_threshold_detections_and_truth_where_they_are():
    o = np.stack([bumps(1000, (200, 600)), bumps(1000, (400,))])
    figure = sequence_responses(
        torch.tensor(o), 0.1 * o, threshold=[2.0, 3.0], times=[200, 600, 400], sequence=[0, 0, 1],
        truth=SequenceTruth([210, 400, 610], [0, 1, 0]), bin_s=0.05,
    )  # fmt: skip
    axes = np.array(figure.axes).reshape(4, 2)
    titles = [a.get_title(loc="left") for a in axes[:, 0]]
    assert titles == [f"filter {k}, {when} training" for k in (0, 1) for when in ("before", "after")]
    after = axes[1, 0]
    assert by_label(after, "threshold").get_ydata()[0] == 2.0
    np.testing.assert_allclose(by_label(after, "detected").get_xdata(), [10.0, 30.0])
    assert (by_label(after, "detected").get_ydata() > 5.0).all()
    np.testing.assert_allclose(by_label(after, "planted").get_xdata(), [10.5, 30.5])
    np.testing.assert_allclose(by_label(axes[3, 0], "detected").get_xdata(), [20.0])
    assert by_label(axes[3, 0], "threshold").get_ydata()[0] == 3.0
    labels = {line.get_label() for line in axes[0, 0].get_lines()}
    assert "detected" not in labels and "threshold" not in labels  # the untrained response has neither
    assert axes[0, 0].get_ylim() == axes[1, 0].get_ylim()  # one scale before and after
    assert axes[3, 0].get_xlabel() == "whole recording: time (s)"


def test_a_response_is_shifted_into_the_recording():
    o = bumps(801, (300,))
    figure = sequence_responses(o, times=[400], threshold=[1.0], shift=100.0, zoom=(250, 350))
    whole, part = figure.axes
    trace = whole.get_lines()[0]
    assert trace.get_xdata()[np.argmax(trace.get_ydata())] == 400
    assert part.get_xlim() == (350, 450) and whole.get_xlim() == (100, 901)
    shown = sequence_responses(bumps(4000, (5,)), times=[2000.0], shift=500.0).axes[1].get_xlim()
    assert shown == (1600, 2400)  # a fifth of the recording, the detection in its middle
    (x, y), *_ = by_label(whole, "detected").get_xydata()
    assert (x, y > 5.0) == (400, True)


def test_a_statistic_has_a_row_of_its_own_which_alone_is_marked():
    o = bumps(500, (100,))
    figure = sequence_responses(o, statistic=-40 * o, threshold=[-7.0], times=[250])
    response, _, statistic, _ = figure.axes
    assert [a.get_title(loc="left") for a in (response, statistic)] == ["after training", "detection statistic"]
    assert "detected" not in {line.get_label() for line in response.get_lines()}
    assert by_label(statistic, "threshold").get_ydata()[0] == -7.0
    assert statistic.get_ylim()[0] < -200 and response.get_ylim()[0] > -2


def test_more_filters_than_fit_are_counted():
    figure = sequence_responses(np.tile(bumps(50, (9,)), (9, 1)))
    assert len(figure.axes) == 12 and "3 further filters not shown" in figure.axes[-2].get_xlabel()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"before": np.zeros((2, 9))}, r"before: expected \[2, 10\] as in after, got \[2, 9\]"),
        ({"statistic": np.zeros((1, 10))}, r"statistic: expected \[2, 10\] as in after, got \[1, 10\]"),
        ({"threshold": [1.0]}, r"threshold: expected \[K=2\]"),
        ({"times": [1, 2], "sequence": [0]}, r"sequence: expected \[D=2\] as in times, got \[1\]"),
        ({"zoom": (5, 5)}, "zoom: expected a first bin before the last"),
        ({"zoom": (50, 60)}, "zoom: expected a part of the 10 bins"),
        ({"truth": SequenceTruth([1.0, 2.0], [0])}, r"truth.sequence: expected \[D=2\]"),
    ],
)
def test_responses_that_do_not_fit_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        sequence_responses(np.zeros((2, 10)), **arguments)
    with pytest.raises(ValueError, match=r"after: expected \[K, T\], got \[1, 2, 3\]"):
        response_rows("after", np.zeros((1, 2, 3)))


def null(edges: np.ndarray, counts: np.ndarray) -> SimpleNamespace:
    return SimpleNamespace(mean=0.0, sd=1.0, edges=edges, counts=counts, threshold=5.0)


def test_histograms_are_densities_with_thresholds_marked():
    rng = np.random.default_rng(0)
    o = rng.standard_normal(20_000)
    counts, edges = np.histogram(rng.standard_normal(50_000), np.linspace(-6, 6, 1001))
    figure = response_histogram(o, null=null(edges, counts), thresholds={"random": 5.0, "surrogate": 3.5})
    (axes,) = figure.axes
    assert axes.get_yscale() == "log" and axes.get_ylabel() == "density (per unit of response)"
    patches = {patch.get_label(): patch.get_data() for patch in axes.patches}
    for name in ("random filters", "trained filter"):
        values, at = patches[name].values, patches[name].edges
        assert np.nansum(values * np.diff(at)) == pytest.approx(1.0)
        middle = (at[1:] + at[:-1]) / 2
        near = np.abs(middle) < 1.5
        normal = np.exp(-(middle**2) / 2) / np.sqrt(2 * np.pi)
        np.testing.assert_allclose(values[near], normal[near], rtol=0.2)
    assert len(patches["random filters"].values) <= 160
    assert by_label(axes, "random 5").get_xdata()[0] == 5.0 and by_label(axes, "surrogate 3.5").get_xdata()[0] == 3.5
    low, high = axes.get_xlim()
    assert low < o.min() and high > 5.0


def test_histograms_of_several_filters_and_of_a_constant():
    axes = response_histogram(np.arange(30.0).reshape(3, 10), label="statistic").axes[0]
    assert [p.get_label() for p in axes.patches] == [f"trained filter {k}" for k in range(3)]
    assert axes.get_xlabel() == "statistic"
    assert response_histogram(np.ones(9)).axes[0].get_xlim()[0] < 1


def test_wrong_nulls_and_thresholds_are_named():
    with pytest.raises(ValueError, match=r"null: expected B \+ 1 rising edges of B counts.*got 3 edges and 3 counts"):
        response_histogram(np.ones(9), null=null(np.arange(3.0), np.ones(3)))
    with pytest.raises(ValueError, match="with sum 0"):
        response_histogram(np.ones(9), null=null(np.arange(4.0), np.zeros(3)))
    with pytest.raises(ValueError, match="thresholds: expected finite numbers, got nan for x"):
        response_histogram(np.ones(9), thresholds={"x": float("nan")})
    with pytest.raises(ValueError, match="values: holds no finite response"):
        response_histogram(np.full(9, np.nan))
