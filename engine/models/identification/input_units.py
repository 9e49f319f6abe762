"""Which of the observed units carry the input, from their activity alone (mutual inference)."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from neurorbit.engine.data.network_truth import NetworkTruth
from neurorbit.engine.data.rate_trials import RateTrials
from neurorbit.engine.models.identification.prepared import fill_gaps

_SHIFTS = 60
_STEPS_APART = 50  # fewest steps that a shift of the null moves the factor by
_FEWEST = 50  # samples of a unit above threshold on each side
_ITERATIONS = 30
_QUIET = 0.25  # share of the units whose surprises are taken for noise
_BLOCKS, _DRAWS = 20, 20  # of time, and how often they are drawn anew for the standard deviation of a unit's noise
_CAUTION = 2.0  # standard deviations by which a unit must exceed noise
_RIDGE = 1e-4
_ACTIVE, _SATURATED = 0.02, 0.995
_FEW_SAMPLES, _FEW_UNITS = 10, 30  # samples per weight, and units, below which a verdict comes with a warning


@dataclass(frozen=True, eq=False)
class InputUnits:
    """share [N]: of the variance of a unit's surprises, what the other units' common surprises explain and noise
    cannot, on trials that nothing was fitted to; threshold of it; carries [N]: share above it; loading [N, K]: of the
    common surprises, whose signs part the populations. samples [N]: steps of a unit that the verdict rests on, the
    fewer of the two halves of the trials; n_weights: fitted to them; judged [N]: units with enough samples (the share
    of the others is 0)."""

    share: np.ndarray
    threshold: float
    carries: np.ndarray
    loading: np.ndarray
    samples: np.ndarray
    n_weights: int
    judged: np.ndarray

    @property
    def samples_per_weight(self) -> float:
        """Median over the judged units; 0 when there is none."""
        return float(np.median(self.samples[self.judged])) / self.n_weights if self.judged.any() else 0.0

    def warnings(self) -> list[str]:
        """What makes the verdict doubtful, a sentence each."""
        N, n_judged = len(self.share), int(self.judged.sum())
        if n_judged == 0:
            least = max(_FEWEST, 2 * self.n_weights)
            return [
                f"no unit could be judged: {least} active steps are needed, in each half of the trials: record more"
            ]
        found = []
        if n_judged < N:
            found.append(f"{N - n_judged} of {N} units were not judged: they are active in too few steps")
        if self.samples_per_weight < _FEW_SAMPLES:
            found.append(
                f"short data, {self.samples_per_weight:.1f} steps per fitted weight where {_FEW_SAMPLES} are wanted: "
                "units that carry an input may be missed"
            )
        if N < _FEW_UNITS:
            found.append(f"few units, {N} where {_FEW_UNITS} are wanted: the network's own noise may pass for an input")
        return found


@dataclass(frozen=True)
class InputScore:
    """Against the truth: area under the ROC curve of the shares, precision and recall of the verdict; NaN where not
    defined."""

    auc: float
    precision: float
    recall: float


def infer_input_units(
    trials: RateTrials,
    *,
    n_factors: int = 1,
    lags: int = 1,
    level: float = 0.01,
    least_share: float = 0.3,
    most_steps: int = 20_000,
    seed: int = 0,
) -> InputUnits:
    """Units that an unknown input drives, found without knowing the input.

    What a unit will do follows from the activity before, up to noise; but not what an input does that has only just
    arrived. Hence the surprise of a unit, its activity before the nonlinearity minus the best linear prediction from
    all units' activity one step (or `lags` steps) earlier, has a part that is common to the units which the input
    reaches. Common parts are found on every other trial as factors with fixed loadings; on the remaining trials the
    factors of the *other* units explain a share of a unit's surprise.
    Noise of the states makes common surprises too, as it spreads through the weights: each unit's share is lessened by
    the part of its variance that noise through its own weights gives, with noise as strong as the quietest quarter of
    the units allows, and by two standard deviations of that part over recordings drawn from blocks of this one, so that
    short data hide inputs rather than invent them. The threshold is the highest share, over all units, that factors
    shifted in time reach with chance `level`, or least_share where that is higher.

    Args:
        trials: rates in 0..1 of relu_tanh units, two trials or more; inputs and headings are not looked at.
        n_factors: K, how many inputs there may be.
        lags: earlier steps that a prediction takes; more than one for leaky units.
        least_share: smallest share that counts, for a network is never quite linear.
        most_steps: on each side; evenly spaced trials are taken.
    """
    if trials.kind != "rates":
        raise ValueError(f"trials: expected rates, got {trials.kind}: the surprise of a count is mostly chance")
    if trials.n_trials < 2:
        raise ValueError("trials: expected two or more, one to find the common part and one to measure it")
    T, N = trials.n_steps, trials.n_observed
    if not 1 <= lags <= T - 2:
        raise ValueError(f"lags: expected 1 to T - 2 = {T - 2}, got {lags}")
    if not 1 <= n_factors < N:
        raise ValueError(f"n_factors: expected 1 to N - 1 = {N - 1}, got {n_factors}")
    for name, value in (("level", level), ("least_share", least_share)):
        if not 0.0 <= value < 1.0:
            raise ValueError(f"{name}: expected a share from 0 to below 1, got {value}")
    sides = []
    for first in (0, 1):
        which = np.arange(first, trials.n_trials, 2)
        keep = max(1, most_steps // T)
        which = which[np.unique(np.linspace(0, len(which) - 1, min(keep, len(which))).round().astype(int))]
        sides.append(_samples(fill_gaps(trials)[which], trials.missing.numpy()[which], lags))
    (F, x), (F_test, x_test) = sides
    samples = np.minimum(np.isfinite(x).sum(0), np.isfinite(x_test).sum(0))
    enough = (np.isfinite(x).sum(0) >= max(_FEWEST, 2 * F.shape[1])) & (samples >= _FEWEST)
    weights, spread, reaches, spreads = _regressions(F, x, enough, seed)
    beyond = _beyond_noise(np.sqrt((weights[:-1] ** 2).sum(0)), spread, enough)
    drawn = np.stack([_beyond_noise(*one, enough) for one in zip(reaches, spreads, strict=True)])
    beyond = np.maximum(beyond - _CAUTION * drawn.std(0), 0.0)
    surprise, surprise_test = ((b - a @ weights) / spread for a, b in ((F, x), (F_test, x_test)))
    loading = _factors(np.where(enough, surprise, np.nan), n_factors)
    share, null = _shares(np.where(enough, surprise_test, np.nan), loading, T - lags, seed)
    share, null = share * beyond, null * beyond
    threshold = max(least_share, float(np.quantile(null.max(1), 1 - level)))
    return InputUnits(share, threshold, share > threshold, loading, samples, F.shape[1], enough)


def score_input_units(found: InputUnits, truth: np.ndarray) -> InputScore:
    """truth [N]: bool, of the units that the input really reaches."""
    truth = np.asarray(truth, bool)
    if truth.shape != found.share.shape:
        raise ValueError(f"truth: expected [N={len(found.share)}], got {list(truth.shape)}")
    with_input, without = found.share[truth], found.share[~truth]
    hits = int((found.carries & truth).sum())
    above = (
        (with_input[:, None] > without).mean() + 0.5 * (with_input[:, None] == without).mean()
        if (with_input.size and without.size)
        else math.nan
    )
    n_found = int(found.carries.sum())
    return InputScore(
        float(above), hits / n_found if n_found else math.nan, hits / len(with_input) if len(with_input) else math.nan
    )


def inputs_record(found: InputUnits, truth: NetworkTruth | None) -> dict[str, Any]:
    """Units, shares, what they rest on and, where a simulation's input weights are known, the score; plain values that
    json can write."""
    score = None
    if truth is not None and truth.W_in is not None:
        reached = (truth.W_in[:, truth.observed] != 0).any(0)
        score = dataclasses.asdict(score_input_units(found, reached))
        score = {n: v if math.isfinite(v) else None for n, v in score.items()}
    units = [int(i) for i in np.flatnonzero(found.carries)]
    return {
        "units": units,
        "share": found.share.tolist(),
        "threshold": found.threshold,
        "truth": score,
        "judged": int(found.judged.sum()),
        "samples": [int(n) for n in found.samples],
        "samples_per_weight": found.samples_per_weight,
        "warnings": found.warnings(),
    }


def _samples(r: np.ndarray, missing: np.ndarray, lags: int) -> tuple[np.ndarray, np.ndarray]:
    """Predictors [S, lags N + 1] and activity before the nonlinearity [S, N], NaN where it is cut or missing."""
    B, T, N = r.shape
    before = [r[:, lags - k - 1 : T - k - 1] for k in range(lags)]
    F = np.concatenate([*before, np.ones((B, T - lags, 1))], 2).reshape(B * (T - lags), -1)
    now = r[:, lags:].reshape(-1, N)
    seen = (now > _ACTIVE) & (now < _SATURATED) & ~missing[:, lags:].reshape(-1, N)
    return F.astype(np.float64), np.where(seen, np.arctanh(np.where(seen, now, 0.0)), np.nan)


def _regressions(
    F: np.ndarray, x: np.ndarray, enough: np.ndarray, seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Weights [P, N] of ridge regressions over the samples of each unit, and the surprise's size [N]; the length of the
    weights and the surprise's size again [draws, N] in recordings of blocks drawn with replacement."""
    P, N = F.shape[1], x.shape[1]
    weights, spread = np.zeros((P, N)), np.ones(N)
    reaches, spreads = np.zeros((_DRAWS, N)), np.ones((_DRAWS, N))
    seen = np.isfinite(x)
    block = np.arange(len(x)) * _BLOCKS // len(x)
    counts = np.random.default_rng(seed).multinomial(_BLOCKS, np.full(_BLOCKS, 1 / _BLOCKS), _DRAWS)
    for i in np.flatnonzero(enough):
        rows = np.concatenate([F[seen[:, i]], x[seen[:, i], i, None]], 1)
        parts = np.split(rows, np.searchsorted(block[seen[:, i]], np.arange(1, _BLOCKS)))
        G = np.stack([part.T @ part for part in parts])  # [blocks, P + 1, P + 1]
        sizes = np.array([len(part) for part in parts])
        weights[:, i] = _ridge(G.sum(0))
        spread[i] = max(float((rows[:, -1] - rows[:, :-1] @ weights[:, i]).std()), 1e-12)
        for k, count in enumerate(counts):
            drawn, n = np.tensordot(count, G, 1), count @ sizes
            w = _ridge(drawn) if n else weights[:, i]
            square = drawn[-1, -1] - 2 * (w @ drawn[:-1, -1]) + w @ drawn[:-1, :-1] @ w
            spreads[k, i] = math.sqrt(max(square / n, 1e-24)) if n else spread[i]
            reaches[k, i] = np.linalg.norm(w[:-1])
    return weights, spread, reaches, spreads


def _ridge(G: np.ndarray) -> np.ndarray:
    """Weights [P] of the last column on the others, from their products [P + 1, P + 1]."""
    P = len(G) - 1
    A = G[:-1, :-1].copy()
    A[np.diag_indices(P)] += _RIDGE * np.trace(A) / P
    found: np.ndarray = np.linalg.solve(A, G[:-1, -1])
    return found


def _beyond_noise(reach: np.ndarray, spread: np.ndarray, enough: np.ndarray) -> np.ndarray:
    """Part [N] of the surprises' variance that noise through weights of length reach [N] cannot make, 0 to 1."""
    ratio = np.divide(spread, reach, out=np.full(len(spread), np.inf), where=enough & (reach > 0))
    if not np.isfinite(ratio).any():
        return np.zeros(len(spread))
    noise = float(np.quantile(ratio[np.isfinite(ratio)], _QUIET))
    part: np.ndarray = np.where(enough, 1 - np.minimum(noise / ratio, 1.0) ** 2, 0.0)
    return part


def _factors(e: np.ndarray, K: int) -> np.ndarray:
    """Loadings [N, K] of K factors of e [S, N] with missing entries, by alternating least squares."""
    seen = np.isfinite(e)
    filled = np.where(seen, e, 0.0)
    both = seen.T.astype(np.float64) @ seen
    C = np.divide(filled.T @ filled, both, out=np.zeros_like(both), where=both >= _FEWEST)
    np.fill_diagonal(C, 0.0)
    values, vectors = np.linalg.eigh(C)
    top = np.argsort(-values)[:K]
    loading = vectors[:, top] * np.sqrt(np.maximum(values[top], 1e-12))
    for _ in range(_ITERATIONS):
        f = _scores(filled, seen, loading)
        G = np.einsum("sk,sl,sn->nkl", f, f, seen, optimize=True) + 1e-9 * np.eye(K)
        loading = np.linalg.solve(G, (filled.T @ f)[..., None])[..., 0]
        size = np.sqrt((f**2).mean(0))
        loading = loading * size  # factors of unit variance
    return loading


def _scores(filled: np.ndarray, seen: np.ndarray, loading: np.ndarray) -> np.ndarray:
    """Factors [S, K] by regression on the loadings of the units that are seen, shrunk by their unit variance."""
    K = loading.shape[1]
    outer = (loading[:, :, None] * loading[:, None]).reshape(-1, K * K)
    G = (seen @ outer).reshape(-1, K, K) + np.eye(K)
    found: np.ndarray = np.linalg.solve(G, (filled @ loading)[..., None])[..., 0]
    return found


def _shares(e: np.ndarray, loading: np.ndarray, steps: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Explained share [N] of e [S, N], and those [shifts, N] by factors that are shifted in time."""
    seen = np.isfinite(e)
    filled = np.where(seen, e, 0.0)
    S, N = e.shape
    low = min(_STEPS_APART, steps // 3)
    shifts = np.random.default_rng(seed).integers(low, max(low + 1, S - low), _SHIFTS)
    share, null = np.zeros(N), np.zeros((_SHIFTS, N))
    for i in np.flatnonzero(seen.any(0)):
        others = seen.copy()
        others[:, i] = False
        f = _scores(np.where(others, filled, 0.0), others, loading)
        here = seen[:, i]
        target = e[here, i]
        share[i] = _explained(f[here], target)
        for k, shift in enumerate(shifts):
            null[k, i] = _explained(np.roll(f, shift, 0)[here], target)
    return share, null


def _explained(f: np.ndarray, target: np.ndarray) -> float:
    """R^2 of a regression through a constant."""
    f, target = f - f.mean(0), target - target.mean()
    total = float(target @ target)
    if total <= 0:
        return 0.0
    G = f.T @ f + 1e-12 * np.eye(f.shape[1])
    b = f.T @ target
    return float(b @ np.linalg.solve(G, b)) / total
