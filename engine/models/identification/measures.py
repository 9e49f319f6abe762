"""What a fitted network got right: its connectivity, its free run, its silence, and the shifters among its units."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from neurorbit.engine.analysis import (
    MedianMad,
    Shifters,
    activity_modes,
    bump_drift,
    circulant_share,
    circular_difference,
    circular_median,
    decode_heading,
    free_run_error,
    grid_score,
    kernel_correlation,
    kernel_correlation_modes,
    median_mad,
    preferred_heading,
    rate_map,
    sheet_kernel,
    shifter_tuning,
)
from neurorbit.engine.analysis.ring_kernel import pearson
from neurorbit.engine.data.rate_trials import RateTrials
from neurorbit.engine.models.identification.fitted import FittedIdentification, check_same_units
from neurorbit.engine.training.diverged import check_any_survives, lost_runs

RING = ("kernel_correlation", "kernel_correlation_modes", "circulant_share", "heading_error_rad",
        "network_error_rad", "bump_drift_rad", "activity_correlation")  # fmt: skip
SHIFTERS = ("shifter_agreement", "shifter_share", "observed_shifter_share")
SHEET = ("kernel_correlation", "kernel_correlation_modes", "grid_score", "grid_share", "activity_correlation")
PAIRS = ("shifter_offsets_rad",)
TRIALS, STEPS, SILENT_STEPS = 20, 1000, 1000
_MODES = 3
_SHEET_MODES = 7  # the mean, and two for each of the three waves of a hexagonal pattern
_HEXAGONAL = 0.3
_SHAPE = ("hidden", "rank", "sequence_length")
_CORRELATION = {"activity_correlation": "of a free run with the recording, over observed units and steps"}
_RING_VARIANTS = {
    "kernel_correlation": "of the kernels averaged around the ring, with the truth",
    "kernel_correlation_modes": f"of W's effect on the {_MODES} leading modes of the activity",
    "heading_error_rad": "median over trials and steps of a free run, against the true heading",
    "network_error_rad": "the same against the heading that the recorded activity shows",
    "observed_shifter_share": "of the observed units, those tuned to heading and velocity in a free run",
    "bump_drift_rad": f"median over trials of the net turn in {SILENT_STEPS} silent steps",
} | _CORRELATION
_SHEET_VARIANTS = {
    "kernel_correlation": "of the kernels averaged over the sheet, with the truth; most of W acts on activity that the "
    "network never shows, which leaves that part free",
    "kernel_correlation_modes": f"of W's effect on the {_SHEET_MODES} leading modes of the activity, which the data do "
    "constrain",
    "grid_score": "median over the observed units in a free run",
    "grid_share": f"of the observed units, those that score above {_HEXAGONAL}",
} | _CORRELATION


@dataclass(frozen=True, eq=False)
class FreeRuns:
    """Free and silent runs of every model of an ensemble, from the first trials of a recording.

    preferred [n] rad of the observed units by their recorded activity (NaN for those that are not compass units);
    headings [B, T] true; shown [B, T] decoded from the recorded activity; rates [E, B, T, N]; decoded [E, B, T];
    silent [E, B, T'] decoded without inputs, from the trials' last states; velocity [B, T] the first input.
    """

    preferred: np.ndarray
    headings: np.ndarray
    shown: np.ndarray
    rates: Tensor
    decoded: np.ndarray
    silent: np.ndarray
    velocity: np.ndarray

    def shifters(self, fitted: FittedIdentification, model: int, *, observed: bool = False) -> Shifters:
        """Tuning and output of the hidden units, or of the observed ones if asked or where none is hidden."""
        n = fitted.n_observed
        units = slice(0, n) if observed or fitted.network.n_units == n else slice(n, None)
        return shifter_tuning(
            self.rates[model, ..., units],
            self.decoded[model],
            self.velocity,
            fitted.W()[model, units, :n],
            self.preferred,
        )


def free_runs(fitted: FittedIdentification, trials: RateTrials, *, steps: int = STEPS) -> FreeRuns:
    """Runs of up to 20 trials and `steps` steps; needs headings [B, T]."""
    check_same_units(fitted, trials)
    if trials.headings is None or trials.headings.ndim != 2:
        raise ValueError(f"{trials.name}: expected headings [B, T] in rad for the heading that a run shows")
    few = first_trials(trials, steps + 1)
    assert few.headings is not None
    preferred = compass_preferred(trials)
    start = fitted.start_rates(few)
    n = fitted.n_observed
    rates = fitted.free_run(few.inputs[:, 1:], start[:, 0])
    silent = fitted.silent_run(start[:, -1], SILENT_STEPS)
    return FreeRuns(
        preferred,
        few.headings[:, 1:].numpy(),
        decode_heading(start[:, 1:], preferred),
        rates,
        decode_heading(rates[..., :n], preferred),
        decode_heading(silent[..., :n], preferred),
        few.inputs[:, 1:, 0].numpy(),
    )


def first_trials(trials: RateTrials, steps: int) -> RateTrials:
    """The first steps of the first trials."""
    headings = None if trials.headings is None else trials.headings[:TRIALS, :steps]
    return dataclasses.replace(
        trials, activity=trials.activity[:TRIALS, :steps], inputs=trials.inputs[:TRIALS, :steps], headings=headings
    )


def compass_preferred(trials: RateTrials) -> np.ndarray:
    """Preferred heading [n] by the recorded activity; NaN for units that are known to be no compass units."""
    found = preferred_heading(trials.activity, trials.headings).heading_rad
    if trials.truth is not None:
        found = np.where(trials.truth.population[trials.truth.observed] == 0, found, np.nan)
    return found


def evaluate_runs(fits: Sequence[FittedIdentification], trials: RateTrials, *, steps: int = STEPS) -> dict[str, Any]:
    """Measures of every run with their median and median absolute deviation, as plain values that json can write.

    {"runs": [{"run", "seed", "loss", "kernel_correlation", "circulant_share", "heading_error_rad", "bump_drift_rad",
    "shifter_offsets_rad": [of velocity > 0, < 0], ...}], "diverged", "median", "mad", "variants"}; None stands for what
    the data cannot tell (without headings all but the free run's "activity_correlation"; without a known truth) and for
    values that are not finite. "diverged" names runs that left the finite numbers in training: the medians are without
    them. Runs of a grid carry their "settings", and "by_settings" holds median and MAD for each of them.

    Args:
        fits: of `load` or `fit`. trials: recorded like those of the fit; up to 20 of them are run freely.
        steps: of the free runs.
    """
    if steps < 2:
        raise ValueError(f"steps: expected at least 2, got {steps}")
    if trials.n_steps < 2:
        raise ValueError(f"{trials.name}: expected trials of at least 2 steps for a free run, got {trials.n_steps}")
    check_any_survives(fits)
    varied = [n for n in _SHAPE if len({_shape(fitted)[n] for fitted in fits}) > 1]
    runs: list[dict[str, Any]] = []
    diverged = lost_runs(fits)
    for fitted in fits:
        check_same_units(fitted, trials)
        found = _on_sheet(fitted, trials, steps) if _positions(trials) else _on_ring(fitted, trials, steps)
        for e, member in enumerate(fitted.members):
            run: dict[str, Any] = {"run": len(runs), "seed": member.seed}
            settings = {n: member.settings[n] for n in member.varied} | {n: _shape(fitted)[n] for n in varied}
            if settings:
                run["settings"] = settings
            runs.append(run | {"loss": _plain(float(fitted.loss[e]))} | {n: _plain(v[e]) for n, v in found.items()})
    names = [n for n in runs[0] if n not in ("run", "seed", "settings")]
    groups: dict[str, list[dict[str, Any]]] = {}
    for run in runs:
        groups.setdefault(str(run.get("settings")), []).append(run)
    result: dict[str, Any] = {"runs": runs, "diverged": diverged, **_summary(runs, diverged, names)}
    if len(groups) > 1:
        result["by_settings"] = [
            {"settings": g[0]["settings"], "runs": len(g), **_summary(g, diverged, names)} for g in groups.values()
        ]
    variants = _SHEET_VARIANTS if _positions(trials) else _RING_VARIANTS
    return result | {"variants": {n: words for n, words in variants.items() if n in names}}


def _shape(fitted: FittedIdentification) -> dict[str, int]:
    config = fitted.config
    return dict(zip(_SHAPE, (config.n_hidden, config.model.rank, config.training.sequence_length), strict=True))


def _positions(trials: RateTrials) -> bool:
    return trials.headings is not None and trials.headings.ndim == 3


def _on_ring(fitted: FittedIdentification, trials: RateTrials, steps: int) -> dict[str, list[Any]]:
    E = len(fitted.members)
    found: dict[str, list[Any]] = {name: [math.nan] * E for name in (*RING, *SHIFTERS)}
    found |= {name: [[math.nan, math.nan]] * E for name in PAIRS}
    few = first_trials(trials, steps + 1)
    recorded = fitted.start_rates(few)
    if trials.headings is None:
        rates = fitted.free_run(few.inputs[:, 1:], recorded[:, 0])
        found["activity_correlation"] = _correlations(rates, recorded[:, 1:])
        return found
    runs = free_runs(fitted, trials, steps=steps)
    found["activity_correlation"] = _correlations(runs.rates, recorded[:, 1:])
    blocks = fitted.response_block()
    found["heading_error_rad"] = list(free_run_error(runs.decoded, runs.headings))
    found["network_error_rad"] = list(free_run_error(runs.decoded, runs.shown))
    found["bump_drift_rad"] = list(bump_drift(runs.silent))
    if np.isfinite(runs.preferred).sum() >= 3:
        for e in range(E):
            found["circulant_share"][e] = circulant_share(blocks[e], runs.preferred)
            _against_truth(found, e, blocks[e], runs.preferred, trials)
    velocity = runs.velocity
    if (velocity > 0).any() and (velocity < 0).any():
        for e in range(E):
            if bool(runs.rates[e].isfinite().all()):
                shifters = runs.shifters(fitted, e)
                found["shifter_offsets_rad"][e] = list(shifters.median_offsets_rad)
                found["shifter_agreement"][e] = shifters.agreement()
                found["shifter_share"][e] = sum(shifters.sizes()) / len(shifters.index)
                own = runs.shifters(fitted, e, observed=True)
                found["observed_shifter_share"][e] = sum(own.sizes()) / len(own.index)
    return found


def _against_truth(found: dict[str, list[Any]], e: int, W: Tensor, preferred: np.ndarray, trials: RateTrials) -> None:
    truth = trials.truth
    if truth is None or truth.preferred.ndim != 1:
        return
    W_true = truth.observed_W()
    preferred_true = np.where(np.isfinite(preferred), truth.observed_preferred(), np.nan)
    found["kernel_correlation"][e] = kernel_correlation(W, preferred, W_true, preferred_true)
    modes = activity_modes(trials.activity.float().masked_fill(trials.missing, torch.nan), _MODES)
    found["kernel_correlation_modes"][e] = kernel_correlation_modes(W, preferred, W_true, preferred_true, modes)


def _on_sheet(fitted: FittedIdentification, trials: RateTrials, steps: int) -> dict[str, list[Any]]:
    """Of grid cells: kernels over the sheet, and the maps of the free run."""
    few = first_trials(trials, steps + 1)
    assert few.headings is not None
    start = fitted.start_rates(few)
    rates = fitted.free_run(few.inputs[:, 1:], start[:, 0])[..., : fitted.n_observed]
    correlations = _correlations(rates, start[:, 1:])
    found: dict[str, list[Any]] = {name: [math.nan] * len(fitted.members) for name in SHEET}
    truth, blocks = trials.truth, fitted.response_block().double().numpy()
    modes = activity_modes(trials.activity.float().masked_fill(trials.missing, torch.nan), _SHEET_MODES)
    seen = modes.T @ modes
    for e in range(len(fitted.members)):
        if truth is not None and truth.preferred.ndim == 2:
            where, W_true = (truth.observed_preferred(), truth.settings["period"]), truth.observed_W()
            found["kernel_correlation"][e] = _sheet_correlation(blocks[e], W_true, *where)
            found["kernel_correlation_modes"][e] = _sheet_correlation(seen @ blocks[e], seen @ W_true, *where)
        if bool(rates[e].isfinite().all()):
            scores = grid_score(rate_map(rates[e], few.headings[:, 1:]))
            found["grid_score"][e] = float(np.nanmedian(scores)) if np.isfinite(scores).any() else math.nan
            found["grid_share"][e] = float((scores > _HEXAGONAL).mean()) if np.isfinite(scores).any() else math.nan
    return found | {"activity_correlation": correlations}


def _correlations(rates: Tensor, recorded: Tensor) -> list[float]:
    """Of each model's run [E, B, T, N] with the observed units' record [B, T, n]; NaN where it is not finite."""
    n = recorded.shape[-1]
    return [
        pearson(r[..., :n].double().numpy(), recorded.double().numpy()) if bool(r.isfinite().all()) else math.nan
        for r in rates
    ]


def _sheet_correlation(W: np.ndarray, W_true: np.ndarray, position: np.ndarray, period: float) -> float:
    kernels = [sheet_kernel(one, position, period) for one in (W, W_true)]
    known = np.isfinite(kernels[0])
    return pearson(kernels[0][known], kernels[1][known])


def _summary(runs: list[dict[str, Any]], diverged: list[int], names: list[str]) -> dict[str, dict[str, Any]]:
    """Medians and median absolute deviations over the runs that did not diverge."""
    medians: dict[str, Any] = {}
    mads: dict[str, Any] = {}
    lost = torch.tensor([run["run"] in diverged for run in runs])
    for name in names:
        values = torch.tensor([_numbers(r[name]) for r in runs], dtype=torch.float64)  # [runs] or [runs, 2]
        values[lost] = math.nan
        both = centre_of_angles(values) if name in PAIRS else median_mad(values)
        medians[name], mads[name] = _plain(both.median.tolist()), _plain(both.mad.tolist())
    return {"median": medians, "mad": mads}


def centre_of_angles(values: Tensor) -> MedianMad:
    """Circular median [2] and median absolute deviation of angles [runs, 2] in rad; NaN are left out."""
    angles = values.numpy()
    middle = np.array([circular_median(column) for column in angles.T])
    away = torch.as_tensor(np.abs(circular_difference(angles, middle)))
    return MedianMad(torch.as_tensor(middle), away.nanquantile(0.5, 0), away.isfinite().sum(0))


def _numbers(value: Any) -> Any:
    if isinstance(value, list):
        return [_numbers(v) for v in value]
    return math.nan if value is None else float(value)


def _plain(value: Any) -> Any:
    if isinstance(value, list):
        return [_plain(v) for v in value]
    return float(value) if math.isfinite(value) else None
