"""How well fitted models explain spikes that they were not trained on."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from neurorbit.engine.analysis import bits_per_spike, null_nll, psth_of_counts, psth_of_rates, psth_r2
from neurorbit.engine.data.spike_trials import SpikeTrials
from neurorbit.engine.models.findr.fitted import SAMPLES, FittedFindr
from neurorbit.engine.models.findr.network import Trials
from neurorbit.engine.models.findr.prepared import Session, check_sessions

PARTS = ("validation", "test")
MEASURES = ("nll", "bits_per_spike", "co_bits_per_spike", "psth_r2", "prior_psth_r2")
GROUPS = 5  # of neurons that are held out together
_TRIALS = 50  # that are looked at together
VARIANTS = {
    "nll": "negative log-likelihood in nats per bin, summed over neurons, at the posterior mean",
    "bits_per_spike": "beyond each neuron's mean rate over the same trials, base 2",
    "co_bits_per_spike": f"the same for neurons that the encoder does not see, {GROUPS} groups in turn",
    "psth_r2": "of PSTHs per choice, smoothed with 0.1 s, median over neurons",
    "prior_psth_r2": "the same for paths of the flow alone, given the inputs",
}


def evaluate_fits(
    fits: Sequence[FittedFindr], sessions: Sequence[SpikeTrials], *, n_samples: int = SAMPLES, all_models: bool = False
) -> dict[str, Any]:
    """Measures of each fold on its validation and its test trials.

    Of the models of a fold (shapes, rates, runs) the one with the most bits per spike on the validation trials is
    taken, or all are shown. One that stopped before a state of it could be kept (selected_by None) comes last.

    Args:
        fits: as `load` returns them. sessions: those of the fit. n_samples: of the posterior, for its mean.
    Returns:
        folds: a list of {fold, shape, model, rate, seed, validation: {measure: value}, test: {..}}; mean: the mean over
        folds of the best models, {validation: {..}, test: {..}}; variants: what the measures are. None: not known.
    """
    check_sessions(sessions)
    rows = []
    for k, fitted in enumerate(fits):
        found = {part: _measure(fitted, sessions, part, n_samples) for part in PARTS}
        for e, m in enumerate(fitted.members):
            own = {part: {n: _number(v[e]) for n, v in found[part].items()} for part in PARTS}
            sizes = {n: getattr(fitted.config, n) for n in ("latent_dim", "features", "encoder_size")}
            kept = {"selected_by": _number(fitted.selected_by[e])}
            rows.append(
                {"fold": m.fold, "shape": k, "model": e, "rate": m.rate, "seed": m.seed, **sizes, **kept, **own}
            )
    best = best_per_fold(rows)
    mean = {part: {n: _mean([row[part][n] for row in best]) for n in MEASURES} for part in PARTS}
    return {"folds": rows if all_models else best, "mean": mean, "variants": VARIANTS}


def best_per_fold(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Of each fold the row with the most bits per spike on the validation trials, of those whose state was kept for its
    validation value if there are any."""

    def worth(row: dict[str, Any]) -> tuple[bool, float]:
        value = row["validation"]["bits_per_spike"]
        return row["selected_by"] is not None, -math.inf if value is None else value

    return [max((r for r in rows if r["fold"] == fold), key=worth) for fold in sorted({r["fold"] for r in rows})]


@torch.no_grad()
def _measure(fitted: FittedFindr, sessions: Sequence[SpikeTrials], part: str, n_samples: int) -> dict[str, Tensor]:
    """Each measure [E] over all sessions."""
    E = len(fitted.members)
    own, held, null, spikes, explained, by_prior = [], [], [], [], [], []
    bins = torch.zeros(E, dtype=torch.float64)
    for i, trials in enumerate(sessions):
        session = fitted.session(trials, i)
        numbers, lengths = session.part(fitted.members, part)
        rows = session.fold_rows(fitted.members)
        nll, co, paths, priors = [], [], [], []
        for first in range(0, numbers.shape[1], _TRIALS):
            at = slice(first, first + _TRIALS)
            seen = session.gather(numbers[:, at], rows, lengths[:, at])
            z = fitted.posterior_mean(seen, i, n_samples=n_samples, seed=first)
            nll.append(fitted.network.score(z, seen, i).per_neuron.double().cpu())
            co.append(_co_smoothed(fitted, seen, i, n_samples, first))
            paths.append(z)
            u = seen.inputs
            seeds = torch.full((E,), first, dtype=torch.int64, device=z.device)
            priors.append(fitted.network.sample(u, seen.lengths, seeds, shape=(z.shape[1], z.shape[2])))
        own.append(sum(nll))
        held.append(sum(co))
        parts = [trials.select(getattr(session.folds[m.fold], part)) for m in fitted.members]
        null.append(torch.stack([null_nll(p) for p in parts]))
        spikes.append(torch.stack([p.n_spikes for p in parts]).double())
        bins += torch.tensor([float(p.lengths.sum()) for p in parts])
        explained.append(_psth(fitted, session, i, parts, numbers, torch.cat(paths, 1)))
        by_prior.append(_psth(fitted, session, i, parts, numbers, torch.cat(priors, 1)))
    cost, co_cost, zero, number = (torch.cat(x, 1) for x in (own, held, null, spikes))  # type: ignore[arg-type]
    one_each = [[float(bits_per_spike(c[e], zero[e], number[e])) for e in range(E)] for c in (cost, co_cost)]
    return {
        "nll": cost.sum(1) / bins,
        "bits_per_spike": torch.tensor(one_each[0]),
        "co_bits_per_spike": torch.tensor(one_each[1]),
        "psth_r2": torch.cat(explained, 1).nanmedian(1).values,
        "prior_psth_r2": torch.cat(by_prior, 1).nanmedian(1).values,
    }


def _co_smoothed(fitted: FittedFindr, seen: Trials, session: int, n_samples: int, seed: int) -> Tensor:
    """Negative log-likelihood [E, N] of each neuron where the encoder gets its baseline instead of its spikes."""
    network, N = fitted.network, seen.counts.shape[-1]
    if N == 1:
        return torch.full((network.n_models, 1), math.nan, dtype=torch.float64)
    found = torch.zeros(network.n_models, N, dtype=torch.float64)
    for group in range(min(GROUPS, N)):
        held = torch.arange(group, N, GROUPS)
        counts = seen.counts.to(network.s.dtype)
        inside = seen.by_trial[:, :, None, held] + seen.by_bin[:, None][..., held]
        counts[..., held] = network.from_link(inside) * network.bin_s
        z = fitted.posterior_mean(seen, session, n_samples=n_samples, seed=seed, counts=counts)
        found[:, held] = network.score(z, seen, session).per_neuron.double().cpu()[:, held]
    return found


def _psth(
    fitted: FittedFindr, session: Session, number: int, parts: Sequence[SpikeTrials], numbers: Tensor, z: Tensor
) -> Tensor:
    """R^2 of every neuron's histograms [E, N]."""
    found = []
    for e, trials in enumerate(parts):
        row = session.rows[fitted.members[e].fold]
        by_trial, by_bin = session.by_trial[row][numbers[e, : trials.n_trials]], session.by_bin[row]

        def rates(
            at: Tensor, neurons: slice, e: int = e, by_trial: Tensor = by_trial, by_bin: Tensor = by_bin
        ) -> Tensor:
            return fitted.network.rates_hz(e, z[e, at], by_trial[at], by_bin, number, neurons).cpu()

        observed = psth_of_counts(trials, n_bootstrap=0)
        found.append(psth_r2(observed, psth_of_rates(trials, rates))[0])
    return torch.stack(found)


def _number(value: Tensor) -> float | None:
    x = float(value)
    return x if math.isfinite(x) else None


def _mean(values: Sequence[float | None]) -> float | None:
    known = [v for v in values if v is not None]
    return sum(known) / len(known) if known else None
