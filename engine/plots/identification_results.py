"""Everything that identifications found in one recording."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from neurorbit.engine.analysis.heading import decode_heading, preferred_heading
from neurorbit.engine.analysis.shifters import Shifters, shifter_tuning, velocity_heading_maps
from neurorbit.engine.data.network_truth import NetworkTruth
from neurorbit.engine.plots.arguments import Array, Values, as_array
from neurorbit.engine.plots.identification_spectrum import SlowPointsLike


@dataclass(frozen=True, eq=False)
class RecoveredNetwork:
    """An ensemble of fitted networks of one kind; figures of one network show run `run`.

    W [E, N, N]: weights of all runs, from row to column, the n observed units first. rates [B, T, N]: free run of run
    `run`, row t at the same moment as the recording's. silent [B', T']: headings decoded without input. slow: its slow
    points. measures: one dict per run, of `evaluate`. diverged: runs that were left out, by number.
    """

    W: Values
    rates: Values | None = None
    silent: Values | None = None
    slow: SlowPointsLike | None = None
    measures: Sequence[Mapping[str, Any]] = ()
    run: int = 0
    label: str = "recovered"
    diverged: Sequence[int] = ()

    @cached_property
    def weights(self) -> Array:
        """W [E, N, N], checked."""
        rank = getattr(self.W, "ndim", None)
        W = as_array("W", self.W, "NN")[None] if rank == 2 else as_array("W", self.W, "ENN")
        if W.shape[1] != W.shape[2]:
            raise ValueError(f"W: expected [E, N, N], got {list(W.shape)}")
        if not 0 <= self.run < len(W):
            raise ValueError(f"run: expected 0 to E - 1 = {len(W) - 1}, got {self.run}")
        if not np.isfinite(W[self.run]).all():
            raise ValueError(f"W: run {self.run} is not finite: choose another run")
        return W

    @cached_property
    def free(self) -> Array | None:
        """Rates [B, T, N] of the free run; None where it left the finite numbers."""
        rates = None if self.rates is None else as_array("rates", self.rates, "BTN")
        return rates if rates is not None and np.isfinite(rates).all() else None

    def block(self, n: int) -> Array:
        """Weights [n, n] among the observed units of the shown run."""
        found: Array = self.weights[self.run, :n, :n]
        return found


@dataclass(frozen=True, eq=False)
class IdentificationResults:
    """A recording and what was identified from it; what is not given is not drawn.

    activity [B, T, n]: observed rates or counts (NaN = missing). inputs [B, T, U]; the first is the angular velocity.
    headings: [B, T] rad, or positions [B, T, 2]. preferred [n]: preferred headings, by the activity when None.
    control: the networks without separated inputs. metrics: rows of metrics.csv. settings: what the report lists.
    targets: values to reach, by measure. unit: of the activity.
    """

    activity: Values
    inputs: Values
    recovered: RecoveredNetwork
    headings: Values | None = None
    preferred: Values | None = None
    control: RecoveredNetwork | None = None
    truth: NetworkTruth | None = None
    metrics: Sequence[Mapping[str, Any]] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    targets: Mapping[str, float] = field(default_factory=dict)
    dt_s: float | None = None
    unit: str = "rate"

    @cached_property
    def x(self) -> Array:
        """Activity [B, T, n]."""
        return as_array("activity", self.activity, "BTn")

    @cached_property
    def u(self) -> Array:
        """Inputs [B, T, U]."""
        u = as_array("inputs", self.inputs, "BTU")
        if u.shape[:2] != self.x.shape[:2]:
            raise ValueError(f"inputs: expected [B={len(self.x)}, T={self.x.shape[1]}, U], got {list(u.shape)}")
        return u

    @property
    def n(self) -> int:
        """Observed units."""
        return self.x.shape[2]

    @cached_property
    def heading(self) -> Array | None:
        """Headings [B, T], where that is what is known."""
        if self.headings is None or np.ndim(self.headings) != 2:
            return None
        return self._timed(as_array("headings", self.headings, "BT"))

    @cached_property
    def position(self) -> Array | None:
        """Positions [B, T, 2], where that is what is known."""
        if self.headings is None or np.ndim(self.headings) == 2:
            return None
        return self._timed(as_array("headings", self.headings, "BTd"))

    def _timed(self, values: Array) -> Array:
        if values.shape[:2] != self.x.shape[:2]:
            expected = f"[B={len(self.x)}, T={self.x.shape[1]}]"
            raise ValueError(f"headings: expected {expected} as in activity, got {list(values.shape)}")
        return values

    @cached_property
    def p(self) -> Array | None:
        """Preferred headings [n] of the observed units; None without headings or with fewer than three tuned units."""
        if self.preferred is not None:
            found = as_array("preferred", self.preferred, "n")
            if len(found) != self.n:
                raise ValueError(f"preferred: expected [n={self.n}] as in activity, got {list(found.shape)}")
        elif self.heading is not None:
            found = preferred_heading(self.x, self.heading).heading_rad
        else:
            return None
        return found if np.isfinite(found).sum() >= 3 else None

    def units(self, titles: Iterable[str]) -> str | dict[str, str]:
        """The unit of each panel, of which the first shows the data and the others rates; one word where all agree."""
        if self.unit == "rate":
            return self.unit
        return {title: "rate" if k else self.unit for k, title in enumerate(titles)}

    def networks(self) -> dict[str, RecoveredNetwork]:
        """The recovered networks and the control, by label."""
        both = [self.recovered] + ([] if self.control is None else [self.control])
        for one in both:
            if one.weights.shape[1] < self.n:
                raise ValueError(f"W: expected N >= n={self.n} observed units, got {list(one.weights.shape)}")
            if one.rates is not None and np.shape(one.rates) != (*self.x.shape[:2], one.weights.shape[1]):
                expected = f"[B={len(self.x)}, T={self.x.shape[1]}, N={one.weights.shape[1]}]"
                raise ValueError(f"rates: expected {expected}, got {list(np.shape(one.rates))}")
        return {one.label: one for one in both}

    def true_W(self) -> Array | None:
        """True weights [n, n] among the observed units."""
        if self.truth is None:
            return None
        W: Array = self.truth.observed_W()
        if len(W) != self.n:
            raise ValueError(f"truth: expected n={self.n} observed units as in activity, got {len(W)}")
        return W

    def shifters(self, network: RecoveredNetwork) -> tuple[Shifters, Array, Array, Array] | None:
        """Tuning of the hidden units (of all where none is hidden), their maps with edges, and their output [H, n]."""
        v = self.u[..., 0]
        if network.free is None or self.heading is None or self.p is None or not ((v > 0).any() and (v < 0).any()):
            return None
        first = self.n if network.weights.shape[1] > self.n else 0
        rates, heading = network.free[..., first:], decode_heading(network.free[..., : self.n], self.p)
        W_out = network.weights[network.run, first:, : self.n]
        maps, edges = velocity_heading_maps(rates, heading, v)
        return shifter_tuning(rates, heading, v, W_out, self.p), maps, edges, W_out
