"""Templates made from responses whose peaks hardly stand out."""

import numpy as np
import pytest
import torch

from neurorbit.engine.models.convseq.objective import half_high_peaks, robust_peaks
from neurorbit.engine.models.convseq.responses import responder
from neurorbit.engine.models.convseq.templates import refine
from neurorbit.engine.simulate import Planted, plant_sequences

W, P = 40, 20


def plant() -> Planted:
    return plant_sequences(
        seqlen=24, p_drop=0.05, gap_ts=80, jitter_std=1.0, n_neurons=30, rate_hz=0.2, n_bins=2000, seed=1
    )


def wave(planted: Planted) -> torch.Tensor:
    """A response [1, 1, T'] that rises and falls all the time, with its peaks at the planted sequences."""
    at = planted.times + P - (W - 1) / 2
    bins = np.arange(planted.events.n_bins + 2 * P - W + 1)
    distance = np.abs(bins[:, None] - at).min(1)
    return torch.from_numpy(np.maximum(0.0, 1 - distance / 40)).float()[None, None]


@pytest.mark.parametrize("part", [False, True])
def test_frequent_peaks_of_a_broad_response_are_first_detections(part: bool) -> None:
    planted = plant()
    start, times = wave(planted), planted.times
    assert robust_peaks(start, W).sum() == 0
    weight = None
    if part:  # a fold that is not trained on the first 800 bins
        weight = torch.ones(1, start.shape[-1])
        weight[:, :800] = 0
        times = times[times + P - (W - 1) / 2 >= 800]
    ((found,),) = refine(planted.events, responder(planted.events, P), start, W, P, weight)
    detected = found.detections - P + (W - 1) / 2
    assert len(detected) == len(times) and np.abs(detected - times).max() <= 3


def test_half_high_peaks() -> None:
    """By hand: median 0, highest 4 among the bins that count, so what is above 2."""
    o = torch.zeros(1, 1, 60)
    o[0, 0, [5, 20, 35, 50]] = torch.tensor([9.0, 4.0, 1.9, 2.1])
    weight = torch.ones(1, 60)
    weight[:, :10] = 0
    assert half_high_peaks(o, 8, weight)[0, 0].nonzero().flatten().tolist() == [20, 50]
    assert half_high_peaks(o, 8)[0, 0].nonzero().flatten().tolist() == [5]
    assert half_high_peaks(torch.zeros(1, 1, 60), 8).sum() == 0
