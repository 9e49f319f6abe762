"""Which models a configuration asks for: runs x grid, parted into launches of one shape each."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, Protocol, TypeVar


class GridSettings(Protocol):
    """A configuration with a grid: the fields that `Grid` reads besides those it is told of."""

    @property
    def grid(self) -> Any:
        """Values of each setting to combine; () for one that stays as it is."""

    @property
    def runs(self) -> int:
        """Seeds of each combination."""

    @property
    def seed(self) -> int:
        """The first of them."""

    def check(self) -> None:
        """ValueError for a setting out of its range."""


C = TypeVar("C", bound=GridSettings)


@dataclass(frozen=True)
class Member:
    """One model of an ensemble: its seed and the value of every setting that may differ between models; `varied` has
    the names, with their section, of those that the grid varies."""

    run: int
    seed: int
    settings: dict[str, float]
    varied: dict[str, str]

    @property
    def label(self) -> str:
        """How messages name the model."""
        values = "".join(f", {full} {self.settings[n]:g}" for n, full in self.varied.items())
        return f"run {self.run} (seed {self.seed}{values})"


class Grid:
    """The settings that a configuration's grid may vary.

    Args:
        sections: the section of each, "" at the top of the configuration.
        of_shape: those that change the shape of a model's parameters or of a batch: one launch each.
    """

    def __init__(self, sections: Mapping[str, str], of_shape: Sequence[str]) -> None:
        self.sections, self.of_shape = dict(sections), tuple(of_shape)
        self.per_model = tuple(n for n in self.sections if n not in self.of_shape)

    def shapes(self, config: C) -> list[C]:
        """One configuration per combination of the settings that change shapes, without them in its grid."""
        names = self._named(config, self.of_shape)
        found = []
        for values in product(*(getattr(config.grid, n) for n in names)):
            one = _replaced(config, grid=dataclasses.replace(config.grid, **dict.fromkeys(names, ())))
            for name, value in zip(names, values, strict=True):
                one = self._with(one, name, value)
            found.append(one)
        return found

    def members(self, config: C) -> list[Member]:
        """The models of one launch: every combination of the grid, each with all seeds."""
        names = self._named(config, self.per_model)
        varied = {n: f"{self.sections[n]}.{n}".removeprefix(".") for n in names}
        found: list[Member] = []
        for values in product(*(getattr(config.grid, n) for n in names)):
            one = config
            for name, value in zip(names, values, strict=True):
                one = self._with(one, name, value)
            one = _replaced(one, grid=type(config.grid)())
            one.check()
            settings = {n: self._value(one, n) for n in self.per_model}
            found += [Member(len(found) + r, config.seed + r, settings, varied) for r in range(config.runs)]
        return found

    @staticmethod
    def _named(config: GridSettings, names: Sequence[str]) -> list[str]:
        """Those that the grid varies; ValueError for one that names a value twice, and so would train a model twice."""
        for name in names:
            values = getattr(config.grid, name)
            if len(set(values)) < len(values):
                raise ValueError(f"grid.{name}: expected values that differ, got {', '.join(map(str, values))}")
        return [n for n in names if getattr(config.grid, n)]

    def _value(self, config: GridSettings, name: str) -> Any:
        section = self.sections[name]
        return getattr(getattr(config, section) if section else config, name)

    def _with(self, config: C, name: str, value: Any) -> C:
        section = self.sections[name]
        if not section:
            return _replaced(config, **{name: value})
        return _replaced(config, **{section: dataclasses.replace(getattr(config, section), **{name: value})})


def _replaced(config: C, **changes: Any) -> C:
    return dataclasses.replace(config, **changes)  # type: ignore[type-var]
