"""Flow fields: arrows over speed, points of standstill, what inputs add, trajectories."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

from neurorbit.engine.analysis.flow_match import FlowProfile
from neurorbit.engine.plots.arguments import Array
from neurorbit.engine.plots.findr_results import FlowPicture
from neurorbit.engine.plots.style import GENERATED, HIGHLIGHT, TRUE, legend_above, panels, styled

_MARKS = {"sink": ("o", "#009E73"), "saddle": ("X", "#D55E00"), "source": ("^", "#CC79A7"), "neutral": ("s", "#777777")}
_ARROWS = 17
_ORDERED = LinearSegmentedColormap.from_list(
    "ordered", ["#08306B", "#0072B2", "#9CC7E0", "#F3B98D", "#D55E00", "#6B2A00"]
)
_SPEED = "YlGnBu"


@styled
def flow_fields(pictures: Mapping[str, FlowPicture]) -> Figure:
    """Flows side by side; what was never visited stays white. A flow of one latent is a curve."""
    figure, grid = panels(len(pictures), width=4.4, height=3.9, columns=2)
    top = max(float(p.field.speed[p.field.visits > 0].quantile(0.98)) for p in pictures.values())
    mesh: QuadMesh | None = None
    for axes, (title, picture) in zip(grid, pictures.items(), strict=True):
        axes.set_title(title)
        if len(picture.field.axes) == 1:
            _curve(axes, picture)
        else:
            mesh = _plane(axes, picture, top)
        _points(axes, picture)
    if mesh is not None:
        unit = next(iter(pictures.values())).unit
        figure.colorbar(mesh, ax=grid, shrink=0.8, label=f"speed, {unit}/s" if unit else "speed, 1/s")
    legend_above(figure, grid)
    return figure


def _numbers(picture: FlowPicture) -> tuple[list[Array], Array, Array]:
    field = picture.field
    return [a.numpy() for a in field.axes], field.flow.numpy(), field.visits.numpy()


def _plane(axes: Axes, picture: FlowPicture, top: float) -> QuadMesh:
    (x, y), flow, visits = _numbers(picture)
    speed = np.where(visits > 0, picture.field.speed.numpy(), np.nan)
    mesh = axes.pcolormesh(x, y, speed.T, cmap=_SPEED, vmin=0.0, vmax=top, shading="nearest", rasterized=True)
    arrows(axes, x, y, flow, visits)
    _label(axes, picture)
    return mesh


def arrows(axes: Axes, x: Array, y: Array, flow: Array, visits: Array, color: str = TRUE) -> None:
    """Directions, darker where states were; all arrows have one length."""
    step = max(1, len(x) // _ARROWS)
    at = np.ix_(range(0, len(x), step), range(0, len(y), step))
    length = np.linalg.norm(flow, axis=-1)[at]
    direction = np.divide(flow[at], length[..., None], out=np.zeros_like(flow[at]), where=length[..., None] > 0)
    seen = visits[at] > 0
    for where, alpha in ((seen, 0.9), (~seen, 0.2)):
        if where.any():
            gx, gy = np.meshgrid(x[::step], y[::step], indexing="ij")
            axes.quiver(gx[where], gy[where], direction[where, 0], direction[where, 1], color=color, alpha=alpha,
                        angles="xy", scale=28.0, width=0.0035, pivot="mid")  # fmt: skip


def _curve(axes: Axes, picture: FlowPicture) -> None:
    (x,), flow, visits = _numbers(picture)
    axes.axhline(0.0, color="#999999", linewidth=0.7)
    axes.plot(x, flow[:, 0], color="#CCCCCC")
    axes.plot(x, np.where(visits > 0, flow[:, 0], np.nan), color=GENERATED, linewidth=1.8)
    axes.set_xlabel(picture.labels[0])
    axes.set_ylabel(f"flow, {picture.unit}/s" if picture.unit else "flow, 1/s")


def _points(axes: Axes, picture: FlowPicture) -> None:
    for point, kind in zip(picture.points, picture.kinds, strict=True):
        marker, color = _MARKS[kind]
        y = point[1] if len(point) > 1 else 0.0
        axes.plot(point[0], y, marker, color=color, markersize=8.5, markeredgecolor="white", label=kind, zorder=5)


def _label(axes: Axes, picture: FlowPicture) -> None:
    axes.set_xlabel(picture.labels[0])
    axes.set_ylabel(picture.labels[1])


@styled
def input_driven(picture: FlowPicture, added: Mapping[str, Array]) -> Figure:
    """What one unit of each input adds to the flow, [G, D] or [G, G, 2] on the picture's grid."""
    figure, grid = panels(len(added), width=3.8, height=3.4, columns=2)
    axes_, _, visits = _numbers(picture)
    sizes = {name: np.linalg.norm(f, axis=-1) for name, f in added.items()}
    top = max(float(s[visits > 0].max()) for s in sizes.values())
    mesh = None
    for axes, (name, f) in zip(grid, added.items(), strict=True):
        axes.set_title(name)
        if len(axes_) == 1:
            axes.axhline(0.0, color="#999999", linewidth=0.7)
            axes.plot(axes_[0], np.where(visits > 0, f[:, 0], np.nan), color=HIGHLIGHT)
            axes.set_xlabel(picture.labels[0])
            continue
        shown = np.where(visits > 0, sizes[name], np.nan)
        mesh = axes.pcolormesh(*axes_, shown.T, cmap="OrRd", vmin=0.0, vmax=top, shading="nearest", rasterized=True)
        arrows(axes, axes_[0], axes_[1], f, visits)
        _label(axes, picture)
    if mesh is not None:
        figure.colorbar(mesh, ax=grid, shrink=0.8, label=f"{picture.unit}/s")
    return figure


@styled
def trajectories(picture: FlowPicture, sets: Mapping[str, Mapping[str, Array]]) -> Figure:
    """Mean latents of each condition [T, D]: a panel per set, such as the posterior's and the flow's own."""
    figure, grid = panels(len(sets), width=4.2, height=3.6, columns=2)
    for axes, (title, paths) in zip(grid, sets.items(), strict=True):
        axes.set_title(title)
        if len(picture.field.axes) == 2:
            (x, y), flow, visits = _numbers(picture)
            arrows(axes, x, y, flow, visits, color="#BBBBBB")
            _label(axes, picture)
        else:
            axes.set_xlabel("bin")
            axes.set_ylabel(picture.labels[0])
        for k, (name, path) in enumerate(paths.items()):
            color = _ORDERED(k / max(len(paths) - 1, 1)) if len(paths) > 2 else f"C{k}"
            if path.shape[1] == 1:
                axes.plot(path[:, 0], color=color, label=name)
                continue
            axes.plot(path[:, 0], path[:, 1], color=color, linewidth=1.8, label=name)
            ends = np.flatnonzero(np.isfinite(path[:, 0]))
            if ends.size:
                axes.plot(*path[ends[0]], ".", color=color)
                axes.plot(*path[ends[-1]], "o", color=color, markersize=5)
    legend_above(figure, grid)
    return figure


@styled
def flow_profiles(profile: FlowProfile, label: str = "true axis") -> Figure:
    """Fitted and true flow along one true axis, the mean over the states that were there."""
    figure, [axes] = panels(1, width=5.2, height=3.2, columns=1)
    axes.axhline(0.0, color="#999999", linewidth=0.7)
    axes.plot(profile.place, profile.true, color=TRUE, label="true", linewidth=1.6)
    axes.plot(profile.place, profile.fitted, color=GENERATED, label="fitted", linewidth=1.6)
    axes.fill_between(
        profile.place, 0.0, profile.weight / profile.weight.max() * float(profile.true.abs().max()) * 0.3,
        color="#DDDDDD", label="states", zorder=0,
    )  # fmt: skip
    axes.set_xlabel(label)
    axes.set_ylabel("flow, 1/s")
    legend_above(figure, [axes])
    return figure


def point_rows(picture: FlowPicture) -> tuple[list[str], list[list[Any]]]:
    """A table: kind, place and eigenvalues of each point of standstill."""
    rows: list[list[Any]] = []
    for kind, place, values in zip(picture.kinds, picture.points, picture.eigenvalues, strict=True):
        where = ", ".join(f"{x:.3g}" for x in place)
        shown = ", ".join(f"{v.real:.3g}" if abs(v.imag) < 1e-6 else f"{v.real:.3g}{v.imag:+.3g}i" for v in values)
        rows.append([kind, where, shown])
    return ["kind", f"place, {picture.unit}" if picture.unit else "place", "eigenvalues, 1/s"], rows
