"""A recording larger than comfortable, 10000 neurons x 1000000 bins, one whole convSeq step in blocks of time."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor

from benchmarks.child import resident_bytes
from benchmarks.contract import RedContract
from benchmarks.provenance import provenance
from benchmarks.timing import Timing
from benchmarks.workload import OURS
from neurorbit.bindings.event_projection import PackedEvents, event_projection, pack_events

Row = dict[str, Any]
SIZES = {"E": 1, "K": 1, "N": 10_000, "W": 200, "T": 1_000_000, "J": 20_000_000}
QUICK = {"E": 1, "K": 1, "N": 500, "W": 50, "T": 20_000, "J": 20_000}
BLOCK_BINS = 100_000


def blocks(sizes: dict[str, int]) -> Iterator[tuple[int, int, Tensor, Tensor]]:
    """(first, last response, neurons, times) of each block with its halo of W - 1 bins, by time as a reader gives them.

    Drawn bin range by bin range: no more than two blocks are held.
    """
    N, W, T = sizes["N"], sizes["W"], sizes["T"]
    responses = T - W + 1
    step = min(BLOCK_BINS, -(-responses // 3))

    def drawn(first: int, last: int) -> tuple[Tensor, Tensor]:
        generator = torch.Generator().manual_seed(first)
        J = sizes["J"] * (last - first) // T
        key = torch.randint(first * N, last * N, (J,), generator=generator).sort().values
        return key % N, key // N

    n, t = drawn(0, min(step, T))
    for first in range(0, responses, step):
        last = min(first + step, responses)
        later = drawn(first + step, min(first + 2 * step, T)) if first + step < T else (n[:0], t[:0])
        halo = later[1] < last + W - 1
        inside = t < last + W - 1
        neurons, times = torch.cat([n[inside], later[0][halo]]), torch.cat([t[inside], later[1][halo]]) - first
        yield first, last, neurons, times
        n, t = later


def packed(sizes: dict[str, int], first: int, last: int, neurons: Tensor, times: Tensor, device: str) -> PackedEvents:
    n_bins = last - first + sizes["W"] - 1
    return pack_events(neurons.to(device), times.to(device), n_neurons=sizes["N"], n_bins=n_bins)


def step(sizes: dict[str, int], free: Tensor) -> tuple[Tensor, Tensor, dict[str, float]]:
    """(responses, gradient of the free filters, seconds by part) of -var + 200 x total variation.

    The graph of a block holds its events and no responses, so that all blocks can wait for the loss.
    """
    spent = dict.fromkeys(("softmax", "drawing", "packing", "forward", "loss and backward"), 0.0)
    clock = time.perf_counter()

    def done(part: str) -> None:
        nonlocal clock
        if free.is_cuda:
            torch.cuda.synchronize()
        now = time.perf_counter()
        spent[part] += now - clock
        clock = now

    w = free.softmax(-1)
    done("softmax")
    parts = []
    for block in blocks(sizes):
        done("drawing")
        events = packed(sizes, *block, free.device.type)
        done("packing")
        parts.append(event_projection(w, events).o)
        done("forward")
    o = torch.cat(parts, -1)
    loss = -o.var(-1).sum() + 200 * o.diff(dim=-1).square().mean(-1).sum()
    (dfree,) = torch.autograd.grad(loss, free)
    done("loss and backward")
    return o.detach(), dfree, spent


def check(sizes: dict[str, int], free: Tensor, o: Tensor) -> None:
    """Responses at a few bins, those around the blocks' edges among them, against sums in float64."""
    w, W = free.detach().cpu().double().softmax(-1)[0, 0], sizes["W"]
    for first, last, neurons, times in blocks(sizes):
        for t in {first, (first + last) // 2, last - 1}:
            near = (times >= t - first) & (times < t - first + W)
            truth = float(w[neurons[near], times[near] + first - t].sum())
            if abs(float(o[0, 0, t]) - truth) > 1e-5 * max(1.0, abs(truth)):
                raise RedContract(f"response at bin {t}: expected {truth}, got {float(o[0, 0, t])}")


def measure(device: str, *, quick: bool = False, say: Callable[[str], None] = lambda _: None) -> list[Row]:
    """One step after a small one that compiles; seconds by part and peak memory of all of it, drawing not counted."""
    sizes = QUICK if quick else SIZES
    small = torch.randn(1, 1, QUICK["N"], QUICK["W"], device=device, requires_grad=True)
    step(QUICK, small)
    generator = torch.Generator().manual_seed(0)
    free = torch.randn(1, sizes["K"], sizes["N"], sizes["W"], generator=generator).to(device).requires_grad_()
    o, dfree, spent = step(sizes, free)
    seconds = sum(spent.values()) - spent["drawing"]
    peak = torch.cuda.max_memory_allocated() if device == "cuda" else resident_bytes("VmHWM")
    if not bool(torch.isfinite(dfree).all()):
        raise RedContract("the gradient is not finite")
    check(sizes, free, o)
    name = f"whole step, {sizes['N']} neurons x {sizes['T']} bins, {sizes['J']} events, W {sizes['W']}, in blocks"
    say(f"  {name}: {seconds:.2f} s, peak {peak / 2**30:.2f} GiB of the whole process")
    say("  " + ", ".join(f"{part} {value:.2f} s" for part, value in spent.items()))
    timing = {**asdict(Timing.of([seconds])), "peak_bytes": peak, "seconds_by_part": spent}
    return [
        {"op": "event_blocks", "workload": name, "phase": "fit", "implementation": OURS, **timing, "ratio": 1.0,
         "sizes": sizes, "options": {"block_bins": BLOCK_BINS}, "dtype": "float32", **provenance(device)}
    ]  # fmt: skip
