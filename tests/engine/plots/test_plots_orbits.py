import matplotlib
import numpy as np
import pytest
import torch

from neurorbit.engine.plots import attractor_gallery, attractors, time_series, typical_run
from neurorbit.engine.plots.arguments import diverged_at
from neurorbit.engine.plots.coordinates import box, cycle_steps, fit_coordinates, thin


def spiral(steps: int, n: int) -> np.ndarray:
    t = np.arange(steps) * 0.1
    return np.stack([np.cos(t * (i + 1)) * (i + 1) for i in range(n)], axis=1)


def test_three_variables_are_drawn_in_space_on_equal_axes_that_hold_the_data():
    x = spiral(300, 3)
    figure = attractors(torch.tensor(x), 1.2 * x)
    true, generated = figure.axes
    assert true.name == generated.name == "3d"
    for axes, points in ((true, x), (generated, 1.2 * x)):
        (line,) = axes.get_lines()
        np.testing.assert_allclose(np.array(line.get_data_3d()).T, points, rtol=1e-12)
        for limits, column in zip((axes.get_xlim(), axes.get_ylim(), axes.get_zlim()), points.T, strict=True):
            assert limits[0] < column.min() and column.max() < limits[1]
    assert true.get_xlim() == generated.get_xlim() and true.get_zlim() == generated.get_zlim()
    assert true.get_title() == "true" and generated.get_title() == "generated"


def test_two_variables_are_drawn_in_the_plane_with_their_names():
    figure = attractors(spiral(50, 2), spiral(50, 2)[None], names=["V (mV)", "$w"])
    assert [axes.name for axes in figure.axes] == ["rectilinear"] * 2
    assert figure.axes[0].get_xlabel() == "V (mV)" and figure.axes[0].get_ylabel() == r"\$w"


def test_one_variable_is_drawn_against_its_own_past():
    x = np.sin(2 * np.pi * np.arange(400) / 40)[:, None]
    line = attractors(x, x).axes[0].get_lines()[0]
    now, later = line.get_data()
    assert len(now) == 390 and np.allclose(now**2 + later**2, 1, atol=1e-9)  # a quarter of a cycle: a circle


def test_principal_components_of_the_true_data_carry_their_variance():
    rng = np.random.default_rng(0)
    directions = np.linalg.qr(rng.standard_normal((6, 6)))[0]
    scores = rng.standard_normal((2000, 6)) * np.array([4.0, 2.0, 1.0, 0.1, 0.1, 0.1])
    coordinates = fit_coordinates(scores @ directions.T + 7, [f"x{i}" for i in range(6)], 3)
    overlap = np.abs(coordinates.axes.T @ directions[:, :3])
    np.testing.assert_allclose(overlap, np.eye(3), atol=0.1)
    assert coordinates.labels[0].startswith("PC1 (7")  # 16 of 21.03: 76 %
    assert np.allclose(coordinates.apply(scores @ directions.T + 7).mean(axis=0), 0, atol=1e-9)


def test_long_orbits_are_thinned_and_stay_on_the_orbit():
    x = spiral(100_000, 2)
    drawn = thin(x, 5000, 4.0)
    assert len(drawn) == 5000
    assert {tuple(p) for p in drawn} <= {tuple(p) for p in x}
    slow = np.linspace(0, 1, 100_000)[:, None] * np.ones(2)
    assert thin(slow, 5000, 1.4)[-1, 0] > 0.999  # a smooth orbit is drawn whole, every 20th point


def test_box_ignores_single_points_far_outside():
    low, high = box(np.array([[0.0, 0], [1, 1]]), [np.array([[1.3, 0.5], [50, 0.5], [np.nan, 0]])])
    assert 1.3 < high[0] < 1.5 and high[1] < 1.1 and low[0] > -0.1


def test_cycle_of_a_sine_is_its_period():
    x = np.sin(2 * np.pi * np.arange(2000) / 50)[:, None]
    x[100:110] = np.nan
    assert cycle_steps(x) == pytest.approx(50, rel=0.02)


def test_divergence_is_found_at_its_step_and_named():
    x = spiral(100, 3)
    runs = np.stack([x] * 4)
    runs[1, 40:] = np.nan
    runs[2, 70:] = 1e30
    runs[3] *= 1.5
    assert diverged_at(x, runs).tolist() == [-1, 40, 70, -1]
    assert "diverged at step 40" in attractors(x, runs, run=1).axes[1].get_title()
    gallery = attractor_gallery(x, runs, d_stsp=[0.25, np.nan, np.nan, 1.5])
    titles = [axes.get_title() for axes in gallery.axes]
    assert titles == ["true", "run 0: 0.25", "run 1: diverged", "run 2: diverged", "run 3: 1.5"]


def test_a_run_that_comes_to_rest_is_seen():
    x = spiral(100, 2)
    gallery = attractor_gallery(x, np.stack([x, np.full_like(x, 0.3)]))
    marks = [[line for line in axes.get_lines() if line.get_marker() == "o"] for axes in gallery.axes]
    assert [len(m) for m in marks] == [0, 0, 1]
    assert np.ravel(marks[2][0].get_xydata()).tolist() == pytest.approx([0.3, 0.3])
    for n in (2, 3):
        x = spiral(100, n)
        true, generated = attractors(x, np.full_like(x, 0.3)).axes
        assert not [line for line in true.get_lines() if line.get_marker() == "o"]
        [mark] = [line for line in generated.get_lines() if line.get_marker() == "o"]
        assert np.ravel(mark.get_xydata() if n == 2 else mark.get_data_3d()).tolist() == pytest.approx([0.3] * n)


def test_a_gallery_of_many_runs_says_what_it_leaves_out():
    x = spiral(30, 2)
    figure = attractor_gallery(x, np.stack([x] * 40))
    assert len(figure.axes) == 24
    assert "17 further runs" in figure.get_supxlabel()


def test_typical_run_is_the_middle_one_of_those_that_stay():
    x = spiral(50, 2)
    runs = np.stack([x] * 5)
    runs[2] = np.nan
    assert typical_run(x, runs, [0.5, 0.1, 0.0, 0.3, np.nan]) == 3
    assert typical_run(x, np.full_like(runs, np.nan)) == 0


def test_time_series_lie_over_each_other_on_a_time_axis():
    x = spiral(1000, 3)
    figure = time_series(x, np.stack([x, -x]), run=1, dt=0.01, time_unit="s", steps=400)
    assert len(figure.axes) == 3
    assert figure.axes[2].get_xlabel() == "time (s)"
    true, generated = figure.axes[1].get_lines()
    np.testing.assert_allclose(true.get_ydata(), x[:400, 1])
    np.testing.assert_allclose(generated.get_ydata(), -x[:400, 1])
    assert true.get_xdata()[-1] == pytest.approx(3.99)
    assert figure.legends[0].get_texts()[1].get_text() == "generated (run 1)"


def test_time_series_mark_the_step_of_divergence():
    x = spiral(200, 1)
    run = x.copy()
    run[50:] = np.inf
    figure = time_series(x, run, dt=0.5, steps=200)
    _, generated, mark = figure.axes[0].get_lines()
    assert len(generated.get_ydata()) == 50 and mark.get_xdata()[0] == 25.0


def test_the_settings_of_matplotlib_stay_as_they_were():
    before = dict(matplotlib.rcParams)
    attractors(spiral(30, 2), spiral(30, 2))
    assert dict(matplotlib.rcParams) == before


@pytest.mark.parametrize(
    ("true", "generated", "message"),
    [
        (np.zeros((9, 3)), np.zeros((2, 9, 2)), r"x_generated: expected \[E, T, N=3\], got \[2, 9, 2\]: N differs"),
        (np.zeros(9), np.zeros((9, 1)), r"x_true: expected \[T, N\], got \[9\]"),
        (np.zeros((0, 3)), np.zeros((9, 3)), r"x_true: .*at least one entry"),
        (np.full((9, 1), np.inf), np.zeros((9, 1)), "x_true: contains infinite"),
        (np.full((9, 1), np.nan), np.zeros((9, 1)), "x_true: column 0 holds no finite"),
    ],
)
def test_wrong_shapes_and_values_are_named(true, generated, message):
    with pytest.raises(ValueError, match=message):
        attractors(true, generated)


def test_wrong_types_and_runs_are_named():
    x = spiral(30, 2)
    with pytest.raises(TypeError, match="x_true: expected real numbers"):
        attractors(x + 1j, x)
    with pytest.raises(ValueError, match=r"run: expected 0\.\.0"):
        attractors(x, x, run=3)
    with pytest.raises(ValueError, match="names: expected 2 names"):
        attractors(x, x, names=["a"])
    with pytest.raises(ValueError, match="dt: expected a positive"):
        time_series(x, x, dt=0)
