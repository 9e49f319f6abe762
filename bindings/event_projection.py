"""Public functions for responses of spatiotemporal filters to a recording: pack_events and event_projection."""

from __future__ import annotations

from typing import Any, NamedTuple

from torch import Tensor

from neurorbit.bindings.operator import Arguments, Operator
from neurorbit.bindings.packed_events import LARGEST, PackedEvents, check_packed, pack_events
from neurorbit.bindings.validation import check_tensors
from neurorbit.kernels.event_projection.spec import SPEC

__all__ = ["EventProjection", "PackedEvents", "event_projection", "pack_events"]


class EventProjection(NamedTuple):
    """Responses of the filters: o [E, K, T']."""

    o: Tensor


def _fake(arguments: Arguments, options: Arguments) -> tuple[Tensor, ...]:
    w = arguments["w"]
    bins = options["n_bins"] + 2 * options["padding"] - w.shape[3] + 1
    return (w.new_empty(w.shape[0], w.shape[1], bins),)


_OPERATOR = Operator(SPEC, {"n_bins": "int", "padding": "int"}, _fake, whole_gradients=True)


def _check_dense(w: Tensor, x: Tensor) -> int:
    E, _, N, _ = w.shape
    if x.ndim != 3 or x.shape[0] not in (1, E) or x.shape[1] != N:
        raise ValueError(f"x: expected [E={E} or 1, N={N}, T] as w, got {list(x.shape)}")
    return x.shape[2]


def _check_window(w: Tensor, n_bins: int, padding: int) -> None:
    if isinstance(padding, bool) or not isinstance(padding, int):
        raise TypeError(f"padding: expected a whole number of bins, got {type(padding).__name__}")
    if padding < 0:
        raise ValueError(f"padding: expected >= 0 bins, got {padding}")
    if n_bins + 2 * padding > LARGEST:
        raise ValueError(
            f"padding: expected T + 2 padding <= {LARGEST}, got {n_bins} + 2 x {padding}: use blocks of time"
        )
    if w.shape[3] > n_bins + 2 * padding:
        raise ValueError(
            f"w: filters of W={w.shape[3]} bins do not fit into T + 2 padding = {n_bins + 2 * padding} bins: "
            "use shorter filters or more padding"
        )


def event_projection(
    w: Tensor,
    events: PackedEvents | None = None,
    x: Tensor | None = None,
    *,
    padding: int = 0,
    backend: str | None = None,
) -> EventProjection:
    """Responses of E models with K spatiotemporal filters each to one recording, or to one recording per model.

    The response is ``o[e, k, t] = sum_n sum_lag w[e, k, n, lag] X[n, t - P + lag]`` with P = `padding` and X zero
    outside the recording: o[t] looks at the bins t - P .. t - P + W - 1. X is given as events, where each event adds
    one row of a filter (the cost is events x W x K, and nothing of size N x T is ever made), or as a dense matrix of
    real values such as calcium signals.

    Args:
        w: filters, [E, K, N, W], float32 or float64; lags in bins.
        events: counts per bin from `pack_events`, on w's device: one recording that all models share, or one per model.
            Its values (order, ranges) were checked by `pack_events`; here its shapes are.
        x: dense recording instead of events, [E or 1, N, T], w's dtype. Exactly one of events and x is given.
        padding: P >= 0, bins of silence on either side.
        backend: None (numba on cpu, triton on cuda), "numba", "triton" or "reference".

    Returns:
        EventProjection(o [E, K, T + 2 P - W + 1]).

    Raises:
        ValueError: shapes, ranges, devices; both or neither of events and x; filters longer than T + 2 P.
        TypeError: types and dtypes. RuntimeError: the named backend is not installed.

    Differentiable once in w and in x. A block of a long recording is the same call with its times shifted, padding 0
    and W - 1 further bins: its responses are those of the whole.
    Source: Koshkin and Fukai, ICML 2024 (arXiv 2402.01130), who convolve the dense matrix.
    """
    if not isinstance(w, Tensor):
        raise TypeError(f"w: expected a tensor, got {type(w).__name__}")
    if w.ndim != 4 or 0 in w.shape:
        raise ValueError(f"w: expected [E, K, N, W], none of them 0, got {list(w.shape)}")
    if (events is None) == (x is None):
        raise ValueError("events, x: expected exactly one of them, got " + ("neither" if x is None else "both"))
    values: dict[str, Any] = dict.fromkeys(SPEC.argument_names)
    values |= {"w": w, "x": x}
    if events is not None:
        check_packed(events)
        values |= {n: getattr(events, n) for n in PackedEvents._fields if n in values}
    check_tensors(SPEC, values)
    if events is not None:
        recordings = events.starts.numel() - 1
        if events.n_neurons != w.shape[2]:
            raise ValueError(f"w: expected N={events.n_neurons} neurons as in events, got {list(w.shape)}")
        if recordings not in (1, w.shape[0]):
            raise ValueError(f"events: expected 1 or E={w.shape[0]} recordings, got {recordings}")
    n_bins = _check_dense(w, x) if x is not None else events.n_bins  # type: ignore[union-attr]
    _check_window(w, n_bins, padding)
    return EventProjection(*_OPERATOR(values, backend, n_bins=n_bins, padding=padding))
