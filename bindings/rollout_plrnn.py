"""Public functions of the PLRNN family: rollout_plrnn, generate_plrnn, plrnn_step and jacobian_plrnn."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from neurorbit.bindings.dispatch import plain
from neurorbit.bindings.operator import Arguments, Operator
from neurorbit.bindings.validation import bind_sizes, check_lengths, check_tensors, checked_once, likeness, per_model
from neurorbit.kernels.rollout_plrnn.reference import step as plrnn_step
from neurorbit.kernels.rollout_plrnn.spec import CELLS, DENDRITIC_CELLS, HIDDEN_CELLS, SPEC

__all__ = [
    "CELLS",
    "DENDRITIC_CELLS",
    "HIDDEN_CELLS",
    "PlrnnRollout",
    "generate_plrnn",
    "jacobian_plrnn",
    "plrnn_step",
    "rollout_plrnn",
]


class PlrnnRollout(NamedTuple):
    """States of a rollout: z [E, B, T, M] as emitted, before forcing; z_final [E, B, M] after the last forcing."""

    z: Tensor
    z_final: Tensor


def _fake(arguments: Arguments, options: Arguments) -> tuple[Tensor, ...]:
    z0, keep = arguments["z0"], options["keep_every"]
    E, B, M = z0.shape
    return z0.new_empty(E, B, options["steps"] // keep if keep else 0, M), z0.new_empty(E, B, M)


def _check_values(arguments: Arguments, options: Arguments) -> None:
    forcing_alpha, forcing_interval = arguments["forcing_alpha"], arguments["forcing_interval"]
    if forcing_alpha is not None:
        values = forcing_alpha.tolist()
        if not all(0.0 <= value <= 1.0 for value in values):
            raise ValueError(f"forcing_alpha: expected values in [0, 1], got {min(values)} to {max(values)}")
    if forcing_interval is not None and min(forcing_interval.tolist()) < 1:
        raise ValueError(f"forcing_interval: expected at least 1, got {min(forcing_interval.tolist())}")
    check_lengths(arguments["lengths"], options["steps"], least=1)


def _check_gradient(arguments: Arguments, options: Arguments) -> None:
    if options["keep_every"] != 1:
        raise RuntimeError("rollout_plrnn: gradients need every state (keep_every=1)")


_OPERATOR = Operator(
    SPEC,
    {"cell": "str", "n_relu": "int", "steps": "int", "first_step": "int", "keep_every": "int"},
    _fake,
    check=_check_values,
    check_gradient=_check_gradient,
    whole_gradients=True,
)


def _check_cell(cell: str, sizes: dict[str, int], values: dict[str, Any], n_relu: int) -> None:
    if cell not in CELLS:
        raise ValueError(f"cell: expected one of {', '.join(CELLS)}, got {cell!r}")
    groups = {"W2": HIDDEN_CELLS, "h2": HIDDEN_CELLS, "alpha": DENDRITIC_CELLS, "thresholds": DENDRITIC_CELLS}
    for name, cells in groups.items():
        if (values[name] is not None) != (cell in cells):
            raise ValueError(f"{name}: {'is required by' if cell in cells else 'has no place in'} cell {cell!r}")
    letter = "H" if cell in HIDDEN_CELLS else "M"
    if sizes["K"] != sizes[letter]:
        raise ValueError(f"W1: expected last dim {letter}={sizes[letter]} for cell {cell!r}, got {sizes['K']}")
    if not 0 <= n_relu <= sizes["M"] or (n_relu and cell != "alrnn"):
        raise ValueError(f"n_relu: expected 0..M={sizes['M']} for alrnn and 0 otherwise, got {n_relu}")


def _checked(values: dict[str, Any], options: tuple[Any, ...]) -> int:
    """The number of steps T of arguments that fit together; an error says what does not."""
    cell, n_relu, steps, first_step, keep_every = options
    check_tensors(SPEC, values)
    sizes = bind_sizes(SPEC, values, {} if steps is None else {"T": steps})
    _check_cell(cell, sizes, values, n_relu)
    if "T" not in sizes:
        raise ValueError("steps: is required when neither u nor z_hat gives the number of steps T")
    if sizes["T"] < 1 or first_step < 0 or keep_every < 0:
        raise ValueError(
            f"steps, first_step, keep_every: expected >= 1, 0, 0, got {sizes['T']}, {first_step}, {keep_every}"
        )
    if sizes.get("N", 0) > sizes["M"]:
        raise ValueError(f"z_hat: expected N <= M={sizes['M']} forced states, got N={sizes['N']}")
    return sizes["T"]


_KNOWN: dict[Any, int] = {}


def _forcing(alpha: Tensor | float, interval: Tensor | int, E: int, like: Tensor) -> tuple[Tensor, Tensor]:
    """Strength and interval of each model, [E]."""
    if not isinstance(alpha, Tensor) and not 0.0 <= alpha <= 1.0:
        raise ValueError(f"forcing_alpha: expected a value in [0, 1], got {alpha}")
    if not isinstance(interval, Tensor) and (interval < 1 or interval != int(interval)):
        raise ValueError(f"forcing_interval: expected a whole number >= 1, got {interval}")
    return per_model(alpha, E, like, like.dtype), per_model(interval, E, like, torch.int64)


def _input_term(C: Tensor | None, u: Tensor | None, E: int, B: int) -> Tensor | None:
    """C u, [E, B, T, M]: the one matrix product before the loop."""
    if (C is None) != (u is None):
        raise ValueError(f"{'C' if C is None else 'u'}: is required when {'u' if C is None else 'C'} is given")
    if C is None or u is None:
        return None
    if C.ndim != 3 or C.shape[0] != E:
        raise ValueError(f"C: expected [E={E}, M, U], got {list(C.shape)}")
    if u.ndim != 4 or u.shape[0] not in (1, E) or u.shape[1] != B or u.shape[3] != C.shape[2]:
        raise ValueError(f"u: expected [E={E} or 1, B={B}, T, U={C.shape[2]}], got {list(u.shape)}")
    return torch.matmul(u, C.transpose(1, 2)[:, None])


def _call(z0, A, W1, h1, W2, h2, alpha, thresholds, C, u, z_hat, forcing_alpha, forcing_interval, lengths,
          cell, n_relu, steps, first_step, keep_every, backend) -> PlrnnRollout:  # fmt: skip
    if not isinstance(z0, Tensor) or z0.ndim != 3:
        got = list(z0.shape) if isinstance(z0, Tensor) else type(z0).__name__
        raise (ValueError if isinstance(z0, Tensor) else TypeError)(f"z0: expected a tensor [E, B, M], got {got}")
    E, B = z0.shape[:2]
    if z_hat is not None:
        strength = 1.0 if forcing_alpha is None else forcing_alpha
        forcing_alpha, forcing_interval = _forcing(strength, forcing_interval, E, z0)
    elif forcing_alpha is not None:
        raise ValueError("forcing_alpha: has no effect without z_hat: give z_hat, or leave both out")
    else:
        forcing_interval = None
    drive = _input_term(C, u, E, B)
    values = dict(z0=z0, A=A, W1=W1, h1=h1, W2=W2, h2=h2, alpha=alpha, thresholds=thresholds, drive=drive, z_hat=z_hat,
                  forcing_alpha=forcing_alpha, forcing_interval=forcing_interval, lengths=lengths)  # fmt: skip
    ordinary = plain(tuple(values.values()))
    options: tuple[Any, ...] = (cell, n_relu, steps, first_step, keep_every)
    if ordinary:
        T = checked_once(_KNOWN, (*options, *likeness(values.values())), lambda: _checked(values, options))
    else:
        T = _checked(values, options)
    _OPERATOR.expand_shared(values, E)
    found = _OPERATOR(
        values, backend, ordinary, cell=cell, n_relu=n_relu, steps=T, first_step=first_step, keep_every=keep_every
    )  # fmt: skip
    return PlrnnRollout(*found)


def rollout_plrnn(
    z0: Tensor,
    A: Tensor,
    W1: Tensor,
    h1: Tensor,
    *,
    cell: str,
    W2: Tensor | None = None,
    h2: Tensor | None = None,
    alpha: Tensor | None = None,
    thresholds: Tensor | None = None,
    n_relu: int = 0,
    C: Tensor | None = None,
    u: Tensor | None = None,
    z_hat: Tensor | None = None,
    forcing_alpha: Tensor | float | None = None,
    forcing_interval: Tensor | int = 1,
    lengths: Tensor | None = None,
    steps: int | None = None,
    first_step: int = 0,
    backend: str | None = None,
) -> PlrnnRollout:
    """Roll out E models of the PLRNN family over B sequences with teacher forcing, in one fused launch.

    Each step computes ``z' = A z + W1 phi(q(z)) + h1 + C u`` and emits ``z'``; then, every `forcing_interval` steps,
    the first N states are replaced by ``(1 - a) z' + a z_hat``. The basis functions by `cell`: plrnn ``relu(z)``;
    plrnn-mc ``relu(z - mean(z))``; dendritic ``sum_d alpha_d relu(z - thresholds_d)``; dendritic-clipped the same with
    ``- relu(z)`` in each term; shallow ``relu(W2 z + h2)``; shallow-clipped ``relu(W2 z + h2) - relu(W2 z)``; alrnn
    ``z`` on the first M - n_relu states and ``relu(z)`` on the others. For the cells without a hidden layer W1 and h1
    are the papers' W and h; a zero diagonal of W is the caller's to keep.

    Args:
        z0: state before the first step, [E, B, M]; 1 <= M <= 256.
        A: diagonal linear part, [E, M].
        W1: weights, [E, M, H] for shallow cells (1 <= H <= 1024) and [E, M, M] otherwise.
        h1: bias, [E, M].
        cell: one of `CELLS`.
        W2, h2: hidden layer of the shallow cells, [E, H, M] and [E, H].
        alpha, thresholds: dendritic bases, [E, D] and [E, M, D].
        n_relu: rectified states of the alrnn cell (P in the paper).
        C, u: input weights [E, M, U] and inputs [E or 1, B, T, U]; u[t] acts in the step that emits z[t].
        z_hat: forcing signal, [E or 1, B, T, N], N <= M; z_hat[t] belongs to z[t]. NaN entries do not force.
        forcing_alpha: strength a in [0, 1], a number or [E]; 1 when None (sparse teacher forcing). Tensor values are
            checked on the CPU; on a GPU the caller answers for the range, since a check would wait for the device.
        forcing_interval: force every this many steps, a number or integer [E]; 1 is generalized teacher forcing.
        lengths: steps of each sequence, integer [E or 1, B]; later rows of z are 0 and take no part.
        steps: T, needed when neither u nor z_hat gives it.
        first_step: steps already made, so that a rollout cut in two keeps the rhythm of the forcing.
        backend: None (numba on cpu, triton on cuda), "numba", "triton" or "reference".

    Returns:
        PlrnnRollout(z [E, B, T, M] before forcing, z_final [E, B, M] after the last forcing, at each sequence's end).

    Raises:
        ValueError: shapes, ranges or the arguments that a cell needs. TypeError: types and dtypes.
        RuntimeError: the named backend is not installed.

    Differentiable in every floating tensor except forcing_alpha.
    Sources: Durstewitz et al. 2023; Brenner et al. 2022, 2024; Hess et al. 2023 (generalized teacher forcing).
    """
    return _call(z0, A, W1, h1, W2, h2, alpha, thresholds, C, u, z_hat, forcing_alpha, forcing_interval, lengths,
                 cell, n_relu, steps, first_step, 1, backend)  # fmt: skip


@torch.no_grad()
def generate_plrnn(
    z0: Tensor,
    A: Tensor,
    W1: Tensor,
    h1: Tensor,
    *,
    cell: str,
    steps: int,
    keep_every: int = 1,
    W2: Tensor | None = None,
    h2: Tensor | None = None,
    alpha: Tensor | None = None,
    thresholds: Tensor | None = None,
    n_relu: int = 0,
    C: Tensor | None = None,
    u: Tensor | None = None,
    backend: str | None = None,
) -> PlrnnRollout:
    """Free rollout without gradients, for millions of initial states: memory is that of the kept states.

    Arguments as for `rollout_plrnn`, and:
        steps: steps to make. keep_every: keep the state after every this many steps; 0 keeps only the last.

    Returns:
        PlrnnRollout(z [E, B, steps // keep_every, M], z_final [E, B, M]).
    """
    return _call(z0, A, W1, h1, W2, h2, alpha, thresholds, C, u, None, None, 1, None,
                 cell, n_relu, steps, 0, keep_every, backend)  # fmt: skip


def jacobian_plrnn(
    z: Tensor,
    A: Tensor,
    W1: Tensor,
    h1: Tensor | None = None,
    *,
    cell: str,
    W2: Tensor | None = None,
    h2: Tensor | None = None,
    alpha: Tensor | None = None,
    thresholds: Tensor | None = None,
    n_relu: int = 0,
) -> Tensor:
    """Jacobian dz'/dz of one step at the states z [E, ..., M]: [E, ..., M, M]; h1 has no part in it.

    Where a unit sits exactly on its kink the slope is 0, as in the kernels. Differentiable in the weights.
    """
    E, M = A.shape
    lead = (E,) + (1,) * (z.ndim - 2)
    W = W1.reshape(*lead, M, -1)
    if cell in HIDDEN_CELLS:
        if W2 is None or h2 is None:
            raise ValueError(f"W2, h2: are required by cell {cell!r}")
        q = torch.einsum("ehm,e...m->e...h", W2, z)
        slope = (q + h2.reshape(*lead, -1) > 0).to(z.dtype)
        if cell == "shallow-clipped":
            slope = slope - (q > 0).to(z.dtype)
        inner = (W * slope.unsqueeze(-2)) @ W2.reshape(*lead, -1, M)
    elif cell in DENDRITIC_CELLS:
        if alpha is None or thresholds is None:
            raise ValueError(f"alpha, thresholds: are required by cell {cell!r}")
        on = (z.unsqueeze(-1) > thresholds.reshape(*lead, M, -1)).to(z.dtype)
        if cell == "dendritic-clipped":
            on = on - (z > 0).to(z.dtype).unsqueeze(-1)
        inner = W * (on * alpha.reshape(*lead, 1, -1)).sum(-1).unsqueeze(-2)
    elif cell == "alrnn":
        rectified = torch.arange(M, device=z.device) >= M - n_relu
        inner = W * ((z > 0) | ~rectified).to(z.dtype).unsqueeze(-2)
    else:
        centred = z - z.mean(-1, keepdim=True) if cell == "plrnn-mc" else z
        inner = W * (centred > 0).to(z.dtype).unsqueeze(-2)
        if cell == "plrnn-mc":
            inner = inner - inner.mean(-1, keepdim=True)
    return torch.diag_embed(A).reshape(*lead, M, M) + inner
