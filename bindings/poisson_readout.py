"""Public function of the Poisson observation model: poisson_readout."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor

from neurorbit.bindings.operator import Arguments, Operator
from neurorbit.bindings.validation import bind_sizes, check_count_type, check_counts, check_lengths, check_tensors
from neurorbit.kernels.poisson_readout.spec import EXP_LIMIT, LINKS, SPEC

__all__ = ["EXP_LIMIT", "FLOOR_HZ", "LINKS", "PoissonReadout", "floor_of", "poisson_readout"]

FLOOR_HZ = 1e-5  # the lowest rate, unless another is given
_LEAST_FLOOR_HZ = 1e-30


class PoissonReadout(NamedTuple):
    """Negative log-likelihood in nats: nll [E, B] of each trial and per_neuron [E, N] over all trials."""

    nll: Tensor
    per_neuron: Tensor


def _check_values(arguments: Arguments, options: Arguments) -> None:
    """What stands in lengths and counts, where nothing waits for a device."""
    lengths = arguments["lengths"]
    check_lengths(lengths, arguments["z"].shape[2])
    check_counts(arguments["y"], lengths, arguments["mask"])


def _fake(arguments: Arguments, options: Arguments) -> tuple[Tensor, ...]:
    z, C = arguments["z"], arguments["C"]
    return z.new_empty(z.shape[:2]), z.new_empty(C.shape[:2])


_OPERATOR = Operator(SPEC, {"link": "str", "bin_s": "float", "floor_hz": "float"}, _fake, check=_check_values)


def floor_of(link: str, floor_hz: float | None) -> float:
    """The lowest rate as the kernels take it; ValueError for one that the link does not take."""
    if link not in LINKS:
        raise ValueError(f"link: expected one of {', '.join(LINKS)}, got {link!r}")
    if link == "exp":
        if floor_hz is not None:
            raise ValueError("floor_hz: has no effect with link 'exp', whose rates are positive: leave it out")
        return 0.0
    if floor_hz is None:
        return FLOOR_HZ
    if not (_LEAST_FLOOR_HZ <= floor_hz < math.inf):
        raise ValueError(f"floor_hz: expected a finite number >= {_LEAST_FLOOR_HZ}, got {floor_hz}")
    return float(floor_hz)


def poisson_readout(
    z: Tensor,
    C: Tensor,
    y: Tensor,
    *,
    bin_s: float,
    link: str = "softplus",
    bias: Tensor | None = None,
    baseline_trial: Tensor | None = None,
    baseline_time: Tensor | None = None,
    lengths: Tensor | None = None,
    mask: Tensor | None = None,
    floor_hz: float | None = None,
    backend: str | None = None,
) -> PoissonReadout:
    """Poisson negative log-likelihood of spike counts read out from latents, without storing any rates.

    In bin t of trial b neuron n fires with the rate (Hz) ``r = link(C_n . z_bt + bias_n + baseline_trial_bn +
    baseline_time_tn)`` and has the expected count ``lam = bin_s r``. Its cost is ``lam - y log lam + log y!`` nats;
    the sum over the valid bins and neurons of a trial is nll, that over the valid bins of all trials per_neuron.

    Links: "softplus" log(1 + e^a) + floor_hz; "exp" e^a, from a = 30 (1e13 Hz) on continued along its tangent, so
    that nothing overflows; "identity" max(a, floor_hz), whose slope is 0 at and below the floor.

    Args:
        z: latents, [E, B, T, M]; 1 <= M <= 1024, float32 or float64.
        C: readout, [E, N, M].
        y: spike counts, [E or 1, B, T, N], uint8, int16 or int32; never converted as a whole. Checked to be >= 0 in
            valid bins on the CPU; on a GPU the caller answers for it, since a check would wait for the device.
        bin_s: width of a bin in seconds, > 0.
        link: "softplus", "exp" or "identity".
        bias: [E, N].
        baseline_trial, baseline_time: parts of the baseline by trial, [E or 1, B, N], and by bin within the trial,
            [E or 1, T, N]; both are added inside the link (Hz for "identity", nearly so for a high "softplus").
        lengths: bins of each trial, integer [E or 1, B]; later bins take no part, whatever stands there in y, and
            their latents get zero gradient. 0 to T, checked as y is.
        mask: [E or 1, B, T], bool or integer; bins where it is 0 (False) are missing and take no part.
        floor_hz: lowest rate, > 0; 1e-5 when None. Not with "exp".
        backend: None (numba on cpu, triton on cuda), "numba", "triton" or "reference".

    Returns:
        PoissonReadout(nll [E, B], per_neuron [E, N]); both add up to the same total. log y! is included: it depends
        on the data alone and has no gradient. Bits per spike are differences of per_neuron / (log 2 * spikes).

    Raises:
        ValueError: shapes, ranges, negative counts. TypeError: types and dtypes. RuntimeError: backend not installed.

    Differentiable once in z, C, bias and both baselines, through both outputs.
    Source: Kim et al. 2025 (FINDR), the observation model.
    """
    if not isinstance(z, Tensor):
        raise TypeError(f"z: expected a tensor, got {type(z).__name__}")
    if z.ndim != 4 or 0 in z.shape:
        raise ValueError(f"z: expected a tensor [E, B, T, M], none of them 0, got {list(z.shape)}")
    check_count_type(y)
    floor = floor_of(link, floor_hz)
    if isinstance(bin_s, Tensor) or not (0 < bin_s < math.inf):
        raise ValueError(f"bin_s: expected a number of seconds > 0, got {bin_s}")
    if isinstance(mask, Tensor) and mask.dtype == torch.bool:
        mask = mask.view(torch.uint8)
    elif isinstance(mask, Tensor) and mask.dtype != torch.uint8 and not mask.is_floating_point():
        mask = (mask != 0).to(torch.uint8)
    values: dict[str, Any] = dict(
        z=z, C=C, bias=bias, baseline_trial=baseline_trial, baseline_time=baseline_time, y=y, lengths=lengths, mask=mask
    )
    check_tensors(SPEC, values)
    sizes = bind_sizes(SPEC, values, {})
    if sizes["N"] < 1:
        raise ValueError("C: expected at least one neuron, got N=0")
    _OPERATOR.expand_shared(values, sizes["E"])
    if lengths is not None:
        values["lengths"] = lengths.to(torch.int64)
    return PoissonReadout(*_OPERATOR(values, backend, link=link, bin_s=float(bin_s), floor_hz=floor))
