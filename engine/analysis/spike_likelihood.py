"""How well rates explain spikes: Poisson likelihoods per neuron, bits per spike."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from neurorbit.bindings.poisson_readout import FLOOR_HZ
from neurorbit.engine.data.spike_trials import SpikeTrials

_AT_ONCE = 2**22  # counts that are looked at together


def bits_per_spike(nll: Any, null_nll: Any, n_spikes: Any) -> Tensor:
    """What a model knows beyond a constant rate [..], base 2: (null_nll - nll) / (log 2 * spikes), summed over neurons.

    Args:
        nll: negative log-likelihoods in nats [.., N]. null_nll: of each neuron's mean rate [N]. n_spikes: [N].
    Returns:
        [..] float64, NaN when there is no spike; for one value per neuron pass [.., N, 1] and [N, 1].
    """
    found, null, spikes = (torch.as_tensor(x, dtype=torch.float64) for x in (nll, null_nll, n_spikes))
    for name, x in (("null_nll", null), ("n_spikes", spikes)):
        if x.shape != found.shape[-x.ndim :] or x.ndim == 0:
            raise ValueError(f"{name}: expected [N] as nll {list(found.shape)} has, got {list(x.shape)}")
    return (null - found).sum(-1) / (math.log(2.0) * spikes.sum(-1))


def null_nll(trials: SpikeTrials, rates_hz: Tensor | None = None) -> Tensor:
    """Negative log-likelihood [N] in nats of constant rates, log y! included.

    Args:
        rates_hz: [N], at least 1e-5 each; when None each neuron's own mean over these very trials.
    """
    spikes, seconds = trials.n_spikes.double(), float(trials.lengths.sum()) * trials.bin_s
    rates = spikes / seconds if rates_hz is None else rates_hz.double().clamp(min=FLOOR_HZ)
    return rates * seconds - torch.xlogy(spikes, rates * trials.bin_s) + log_factorials(trials)


def log_factorials(trials: SpikeTrials) -> Tensor:
    """Sum over bins of log y! for each neuron [N], float64."""
    return _summed(trials, lambda at: torch.lgamma(trials.counts[at].double() + 1.0))


def true_nll(trials: SpikeTrials) -> Tensor:
    """Negative log-likelihood [N] in nats of a simulation's true rates, log y! included: no model can do better."""
    truth = trials.truth
    if truth is None:
        raise ValueError(f"{trials.name}: has no truth; only simulated trials know their rates")

    def cost(at: slice) -> Tensor:
        expected = truth.rates_hz(at).double() * trials.bin_s
        terms = expected - trials.counts[at] * expected.log()
        return terms * trials.valid[at][..., None]

    return _summed(trials, cost) + log_factorials(trials)


def _summed(trials: SpikeTrials, of: Any) -> Tensor:
    """Sum over trials and bins of `of(trials) -> [b, T, N]`, a few trials at a time."""
    step = max(1, _AT_ONCE // (trials.n_bins * trials.n_neurons))
    starts = range(0, trials.n_trials, step)
    return sum((of(slice(i, i + step)).sum((0, 1)) for i in starts), torch.zeros(trials.n_neurons, dtype=torch.float64))
