"""Summary over the runs of an ensemble."""

from typing import Any, NamedTuple

import torch
from torch import Tensor


class MedianMad(NamedTuple):
    """Median and median absolute deviation over runs, and how many runs were finite."""

    median: Tensor
    mad: Tensor
    n_finite: Tensor


def median_mad(values: Any) -> MedianMad:
    """Median and (unscaled) median absolute deviation over the first axis; NaN and inf runs are left out.

    NaN where no run is finite. For an even number of runs the median is the mean of the two in the middle.
    """
    v = torch.as_tensor(values, dtype=torch.float64)
    if v.dim() == 0 or len(v) == 0:
        raise ValueError(f"values: expected [E, ...] with at least one run, got {list(v.shape)}")
    finite = torch.isfinite(v)
    v = torch.where(finite, v, torch.nan)
    median = v.nanquantile(0.5, 0)
    return MedianMad(median, (v - median).abs().nanquantile(0.5, 0), finite.sum(0))
