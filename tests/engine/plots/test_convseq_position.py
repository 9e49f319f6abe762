import numpy as np
import pytest

from neurorbit.engine.plots import detections_over_position, position_tuning, running_direction
from neurorbit.engine.plots.convseq_position import DIRECTIONS


def laps(n: int, period: int = 400) -> np.ndarray:
    """Up in a quarter of the period, rest, down in a quarter, rest: 0 to 100."""
    quarter = period // 4
    ramp = np.linspace(0, 100, quarter)
    return np.tile(np.concatenate([ramp, np.full(quarter, 100.0), ramp[::-1], np.zeros(quarter)]), n)


def test_direction_is_the_sign_of_the_way():
    direction = running_direction(laps(3), 10)
    assert [DIRECTIONS[direction[t]] for t in (450, 550, 650, 750)] == ["forward", "still", "backward", "still"]
    x = laps(1)
    x[40:60] = np.nan
    assert running_direction(x, 10)[50] == 2 and running_direction(x, 10)[20] == 0


def test_detections_are_counted_by_direction_and_place():
    x = laps(30)
    forward = 400 * np.arange(30) + 50  # at 50 of 0..100, running up
    backward = 400 * np.arange(4) + 225  # at about 75, running down
    tuning = position_tuning(np.concatenate([forward, backward]), x, n_positions=10, n_shifts=200)
    assert tuning.counts.sum() == 34
    assert tuning.counts[0].tolist() == [0, 0, 0, 0, 0, 30, 0, 0, 0, 0] and tuning.counts[1, 7] == 4
    assert tuning.direction.tolist() == [0] * 30 + [1] * 4
    np.testing.assert_allclose(tuning.edges, np.linspace(0, 100, 11))
    assert (tuning.shifted.sum(axis=(1, 2)) == 34).all()


def test_information_is_that_of_the_cells_visited():
    x = np.tile(np.repeat([0.0, 1.0], 50), 40)  # jumps; half the time in each place
    direction = running_direction(x, 20)
    here = np.flatnonzero((x == 1) & (direction == 2))[::40]
    tuning = position_tuning(here, x, n_positions=2, n_shifts=50)
    q = np.mean((x == 1) & (direction == 2))
    assert tuning.information_bits == pytest.approx(-np.log2(q))
    assert tuning.p_value <= 3 / 51 and tuning.concentration_bits > 0.3


def test_detections_at_random_are_not_concentrated_and_those_at_a_place_are():
    x, rng = laps(50), np.random.default_rng(1)
    p = [position_tuning(rng.integers(0, len(x), 30), x, n_shifts=199, seed=i).p_value for i in range(40)]
    assert np.mean(np.array(p) < 0.1) < 0.3 and 0.3 < np.mean(p) < 0.7
    at = 400 * np.arange(50) + 50 + rng.integers(-10, 10, 50)
    # laps of one length: shifted by a whole one, all detections are back at their place
    varied = np.concatenate([laps(1, 4 * int(q)) for q in rng.integers(60, 140, 50)])
    tuning = position_tuning(np.flatnonzero(np.diff((varied >= 50).astype(int)) == 1), varied, n_shifts=199)
    assert tuning.p_value == 1 / 200 and tuning.concentration_bits > 1.5
    assert position_tuning(at, x, n_shifts=199).p_value > 1 / 200


def test_shifts_with_as_much_information_count_against_it():
    tuning = position_tuning([5, 50], np.ones(100), n_shifts=10)
    assert (tuning.p_value, tuning.information_bits, tuning.concentration_bits) == (1.0, 0.0, 0.0)


def test_the_same_seed_shifts_alike():
    x, t = laps(10), [50, 450, 1000]
    a, b, c = (position_tuning(t, x, n_shifts=20, seed=s).shifted_bits for s in (1, 1, 2))
    assert (a == b).all() and (a != c).any()


def test_the_figure_puts_detections_on_the_way_and_counts_beside_shifted_ones():
    x = laps(20)
    times = [50.0, 450.0, 625.0]
    figure = detections_over_position(times, x, bin_s=0.05, position_unit="cm", n_shifts=100)
    top, forward, backward, still, information = figure.axes
    lines = {line.get_label(): line.get_xydata().tolist() for line in top.get_lines()}
    np.testing.assert_allclose(lines["2 forward"], [[2.5, x[50]], [22.5, x[450]]])
    np.testing.assert_allclose(lines["1 backward"], [[31.25, x[625]]])
    assert lines["0 still"] == []
    for axes, n in ((forward, 2), (backward, 1), (still, 0)):
        assert axes.patches[-1].get_data().values.sum() == n
        assert axes.get_xlabel() == "position (cm)" and axes.get_xlim() == (0, 100)
    assert top.get_ylabel() == "position (cm)" and top.get_xlabel() == "time (s)"
    tuning = position_tuning(times, x, bin_s=0.05, n_shifts=100)
    assert information.get_lines()[0].get_xdata()[0] == pytest.approx(tuning.information_bits)
    assert "bit above shifted, p" in information.get_title(loc="left")


def test_positions_that_are_missing_take_no_part():
    x = laps(5)
    x[40:60] = np.nan
    tuning = position_tuning([50, 450], x, n_shifts=10)
    assert tuning.counts.sum() == 1 and tuning.direction.tolist() == [-1, 0]


def test_wrong_times_and_positions_are_named():
    with pytest.raises(ValueError, match=r"times: expected bins 0\.\.399 as in position \[T=400\], got 5\.\.400"):
        position_tuning([5, 400], laps(1))
    with pytest.raises(ValueError, match="position: holds no finite value"):
        position_tuning([5], np.full(9, np.nan))
    with pytest.raises(ValueError, match="n_shifts, n_positions: expected at least 1, got 0, 12"):
        position_tuning([5], laps(1), n_shifts=0)
