"""Scores of hand-made detections."""

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neurorbit.engine.analysis.sequence_scores import matches, score_detections, zones

TRUTH = np.arange(100, 2000, 200.0)  # 10 occurrences


def test_perfect() -> None:
    s = score_detections(TRUTH[::-1], TRUTH, tolerance=25)
    assert (s.precision, s.recall, s.f1, s.timing_error_bins, s.offset_bins) == (1.0, 1.0, 1.0, 0.0, (0.0,))
    assert (s.matched, s.n_detected, s.n_true, s.sequence_of_filter) == (10, 10, 10, (0,))
    assert s.zones == {"precision": 1.0, "recall": 1.0, "f1": 1.0}


@pytest.mark.parametrize("offset", [-49.0, -30.5, 7.25, 40.0])
def test_a_constant_offset_is_removed_only_when_asked(offset: float) -> None:
    aligned = score_detections(TRUTH - offset, TRUTH, tolerance=25)
    assert aligned.f1 == 1.0 and aligned.offset_bins[0] == pytest.approx(offset) and aligned.timing_error_bins == 0
    plain = score_detections(TRUTH - offset, TRUTH, tolerance=25, align=False)
    assert plain.offset_bins == (0.0,)
    if abs(offset) > 25:
        assert (plain.f1, plain.matched, plain.timing_error_bins) == (0.0, 0, None)
    else:
        assert plain.f1 == 1.0 and plain.timing_error_bins == abs(offset)


def test_an_offset_of_more_than_two_tolerances_is_not_removed() -> None:
    assert score_detections(TRUTH + 80, TRUTH, tolerance=25).f1 == 0.0


def test_aligning_never_loses_a_match() -> None:
    """The median of the errors would push one pair out of the tolerance."""
    truth = np.array([100.0, 300.0, 500.0])
    s = score_detections(truth + np.array([-5, 4, 5]), truth, tolerance=5)
    assert s.matched == 3 and s.offset_bins == (0.0,)


def test_extra_and_missed() -> None:
    found = np.concatenate([TRUTH[:8] + 3, [200.0, 410.0]])
    s = score_detections(found, TRUTH, tolerance=25, align=False)
    assert (s.matched, s.precision, s.recall, s.f1) == (8, 0.8, 0.8, pytest.approx(0.8))
    assert s.timing_error_bins == 3.0


def test_an_occurrence_is_matched_once() -> None:
    s = score_detections([95, 100, 105, 300], [100, 300, 500], tolerance=25, align=False)
    assert (s.matched, s.precision, s.recall) == (2, 0.5, pytest.approx(2 / 3))


@pytest.mark.parametrize(("distance", "hit"), [(24.0, 1), (25.0, 1), (25.5, 0)])
def test_the_edge_of_the_tolerance_counts(distance: float, hit: int) -> None:
    for sign in (-1, 1):
        assert score_detections([100 + sign * distance], [100], tolerance=25, align=False).matched == hit


def test_nothing_detected_and_nothing_planted() -> None:
    none = score_detections([], TRUTH, tolerance=25)
    assert (none.precision, none.recall, none.f1, none.n_detected, none.sequence_of_filter) == (1.0, 0.0, 0.0, 0, ())
    extra = score_detections([5.0, 9.0], [], tolerance=25)
    assert (extra.precision, extra.recall, extra.f1, extra.sequence_of_filter) == (0.0, 1.0, 0.0, (None,))
    empty = score_detections([], [], tolerance=25)
    assert (empty.precision, empty.recall, empty.f1, empty.timing_error_bins) == (1.0, 1.0, 1.0, None)


def test_filters_and_sequences_in_another_order() -> None:
    sequences = np.arange(10) % 2
    s = score_detections(TRUTH + 2, TRUTH, tolerance=25, filters=1 - sequences, sequences=sequences, align=False)
    assert s.f1 == 1.0 and s.sequence_of_filter == (1, 0) and s.timing_error_bins == 2


def test_a_detection_by_the_wrong_filter_is_false() -> None:
    sequences, filters = np.arange(10) % 2, np.arange(10) % 2
    filters[0] = 1
    s = score_detections(TRUTH, TRUTH, tolerance=25, filters=filters, sequences=sequences)
    assert (s.matched, s.precision, s.recall) == (9, 0.9, 0.9)


def test_each_filter_has_its_own_offset() -> None:
    sequences = np.arange(10) % 2
    s = score_detections(TRUTH + np.where(sequences, 30, -20), TRUTH, tolerance=25, filters=sequences,
                         sequences=sequences)  # fmt: skip
    assert s.f1 == 1.0 and s.offset_bins == (20.0, -30.0)


def test_more_filters_than_sequences_and_the_other_way_round() -> None:
    filters = np.concatenate([np.zeros(10, int), np.full(3, 1), np.full(1, 3)])
    found = np.concatenate([TRUTH, [150, 350, 550], [151]])
    s = score_detections(found, TRUTH, tolerance=25, filters=filters, align=False)
    assert s.sequence_of_filter == (0, None, None, None) and (s.matched, s.precision) == (10, 10 / 14)
    sequences = np.arange(10) % 3
    one = score_detections(TRUTH[sequences == 2], TRUTH, tolerance=25, sequences=sequences, align=False)
    assert one.sequence_of_filter == (2,) and (one.precision, one.recall) == (1.0, 0.3)


def test_assignment_has_the_smallest_mean_distance_of_all() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        t, g = rng.uniform(0, 900, 24), rng.uniform(0, 900, 18)
        k, s = np.arange(24) % 3, np.arange(18) % 3
        cost = [[np.abs(t[k == i][:, None] - g[s == j]).min(0).mean() for j in range(3)] for i in range(3)]
        best = min(permutations(range(3)), key=lambda p: sum(cost[i][p[i]] for i in range(3)))
        found = score_detections(t, g, tolerance=10, filters=k, sequences=s, align=False)
        assert found.sequence_of_filter == best


@settings(deadline=None, max_examples=200)
@given(
    a=st.lists(st.integers(0, 60), max_size=6), b=st.lists(st.integers(0, 60), max_size=5), tolerance=st.integers(1, 20)
)
def test_as_many_pairs_as_there_can_be(a: list[int], b: list[int], tolerance: int) -> None:
    errors = matches(np.array(a, float), np.array(b, float), tolerance)
    assert all(abs(e) <= tolerance for e in errors)

    def most(i: int, used: frozenset[int]) -> int:
        if i == len(a):
            return 0
        ways = [1 + most(i + 1, used | {j}) for j in range(len(b)) if j not in used and abs(a[i] - b[j]) <= tolerance]
        return max([most(i + 1, used), *ways])

    assert len(errors) == most(0, frozenset())


def test_zones_count_every_detection_inside_and_every_zone_hit() -> None:
    t, g = np.array([90.0, 110.0, 480.0, 700.0]), np.array([100.0, 300.0, 500.0])
    one = [0]
    found = zones(t, np.zeros(4, int), g, np.zeros(3, int), one, 50)
    assert found == {
        "precision": 0.75,
        "recall": pytest.approx(2 / 3),
        "f1": pytest.approx(2 * 0.75 / 3 / (17 / 12) * 2),
    }
    s = score_detections(t, g, tolerance=5, align=False, zone=50)
    assert s.zones == found and s.matched == 0
    assert score_detections(t, g, tolerance=12.5, align=False).zones == found  # 4 tolerances


def test_zones_of_a_gap_of_two_widths_hold_everything() -> None:
    """Why they are no headline: any times at all score 1."""
    anywhere = np.random.default_rng(0).uniform(0, 2000, 50)
    assert score_detections(anywhere, TRUTH, tolerance=25).zones["precision"] == 1.0


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"tolerance": 0}, "tolerance: expected above 0 and finite, got 0"),
        ({"tolerance": float("nan")}, "tolerance: expected above 0 and finite, got nan"),
        ({"tolerance": float("inf")}, "tolerance: expected above 0 and finite, got inf"),
        ({"filters": [0]}, r"filters: expected \[2\], got \[1\]"),
        ({"sequences": [0, 1, 2]}, r"sequences: expected \[1\], got \[3\]"),
        ({"times": [1.0, float("nan")]}, "times: expected finite bins, got nan"),
        ({"truth": [float("inf")]}, "truth: expected finite bins, got inf"),
    ],
)
def test_refused(changed: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        score_detections(**{"times": [1.0, 2.0], "truth": [1.5], "tolerance": 3} | changed)  # type: ignore[arg-type]


def test_a_huge_tolerance_looks_no_further_than_the_recording() -> None:
    s = score_detections([10.0, 20.0], [15.0, 25.0], tolerance=1e15)
    assert s.f1 == 1.0 and s.offset_bins == (5.0,)
