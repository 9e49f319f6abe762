"""Which models a grid of settings asks for."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from neurorbit.engine.training.grid import Grid, Member


@dataclass(frozen=True)
class Values:
    width: tuple[int, ...] = ()
    rate: tuple[float, ...] = ()
    size: tuple[int, ...] = ()


@dataclass(frozen=True)
class Part:
    width: int = 1
    rate: float = 0.5


@dataclass(frozen=True)
class Settings:
    part: Part = field(default_factory=Part)
    size: int = 3
    grid: Values = field(default_factory=Values)
    runs: int = 2
    seed: int = 10

    def check(self) -> None:
        if self.part.rate <= 0:
            raise ValueError(f"part.rate: expected more than 0, got {self.part.rate}")


GRID = Grid({"width": "part", "rate": "part", "size": ""}, of_shape=("width", "size"))


def test_settings_that_change_shapes_give_a_configuration_each() -> None:
    found = GRID.shapes(Settings(grid=Values(width=(4, 5), rate=(0.1, 0.2), size=(7,))))
    assert [(s.part.width, s.size, s.grid) for s in found] == [(w, 7, Values(rate=(0.1, 0.2))) for w in (4, 5)]
    assert GRID.shapes(Settings()) == [Settings()]


def test_the_others_vary_within_one_launch() -> None:
    found = GRID.members(Settings(grid=Values(rate=(0.1, 0.2))))
    expected = [(0, 10, 0.1), (1, 11, 0.1), (2, 10, 0.2), (3, 11, 0.2)]
    assert [(m.run, m.seed, m.settings["rate"]) for m in found] == expected
    assert found[2].label == "run 2 (seed 10, part.rate 0.2)"
    assert GRID.members(Settings(runs=1)) == [Member(0, 10, {"rate": 0.5}, {})]


def test_every_combination_is_checked() -> None:
    with pytest.raises(ValueError, match=r"part\.rate: expected more than 0, got -1"):
        GRID.members(Settings(grid=Values(rate=(0.1, -1.0))))


def test_a_value_named_twice_is_refused() -> None:
    with pytest.raises(ValueError, match=r"grid\.rate: expected values that differ, got 0\.2, 0\.1, 0\.2"):
        GRID.members(Settings(grid=Values(rate=(0.2, 0.1, 0.2))))
    with pytest.raises(ValueError, match=r"grid\.width: expected values that differ, got 4, 4"):
        GRID.shapes(Settings(grid=Values(width=(4, 4))))
