"""What a simulated population knows about the flow behind its spikes."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import softplus

from neurorbit.bindings.poisson_readout import FLOOR_HZ, LINKS


@dataclass(frozen=True, eq=False)
class FlowTruth:
    """Latents, readout and baseline of a simulation; `engine.simulate.true_flow` gives the flow itself.

    The rate of neuron n in bin t is link(C_n . z_t + b_n) in Hz, softplus with the floor 1e-5.

    Args:
        system: "decision", "flipflop" or "ou".
        z: latents [B, T, M], float32, 0 after a trial's end; the state that makes the counts of bin t.
        C: readout [N, M]. b: baseline [N] in Hz.
        link: "softplus", "exp" or "identity".
        evidence: level of evidence [B] of a decision, log(rate right / rate left).
        settings: of the simulation, plain numbers and texts.
    """

    system: str
    z: Tensor
    C: Tensor
    b: Tensor
    link: str = "softplus"
    evidence: Tensor | None = None
    settings: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.z.ndim != 3:
            raise ValueError(f"truth z: expected [B, T, M], got {list(self.z.shape)}")
        B, _, M = self.z.shape
        if self.C.ndim != 2 or self.C.shape[1] != M:
            raise ValueError(f"truth C: expected [N, M={M}], got {list(self.C.shape)}")
        if self.b.shape != self.C.shape[:1]:
            raise ValueError(f"truth b: expected [N={len(self.C)}], got {list(self.b.shape)}")
        if self.evidence is not None and self.evidence.shape != (B,):
            raise ValueError(f"truth evidence: expected [B={B}], got {list(self.evidence.shape)}")
        if self.link not in LINKS:
            raise ValueError(f"truth link: expected one of {', '.join(LINKS)}, got {self.link!r}")

    @property
    def n_latents(self) -> int:
        """M of the simulation."""
        return self.z.shape[2]

    def rates_hz(self, trials: Any = None) -> Tensor:
        """True rates [b, T, N] of the named trials; ask for a few at a time."""
        z = self.z if trials is None else self.z[trials]
        a = z @ self.C.T + self.b
        if self.link == "softplus":
            return softplus(a, threshold=30.0) + FLOOR_HZ
        return torch.exp(a) if self.link == "exp" else a.clamp(min=FLOOR_HZ)

    def select(self, trials: Tensor) -> FlowTruth:
        """Of the named trials."""
        evidence = None if self.evidence is None else self.evidence[trials]
        return replace(self, z=self.z[trials], evidence=evidence)

    def select_neurons(self, neurons: Tensor) -> FlowTruth:
        """Of the named neurons."""
        return replace(self, C=self.C[neurons], b=self.b[neurons])
