"""What the single figures of identifications draw: the data where they belong, labels, and clear errors."""

import math
from types import SimpleNamespace

import numpy as np
import pytest

from neurorbit.engine.plots import (
    KernelSet,
    connectivity,
    eigenvalue_spectrum,
    free_run_headings,
    grid_maps,
    grid_scores,
    heading_tuning,
    hidden_unit_maps,
    matrices_beside,
    measures_beside,
    ring_activity,
    ring_kernels,
    sheet_activity,
    sheet_kernels,
    shifter_populations,
    slow_points_on_ring,
    unit_activity,
)
from neurorbit.engine.plots.identification_axes import broken, on_ring, weight_limit

N, T = 12, 80
PREFERRED = np.arange(N) * 2 * math.pi / N
HEADING = np.linspace(0.2, 9.0, T) % (2 * math.pi)
RATES = np.exp(3 * (np.cos(HEADING[:, None] - PREFERRED) - 1))


def curve(line) -> np.ndarray:
    return np.asarray(line.get_ydata(), float)


def test_activity_is_placed_at_the_units_headings() -> None:
    order = np.random.default_rng(0).permutation(N)
    image = on_ring(RATES[:, order], PREFERRED[order], 360)
    rows = (np.arange(360) + 0.5) * 2 * math.pi / 360
    shown = np.angle(np.exp(1j * (rows[image.argmax(0)] - HEADING)))
    assert np.abs(shown).max() < math.pi / N + 0.01
    one = np.zeros((1, 4))
    one[0, 2] = 1.0
    image = on_ring(one, np.array([0.0, np.nan, math.pi / 2, math.pi]), 4)  # rows at 45, 135, 225, 315 degrees
    np.testing.assert_allclose(image[:, 0], [0.5, 0.5, 0, 0])


def test_lines_break_at_the_seam() -> None:
    line = broken(np.array([6.0, 6.2, 0.1, 0.3, 6.2, 3.5]))
    np.testing.assert_array_equal(np.isnan(line), [False, False, True, False, True, False])


def test_activity_shows_truth_and_decoded_heading_on_one_axis() -> None:
    figure = ring_activity({"data": RATES, "model": RATES[: T // 2]}, PREFERRED, heading=HEADING, velocity=HEADING,
                           dt_s=0.5)  # fmt: skip
    above, model, below = figure.axes[:3]
    true, decoded = above.get_lines()
    both = np.isfinite(curve(true)) & np.isfinite(curve(decoded))
    np.testing.assert_allclose(curve(true)[both], curve(decoded)[both], atol=1e-6)
    assert true.get_label() == "true heading" and below.get_xlabel() == "time (s)"
    assert model.images[0].get_extent() == [0, T / 4, 0, 2 * math.pi]
    assert below.get_ylabel() == "velocity\n(rad/s)" and below.get_xlim() == (0, T / 2)
    units = ring_activity({"data": 3 * RATES, "model": RATES}, PREFERRED, unit={"data": "spikes", "model": "rate"})
    tops = [axes.images[0].get_clim()[1] for axes in units.axes if axes.images]
    assert tops[0] == pytest.approx(3 * tops[1])
    assert [axes.get_ylabel() for axes in units.axes[2:]] == ["spikes", "rate"]


def test_activity_without_headings_keeps_the_order() -> None:
    figure = unit_activity({"data": RATES}, inputs=np.stack([HEADING, -HEADING], 1))
    np.testing.assert_array_equal(figure.axes[0].images[0].get_array(), RATES.T)
    assert [line.get_label() for line in figure.axes[1].get_lines()] == ["input 0", "input 1"]


def test_free_runs_show_error_and_drift() -> None:
    heading = np.stack([HEADING, HEADING + 1, HEADING + 2])
    wrong = heading + np.array([[0.1], [0.2], [0.4]])
    figure = free_run_headings(wrong, heading, silent=np.linspace(0, 1, 50)[None] * np.ones((2, 1)), dt_s=0.1)
    error, silent = figure.axes[3:5]
    np.testing.assert_allclose(curve(error.get_lines()[0]), 0.2)
    np.testing.assert_allclose(curve(silent.get_lines()[0])[-1], 1.0)
    assert [axes.get_title(loc="left") for axes in figure.axes] == [
        "trial 0", "trial 1", "trial 2", "error, median and quartiles of 3 trials", "without input, 2 trials"
    ]  # fmt: skip
    heading[1, :] = heading[:, 5] = np.nan
    middle = free_run_headings(wrong, heading).axes[3].get_lines()[0]
    np.testing.assert_allclose(curve(middle), np.full(T - 1, 0.25))
    lost = free_run_headings(np.full((1, T), np.nan), HEADING[None])
    np.testing.assert_allclose(curve(lost.axes[1].get_lines()[0]), math.pi)


def test_tuning_is_sorted_and_divided_by_the_largest() -> None:
    order = np.random.default_rng(0).permutation(N)
    middles = (np.arange(36) + 0.5) * 2 * math.pi / 36
    curves = 5 * np.exp(3 * (np.cos(middles - PREFERRED[order][:, None]) - 1))
    curves[0] = 0
    figure = heading_tuning({"data": curves, "model": curves})
    image = np.asarray(figure.axes[0].images[0].get_array())
    assert (np.diff(np.unwrap(middles[image[:-1].argmax(1)])) > 0).all() and not image[-1].any()
    np.testing.assert_allclose(image[:-1].max(1), 1)
    assert figure.axes[2].get_ylabel() == "rate, mean in bin" and len(figure.axes[2].get_lines()) == 6


def test_connectivity_as_found_and_sorted() -> None:
    rng = np.random.default_rng(0)
    W, preferred = rng.standard_normal((N + 3, N + 3)), rng.permutation(PREFERRED)
    figure = connectivity(W, preferred, n_observed=N, hidden_order=[2, 0, 1])
    order = np.concatenate([preferred.argsort(), [N + 2, N, N + 1]])
    raw, image = (axes.images[0] for axes in figure.axes[:2])
    np.testing.assert_array_equal(raw.get_array(), W)
    np.testing.assert_array_equal(image.get_array(), W[order][:, order])
    assert raw.get_clim() == image.get_clim() == (-weight_limit(W), weight_limit(W))
    assert len(connectivity(W).axes) == 2  # one matrix and its colour bar
    with pytest.raises(ValueError, match=r"hidden_order: expected each of the N - n = 3 hidden units once, got 3"):
        connectivity(W, preferred, n_observed=N, hidden_order=[0, 0, 1])
    with pytest.raises(ValueError, match=r"preferred: expected \[n=15\], one per observed unit, got \[12\]"):
        connectivity(W, preferred)


def test_matrices_name_their_circulant_share() -> None:
    ring = np.cos(PREFERRED[None] - PREFERRED[:, None])
    figure = matrices_beside({"truth": ring, "found": -2 * ring}, PREFERRED)
    titles = [axes.get_title(loc="left") for axes in figure.axes if axes.images]
    assert titles == ["truth\ncirculant share 1", "found\ncirculant share 1"]
    with pytest.raises(ValueError, match=r"matrices\['a'\]: expected \[N, N\], got \[2, 3\]"):
        matrices_beside({"a": np.ones((2, 3))}, PREFERRED)


def test_kernels_are_normalised_and_compared() -> None:
    true = np.cos(PREFERRED) - 0.2
    found = np.stack([3 * true + 1, true + 0.75 * np.cos(2 * PREFERRED)])
    figure = ring_kernels({"a": KernelSet.recovered(found, 1), "b": KernelSet.control(true)}, true)
    labels = [line.get_label() for line in figure.axes[0].get_lines() if not line.get_label().startswith("_")]
    assert labels == ["a, r = 0.8", "b, r = 1", "truth"]
    first, truth = figure.axes[1].get_lines()[0], figure.axes[1].get_lines()[-2]
    np.testing.assert_allclose(curve(first), curve(truth), atol=1e-12)
    assert curve(truth).max() == pytest.approx(math.sqrt(2)) and truth.get_xdata()[curve(truth).argmax()] == 0
    bars = [b.get_height() for b in figure.axes[2].containers[2]]
    np.testing.assert_allclose(bars[:3], [-0.2, 1, 0], atol=1e-12)
    bars = [b.get_height() for b in figure.axes[2].containers[1]]  # the median of 0 and 0.75
    assert bars[2] == pytest.approx(0.375)
    with pytest.raises(ValueError, match=r"sets\['a'\].run: expected 0 to 1, got 2"):
        ring_kernels({"a": KernelSet.recovered(found, 2)})


def shifters() -> SimpleNamespace:
    return SimpleNamespace(
        index=np.array([0.5, 0.4, -0.5, 0.0]), heading_rad=np.array([1.0, 4.0, 2.0, np.nan]),
        offset_rad=np.array([0.6, 0.8, -0.7, np.nan]), output=np.array([1.0, 3.0, 2.0, 0.0]),
        population=np.array([1, 1, 2, 0]), median_offsets_rad=(0.7, -0.7),
    )  # fmt: skip


def test_maps_of_a_population_are_turned_to_their_own_heading() -> None:
    s, middles = shifters(), (np.arange(24) + 0.5) * 2 * math.pi / 24
    maps = np.exp(3 * (np.cos(middles - np.nan_to_num(s.heading_rad)[:, None, None]) - 1)) * np.ones((4, 5, 1))
    W_out = np.cos(PREFERRED - (np.nan_to_num(s.heading_rad) + np.nan_to_num(s.offset_rad))[:, None])
    figure = shifter_populations(s, maps, np.linspace(-2, 2, 6), W_out, PREFERRED)
    for axes in figure.axes[:2]:
        image = np.asarray(axes.images[0].get_array())
        assert set(image.argmax(1)) <= {11, 12, 13}
        assert axes.images[0].get_extent() == [-math.pi, math.pi, -2, 2]
    forward, backward = figure.axes[3].get_lines()[:2]
    for line, offset in ((forward, 0.7), (backward, -0.7)):
        known = np.isfinite(curve(line))
        top = np.asarray(line.get_xdata())[known][curve(line)[known].argmax()]
        assert top == pytest.approx(offset, abs=0.3)
    texts = {text.get_text() for text in figure.axes[2].texts}
    assert texts == {"0.7", "−0.7"}
    units = hidden_unit_maps(s, maps, np.linspace(-2, 2, 6), n_units=3)
    assert [axes.get_title(loc="left") for axes in units.axes] == ["unit 1", "unit 0", "unit 2"]
    with pytest.raises(ValueError, match="maps, edges, W_out, preferred: expected"):
        shifter_populations(s, maps, np.linspace(-2, 2, 5), W_out, PREFERRED)


def test_spectrum_of_eigenvalues() -> None:
    values = np.array([0.2, 3 + 4j, 3 - 4j])
    figure = eigenvalue_spectrum({"found": values}, values / 2)
    plane, ranks = figure.axes
    np.testing.assert_array_equal(plane.get_lines()[0].get_xdata(), [0.2, 3, 3])
    np.testing.assert_allclose(curve(ranks.get_lines()[0]), [5, 5, 0.2])
    np.testing.assert_allclose(curve(ranks.get_lines()[1]), [2.5, 2.5, 0.1])
    with pytest.raises(ValueError, match=r"recovered\['a'\]: expected complex numbers with 1 axes"):
        eigenvalue_spectrum({"a": np.eye(2, dtype=int)})


def test_slow_points_lie_where_the_rates_do() -> None:
    slow = SimpleNamespace(points=RATES[[3, 40]], speed=np.zeros(2), eigenvalues=np.full((2, N), 0.5j),
                           stability=("stable", "saddle"))  # fmt: skip
    figure = slow_points_on_ring(slow, RATES)
    plane, ranks = figure.axes
    run, stable, saddle = plane.get_lines()
    assert [line.get_label() for line in (stable, saddle)] == ["1 stable", "1 saddle"]
    assert (stable.get_xdata()[0], curve(stable)[0]) == pytest.approx((run.get_xdata()[3], curve(run)[3]))
    np.testing.assert_allclose(curve(ranks.get_lines()[0]), 0.5)
    none = SimpleNamespace(
        points=np.zeros((0, N)), speed=np.zeros(0), eigenvalues=np.zeros((0, N), complex), stability=()
    )
    assert "no slow point found" in [text.get_text() for text in slow_points_on_ring(none, RATES).axes[1].texts]


def test_grid_maps_go_from_the_lowest_score_to_the_highest() -> None:
    maps, correlograms = np.random.default_rng(0).random((5, 4, 4)), np.zeros((5, 7, 7))
    figure = grid_maps(maps, correlograms, [0.5, np.nan, -0.2, 1.25, 0.1], n_units=3, extent=((0, 2), (0, 4)))
    titles = [axes.get_title(loc="left") for axes in figure.axes if axes.images and axes.get_title(loc="left")]
    assert titles == ["unit 1\nno score", "unit 4\nscore 0.1", "unit 3\nscore 1.2"]
    assert figure.axes[0].images[0].get_extent() == [0, 4, 0, 2]
    np.testing.assert_allclose(figure.axes[2].images[0].get_array(), maps[3] / maps[3].max())
    labels = grid_scores({"data": [0.5, np.nan, -0.2, 1.2]}).legends[0].get_texts()
    assert [text.get_text() for text in labels] == ["data: 50 % of 4 above 0.3"]
    empty = grid_scores({"data": [np.nan, np.nan]})
    assert not empty.legends and "no unit has a score" in empty.axes[0].texts[0].get_text()


def test_sheets() -> None:
    place = np.stack(np.meshgrid(np.arange(4), np.arange(4), indexing="ij"), -1).reshape(-1, 2)
    rates = np.arange(3 * 16).reshape(3, 16)
    figure = sheet_activity(rates, place, side=4.0, steps=[2])
    np.testing.assert_array_equal(figure.axes[0].collections[0].get_array(), rates[2])
    np.testing.assert_array_equal(figure.axes[0].collections[0].get_offsets(), place[:, ::-1])
    assert figure.axes[0].get_xlim() == (-0.5, 3.5)
    with pytest.raises(ValueError, match="steps: expected 0 to T - 1 = 2, got 3 to 3"):
        sheet_activity(rates, place, side=4.0, steps=[3])
    kernel = np.zeros((4, 4))
    kernel[2, 3] = 1.0
    figure = sheet_kernels({"truth": kernel, "none": np.full((4, 4), np.nan)})
    assert figure.axes[0].images[0].get_extent() == [-2.5, 1.5, -2.5, 1.5]
    assert "no pair of units" in [text.get_text() for text in figure.axes[1].texts]


def test_measures_beside_each_other() -> None:
    ours = [{"run": 0, "heading_error_rad": 0.2, "pair": [1, 2]}, {"run": 1, "heading_error_rad": 0.4, "pair": [1, 2]}]
    figure = measures_beside(
        {"ours": ours, "control": [{"heading_error_rad": None}]}, targets={"heading_error_rad": 0.1}
    )
    (axes,) = figure.axes
    assert axes.get_title(loc="center") == "heading error\n(rad)"
    dots, median, target = axes.get_lines()
    np.testing.assert_allclose(curve(dots), [0.2, 0.4])
    np.testing.assert_allclose([*curve(median), *curve(target)], [0.3, 0.3, 0.1, 0.1])
    assert [text.get_text() for text in axes.texts] == ["no value"]
    with pytest.raises(ValueError, match="sets: expected at least one measure"):
        measures_beside({"ours": [{"run": 0}]})


def test_bad_arguments_of_figures() -> None:
    with pytest.raises(ValueError, match=r"rates\['a'\]: expected \[T, N=12\] as in preferred, got \[80, 11\]"):
        ring_activity({"a": RATES[:, 1:]}, PREFERRED)
    with pytest.raises(ValueError, match="preferred: expected at least 3 units with a preferred heading, got 0"):
        ring_activity({"a": RATES}, np.full(N, np.nan))
    with pytest.raises(ValueError, match=r"heading: expected \[1, 80\] as in decoded, got \[1, 79\]"):
        free_run_headings(HEADING[None], HEADING[None, 1:])
    with pytest.raises(ValueError, match=r"rates: expected \[S, N=3\] as in the slow points, got \[80, 12\]"):
        slow_points_on_ring(
            SimpleNamespace(points=np.ones((1, 3)), speed=np.ones(1), eigenvalues=np.ones((1, 3)) + 0j,
                            stability=("stable",)), RATES)  # fmt: skip
    for empty in (heading_tuning, sheet_kernels, grid_scores, unit_activity, ring_kernels, eigenvalue_spectrum):
        with pytest.raises(ValueError, match="expected"):
            empty({})
