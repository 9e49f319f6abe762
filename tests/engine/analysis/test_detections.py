"""Local maxima above a threshold, a distance apart."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neurorbit.engine.analysis.detections import Detections, peak_bins


def test_peaks_above_the_threshold_a_distance_apart() -> None:
    o = np.zeros(50)
    o[[3, 10, 14, 30, 40]] = [2.0, 5.0, 4.0, 1.0, 1.01]
    assert peak_bins(o, 1.0, 1).tolist() == [3, 10, 14, 40]  # 1.0 is not above it
    assert peak_bins(o, 1.0, 5).tolist() == [3, 10, 40]  # the higher one of 10 and 14
    assert peak_bins(o, 1.0, 4).tolist() == [3, 10, 14, 40]
    assert peak_bins(o, 9.0, 1).tolist() == []


def test_a_peak_may_lie_at_either_end() -> None:
    assert peak_bins([3.0, 1.0, 0.0, 1.0, 2.0], 0.5, 1).tolist() == [0, 4]
    assert peak_bins([1.0], 0.5, 10).tolist() == [0]


def test_a_statistic_that_is_everywhere_at_the_threshold_has_no_peak() -> None:
    assert peak_bins(np.zeros(20), 0.0, 3).tolist() == []
    assert peak_bins(np.full(20, 2.5), 2.5, 3).tolist() == []


@settings(deadline=None, max_examples=200)
@given(
    o=st.lists(st.integers(-5, 5), min_size=1, max_size=40),
    threshold=st.integers(-5, 5),
    distance=st.integers(1, 12),
)
def test_every_peak_is_a_maximum_above_the_threshold_and_none_is_missing(
    o: list[int], threshold: int, distance: int
) -> None:
    x = np.array(o, float)
    found = peak_bins(x, threshold, distance)
    assert (np.diff(found) >= distance).all() and (x[found] > threshold).all()
    padded = np.concatenate([[-np.inf], x, [-np.inf]])
    for t in found:
        assert padded[t] <= x[t] >= padded[t + 2]
    if x.max() > threshold:
        assert x[found].max() == x.max()  # the highest one is always kept


def test_time_in_seconds_is_the_middle_of_the_bin() -> None:
    def made(bin_s: float | None) -> Detections:
        d = np.array([0.0, 10.5])
        return Detections(d, np.zeros(2, int), d, d, "random", np.ones(1), None, 4, bin_s, np.zeros((1, 9)), d, d)

    seconds = made(0.05).time_s
    assert seconds is not None and seconds.tolist() == pytest.approx([0.025, 0.55])
    assert made(None).time_s is None and len(made(None)) == 2


def test_more_than_one_response_is_refused() -> None:
    with pytest.raises(ValueError, match=r"o: expected \[T'\], got \[2, 3\]"):
        peak_bins(np.zeros((2, 3)), 0.0, 1)
