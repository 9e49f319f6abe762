"""Responses of filters to recordings in memory (events or dense) and to recordings read in blocks of time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

from neurorbit.bindings.event_projection import event_projection, pack_events
from neurorbit.engine.data import DenseRecording, EventBlocks, SpikeEvents

Recording = SpikeEvents | DenseRecording | EventBlocks


class Responder(Protocol):
    """Turns filters w [E, K, N, W] into responses o [E, K, T'], differentiably."""

    def __call__(self, w: Tensor) -> Tensor: ...


def responder(
    recordings: Recording | Sequence[SpikeEvents | DenseRecording],
    padding: int,
    device: torch.device | str = "cpu",
    backend: str | None = None,
) -> Responder:
    """For one recording shared by all models, or for one recording in memory per model."""
    if isinstance(recordings, EventBlocks):
        return BlockwiseResponder(recordings, device, backend)
    several = [recordings] if isinstance(recordings, SpikeEvents | DenseRecording) else list(recordings)
    dense = [r for r in several if isinstance(r, DenseRecording)]
    if dense:
        return DenseResponder(dense, padding, device, backend)
    return EventResponder([r for r in several if isinstance(r, SpikeEvents)], padding, device, backend)


class EventResponder:
    """Events in memory; one recording per model, or one for all."""

    def __init__(
        self, recordings: Sequence[SpikeEvents], padding: int, device: torch.device | str, backend: str | None
    ) -> None:
        self.padding, self.backend = padding, backend
        first = recordings[0]
        parts = [torch.tensor([len(r) for r in recordings])]
        joined = [
            torch.cat([torch.from_numpy(getattr(r, name).copy()) for r in recordings]).to(device)
            for name in ("neurons", "times", "counts")
        ]
        owner = torch.repeat_interleave(torch.arange(len(recordings)), parts[0]).to(device)
        self.events = pack_events(
            *joined,
            n_neurons=first.n_neurons,
            n_bins=first.n_bins,
            recordings=owner,
            n_recordings=len(recordings),
        )

    def __call__(self, w: Tensor) -> Tensor:
        return event_projection(w, self.events, padding=self.padding, backend=self.backend).o


class DenseResponder:
    """Real-valued activity in memory; one recording per model, or one for all."""

    def __init__(
        self, recordings: Sequence[DenseRecording], padding: int, device: torch.device | str, backend: str | None
    ) -> None:
        self.padding, self.backend = padding, backend
        self.x = torch.stack([torch.tensor(r.x) for r in recordings]).to(device)  # [R, N, T]

    def __call__(self, w: Tensor) -> Tensor:
        return event_projection(w, x=self.x, padding=self.padding, backend=self.backend).o


class BlockwiseResponder:
    """A recording larger than memory: only one block's events are there at a time, in both directions."""

    def __init__(self, blocks: EventBlocks, device: torch.device | str, backend: str | None) -> None:
        self.blocks, self.device, self.backend = blocks, device, backend

    def __call__(self, w: Tensor) -> Tensor:
        found: Tensor = _Blockwise.apply(w, self)
        return found

    def parts(self) -> Any:
        """(t0, t1, events) block by block."""
        for t0, t1, events in self.blocks:
            yield t0, t1, events.packed(self.device)


class _Blockwise(torch.autograd.Function):
    """The whole response is kept, [E, K, T'], the blocks are read again for the gradient."""

    @staticmethod
    def forward(ctx: Any, w: Tensor, source: BlockwiseResponder) -> Tensor:
        ctx.source = source
        ctx.save_for_backward(w)
        return torch.cat([event_projection(w, e, backend=source.backend).o for _, _, e in source.parts()], -1)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        (w,), (do,) = ctx.saved_tensors, grads
        dw = torch.zeros_like(w)
        for t0, t1, events in ctx.source.parts():
            with torch.enable_grad():
                local = w.detach().requires_grad_()
                o = event_projection(local, events, backend=ctx.source.backend).o
            dw += torch.autograd.grad(o, local, do[..., t0:t1].contiguous())[0]
        return dw, None
