"""Public functions for ordinary differential equations: rollout_ode and register_field."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from torch import Tensor

from neurorbit.bindings.operator import Arguments, Operator
from neurorbit.bindings.validation import bind_sizes, check_tensors
from neurorbit.bindings.vector_fields import (
    FIELDS,
    Parameter,
    VectorField,
    field_named,
    pack_parameters,
    register_field,
)
from neurorbit.kernels.rollout_ode.spec import METHODS, SPEC

__all__ = ["FIELDS", "METHODS", "OdeRollout", "Parameter", "VectorField", "register_field", "rollout_ode"]


class OdeRollout(NamedTuple):
    """States of a rollout: z [E, B, steps // keep_every, M]; z_final [E, B, M] after the last step."""

    z: Tensor
    z_final: Tensor


def _fake(arguments: Arguments, options: Arguments) -> tuple[Tensor, ...]:
    z0, keep = arguments["z0"], options["keep_every"]
    E, B, M = z0.shape
    return z0.new_empty(E, B, options["steps"] // keep if keep else 0, M), z0.new_empty(E, B, M)


_OPTIONS = {"field": "str", "method": "str", "dt": "float", "steps": "int", "keep_every": "int"}
_OPERATOR = Operator(SPEC, _OPTIONS, _fake, whole_gradients=True)


def _whole(name: str, value: Any, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name}: expected a whole number, got {value!r}")
    if value < least:
        raise ValueError(f"{name}: expected {least} or more, got {value}")


def _check_sizes(law: VectorField, sizes: dict[str, int]) -> None:
    """M, U and P as the field wants them, within its limits."""
    M, U = sizes["M"], sizes.get("U", 0)
    if M != (law.states or M) or M < law.least_states:
        wanted = f"M={law.states}" if law.states else f"M of {law.least_states} or more"
        raise ValueError(f"z0: expected {wanted} states for field {law.name!r}, got {M}")
    own = law.inputs == "own"
    if U and not own and U != M:
        raise ValueError(f"drive: field {law.name!r} adds the inputs to dz/dt: expected U = M = {M}, got U={U}")
    found = {"M": M, "U": U, "H": law.hidden(sizes["P"], M, U if own else 0)}
    for letter, limit in law.limits.items():
        if found[letter] > limit:
            raise ValueError(f"field {law.name!r}: {letter}={found[letter]} is above its limit of {limit}")


def rollout_ode(
    z0: Tensor,
    parameters: Tensor | Mapping[str, Tensor | float] | None = None,
    *,
    field: str,
    dt: float,
    steps: int,
    method: str = "rk4",
    keep_every: int = 1,
    drive: Tensor | None = None,
    backend: str | None = None,
) -> OdeRollout:
    """Integrate dz/dt = f(z, parameters, inputs) from many initial states with a fixed step, in one fused launch.

    With k_s the field at the stages of a step: euler ``z + dt k1``; heun ``z + dt (k1 + k2) / 2`` with k2 at
    ``z + dt k1``; rk4 ``z + dt (k1 + 2 k2 + 2 k3 + k4) / 6``, the classical method. Orders 1, 2 and 4. Gradients are
    those of these very steps (discretise, then optimise), exact up to rounding.

    Fields: lorenz63 (sigma, rho, beta), rossler (a, b, c), lorenz96 (forcing; any M >= 4), bursting (a neuron with
    potential in mV, two gates, time in ms; 17 parameters), gated_mlp ``g (-z + h)`` with ``g = sigmoid(Wg z + Vg u +
    bg)`` and ``h = tanh(W2 silu(W1 z + V1 u + b1) + b2)``, and those of `register_field`; `FIELDS` describes each.

    Args:
        z0: initial states, [E, B, M], float32 or float64.
        parameters: of each model: names to numbers or tensors, [E] for a number and [E, M, H], say, for weights, what
            is not named keeps its usual value; or all of them packed in the field's order, [E, P]; or None.
        field: name of the vector field.
        dt: step in the field's units of time; negative runs back in time.
        steps: how many to make.
        method: "euler", "heun" or "rk4".
        keep_every: keep the state after every this many steps; 0 keeps only the last.
        drive: inputs, [E or 1, B, steps, U], held over each step. gated_mlp takes any U; the others add them to
            dz/dt, so that U = M.
        backend: None (numba on cpu, triton on cuda), "numba", "triton" or "reference".

    Returns:
        OdeRollout(z [E, B, steps // keep_every, M], without the initial state, z_final [E, B, M]).

    Raises:
        ValueError: shapes, ranges, names. TypeError: types and dtypes.
        RuntimeError: the named backend is not installed, or the field has no function for it.

    Differentiable once in z0, parameters and drive, whatever is kept: where states were not kept, the backward pass
    computes them again from the kept ones and holds a segment of them at a time (2 sqrt(keep_every) states of each
    sequence at work, for long segments; with keep_every 0 the segment is the whole rollout).
    Sources: Lorenz 1963, 1996; Rossler 1976; Durstewitz 2009 (bursting); Kim et al. 2025 (gated_mlp).
    """
    if not isinstance(z0, Tensor) or z0.ndim != 3 or 0 in z0.shape:
        got = list(z0.shape) if isinstance(z0, Tensor) else type(z0).__name__
        raise (ValueError if isinstance(z0, Tensor) else TypeError)(
            f"z0: expected a tensor [E, B, M], none of them 0, got {got}"
        )
    law = field_named(field)
    if method not in METHODS:
        raise ValueError(f"method: expected one of {', '.join(METHODS)}, got {method!r}")
    if isinstance(dt, bool) or not isinstance(dt, int | float):
        raise TypeError(f"dt: expected a number, got {dt!r}")
    if not 0.0 < abs(dt) < math.inf:
        raise ValueError(f"dt: expected a finite step other than 0, got {dt}")
    _whole("steps", steps, 1)
    _whole("keep_every", keep_every, 0)
    U = drive.shape[3] if isinstance(drive, Tensor) and drive.ndim == 4 and law.inputs == "own" else 0
    values: dict[str, Any] = {"z0": z0, "parameters": pack_parameters(law, parameters, z0, U), "drive": drive}
    check_tensors(SPEC, values)
    _check_sizes(law, bind_sizes(SPEC, values, {"T": steps}))
    options: dict[str, Any] = dict(field=field, method=method, dt=float(dt), steps=steps, keep_every=keep_every)
    return OdeRollout(*_OPERATOR(values, backend, **options))
