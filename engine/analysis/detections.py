"""Occurrences of a sequence: local maxima of a response above a threshold."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike
from scipy.signal import find_peaks


@dataclass(frozen=True, eq=False)
class Detections:
    """Detections of K sequences in one recording, sorted by time.

    The statistic is what was thresholded: the response, or a log-likelihood ratio; heights are in standard deviations
    of its null distribution.
    """

    time_bin: np.ndarray  # [D] float, middle of the occurrence in bins of the recording
    sequence: np.ndarray  # [D] int, filter
    height_sd: np.ndarray  # [D] height above the null mean, in null sd
    p_value: np.ndarray  # [D]
    significance: str  # crossfit, surrogate or random
    threshold: np.ndarray  # [K], in the units of the statistic
    level: float | None  # chance of any false detection in the recording; None when the threshold promises none
    width: int
    bin_s: float | None
    statistic: np.ndarray  # [K, T']
    null_mean: np.ndarray  # [K]
    null_sd: np.ndarray  # [K]
    p_any: float | None = None  # p-value of the highest value anywhere: that there is no sequence at all
    null_edges: np.ndarray | None = None  # [B + 1] histogram of the statistic's null distribution, where it is known
    null_counts: np.ndarray | None = None  # [B]
    other_counts: dict[str, int] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.time_bin)

    @property
    def time_s(self) -> np.ndarray | None:
        """Seconds from the start of the recording to the middle of the occurrence, [D]; None without a bin width."""
        return None if self.bin_s is None else (self.time_bin + 0.5) * self.bin_s


def peak_bins(o: ArrayLike, threshold: float, distance: int) -> np.ndarray:
    """Bins of the local maxima of o [T'] above the threshold, at least `distance` apart: the higher ones are kept."""
    values = np.asarray(o, dtype=np.float64)
    if values.ndim != 1:
        raise ValueError(f"o: expected [T'], got {list(values.shape)}")
    edges = np.full(1, -np.inf)  # a maximum may lie in the first or the last bin
    above = np.nextafter(threshold, np.inf)
    found, _ = find_peaks(np.concatenate([edges, values, edges]), height=above, distance=max(1, distance))
    return found - 1
