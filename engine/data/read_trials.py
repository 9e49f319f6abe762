"""Reading trials of spike counts from files."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from neurorbit.engine.data.flow_truth import FlowTruth
from neurorbit.engine.data.hdf5_file import hdf5_arrays
from neurorbit.engine.data.matlab_file import matlab_arrays
from neurorbit.engine.data.numpy_file import npz_arrays
from neurorbit.engine.data.read_spikes import stated_bin_width
from neurorbit.engine.data.readable import check_readable
from neurorbit.engine.data.spike_trials import BIN_S, SpikeTrials
from neurorbit.engine.data.stored_array import StoredArray, listing
from neurorbit.engine.data.write_trials import TRUTH_ARRAYS

TRIAL_SUFFIXES = (".npz", ".h5", ".hdf5", ".mat")
_ARRAYS = {".npz": npz_arrays, ".h5": hdf5_arrays, ".hdf5": hdf5_arrays, ".mat": matlab_arrays}
_INPUTS = ("externalinputs", "clicks")  # the second in older files


def read_trials(path: str | os.PathLike[str], *, bin_s: float | None = None) -> SpikeTrials:
    """The trials in a .npz, .h5, .hdf5 or .mat file, of `neurorbit simulate` or in the published format.

    Keys: spikes [B, T, N] and lengths [B]; if there, externalinputs (clicks in older files) [B, T, U], times [B] s,
    choices [B], baseline_hz [B, N] and baseline_time_hz [T, N], bin_s, and the truth of a simulation.

    Args:
        bin_s: width of a bin in seconds; the file's own when None, else 0.01.
    Raises:
        OSError, ValueError, TypeError: one line that names the file, what is wrong and the mend.
    """
    path = check_readable(path, TRIAL_SUFFIXES)
    arrays = _ARRAYS[path.suffix.lower()](path)
    for key in ("spikes", "lengths"):
        if key not in arrays:
            raise ValueError(f"{path}: has no array '{key}', which is needed; it has {listing(arrays) or 'none'}")
    inputs = next((key for key in _INPUTS if key in arrays), None)
    width = stated_bin_width(path, arrays, "", bin_s)

    def load(key: str | None) -> Any:
        return arrays[key].load() if key in arrays else None

    return SpikeTrials.from_arrays(
        load("spikes"),
        load("lengths"),
        load(inputs),
        times=load("times"),
        choices=load("choices"),
        baseline_hz=load("baseline_hz"),
        baseline_time_hz=load("baseline_time_hz"),
        bin_s=BIN_S if width is None else width,
        truth=_truth(path, arrays),
        name=f"{path}[spikes]",
        lengths_name=f"{path}[lengths]",
        inputs_name=f"{path}[{inputs}]",
        times_name=f"{path}[times]",
        choices_name=f"{path}[choices]",
        baseline_name=f"{path}[baseline_hz]",
    )


def _truth(path: Path, arrays: Mapping[str, StoredArray]) -> FlowTruth | None:
    """What the simulation wrote beside the spikes, None when it wrote nothing."""
    if "truth_system" not in arrays:
        return None
    values = {w: torch.from_numpy(arrays[f"truth_{w}"].load()) for w in TRUTH_ARRAYS if f"truth_{w}" in arrays}
    lacking = [w for w in TRUTH_ARRAYS if w not in values and w != "evidence"]
    if lacking or "truth_link" not in arrays or "settings" not in arrays:
        missing = f"truth_{lacking[0]}" if lacking else "truth_link or no settings"
        raise ValueError(f"{path}: has truth_system but no {missing}: it was edited, simulate it again")
    system, link, settings = (_text(arrays[k].load()) for k in ("truth_system", "truth_link", "settings"))
    try:
        return FlowTruth(system, link=link, settings=json.loads(settings), **values)
    except (ValueError, TypeError) as error:
        raise ValueError(f"{path}: {error}: it was edited, simulate it again") from None


def _text(x: Any) -> str:
    """A text of .npz or HDF5."""
    value = np.asarray(x).reshape(-1)[0] if np.size(x) else ""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
