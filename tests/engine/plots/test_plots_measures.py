import numpy as np
import pytest
import torch

from neurorbit.engine.plots import (
    FixedPointSet,
    fixed_points_in_plane,
    lyapunov_exponents,
    measure_distributions,
    power_spectra,
    training_curves,
)
from neurorbit.engine.plots.spectra import power_spectrum


def sine(steps: int, period: float, amplitude: float = 1.0) -> np.ndarray:
    return amplitude * np.sin(2 * np.pi * np.arange(steps) / period)[:, None]


def test_power_has_the_frequency_and_the_variance_of_a_sine():
    frequency, power = power_spectrum(sine(4000, 20.0, 3.0), dt=0.01, segment=500)
    assert frequency[power[:, 0].argmax()] == pytest.approx(5.0)
    assert power[:, 0].sum() * (frequency[1] - frequency[0]) == pytest.approx(4.5, rel=1e-3)


def test_spectra_show_truth_median_and_quartiles_of_the_runs_that_stay():
    rng = np.random.default_rng(1)
    x = sine(1000, 20) + 0.1 * rng.standard_normal((1000, 1))
    runs = np.stack([x * scale for scale in (1.0, 2.0, 4.0, 1.0)])
    runs[3, 10:] = np.nan
    figure = power_spectra(x, runs, dt=0.01, time_unit="s")
    (axes,) = figure.axes
    true, generated = (line.get_ydata() for line in axes.get_lines())
    np.testing.assert_allclose(generated, 4 * true, rtol=1e-9)  # the median of 1, 4, 16
    assert len(axes.collections) == 1
    texts = [text.get_text() for text in figure.legends[0].get_texts()]
    assert "generated, median of 3 runs, 1 diverged left out" in texts
    assert figure.get_supxlabel() == "frequency (Hz)"
    assert axes.get_xlim()[0] <= 5 <= axes.get_xlim()[1] and axes.get_ylim()[1] > np.nanmax(true)


def test_spectra_of_runs_that_all_diverged_say_so():
    figure = power_spectra(sine(100, 10), np.full((2, 100, 1), np.nan))
    assert "every run diverged" in [text.get_text() for text in figure.legends[0].get_texts()]


def metric_rows() -> list[dict[str, str]]:
    rows = []
    for step in (1, 10, 100):
        for run in range(3):
            loss = "nan" if run == 2 and step == 100 else str((run + 1) / step)
            rows.append(
                {"step": str(step), "run": str(run), "loss": loss, "forcing_alpha": "0.3", "d_stsp": "", "note": ""}
            )
    rows[-3]["d_stsp"] = "0.5"
    return rows


def test_training_shows_every_run_their_median_and_where_one_diverged():
    figure = training_curves(metric_rows(), truth={"d_stsp": 0.12})
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert titles[0] == "loss" and len(titles) == 3  # the empty column `note` is left out
    loss = figure.axes[0]
    assert loss.get_yscale() == "log"
    lines = {line.get_label(): line for line in loss.get_lines()}
    assert sum(len(line.get_xdata()) == 3 for line in loss.get_lines()) == 4  # three runs and the median
    np.testing.assert_allclose(lines["median"].get_ydata(), [2, 0.2, 0.015])
    assert (lines["diverged"].get_xdata()[0], lines["diverged"].get_ydata()[0]) == (10, 0.3)
    (truth,) = [line for line in figure.axes[2].get_lines() if line.get_label() == "truth"]
    assert truth.get_ydata()[0] == 0.12


def test_training_without_its_columns_is_refused():
    with pytest.raises(ValueError, match="metrics: expected at least one row"):
        training_curves([])
    with pytest.raises(ValueError, match="metrics: column 'run' is missing"):
        training_curves([{"step": 1, "loss": 2.0}])
    with pytest.raises(ValueError, match="columns: d_x: the metrics hold loss"):
        training_curves([{"step": 1, "run": 0, "loss": 2.0}], columns=["d_x"])


def test_distributions_show_each_run_the_median_the_truth_and_the_target():
    measures = [{"run": e, "d_stsp": v, "variant": "a"} for e, v in enumerate([0.2, 0.4, 0.3, float("nan"), None])]
    figure = measure_distributions(measures, truth={"d_stsp": 0.12}, targets={"d_stsp": 0.26})
    (axes,) = figure.axes
    lines = {line.get_label(): line for line in axes.get_lines()}
    assert sorted(lines["run"].get_ydata()) == [0.2, 0.3, 0.4]
    assert lines["median"].get_ydata()[0] == pytest.approx(0.3)
    assert lines["truth"].get_ydata()[0] == 0.12 and lines["target"].get_ydata()[0] == 0.26
    assert axes.get_xlabel() == "5 runs, 2 without a value"
    assert axes.get_ylim()[0] < 0.12 and axes.get_ylim()[1] > 0.4


def test_distributions_take_columns_and_switch_to_powers_of_ten():
    figure = measure_distributions({"pe_20": torch.tensor([1e-4, 1e-2, 1.0]), "d_h": np.full(3, np.nan)})
    pe, empty = figure.axes
    assert pe.get_yscale() == "log" and pe.get_title() == "PE(20), 20-step error"
    assert [text.get_text() for text in empty.texts] == ["no finite value"]
    with pytest.raises(ValueError, match="one value per run for every measure, got a 3, b 2"):
        measure_distributions({"a": [1, 2, 3], "b": [1, 2]})
    with pytest.raises(ValueError, match="at least one measure"):
        measure_distributions([{"run": 0}])


def test_exponents_are_sorted_and_compared_with_the_truth():
    spectra = torch.tensor([[0.0, 0.9, -14.0], [0.92, 0.01, -15.0], [float("nan")] * 3])
    figure = lyapunov_exponents(spectra, truth=[-14.57, 0.906, 0.0])
    largest, whole = figure.axes
    lines = {line.get_label(): line for line in largest.get_lines()}
    np.testing.assert_allclose(lines["run"].get_ydata(), [0.9, 0.92])
    assert "truth 0.906" in lines and "median 0.91" in lines
    assert lines["diverged"].get_xdata()[0] == 2
    assert largest.get_ylabel() == "exponent (1/time unit)"
    (truth,) = whole.collections
    np.testing.assert_allclose([segment[0, 1] for segment in truth.get_segments()], [0.906, 0.0, -14.57])


def test_largest_exponents_alone_make_one_panel():
    assert len(lyapunov_exponents([0.9, 0.8]).axes) == 1
    assert lyapunov_exponents([float("nan")], truth=0.9).axes[0].texts[0].get_text() == "no run has a finite exponent"


def test_fixed_points_have_markers_by_their_unstable_directions():
    t = np.linspace(0, 6.28, 100)
    x = np.stack([np.cos(t), np.sin(t)], axis=1)
    true = FixedPointSet([[0.0, 0.0]], [2])
    found = [
        FixedPointSet.from_eigenvalues(torch.tensor([[0.1, 0.0], [0.5, 0.5]]), np.array([[1.1, 1.2j], [0.5, 0.4]])),
        FixedPointSet(np.zeros((0, 2))),
        FixedPointSet([[90.0, 0.0]]),
    ]
    figure = fixed_points_in_plane(x, found, true=true, names=["a", "b"])
    (axes,) = figure.axes
    points = {tuple(np.ravel(line.get_xydata()).round(6).tolist()): line.get_marker() for line in axes.get_lines()[1:]}
    assert points == {(0.0, 0.0): "s", (0.1, 0.0): "s", (0.5, 0.5): "o"}
    assert axes.get_xlim()[0] < -1 and 1 < axes.get_xlim()[1] < 2
    texts = [text.get_text() for text in figure.legends[0].get_texts()]
    assert "found, 3 runs (1 outside the picture)" in texts and "unstable in 2 directions" in texts
    assert FixedPointSet.from_eigenvalues([[0, 0]], np.array([[-1.0, 2.0]]), continuous=True).n_unstable.tolist() == [1]
    with pytest.raises(ValueError, match=r"fixed points \(run 0\): expected \[K, N=2\]"):
        fixed_points_in_plane(x, [FixedPointSet([[0.0, 0, 0]])])
