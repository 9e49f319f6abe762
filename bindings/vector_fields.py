"""Vector fields of rollout_ode: those supplied, how to register one's own, and their parameters as one tensor."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from neurorbit.kernels.rollout_ode.fields import FIELDS, Parameter, VectorField, field_named

__all__ = ["FIELDS", "Parameter", "VectorField", "field_named", "pack_parameters", "register_field"]


def register_field(field: VectorField, *, replace: bool = False) -> VectorField:
    """Make a vector field of one's own known to `rollout_ode` under its name.

    A field is the same small function in up to three dialects, and for gradients its vector-Jacobian product, which
    from g = dL/df makes dL/dz, dL/dparameters and dL/dinputs. Torch's is the definition (autograd gives its gradient)
    and enough for backend="reference"; a backend whose functions are missing says so when it is asked for.
    In the numba and Triton functions z, p, u and g are tuples: M states, P parameters in the order of `parameters`,
    U inputs (an empty tuple where the rollout adds the inputs itself). In numba each member is a value of sixteen SIMD
    lanes, which + - * / with one another and with numbers, `fma` of neurorbit.kernels.numba_common and `exp`,
    `sigmoid`, `tanh` of neurorbit.kernels.numba_math_common work on; in Triton each is a block of values. ::

        def torch_decay(z, p, u):                    # z [E, B, M], p name -> [E, 1], u [E or 1, B, U] or None
            return -p["rate"].unsqueeze(-1) * z
        def decay(z, p, u):                          # numba; for Triton the same under @triton.jit (import tl too)
            (x,), (rate,) = z, p
            return (-(rate * x),)
        def decay_vjp(z, p, u, g):
            (x,), (rate,), (gx,) = z, p, g
            return (-(rate * gx),), (-(gx * x),), u  # dL/dz, dL/dp, dL/du; u where the inputs are added

        register_field(VectorField("decay", 1, (Parameter("rate", 0.5),), torch_decay, numba=decay,
                                   numba_vjp=decay_vjp))
        rollout_ode(z0, field="decay", dt=0.01, steps=100)

    Fields with any number of states (form="rows") work on pointers instead: see kernels/rollout_ode/README.md.
    A changed function gets kernels of its own: numba's cache on disk knows a field by the code of its functions.

    Raises:
        ValueError: the name is taken (unless `replace`), or the record contradicts itself. TypeError: no VectorField.
    """
    if not isinstance(field, VectorField):
        raise TypeError(f"field: expected a VectorField, got {type(field).__name__}")
    if field.name in FIELDS and not replace:
        raise ValueError(f"field: {field.name!r} is registered already: pass replace=True, or choose another name")
    if field.inputs not in ("added", "own") or field.form not in ("states", "rows"):
        raise ValueError(
            f"field: expected inputs 'added' or 'own' and form 'states' or 'rows', got {field.inputs!r}, {field.form!r}"
        )
    if field.form == "states" and field.states is None:
        raise ValueError("field: form 'states' needs a fixed number of states")
    names = [p.name for p in field.parameters]
    if not names or len(set(names)) < len(names):
        raise ValueError(f"field: expected one or more parameters with different names, got {names}")
    if field.form == "states" and any(p.dims for p in field.parameters):
        raise ValueError("field: form 'states' takes numbers as parameters: give form='rows' for tensors")
    FIELDS[field.name] = field
    return field


def _part(law: VectorField, p: Parameter, value: Any, E: int, like: Tensor) -> Tensor:
    """One parameter as [E, size]."""
    if isinstance(value, int | float) and not p.dims:
        return like.new_full((E, 1), float(value))
    if not isinstance(value, Tensor):
        raise TypeError(f"{p.name}: expected a tensor{'' if p.dims else ' or a number'}, got {type(value).__name__}")
    if value.ndim == 0 and not p.dims:
        return value.expand(E, 1)
    if value.ndim != 1 + len(p.dims) or value.shape[0] != E:
        wanted = ", ".join((f"E={E}", *p.dims))
        raise ValueError(f"{p.name}: expected [{wanted}] for field {law.name!r}, got {list(value.shape)}")
    return value.reshape(E, value[0].numel())


def pack_parameters(law: VectorField, parameters: Tensor | Mapping[str, Any] | None, z0: Tensor, U: int) -> Tensor:
    """[E, P]: the parameters of a field, those not named at their usual values; differentiable."""
    E, M = z0.shape[0], z0.shape[2]
    if isinstance(parameters, Tensor):
        return parameters
    if parameters is None and not any(p.dims for p in law.parameters):
        return torch.tensor(law.defaults(), dtype=z0.dtype, device=z0.device).expand(E, -1)
    given = dict(parameters or {})
    unknown = [name for name in given if name not in {p.name for p in law.parameters}]
    if unknown:
        expected = ", ".join(p.name for p in law.parameters)
        raise ValueError(f"parameters: expected {expected} for field {law.name!r}, got {unknown[0]!r}")
    sizes = {"M": M, "U": U}
    for p in law.parameters:
        value = given.get(p.name)
        if value is None and p.default is None:
            raise ValueError(f"{p.name}: is required by field {law.name!r}")
        if isinstance(value, Tensor) and value.ndim == 1 + len(p.dims):
            for letter, size in zip(p.dims, value.shape[1:], strict=True):
                if sizes.setdefault(letter, size) != size:
                    raise ValueError(f"{p.name}: expected {letter}={sizes[letter]}, got {list(value.shape)}")
    values = [given.get(p.name, p.default) for p in law.parameters]
    return torch.cat([_part(law, p, v, E, z0) for p, v in zip(law.parameters, values, strict=True)], 1)
