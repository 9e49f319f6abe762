"""Public function of leaky recurrent networks: rollout_leaky_rnn."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from neurorbit.bindings.drawn_noise import check_noise, usual_streams
from neurorbit.bindings.operator import Arguments, Operator
from neurorbit.bindings.validation import bind_sizes, check_lengths, check_tensors, per_model
from neurorbit.kernels.rollout_leaky_rnn.spec import NONLINEARITIES, SPEC

__all__ = ["NONLINEARITIES", "LeakyRnnRollout", "rollout_leaky_rnn"]


class LeakyRnnRollout(NamedTuple):
    """States u [E, B, T, N] and rates r [E, B, T, N] of every step, and the last state u_final [E, B, N]."""

    u: Tensor
    r: Tensor
    u_final: Tensor


def _fake(arguments: Arguments, options: Arguments) -> tuple[Tensor, ...]:
    u0, steps = arguments["u0"], options["steps"]
    E, B, N = u0.shape
    states = (u0.new_empty(E, B, steps, N) for _ in range(2))
    return *states, u0.new_empty(E, B, N), u0.new_empty(E, B, steps if options["unit_norm"] else 0)


def _check(arguments: Arguments, options: Arguments) -> None:
    check_lengths(arguments["lengths"], options["steps"])


_OPERATOR = Operator(
    SPEC, {"phi": "str", "unit_norm": "bool", "steps": "int", "first_step": "int"}, _fake, check=_check
)


def _check_noise(noise, noise_seed, noise_stream, noise_sd) -> None:
    check_noise(noise, noise_seed, noise_stream)
    if (noise_seed is None) != (noise_sd is None):
        missing, given = ("noise_seed", "noise_sd") if noise_seed is None else ("noise_sd", "noise_seed")
        raise ValueError(f"{missing}: is required when {given} is given")
    if noise_sd is not None and not isinstance(noise_sd, Tensor) and noise_sd < 0:
        raise ValueError(f"noise_sd: expected >= 0, got {noise_sd}")


def _check_groups(W, L, Q, v, Wv, phi: str) -> None:
    if phi not in NONLINEARITIES:
        raise ValueError(f"phi: expected one of {', '.join(NONLINEARITIES)}, got {phi!r}")
    if (L is None) != (Q is None):
        raise ValueError("low_rank: expected a pair (L, Q)")
    if (W is None) == (L is None):
        raise ValueError("W, low_rank: expected exactly one of them, got " + ("neither" if W is None else "both"))
    if (v is None) != (Wv is None):
        missing, given = ("v", "Wv") if v is None else ("Wv", "v")
        raise ValueError(f"{missing}: is required when {given} is given")


def rollout_leaky_rnn(
    u0: Tensor,
    W: Tensor | None,
    drive: Tensor | None = None,
    b: Tensor | None = None,
    *,
    phi: str = "relu_tanh",
    alpha: Tensor | float = 1.0,
    low_rank: tuple[Tensor, Tensor] | None = None,
    v: Tensor | None = None,
    Wv: Tensor | None = None,
    noise: Tensor | None = None,
    noise_seed: Tensor | int | None = None,
    noise_sd: Tensor | float | None = None,
    noise_stream: Tensor | None = None,
    unit_norm: bool = False,
    lengths: Tensor | None = None,
    steps: int | None = None,
    first_step: int = 0,
    backend: str | None = None,
) -> LeakyRnnRollout:
    """Roll out E leaky recurrent networks over B sequences, in one fused launch.

    Step t computes the rates ``r_t = phi(u_{t-1} (W + sum_d v_td Wv_d) + drive_t + b)`` and the state
    ``u_t = (1 - alpha) u_{t-1} + alpha r_t + noise_t``, divided by its Euclidean norm when `unit_norm` is set
    (a state of zeros stays). u W is a row times a matrix: W[i, j] is the weight from unit i to unit j.

    Args:
        u0: state before the first step, [E, B, N]; 1 <= N <= 4096, float32 or float64.
        W: weights, [E, N, N], or None with low_rank.
        drive: input inside the nonlinearity, [E or 1, B, T, N]; drive[t] acts in the step that makes u[t].
        b: bias, [E, N].
        phi: "relu_tanh" (relu of tanh), "relu", "tanh" or "softplus".
        alpha: leak, a number or [E]; 1 keeps nothing of the state.
        low_rank: (L, Q), each [E, N, R] with R <= 128, for W = L Q'.
        v, Wv: velocity modulation, [E or 1, B, T, D] and [E, D, N, N] with D <= 16.
        noise: added to each new state, [E or 1, B, T, N].
        noise_seed: draw normal noise inside instead: a whole number of 64 bits, or an integer tensor [] or [E]. A draw
            is a function of (seed, stream, step, unit), the same on every backend up to rounding
            (`neurorbit.kernels.noise_common` has the definition).
        noise_sd: its standard deviation, a number or [E]; required with noise_seed.
        noise_stream: which stream each sequence draws from, integer [E, B]; 2^32 model + sequence when None.
        unit_norm: divide each new state by its norm.
        lengths: steps of each sequence, integer [E or 1, B]; later rows of u and r are 0 and take no part. Checked on
            the CPU; on a GPU the caller answers for the range, since a check would wait for the device.
        steps: T, needed when neither drive, v nor noise gives it.
        first_step: steps already made, so that a rollout cut in two continues the noise.
        backend: None (numba on cpu, triton on cuda), "numba", "triton" or "reference".

    Returns:
        LeakyRnnRollout(u [E, B, T, N], r [E, B, T, N], u_final [E, B, N] at each sequence's end).

    Raises:
        ValueError: shapes, ranges, or arguments that belong together. TypeError: types and dtypes.
        RuntimeError: the named backend is not installed.

    Differentiable once in u0, W, low_rank, drive, b, v and Wv; not in alpha and the noise.
    Sources: Zhang 1996 (velocity modulation); Salmon et al. 2011 (counter-based random numbers).
    """
    if not isinstance(u0, Tensor):
        raise TypeError(f"u0: expected a tensor, got {type(u0).__name__}")
    if u0.ndim != 3 or 0 in u0.shape:
        raise ValueError(f"u0: expected a tensor [E, B, N], none of them 0, got {list(u0.shape)}")
    L, Q = (None, None) if low_rank is None else low_rank
    _check_groups(W, L, Q, v, Wv, phi)
    _check_noise(noise, noise_seed, noise_stream, noise_sd)
    E, B = u0.shape[:2]
    if noise_seed is not None:
        noise_seed = per_model(noise_seed, E, u0, torch.int64)
        noise_sd = per_model(noise_sd, E, u0, u0.dtype)  # type: ignore[arg-type]
        noise_stream = usual_streams(E, B, u0) if noise_stream is None else noise_stream
    alpha = per_model(alpha, E, u0, u0.dtype)
    values: dict[str, Any] = dict(
        u0=u0, W=W, L=L, Q=Q, drive=drive, b=b, v=v, Wv=Wv, alpha=alpha, noise=noise,
        noise_seed=noise_seed, noise_stream=noise_stream, noise_sd=noise_sd, lengths=lengths,
    )  # fmt: skip
    check_tensors(SPEC, values)
    for name in ("noise_seed", "noise_stream", "lengths"):
        values[name] = None if values[name] is None else values[name].to(torch.int64)
    sizes = bind_sizes(SPEC, values, {} if steps is None else {"T": steps})
    if "T" not in sizes:
        raise ValueError("steps: is required when neither drive, v nor noise gives the number of steps T")
    if sizes["T"] < 1 or first_step < 0:
        raise ValueError(f"steps, first_step: expected >= 1 and >= 0, got {sizes['T']}, {first_step}")
    _OPERATOR.expand_shared(values, E)
    options: dict[str, Any] = dict(phi=phi, unit_norm=unit_norm, steps=sizes["T"], first_step=first_step)
    return LeakyRnnRollout(*_OPERATOR(values, backend, **options))
