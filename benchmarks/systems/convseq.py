"""convSeq: a training step on a recording of 10 000 neurons x 1 000 000 bins, read from HDF5 in blocks of time."""

from __future__ import annotations

import dataclasses
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch

from benchmarks.child import resident_bytes
from benchmarks.contract import RedContract
from benchmarks.provenance import provenance
from benchmarks.timing import Timing
from benchmarks.workload import OURS
from neurorbit.engine.data import open_event_blocks
from neurorbit.engine.models.convseq.config import ConvseqConfig, StoppingConfig
from neurorbit.engine.models.convseq.members import members
from neurorbit.engine.models.convseq.objective import ConvseqObjective
from neurorbit.engine.models.convseq.responses import responder
from neurorbit.engine.training.loop import Trainer

Row = dict[str, Any]
SIZES = {"E": 1, "K": 1, "N": 10_000, "W": 200, "T": 1_000_000, "J": 20_000_000}
QUICK = {"E": 1, "K": 1, "N": 500, "W": 50, "T": 20_000, "J": 20_000}
BLOCK_BINS = 100_000
PIECES = 40


def write_recording(path: Path, sizes: dict[str, int]) -> None:
    """Random events sorted by time, drawn and written stretch by stretch."""
    generator = np.random.default_rng(0)
    N, T, J = sizes["N"], sizes["T"], sizes["J"]
    with h5py.File(path, "w") as file:
        columns = [
            file.create_dataset(n, (0,), "i4", maxshape=(None,), chunks=(1 << 16,)) for n in ("neurons", "times")
        ]
        file["n_neurons"], file["n_bins"] = N, T
        for piece in range(PIECES):
            first, last = piece * T // PIECES, (piece + 1) * T // PIECES
            key = np.unique(generator.integers(first * N, last * N, J // PIECES))
            for column, values in zip(columns, (key % N, key // N), strict=True):
                end = column.shape[0] + len(key)
                column.resize((end,))
                column[end - len(key) :] = values


def check(path: Path, o: torch.Tensor, w: torch.Tensor, padding: int) -> None:
    """The response at a few bins against sums over the file's events in float64."""
    weights = w[0, 0].double()
    W = weights.shape[1]
    with h5py.File(path) as file:
        neurons, times = file["neurons"][()], file["times"][()]
    for t in (0, BLOCK_BINS - 1, BLOCK_BINS, o.shape[-1] // 2, o.shape[-1] - 1):
        if not 0 <= t < o.shape[-1]:
            continue
        a, b = np.searchsorted(times, (t - padding, t - padding + W))
        lags = torch.from_numpy(times[a:b].astype(np.int64) - t + padding)
        truth = float(weights[torch.from_numpy(neurons[a:b].astype(np.int64)), lags].sum())
        if abs(float(o[0, 0, t]) - truth) > 1e-4 * max(1.0, abs(truth)):
            raise RedContract(f"response at bin {t}: expected {truth}, got {float(o[0, 0, t])}")


def measure(device: str, *, quick: bool = False, say: Callable[[str], None] = lambda _: None) -> list[Row]:
    """Seconds per step of a fit after its first step, and the largest memory of the process up to the last one."""
    sizes = QUICK if quick else SIZES
    config = ConvseqConfig(width=sizes["W"], stopping=StoppingConfig(patience=0))
    seconds: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "recording.h5"
        write_recording(path, sizes)
        start = time.perf_counter()
        blocks = open_event_blocks(
            path, block_bins=min(BLOCK_BINS, sizes["T"] // 4), width=config.width, padding=config.padding
        )
        opened = time.perf_counter() - start
        respond = responder(blocks, config.padding, device)
        objective = ConvseqObjective(config, members(config), respond, sizes["N"], torch.device(device))
        with torch.no_grad():
            w = objective.module()
            first = respond(w).cpu()
        for _ in range(3):
            trainer = Trainer(objective, config.training, 1, objective.learning_rate, rectified=False)
            start = time.perf_counter()
            trainer.run()
            if device == "cuda":
                torch.cuda.synchronize()
            seconds.append(time.perf_counter() - start)
        peak = torch.cuda.max_memory_allocated() if device == "cuda" else resident_bytes("VmHWM")
        check(path, first, w.cpu(), config.padding)
    timing = Timing.of(seconds[1:])
    name = f"step of a fit, {sizes['N']} neurons x {sizes['T']} bins, {sizes['J']} events, W {sizes['W']}, from HDF5"
    say(f"  {name}: {timing.median_s:.2f} s, peak {peak / 2**30:.2f} GiB; opened and checked in {opened:.2f} s")
    values = {**dataclasses.asdict(timing), "peak_bytes": peak, "open_s": opened}
    return [
        {"op": "convseq", "workload": name, "phase": "fit", "implementation": OURS, **values, "ratio": 1.0,
         "sizes": sizes, "options": {"block_bins": BLOCK_BINS}, "dtype": "float32", **provenance(device)}
    ]  # fmt: skip
