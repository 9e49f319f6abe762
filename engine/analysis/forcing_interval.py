"""How often sparse teacher forcing has to set the state: the time after which the data have forgotten themselves."""

from collections.abc import Sequence
from typing import Any

import torch
from scipy.fft import next_fast_len
from torch import Tensor

from neurorbit.engine.analysis.orbits import as_real

METHODS = ("mutual_information", "autocorrelation")


def estimate_forcing_interval(
    x: Any | Sequence[Any], *, method: str = "mutual_information", max_lag: int | None = None, bins: int = 16
) -> int:
    """Forcing interval tau in steps: first minimum over the lag of the mutual information or the autocorrelation.

    x: [T, N] or a list of sequences [T_i, N]; pairs that span a NaN are left out. The curve is the mean over the N
    variables. Lags 1..max_lag are looked at, a quarter of the longest sequence when None; where the curve has no
    minimum inside, its smallest value counts.
    """
    sequences = [as_real(s, "x", (2,), "[T, N]") for s in (x if isinstance(x, Sequence) else [x])]
    if not sequences or len({s.shape[1] for s in sequences}) > 1:
        raise ValueError(f"x: expected sequences [T, N] of one N, got shapes {[list(s.shape) for s in sequences]}")
    if method not in METHODS:
        raise ValueError(f"method: expected one of {list(METHODS)}, got {method!r}")
    longest = max(map(len, sequences))
    max_lag = max(3, longest // 4) if max_lag is None else max_lag
    if not 3 <= max_lag < longest:
        raise ValueError(f"max_lag: expected 3 <= max_lag < T={longest}, got {max_lag}")
    if method == "autocorrelation":
        curve = autocorrelation(sequences, max_lag).mean(-1)
    else:
        curve = mutual_information(sequences, max_lag, bins).mean(-1)
    return first_minimum(curve)


def first_minimum(curve: Tensor) -> int:
    """First lag k >= 1 with curve[k-1] > curve[k] <= curve[k+1]; that of the smallest value where there is none."""
    lower = (curve[1:-1] < curve[:-2]) & (curve[1:-1] <= curve[2:])
    found = lower.nonzero().flatten()
    return int(found[0]) + 1 if len(found) else int(curve[1:].nan_to_num(nan=torch.inf).argmin()) + 1


def autocorrelation(sequences: Sequence[Tensor], max_lag: int) -> Tensor:
    """Autocorrelation at lags 0..max_lag of each variable, pooled over sequences: [max_lag + 1, N]."""
    pooled = torch.cat(list(sequences))
    mean = pooled.nanmean(0)
    products, pairs = torch.zeros(2, max_lag + 1, pooled.shape[1], dtype=pooled.dtype, device=pooled.device)
    for x in sequences:
        known = (~x.isnan()).double()
        length, lags = next_fast_len(2 * len(x), real=True), min(max_lag + 1, len(x))
        for values, total in (((x - mean).nan_to_num(), products), (known, pairs)):
            power = torch.fft.rfft(values, length, dim=0).abs().square()
            total[:lags] += torch.fft.irfft(power, length, dim=0)[:lags]
    covariance = torch.where(pairs > 0.5, products / pairs, torch.nan)
    return covariance / covariance[0]


def mutual_information(sequences: Sequence[Tensor], max_lag: int, bins: int) -> Tensor:
    """Mutual information in nats between x_t and x_{t+lag} in `bins` equally filled bins: [max_lag + 1, N].

    Stops one lag after the first minimum of the mean over variables.
    """
    if bins < 2:
        raise ValueError(f"bins: expected at least 2, got {bins}")
    pooled = torch.cat(list(sequences))
    edges = pooled.nanquantile(torch.linspace(0, 1, bins + 1).to(pooled)[1:-1], 0).T.contiguous()  # [N, bins - 1]
    numbers = []
    for x in sequences:
        number = torch.searchsorted(edges, x.T.contiguous())
        numbers.append(torch.where(x.T.isnan(), -1, number))  # [N, T]
    curve: list[Tensor] = []
    for lag in range(max_lag + 1):
        curve.append(_information_at(numbers, lag, bins))
        if lag >= 2 and curve[-2].mean() < curve[-3].mean() and curve[-2].mean() <= curve[-1].mean():
            break
    return torch.stack(curve)


def _information_at(numbers: list[Tensor], lag: int, bins: int) -> Tensor:
    """Mutual information [N] of the bin numbers `lag` steps apart, from their joint histogram."""
    N = len(numbers[0])
    counts = torch.zeros(N, bins, bins, dtype=torch.float64, device=numbers[0].device)
    variable = torch.arange(N, device=counts.device).unsqueeze(1)
    for number in numbers:
        now, later = number[:, : max(0, number.shape[1] - lag)], number[:, lag:]
        both = (now >= 0) & (later >= 0)
        cell = ((variable * bins + now) * bins + later)[both]
        counts += torch.bincount(cell, minlength=counts.numel()).view(counts.shape)
    joint = counts / counts.sum((1, 2), keepdim=True)
    independent = joint.sum(2, keepdim=True) * joint.sum(1, keepdim=True)
    return torch.where(joint > 0, joint * (joint / independent).log(), 0.0).sum((1, 2))
