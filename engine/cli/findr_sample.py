"""neurorbit findr sample"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from neurorbit.engine.cli.parsing import parse


@dataclass(frozen=True)
class FindrSampleCommand:
    """Write paths of a fitted flow, by its own dynamics alone: latents, and spikes too."""

    workdir: str
    """Folder of the fit."""
    out: str
    """File to write (.npz .h5 .hdf5): z [B, T, M], lengths, externalinputs, and with --spikes what a fit reads."""
    inputs: str | None = None
    """Data file (.npz .h5 .hdf5) whose inputs and lengths are taken, such as a simulated one; else those of the fit's
    first session."""
    zero_inputs: bool = False
    """Inputs of 0."""
    trials: int | None = None
    """So many of the trials, from the first on; all when not given."""
    bins: int | None = None
    """Bins of every trial, of inputs of 0; those of the data when not given."""
    fold: int | None = None
    """Fold whose best model is taken; the best of all by its validation trials when not given."""
    noise: bool = True
    """With the fitted noise; otherwise the mean flow."""
    spikes: bool = False
    """Draw spikes of the session's neurons too."""
    session: int = 0
    """Session whose neurons fire."""
    seed: int = 0
    """Seed of noise and spikes."""
    state: Literal["best", "last"] = "best"
    """Each model's best state during training, or its last."""


def main(arguments: list[str], prog: str) -> int:
    """Parse, load, sample, write."""
    command = parse(FindrSampleCommand, arguments, prog)

    from neurorbit.engine.data.read_trials import read_trials
    from neurorbit.engine.data.write_trials import check_trial_path
    from neurorbit.engine.models.findr.fitted import load
    from neurorbit.engine.models.findr.fitting import sessions_of
    from neurorbit.engine.models.findr.samples import best_model, draw_samples, write_samples

    check_trial_path(command.out)
    fits = load(command.workdir, state=command.state)
    fitted, model = best_model(fits, command.fold)
    template = None
    if command.inputs is not None:
        template = read_trials(command.inputs, bin_s=fitted.bin_s)
    elif command.bins is None or command.trials is None or not command.zero_inputs:
        template = sessions_of(command.workdir)[0]
    samples = draw_samples(
        fitted, model, template, n_trials=command.trials, n_bins=command.bins, with_inputs=not command.zero_inputs,
        noise=command.noise, spikes=command.spikes, session=command.session, seed=command.seed,
    )  # fmt: skip
    path = write_samples(command.out, samples)
    print(f"{list(samples['z'].shape)} of {fitted.members[model].label} written to {path}")
    return 0
