"""Interleaved timing: every call in turn, round after round, so that a slow spell of the machine meets all of them."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

Call = tuple[Callable[[], Any], Callable[[Any], None]]


@dataclass(frozen=True)
class Timing:
    """Seconds per call: median, quartiles and the number of samples behind them."""

    median_s: float
    low_s: float
    high_s: float
    samples: int

    @staticmethod
    def of(seconds: list[float]) -> Timing:
        quartiles = statistics.quantiles(seconds, n=4, method="inclusive") if len(seconds) > 1 else [seconds[0]] * 3
        return Timing(quartiles[1], quartiles[0], quartiles[2], len(seconds))


def sample(call: Call, repeats: int) -> float:
    """Seconds per call over some calls in a row."""
    function, wait = call
    start = time.perf_counter()
    for _ in range(repeats):
        handle = function()
    wait(handle)
    return (time.perf_counter() - start) / repeats


def interleaved(
    calls: Mapping[str, Call], *, sample_s: float = 0.03, samples: int = 15, budget_s: float = 20.0
) -> dict[str, Timing]:
    """Time the calls in turn; each sample lasts about `sample_s`; at least three rounds, then until the budget ends."""
    repeats = {}
    for name, call in calls.items():
        sample(call, 1)
        repeats[name] = max(1, min(1000, round(sample_s / max(sample(call, 1), 1e-7))))
        if repeats[name] > 1:
            sample(call, repeats[name])
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    order, start = list(calls), time.perf_counter()
    collecting = gc.isenabled()
    gc.disable()
    try:
        for done in range(samples):
            if done >= 3 and time.perf_counter() - start > budget_s:
                break
            for name in order:
                seconds[name].append(sample(calls[name], repeats[name]))
            order = order[1:] + order[:1]
            gc.collect(0)
    finally:
        if collecting:
            gc.enable()
    return {name: Timing.of(values) for name, values in seconds.items()}
