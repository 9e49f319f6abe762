"""Arguments of the figures: tensors or arrays in, checked float64 arrays out."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

Array = np.ndarray[Any, np.dtype[Any]]
Values = np.ndarray[Any, np.dtype[Any]] | torch.Tensor | Sequence[Any]

# A run that leaves the true data's box by this many of its widths counts as diverged.
DIVERGED_WIDTHS = 20.0
_LABELS = ("run", "seed", "settings")  # of a row of measures: they name the run


def as_array(name: str, value: Values, dims: str) -> Array:
    """A float64 copy of `value` whose rank matches `dims`, for example "TN"."""
    if isinstance(value, torch.Tensor):
        value = value.detach().cpu().double().numpy() if not value.is_complex() else value.detach().cpu().numpy()
    try:
        array = np.asarray(value)
        if array.dtype.kind == "c":
            raise TypeError
        array = np.array(array, dtype=np.float64)
    except (TypeError, ValueError):
        raise TypeError(f"{name}: expected real numbers [{', '.join(dims)}], got {type(value).__name__}") from None
    shape = f"[{', '.join(dims)}]"
    if array.ndim != len(dims):
        raise ValueError(f"{name}: expected {shape}, got {list(array.shape)}: give {len(dims)} dimensions")
    if 0 in array.shape:
        raise ValueError(f"{name}: expected {shape} with at least one entry each, got {list(array.shape)}")
    return array


def true_orbit(x_true: Values) -> Array:
    """x_true [T, N]; NaN marks missing observations, but no column may be missing throughout."""
    array = as_array("x_true", x_true, "TN")
    if array.shape[0] < 2:
        raise ValueError(f"x_true: expected at least 2 time steps, got {array.shape[0]}")
    if np.isinf(array).any():
        raise ValueError("x_true: contains infinite values: replace them by NaN where observations are missing")
    empty = np.flatnonzero(np.isnan(array).all(axis=0))
    if empty.size:
        raise ValueError(f"x_true: column {empty[0]} holds no finite value: leave it out")
    return array


def generated_orbits(x_generated: Values, n_observed: int) -> Array:
    """x_generated [E, T, N]; one orbit [T, N] is taken as E = 1."""
    rank = getattr(x_generated, "ndim", None)
    if rank == 2:
        array = as_array("x_generated", x_generated, "TN")[None]
    else:
        array = as_array("x_generated", x_generated, "ETN")
    if array.shape[2] != n_observed:
        raise ValueError(
            f"x_generated: expected [E, T, N={n_observed}], got {list(array.shape)}: N differs from x_true; "
            "pass model.observe(z), not the latent states"
        )
    if array.shape[1] < 2:
        raise ValueError(f"x_generated: expected at least 2 time steps, got {array.shape[1]}")
    return array


def diverged_at(x_true: Array, x_generated: Array) -> Array:
    """First step [E] at which each run is non-finite or far outside the true data's box; -1 for runs that stay."""
    low, high = np.nanmin(x_true, axis=0), np.nanmax(x_true, axis=0)
    reach = DIVERGED_WIDTHS * np.maximum(high - low, np.finfo(np.float32).tiny)
    with np.errstate(invalid="ignore"):
        outside = ~((x_generated > low - reach) & (x_generated < high + reach)).all(axis=2)  # [E, T]
    return np.where(outside.any(axis=1), outside.argmax(axis=1), -1)


def variable_names(names: Sequence[str] | None, n_observed: int) -> list[str]:
    """The names of the observed variables, x1..xN unless given."""
    if names is None:
        return [f"$x_{{{i + 1}}}$" for i in range(n_observed)]
    if isinstance(names, str) or len(names) != n_observed:
        raise ValueError(f"names: expected {n_observed} names, one per observed variable, got {names!r}")
    # a dollar sign in a name is a character, not the start of a formula
    return [str(name).replace("$", r"\$") for name in names]


def time_step(dt: float, time_unit: str | None) -> tuple[float, str]:
    """dt checked, and the word for its unit: "steps" for dt = 1, "time units" else, unless given."""
    if not (isinstance(dt, int | float) and np.isfinite(dt) and dt > 0):
        raise ValueError(f"dt: expected a positive time per step, got {dt!r}")
    return float(dt), time_unit or ("steps" if dt == 1 else "time units")


def rate_unit(time_unit: str) -> str:
    """The unit of one over time."""
    return {"s": "Hz", "ms": "kHz"}.get(time_unit, f"1/{time_unit.removesuffix('s')}")


def number(value: Any) -> float:
    """A number out of a table cell; empty, None and words become NaN."""
    try:
        return float(value)
    except (TypeError, ValueError):
        return float("nan")


def measure_columns(measures: Sequence[Mapping[str, Any]] | Mapping[str, Any]) -> dict[str, Array]:
    """Measures as {name: values [E]}, from one dict per run or from {name: values}; only numbers that measure."""
    if isinstance(measures, Mapping):
        columns = {}
        for name, values in measures.items():
            if np.ndim(values.detach().cpu() if isinstance(values, torch.Tensor) else values) == 1:
                columns[name] = as_array(f"measures[{name!r}]", values, "E")
        lengths = {values.size for values in columns.values()}
        if len(lengths) > 1:
            sizes = ", ".join(f"{name} {values.size}" for name, values in columns.items())
            raise ValueError(f"measures: expected one value per run for every measure, got {sizes}")
        return columns
    rows = list(measures)
    if not all(isinstance(row, Mapping) for row in rows):
        raise TypeError("measures: expected one dict per run, such as {'d_stsp': 0.2, 'd_h': 0.08}")
    names = list(dict.fromkeys(name for row in rows for name in row))
    scalar = [name for name in names if name not in _LABELS and not any(_is_list(row.get(name)) for row in rows)]
    columns = {name: np.array([number(row.get(name)) for row in rows]) for name in scalar}
    words = [name for name, values in columns.items() if any(isinstance(row.get(name), str) for row in rows)]
    return {name: values for name, values in columns.items() if name not in words}


def measure_rows(
    measures: Sequence[Mapping[str, Any]] | Mapping[str, Any] | None, n_models: int
) -> list[dict[str, Any]]:
    """One dict per run, from that or from {name: values [E, ...]}; entries that are not per run are left out."""
    if isinstance(measures, Mapping):
        arrays = {name: values for name, values in measures.items() if _is_list(values)}
        odd = [f"{name} {len(values)}" for name, values in arrays.items() if len(values) != n_models]
        if odd:
            raise ValueError(
                f"measures: expected {n_models} values each, one per run of x_generated, got {', '.join(odd)}"
            )
        return [{name: values[e] for name, values in arrays.items()} for e in range(n_models)]
    rows = [dict(row) for row in measures or []]
    if rows and len(rows) != n_models:
        raise ValueError(f"measures: expected one dict per run, {n_models} as in x_generated, got {len(rows)}")
    return rows


def _is_list(value: Any) -> bool:
    return np.ndim(value.detach().cpu() if isinstance(value, torch.Tensor) else value) > 0


def count(n: int, noun: str) -> str:
    """ "1 run", "2 runs"."""
    return f"{n} {noun}{'' if n == 1 else 's'}"
