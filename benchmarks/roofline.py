"""The machine's own peaks, measured on the spot, and how near a timing comes to them."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import torch

from benchmarks.timing import Call, interleaved
from neurorbit.kernels.spec import Work


@dataclass(frozen=True)
class Peaks:
    """Copy bandwidth (bytes read and written per second) and rate of a float32 matrix product."""

    bytes_per_s: float
    flops_per_s: float


def measure_peaks(device: str, *, quick: bool = False) -> Peaks:
    """Best of a large copy and of a large square product."""
    scale = 1 if device == "cpu" else 4
    length, side = (2**22, 512) if quick else (2**25 * scale, 2048 * scale)
    source = torch.ones(length, device=device)
    target = torch.empty_like(source)
    a = torch.rand(side, side, device=device)
    b = torch.rand(side, side, device=device)
    c = torch.empty_like(a)

    def wait(_: Any) -> None:
        if device == "cuda":
            torch.cuda.synchronize()

    calls: dict[str, Call] = {
        "copy": (lambda: target.copy_(source), wait),
        "product": (lambda: torch.mm(a, b, out=c), wait),
    }
    times = interleaved(calls, samples=3 if quick else 9, budget_s=10)
    return Peaks(2 * 4 * length / times["copy"].low_s, 2 * side**3 / times["product"].low_s)


def roofline(work: Work | None, phase: str, seconds: float, peaks: Peaks) -> dict[str, Any]:
    """Flops, bytes, what bounds the phase and the share of that bound that was reached."""
    if work is None:
        return {}
    forward, backward = phase != "backward", phase in ("backward", "step")
    flops = work.forward_flops * forward + work.backward_flops * backward
    moved = work.forward_bytes * forward + work.backward_bytes * backward
    by_flops, by_bytes = flops / peaks.flops_per_s, moved / peaks.bytes_per_s
    return {
        "flops": flops,
        "bytes": moved,
        "bound": "matmul" if by_flops > by_bytes else "bandwidth",
        "roofline_share": max(by_flops, by_bytes) / seconds,
        "peaks": asdict(peaks),
    }
