"""Spike sequences planted into a background (Koshkin & Fukai, ICML 2024)."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import numpy as np

from neurorbit.engine.data.spike_events import SpikeEvents
from neurorbit.engine.simulate.arguments import bin_width_s, number, rate, whole

RATE_HZ = 0.0414  # of the published demo's neurons


@dataclass(frozen=True, eq=False)
class Planted:
    """A recording with D known occurrences of K sequences."""

    events: SpikeEvents
    times: np.ndarray  # [D] middle of each occurrence in bins
    sequence: np.ndarray  # [D] which one
    order: np.ndarray  # [K, L] neurons of each sequence in firing order
    settings: dict[str, Any]

    def truth(self) -> dict[str, np.ndarray]:
        """What a simulated file holds besides the events."""
        return {
            "truth_times": self.times,
            "truth_sequence": self.sequence,
            "truth_order": self.order,
            "settings": np.array(json.dumps(self.settings)),
        }


def plant_sequences(
    background: SpikeEvents | None = None,
    *,
    seqlen: int = 120,
    p_drop: float = 0.1,
    gap_ts: int = 400,
    jitter_std: float = 10.0,
    n_sequences: int = 1,
    disjoint: bool = True,
    n_neurons: int = 452,
    n_bins: int = 18137,
    rate_hz: float = RATE_HZ,
    bin_s: float = 0.05,
    seed: int = 0,
) -> Planted:
    """A background without structure and in it, every gap_ts bins, one occurrence of one of K sequences.

    The background is a recording with its intervals shuffled per neuron (`SpikeEvents.shuffled`), or homogeneous
    Poisson spikes; its neurons are permuted. In an occurrence that starts in bin s, the i-th neuron of the sequence
    fires once in bin s + i + round(jitter), jitter normal, with probability 1 - p_drop; its middle is
    s + (seqlen - 1) / 2. A spike that jitter moves out of the recording is left out.

    For each planted spike one background spike goes, so that the population rate stays: the same neuron's in the same
    bin if there is one, else a random one of the same bin, else one of the nearest bin that still has one.

    Args:
        background: n_neurons, n_bins, rate_hz and bin_s are its own when given.
        gap_ts: bins from one start to the next. The first occurrence stands in the middle of the first gap_ts bins.
            With K sequences the occurrences are theirs in turn, each round in a new random order.
        disjoint: whether no neuron takes part in two sequences.
    """
    K = whole("n_sequences", n_sequences, 1)
    whole("seqlen", seqlen, 1)
    whole("gap_ts", gap_ts, 1)
    whole("seed", seed, 0)
    number("p_drop", p_drop, 0.0, 1.0, "a probability from 0 to 1")
    number("jitter_std", jitter_std, 0.0, 1e6, "a standard deviation in bins, 0 or more")
    generator = np.random.default_rng(seed)
    if background is None:
        hidden = poisson_background(n_neurons, n_bins, rate_hz, bin_s, generator)
    else:
        hidden = background.shuffled(generator)
    N, T = hidden.n_neurons, hidden.n_bins
    if seqlen > N:
        raise ValueError(f"seqlen: expected at most the N={N} neurons of the background, got {seqlen}")
    if disjoint and K * seqlen > N:
        raise ValueError(
            f"n_sequences: {K} sequences of {seqlen} neurons need {K * seqlen}, the background has {N}; choose "
            "shorter or fewer ones, or let them share neurons (disjoint=False)"
        )
    lead = max(0, (gap_ts - seqlen) // 2)
    if max(gap_ts, seqlen) > T:
        raise ValueError(
            f"gap_ts: the background's {T} bins hold no gap of {gap_ts} with a sequence of {seqlen}; shorten the gap, "
            "or take a longer background"
        )
    hidden = hidden.permuted(generator.permutation(N))
    who = generator.permutation(N)[: K * seqlen].reshape(K, seqlen) if disjoint else np.stack(
        [generator.permutation(N)[:seqlen] for _ in range(K)]
    )  # fmt: skip
    starts = lead + gap_ts * np.arange((T - lead - seqlen) // gap_ts + 1)
    turns = [generator.permutation(K) for _ in range(-(-len(starts) // K))]
    sequence = np.concatenate(turns)[: len(starts)]

    shape = (len(starts), seqlen)
    jitter = np.rint(jitter_std * generator.standard_normal(shape)).astype(np.int64)
    fires = generator.random(shape) >= p_drop
    when = starts[:, None] + np.arange(seqlen) + jitter
    fires &= (when >= 0) & (when < T)
    events = exchange(hidden, who[sequence][fires], when[fires], generator)
    settings = {
        "kind": "planted",
        "background": "poisson" if background is None else background.name,
        "background_fingerprint": None if background is None else background.fingerprint(),
        "seqlen": int(seqlen), "p_drop": float(p_drop), "gap_ts": int(gap_ts), "jitter_std": float(jitter_std),
        "n_sequences": K, "disjoint": bool(disjoint), "n_neurons": N, "n_bins": T,
        "rate_hz": float(rate_hz) if background is None else None, "bin_s": hidden.bin_s, "seed": int(seed),
    }  # fmt: skip
    return Planted(events, starts + (seqlen - 1) / 2.0, sequence.astype(np.int64), who.astype(np.int64), settings)


def poisson_background(
    n_neurons: int, n_bins: int, rate_hz: float, bin_s: float, generator: np.random.Generator
) -> SpikeEvents:
    """Independent homogeneous Poisson neurons of one rate."""
    N, T = whole("n_neurons", n_neurons, 1), whole("n_bins", n_bins, 1)
    J = int(generator.poisson(N * T * rate(rate_hz) * bin_width_s(bin_s)))
    if J == 0:
        raise ValueError(f"rate_hz: {N} neurons x {T} bins of {bin_s:g} s at {rate_hz:g} Hz gave no spike; raise it")
    who, when = generator.integers(0, N, J), generator.integers(0, T, J)
    return SpikeEvents.from_events(who, when, n_neurons=N, n_bins=T, bin_s=bin_s, name="poisson")


def exchange(
    background: SpikeEvents, neurons: np.ndarray, times: np.ndarray, generator: np.random.Generator
) -> SpikeEvents:
    """Planted spikes in, as many background spikes out, each from the same neuron, the same bin or the nearest bin."""
    who, when = (np.repeat(x, background.counts) for x in (background.neurons, background.times))
    mixed = generator.permutation(len(who))
    mixed = mixed[np.argsort(when[mixed], kind="stable")]  # by time, in random order within a bin
    who, when = who[mixed].astype(np.int64), when[mixed].astype(np.int64)
    kept = np.ones(len(who), bool)
    places = np.searchsorted(when, np.arange(background.n_bins + 1))
    for n, t in zip(neurons.tolist(), times.tolist(), strict=True):
        bin_now = slice(places[t], places[t + 1])
        same = np.flatnonzero(kept[bin_now] & (who[bin_now] == n))
        left = same if len(same) else np.flatnonzero(kept[bin_now])
        if len(left):
            kept[places[t] + left[0]] = False
        else:
            _drop_nearest(kept, when, places[t], t)
    return SpikeEvents.from_events(
        np.concatenate((who[kept], neurons)), np.concatenate((when[kept], times)), n_neurons=background.n_neurons,
        n_bins=background.n_bins, bin_s=background.bin_s, name="planted",
    )  # fmt: skip


def _drop_nearest(kept: np.ndarray, when: np.ndarray, place: int, t: int) -> None:
    """Removes the spike nearest in time to bin t among those kept, the earlier one of two; none when none is left."""
    reach = 64
    while True:
        low, high = max(0, place - reach), min(len(kept), place + reach)
        left, right = np.flatnonzero(kept[low:place]) + low, np.flatnonzero(kept[place:high]) + place
        if (len(left) or low == 0) and (len(right) or high == len(kept)):
            break
        reach *= 4
    nearest = [*left[-1:], *right[:1]]
    if nearest:
        kept[min(nearest, key=lambda j: abs(when[j] - t))] = False
