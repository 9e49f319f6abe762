"""Reading trials of rates or spikes with their inputs from files."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from neurorbit.engine.data.hdf5_file import hdf5_arrays
from neurorbit.engine.data.matlab_file import matlab_arrays
from neurorbit.engine.data.network_truth import NetworkTruth
from neurorbit.engine.data.numpy_file import npz_arrays
from neurorbit.engine.data.rate_trials import Kind, RateTrials
from neurorbit.engine.data.readable import check_readable
from neurorbit.engine.data.stored_array import StoredArray, listing
from neurorbit.engine.data.write_rates import TRUTH_ARRAYS

RATE_SUFFIXES = (".npz", ".h5", ".hdf5", ".mat")
_ARRAYS = {".npz": npz_arrays, ".h5": hdf5_arrays, ".hdf5": hdf5_arrays, ".mat": matlab_arrays}


def read_rates(
    path: str | os.PathLike[str],
    *,
    rates_key: str | None = None,
    inputs_key: str | None = None,
    headings_key: str | None = None,
    start_key: str | None = None,
    spikes: bool | None = None,
    dt_s: float | None = None,
    still: bool = False,
) -> RateTrials:
    """The trials in a .npz, .h5, .hdf5 or .mat file, of `neurorbit simulate` or in the published format.

    Args:
        rates_key: the activity [B, T, N]; rs when None. inputs_key: the inputs [B, T, U] or [B, T]; vs when None.
        headings_key: true headings [B, T] in rad or positions [B, T, 2]; xs, if there, when None.
        start_key: an initial state, kept as it is; x0, if there, when None.
        spikes: the activity is counts of spikes; what the file says under `kind` when None, else whether its type is
            a whole number.
        dt_s: width of a step in seconds; the file's own when None.
        still: allow inputs that never vary, or none in the file: zeros then.
    Raises:
        OSError, ValueError, TypeError: one line that names the file, what is wrong and the mend.
    """
    path = check_readable(path, RATE_SUFFIXES)
    arrays = _ARRAYS[path.suffix.lower()](path)
    rates = _needed(path, arrays, "rates_key", rates_key, "rs")
    inputs = (_found if still else _needed)(path, arrays, "inputs_key", inputs_key, "vs")
    headings = _found(path, arrays, "headings_key", headings_key, "xs")
    start = _found(path, arrays, "start_key", start_key, "x0")
    activity = arrays[rates].load()
    kind = _kind(path, arrays, spikes, activity)
    return RateTrials.from_arrays(
        activity,
        np.zeros(activity.shape[:2], np.float32) if inputs is None else arrays[inputs].load(),
        kind=kind,
        headings=None if headings is None else arrays[headings].load(),
        start=None if start is None else arrays[start].load(),
        dt_s=_stated_width(path, arrays, dt_s),
        rate_hz=arrays["rate_hz"].load() if kind == "spikes" and "rate_hz" in arrays else None,
        truth=_truth(path, arrays),
        still=still,
        name=f"{path}[{rates}]",
        inputs_name=f"{path}[{inputs}]",
        headings_name=f"{path}[{headings}]",
    )


def _needed(path: Path, arrays: Mapping[str, StoredArray], argument: str, key: str | None, usual: str) -> str:
    found = _found(path, arrays, argument, key, usual)
    if found is None:
        raise ValueError(f"{argument}: {path} has no array '{usual}'; name the one that is meant: {listing(arrays)}")
    return found


def _found(path: Path, arrays: Mapping[str, StoredArray], argument: str, key: str | None, usual: str) -> str | None:
    if key is None:
        return usual if usual in arrays else None
    word = key if key in arrays else key.strip("/")
    if word not in arrays:
        raise ValueError(f"{argument}: {path} has no array '{key}'; it has {listing(arrays) or 'none at all'}")
    return word


def _kind(path: Path, arrays: Mapping[str, StoredArray], spikes: bool | None, activity: Any) -> Kind:
    if spikes is None and "kind" in arrays:
        stated = _text(arrays["kind"].load())
        if stated not in ("rates", "spikes"):
            raise ValueError(f"{path}[kind]: expected rates or spikes, got {stated!r}; say which with spikes")
        spikes = stated == "spikes"
    elif spikes is None:
        spikes = np.asarray(activity).dtype.kind in "iu"
    return "spikes" if spikes else "rates"


def _stated_width(path: Path, arrays: Mapping[str, StoredArray], dt_s: float | None) -> Any:
    """The width of a step that is asked for or the file's own; two different ones are an error."""
    if "dt_s" not in arrays:
        return dt_s
    stated = arrays["dt_s"].load()
    if dt_s is not None and not np.allclose(stated, dt_s, rtol=1e-6):
        raise ValueError(f"dt_s: {path} says {np.ravel(stated)[0]:g} s, {dt_s:g} s asked for; leave dt_s out")
    return stated


def _truth(path: Path, arrays: Mapping[str, StoredArray]) -> NetworkTruth | None:
    """What the simulation wrote beside the activity, None when it wrote nothing."""
    if "truth_system" not in arrays:
        return None
    values: dict[str, Any] = {w: arrays[f"truth_{w}"].load() if f"truth_{w}" in arrays else None for w in TRUTH_ARRAYS}
    lacking = [w for w in TRUTH_ARRAYS if values[w] is None and w not in ("Wv", "W_in")]
    if lacking:
        raise ValueError(f"{path}: has truth_system but no truth_{lacking[0]}: it was edited, simulate it again")
    try:
        settings = json.loads(_text(arrays["settings"].load())) if "settings" in arrays else {}
        return NetworkTruth(_text(arrays["truth_system"].load()), settings=settings, **values)
    except (ValueError, TypeError) as error:
        raise ValueError(f"{path}: {error}: it was edited, simulate it again") from None


def _text(x: Any) -> str:
    """A text of .npz, HDF5 or .mat."""
    value = np.asarray(x).reshape(-1)[0] if np.size(x) else ""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
