"""True and found fixed points in the plane of the attractor; the marker tells the stability."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from neurorbit.engine.plots.arguments import Values, as_array, count, true_orbit, variable_names
from neurorbit.engine.plots.coordinates import box, cut_outside, fit_coordinates, thin
from neurorbit.engine.plots.style import GENERATED, TRUE, styled

_MARKERS = {-1: "D", 0: "o", 1: "^", 2: "s"}
_MANY = "X"


@dataclass(frozen=True)
class FixedPointSet:
    """Fixed points [K, N] of one system in observed coordinates and their numbers of unstable directions [K]."""

    positions: Values
    n_unstable: Values | None = None

    @classmethod
    def from_eigenvalues(cls, positions: Values, eigenvalues: Values, *, continuous: bool = False) -> "FixedPointSet":
        """Stability from eigenvalues [K, M]: of the map (unstable: |value| > 1) or of a flow (unstable: Re > 0)."""
        values = np.asarray(eigenvalues.detach().cpu() if hasattr(eigenvalues, "detach") else eigenvalues)
        if values.ndim != 2:
            raise ValueError(f"eigenvalues: expected [K, M], got {list(values.shape)}")
        unstable = values.real > 0 if continuous else np.abs(values) > 1
        return cls(positions, unstable.sum(axis=1))


@styled
def fixed_points_in_plane(
    x_true: Values,
    found: Sequence[FixedPointSet],
    *,
    true: FixedPointSet | None = None,
    names: Sequence[str] | None = None,
) -> Figure:
    """The fixed points of every run over the true orbit [T, N], with the true ones as large open marks."""
    x_true = true_orbit(x_true)
    n_observed = x_true.shape[1]
    if n_observed < 2:
        raise ValueError(f"x_true: expected at least 2 variables to show fixed points in a plane, got {n_observed}")
    coordinates = fit_coordinates(x_true, variable_names(names, n_observed), 2)
    sets = [(name, *_checked(name, points, n_observed)) for name, points in _named(found, true)]
    orbit = coordinates.apply(x_true)
    places = [coordinates.apply(positions) for _, positions, _ in sets if len(positions)]
    low, high = box(orbit, places, expand=0.25)
    figure = Figure(figsize=(6.4, 4.6), layout="constrained")
    axes = figure.add_subplot()
    orbit = cut_outside(thin(orbit, 6000, float(np.linalg.norm(high - low))), low, high)
    axes.plot(*orbit.T, color="#BBBBBB", linewidth=0.4, zorder=1)
    outside, kinds = 0, set()
    for name, positions, unstable in sets:
        for place, n in zip(coordinates.apply(positions) if len(positions) else [], unstable, strict=True):
            if not (np.isfinite(place).all() and (place >= low).all() and (place <= high).all()):
                outside += 1
                continue
            kinds.add(int(n))
            is_true = name == "true"
            axes.plot(*place, _marker(n), markersize=13 if is_true else 6, color=TRUE if is_true else GENERATED,
                      fillstyle="none" if is_true else "full", alpha=1 if is_true else 0.7,
                      mew=1.6 if is_true else 0, zorder=3 if is_true else 2, label=name)  # fmt: skip
    axes.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]))
    axes.set(xlabel=coordinates.labels[0], ylabel=coordinates.labels[1])
    handles = [Line2D([], [], color="#BBBBBB", label="true orbit")]
    if true is not None:
        handles.append(Line2D([], [], marker="o", ls="", mfc="none", color=TRUE, markersize=11, mew=1.6, label="true"))
    text = f"found, {count(len(found), 'run')}" + (f" ({outside} outside the picture)" if outside else "")
    handles.append(Line2D([], [], marker="o", ls="", color=GENERATED, markersize=6, label=text))
    handles += [Line2D([], [], marker=_marker(n), ls="", color="#888888", label=_kind(n)) for n in sorted(kinds)]
    figure.legend(handles=handles, loc="outside upper center", ncols=3)
    return figure


def _named(found: Sequence[FixedPointSet], true: FixedPointSet | None) -> list[tuple[str, FixedPointSet]]:
    return ([] if true is None else [("true", true)]) + [(f"run {e}", points) for e, points in enumerate(found)]


def _checked(name: str, points: FixedPointSet, n_observed: int) -> tuple[np.ndarray, np.ndarray]:
    positions = points.positions.detach().cpu() if hasattr(points.positions, "detach") else points.positions
    if np.size(positions) == 0:
        return np.zeros((0, n_observed)), np.zeros(0, dtype=int)
    array = as_array(f"fixed points ({name})", positions, "KN")
    if array.shape[1] != n_observed:
        raise ValueError(
            f"fixed points ({name}): expected [K, N={n_observed}], got {list(array.shape)}: observe them first"
        )
    if points.n_unstable is None:
        return array, np.full(len(array), -1)
    unstable = as_array(f"n_unstable ({name})", points.n_unstable, "K").astype(int)
    if len(unstable) != len(array):
        raise ValueError(
            f"n_unstable ({name}): expected {len(array)} numbers, one per fixed point, got {len(unstable)}"
        )
    return array, unstable


def _marker(n_unstable: int) -> str:
    return _MARKERS.get(int(n_unstable), _MANY)


def _kind(n_unstable: int) -> str:
    if n_unstable < 0:
        return "stability unknown"
    return "stable" if n_unstable == 0 else f"unstable in {count(n_unstable, 'direction')}"
