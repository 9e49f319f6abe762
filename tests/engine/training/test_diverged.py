"""Runs that diverged are named and take no part."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from neurorbit.engine.training.diverged import (
    Trained,
    best_surviving,
    check_any_survives,
    lost_runs,
    lost_sentence,
    surviving,
)

NAN = float("nan")


def ensemble(*diverged: bool) -> Trained:
    members = [SimpleNamespace(label=f"run {e}") for e in range(len(diverged))]
    return SimpleNamespace(members=members, diverged=torch.tensor(diverged))  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("diverged", "values", "best"),
    [
        ((False, False, False), (2.0, 1.0, 3.0), 1),
        ((False, True, False), (2.0, 1.0, 3.0), 0),
        ((True, True, False), (2.0, 1.0, NAN), 2),
        ((False, False, True), (NAN, 4.0, 3.0), 1),
        ((True, False, False), (0.0, NAN, 5.0), 2),
    ],
)
def test_the_best_is_the_lowest_of_those_that_are_left(
    diverged: tuple[bool, ...], values: tuple[float, ...], best: int
) -> None:
    fitted = ensemble(*diverged)
    assert best_surviving(fitted, torch.tensor(values)) == best
    assert surviving(fitted) == [e for e, gone in enumerate(diverged) if not gone]


def test_none_left_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^every run diverged in training, so there is nothing to measure: fit again"):
        best_surviving(ensemble(True, True), torch.zeros(2))
    with pytest.raises(ValueError, match=r"^out: every run diverged"):
        check_any_survives([ensemble(True), ensemble(True, True)], "out")
    check_any_survives([ensemble(True), ensemble(True, False)])


def test_the_lost_are_numbered_through_all_shapes_and_named() -> None:
    fits = [ensemble(False, True), ensemble(True, False, False)]
    assert lost_runs(fits) == [1, 2] and lost_runs(fits[:0]) == []
    assert lost_sentence(fits, "the medians") == "2 of 5 runs diverged, left out of the medians: run 1; run 0"
    assert lost_sentence([ensemble(False)], "the medians") == ""
