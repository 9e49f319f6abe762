"""neurorbit convseq simulate"""

from __future__ import annotations

import inspect
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from neurorbit.engine.cli.parsing import UsageError, parse

_BIN_S = 0.05
_NAMES = {"neurons": "n_neurons", "steps": "n_bins"}


@dataclass(frozen=True)
class ConvseqSimulateCommand:
    """Write a recording with a known answer: planted spike sequences, tuned neurons, or runs on a track."""

    out: str
    """File to write (.npz .h5 .hdf5): the events, and beside them the truth."""
    kind: Literal["planted", "tuning", "track"] = "planted"
    """planted: sequences in a background; tuning: a teleporting mouse; track: back-and-forth runs past place cells."""
    seqlen: int | None = None
    """planted: neurons of a sequence, which is as many bins long (120)."""
    p_drop: float | None = None
    """planted: probability that a neuron stays silent in an occurrence (0.1)."""
    gap_ts: int | None = None
    """planted: bins from the start of one occurrence to the start of the next (400)."""
    jitter_std: float | None = None
    """planted: standard deviation of a spike's time in bins (10)."""
    n_sequences: int | None = None
    """planted: number of sequences, which take turns (1)."""
    share_neurons: bool = False
    """planted: each sequence chooses among all neurons, not among those that no other one has."""
    background: str | None = None
    """planted: recording whose intervals are shuffled per neuron, its neurons permuted; Poisson spikes without it."""
    key: str | None = None
    """The array of the background's file that is meant, when it holds several."""
    transpose: bool = False
    """The background is [T, N]."""
    trust_pickle: bool = False
    """The background's .npy file is pickled and may run the code that it holds."""
    neurons: int | None = None
    """Number of neurons (planted 452, tuning 100, track 60)."""
    steps: int | None = None
    """Number of bins (18137)."""
    rate_hz: float | None = None
    """Rate of a neuron (planted 0.0414, tuning 1), of a place cell in the middle of its field (track 5)."""
    bin_s: float | None = None
    """Width of a bin in seconds (0.05)."""
    seed: int = 0
    """Seed of everything random."""


def main(arguments: list[str], prog: str) -> int:
    """Parse, simulate, write."""
    command = parse(ConvseqSimulateCommand, arguments, prog)

    from neurorbit.engine.data import check_spike_path, write_spike_events
    from neurorbit.engine.simulate import plant_sequences, track_runs, tuning_train

    check_spike_path(command.out)
    generators: dict[str, Any] = {"planted": plant_sequences, "tuning": tuning_train, "track": track_runs}
    generator = generators[command.kind]
    found = generator(**_settings(command, generator))
    path = write_spike_events(command.out, found.events, found.truth())
    events, known = found.events, ""
    if command.kind != "tuning":
        known = f", {len(found.times)} occurrences of {len(found.order)} sequence{'s' * (len(found.order) > 1)}"
    print(f"{events.n_neurons} neurons x {events.n_bins} bins, {events.n_spikes} spikes{known}: {path}")
    return 0


def _settings(command: ConvseqSimulateCommand, generator: Any) -> dict[str, Any]:
    """What was asked for, in the generator's words; what it does not know is refused."""
    given = {k: v for k, v in asdict(command).items() if v is not None and v is not False}
    asked = {k: v for k, v in given.items() if k not in ("out", "kind")}
    reading = {k: asked.pop(k) for k in ("key", "transpose", "trust_pickle") if k in asked}
    if "background" in asked:
        for word in ("neurons", "steps", "rate_hz"):
            if word in asked:
                raise UsageError(f"--{word}: the background has its own; leave it out")
    elif reading:
        raise UsageError(f"--{next(iter(reading))}: says how to read a background, give --background")
    if asked.pop("share_neurons", False):
        asked["disjoint"] = False
    wanted = {_NAMES.get(k, k): v for k, v in asked.items()}
    for word in wanted:
        if word not in inspect.signature(generator).parameters:
            shown = "share_neurons" if word == "disjoint" else word
            raise UsageError(f"--{shown}: is for --kind planted, not for {command.kind}; leave it out")
    if "background" in wanted:
        wanted["background"] = _background(command, wanted.pop("bin_s", None), reading)
    return wanted


def _background(command: ConvseqSimulateCommand, bin_s: float | None, reading: dict[str, Any]) -> Any:
    from neurorbit.engine.data import SpikeEvents, read_spike_events

    found = read_spike_events(str(command.background), bin_s=bin_s, **reading)
    if not isinstance(found, SpikeEvents):
        raise ValueError(f"--background: {found.name} holds real values, expected counts of spikes; find events first")
    return found if found.bin_s is not None else replace(found, bin_s=_BIN_S)
