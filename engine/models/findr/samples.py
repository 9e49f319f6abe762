"""Paths of a fitted flow and the spikes behind them, as arrays for a file."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from neurorbit.engine.data.spike_trials import SpikeTrials
from neurorbit.engine.data.write import hdf5_bytes, npz_bytes
from neurorbit.engine.data.write_trials import check_trial_path
from neurorbit.engine.models.findr.fitted import FittedFindr
from neurorbit.engine.whole_files import write_atomically


def best_model(fits: Sequence[FittedFindr], fold: int | None = None) -> tuple[FittedFindr, int]:
    """The ensemble and the number of the model with the lowest validation value, of one fold or of all."""
    found = [
        (float(f.selected_by[m.number].nan_to_num(nan=torch.inf)), k, m.number)
        for k, f in enumerate(fits)
        for m in f.members
        if fold is None or m.fold == fold
    ]
    if not found:
        there = sorted({m.fold for f in fits for m in f.members})
        raise ValueError(f"fold: expected one of {', '.join(map(str, there))}, got {fold}")
    _, shape, model = min(found)
    return fits[shape], model


def draw_samples(
    fitted: FittedFindr,
    model: int,
    template: SpikeTrials | None,
    *,
    n_trials: int | None = None,
    n_bins: int | None = None,
    with_inputs: bool = True,
    noise: bool = True,
    spikes: bool = False,
    session: int = 0,
    seed: int = 0,
) -> dict[str, np.ndarray[Any, Any]]:
    """z [B, T, M] float32, lengths, times, bin_s, externalinputs [B, T, U] and, if asked for, spikes [B, T, N].

    Args:
        template: trials whose inputs and lengths are taken; with n_trials and n_bins and without inputs none is needed.
        n_trials: of the template's, from the first on. n_bins: of every trial, instead of the template's.
        with_inputs: otherwise they are 0. session: whose neurons fire.
    """
    network = fitted.network
    if not 0 <= session < len(network.n_neurons):
        raise ValueError(f"session: expected 0 to {len(network.n_neurons) - 1}, got {session}")
    if template is not None and template.n_inputs != network.n_inputs:
        raise ValueError(f"{template.name}: expected U={network.n_inputs} inputs, got {template.n_inputs}")
    for name, value in (("trials", n_trials), ("bins", n_bins)):
        if value is not None and value < 1:
            raise ValueError(f"{name}: expected >= 1, got {value}")
    if template is not None:
        B = min(n_trials or template.n_trials, template.n_trials)
        lengths = template.lengths[:B]
        if n_bins is not None:
            if with_inputs and network.n_inputs:
                raise ValueError("bins: are those of the inputs; take inputs of 0 (--zero-inputs) for any number")
            lengths = torch.full((B,), n_bins)
    elif n_trials is None or n_bins is None:
        raise ValueError("trials, bins: are needed without trials to take inputs from")
    else:
        B, lengths = n_trials, torch.full((n_trials,), n_bins)
    T = int(lengths.max())
    inputs = torch.zeros(B, T, network.n_inputs) if network.n_inputs else None
    if inputs is not None and with_inputs:
        assert template is not None and template.inputs is not None
        inputs = template.inputs[:B, :T]
    z = fitted.sample(inputs, lengths, noise=noise, seed=seed, shape=(B, T))[model].cpu()
    found = {
        "z": z.numpy(),
        "lengths": lengths.numpy(),
        "times": np.arange(B, dtype=np.float64),
        "bin_s": np.array(fitted.bin_s),
    }
    if inputs is not None:
        found["externalinputs"] = inputs.numpy()
    if spikes:
        found["spikes"] = fitted.spikes(z.to(network.s.device), model, session, lengths=lengths, seed=seed + 1).numpy()
    return found


def write_samples(path: str | os.PathLike[str], samples: dict[str, np.ndarray[Any, Any]]) -> Path:
    """A .npz, .h5 or .hdf5 file."""
    place = check_trial_path(path)
    return write_atomically(place, (npz_bytes if place.suffix.lower() == ".npz" else hdf5_bytes)(samples))
