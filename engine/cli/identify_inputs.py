"""neurorbit identify inputs"""

from __future__ import annotations

import json
from dataclasses import dataclass

from neurorbit.engine.cli.parsing import parse


@dataclass(frozen=True)
class InputsCommand:
    """Decide from activity alone which of the recorded units carry an input; a simulation's truth is compared."""

    data: str
    """Data file (.npz .h5 .hdf5 .mat): rates [B, T, N] under rs; inputs are not looked at and need not be there."""
    rates_key: str | None = None
    """Name of the activity inside the file, when it is not rs."""
    factors: int = 1
    """How many inputs there may be (>= 1)."""
    lags: int = 1
    """Earlier steps that the activity is predicted from (>= 1); more than one for leaky units."""
    least_share: float = 0.3
    """Smallest share of a unit's surprises that the other units' must explain."""
    json: bool = False
    """Print JSON instead of text."""


def main(arguments: list[str], prog: str) -> int:
    """Parse, load, infer, print."""
    command = parse(InputsCommand, arguments, prog)

    from neurorbit.engine.data.read_rates import read_rates
    from neurorbit.engine.models.identification.input_units import infer_input_units, inputs_record

    trials = read_rates(command.data, rates_key=command.rates_key, still=True)
    found = infer_input_units(trials, n_factors=command.factors, lags=command.lags, least_share=command.least_share)
    record = inputs_record(found, trials.truth)
    if command.json:
        print(json.dumps(record, allow_nan=False))
        return 0
    units = record["units"]
    print(f"{len(units)} of {len(record['share'])} units carry an input: {', '.join(map(str, units)) or 'none'}")
    print(
        f"share of their surprises above {record['threshold']:.2f}; {record['judged']} of {len(record['share'])} units "
        f"judged, {record['samples_per_weight']:.3g} steps per fitted weight"
    )
    for sentence in record["warnings"]:
        print(f"warning: {sentence}")
    if record["truth"] is not None:
        words = (f"{n} {'-' if v is None else f'{v:.3g}'}" for n, v in record["truth"].items())
        print(f"against the truth: {', '.join(words)}")
    elif trials.truth is not None:
        print("no truth beside it: this network's inputs scale its connections, no unit has weights for them")
    return 0
