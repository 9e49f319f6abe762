"""Public functions of gated latent dynamics: rollout_gated_sde and gated_drift."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from neurorbit.bindings.dispatch import plain
from neurorbit.bindings.drawn_noise import check_noise, usual_streams
from neurorbit.bindings.operator import Arguments, Operator
from neurorbit.bindings.validation import bind_sizes, check_lengths, check_tensors, checked_once, likeness, per_model
from neurorbit.kernels.rollout_gated_sde.spec import MOST_HIDDEN, SPEC, weight_count

__all__ = [
    "GatedSdeRollout",
    "GatedWeights",
    "PackedWeights",
    "gated_drift",
    "packed_weights",
    "rollout_gated_sde",
    "unpacked_weights",
]


class GatedWeights(NamedTuple):
    """Weights of the drift of E models, from the first index to the second: a layer computes x W + b.

    Gate: Wg [E, M, M], bg [E, M]. First hidden layer: W1 [E, M, H_1], b1 [E, H_1]. further: a pair
    (W_k [E, H_(k-1), H_k], b_k [E, H_k]) for each other hidden layer, of any widths. Output: Wo [E, H_last, M],
    bo [E, M].
    """

    Wg: Tensor
    bg: Tensor
    W1: Tensor
    b1: Tensor
    Wo: Tensor
    bo: Tensor
    further: tuple[tuple[Tensor, Tensor], ...] = ()


class PackedWeights(NamedTuple):
    """The same weights as the kernels take them, one model's in a row [E, P]: what `packed_weights` makes of
    GatedWeights of M states and hidden layers of these widths."""

    row: Tensor
    M: int
    hidden: tuple[int, ...]


class GatedSdeRollout(NamedTuple):
    """States z [E, B, T, M] after each step, drifts mu [E, B, T, M] of each step, last state z_final [E, B, M]."""

    z: Tensor
    mu: Tensor
    z_final: Tensor


def _fake(arguments: Arguments, options: Arguments) -> tuple[Tensor, ...]:
    z0, path, steps, new = arguments["z0"], arguments["path"], options["steps"], arguments["weights"].new_empty
    E, B, M = path[:, :, 0].shape if z0 is None else z0.shape
    if path is not None:
        return new(E, B, 0, M), new(E, B, steps, M), new(E, B, 0)
    return new(E, B, steps, M), new(E, B, steps, M), new(E, B, M)


def _check(arguments: Arguments, options: Arguments) -> None:
    values = arguments["a"].tolist()
    if not all(value > 0 for value in values):
        raise ValueError(f"a: expected > 0, got {min(values)}")
    check_lengths(arguments["lengths"], options["steps"])


_OPERATOR = Operator(SPEC, {"hidden": "int[]", "steps": "int", "first_step": "int"}, _fake, check=_check)


def _in_a_row(parts) -> Tensor:
    """(Wg, bg, W1, b1, W2, b2, .., Wo, bo) as the kernels take them."""
    Wg, bg, W1, b1, *others = parts
    return torch.cat((torch.cat((Wg, W1), 2).flatten(1), bg, b1, *(x.flatten(1) for x in others)), 1)


def _apart(row: Tensor, shapes: Sequence[torch.Size]) -> list[Tensor]:
    """Views of what `_in_a_row` made of tensors of these shapes, each without the model axis: the way back."""
    (M, _), _, (_, H), _, *others = shapes
    first, bg, b1, *rest = row.split((M * (M + H), M, H, *(shape.numel() for shape in others)), 1)
    Wg, W1 = first.unflatten(1, (M, M + H)).split((M, H), 2)
    return [Wg, bg, W1, b1, *(x.unflatten(1, shape) for x, shape in zip(rest, others, strict=True))]


class _Pack(torch.autograd.Function):
    """The same; its gradient in views, which take a fraction of the time of a graph of small operations."""

    @staticmethod
    def forward(ctx, *parts):
        ctx.shapes = [x.shape[1:] for x in parts]
        return _in_a_row(parts)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, grad):
        return tuple(_apart(grad, ctx.shapes))


_KNOWN: dict[Any, Any] = {}


def packed_weights(weights: GatedWeights | PackedWeights) -> tuple[Tensor, tuple[int, ...]]:
    """All weights of a model in one row [E, P] (`layers_of` says in which order), and the hidden widths."""
    if isinstance(weights, PackedWeights):
        row, M, hidden = weights
        if row.ndim != 2 or row.shape[1] != weight_count(M, hidden):
            raise ValueError(f"weights.row: expected [E, P={weight_count(M, hidden)}], got {list(row.shape)}")
        return row, hidden
    if not isinstance(weights, GatedWeights):
        raise TypeError(f"weights: expected GatedWeights, got {type(weights).__name__}")
    Wg, bg, W1, b1, Wo, bo, further = weights
    parts = (Wg, bg, W1, b1, *(x for pair in further for x in pair), Wo, bo)
    if isinstance(Wg, Tensor) and plain(parts):
        hidden = checked_once(_KNOWN, ("weights", len(further), *likeness(parts)), lambda: _hidden_of(weights))
        return _Pack.apply(*parts) if torch.is_grad_enabled() else _in_a_row(parts), hidden
    hidden = _hidden_of(weights)
    return _in_a_row(parts), hidden


def unpacked_weights(row: Tensor, like: GatedWeights | PackedWeights) -> GatedWeights | PackedWeights:
    """[E, P] as `packed_weights` makes it of weights of these shapes, in their form: GatedWeights are views."""
    if isinstance(like, PackedWeights):
        return like._replace(row=row)
    Wg, bg, W1, b1, Wo, bo, further = like
    parts = (Wg, bg, W1, b1, *(x for pair in further for x in pair), Wo, bo)
    Wg, bg, W1, b1, *rest, Wo, bo = _apart(row, [x.shape[1:] for x in parts])
    return GatedWeights(Wg, bg, W1, b1, Wo, bo, tuple(zip(rest[::2], rest[1::2], strict=True)))


def _hidden_of(weights: GatedWeights) -> tuple[int, ...]:
    """The widths of the hidden layers of weights that fit together; an error says what does not."""
    Wg, bg, W1, b1, Wo, bo, further = weights
    pairs = [
        ("Wg", Wg, bg),
        ("W1", W1, b1),
        *((f"further[{i}]", W, b) for i, (W, b) in enumerate(further)),
        ("Wo", Wo, bo),
    ]
    for name, W, b in pairs:
        if not isinstance(W, Tensor) or not isinstance(b, Tensor):
            raise TypeError(f"weights.{name}: expected tensors for the weights and for their bias")
        if (W.dtype, W.device, b.dtype, b.device) != (Wg.dtype, Wg.device) * 2:
            raise TypeError(f"weights.{name}: expected {Wg.dtype} on {Wg.device} as weights.Wg, and so its bias")
    if Wg.ndim != 3 or 0 in Wg.shape or Wg.shape[1] != Wg.shape[2]:
        raise ValueError(f"weights.Wg: expected [E, M, M], none of them 0, got {list(Wg.shape)}")
    E, M, _ = Wg.shape
    inputs, hidden = M, []
    for i, (name, W, b) in enumerate(pairs):
        outputs = M if i in (0, len(pairs) - 1) else W.shape[-1] if W.ndim == 3 else 0
        if i > 0 and W.shape != (E, inputs, outputs):
            wanted = f"M={M}" if i == len(pairs) - 1 else "H"
            raise ValueError(f"weights.{name}: expected [E={E}, {inputs}, {wanted}], got {list(W.shape)}")
        if b.shape != (E, outputs):
            raise ValueError(f"weights.{name}: expected its bias to be [E={E}, {outputs}], got {list(b.shape)}")
        if 0 < i < len(pairs) - 1:
            if not 1 <= outputs <= MOST_HIDDEN:
                raise ValueError(f"weights.{name}: expected 1 to {MOST_HIDDEN} hidden units, got {outputs}")
            hidden.append(outputs)
            inputs = outputs
    return tuple(hidden)


def _steps_of(values: dict[str, Any], M: int, hidden: tuple[int, ...], steps: int | None, first_step: int) -> int:
    """T of arguments that fit together; an error says what does not."""
    check_tensors(SPEC, values)
    z0, path = values["z0"], values["path"]
    if path is not None and z0 is not None and z0.shape != path[:, :, 0].shape:
        raise ValueError(f"z0: expected {list(path[:, :, 0].shape)} as z, got {list(z0.shape)}")
    known = {"P": weight_count(M, hidden), "M": M, "D": M + hidden[0]}
    sizes = bind_sizes(SPEC, values, known if steps is None else known | {"T": steps})
    _check_signals(values, sizes)
    if "T" not in sizes:
        raise ValueError("steps: is required when none of drive, x, e and noise gives the number of steps T")
    if sizes["T"] < 1 or first_step < 0:
        raise ValueError(f"steps, first_step: expected >= 1 and >= 0, got {sizes['T']}, {first_step}")
    return sizes["T"]


def _check_signals(values: dict[str, Any], sizes: dict[str, int]) -> None:
    """ValueError for signals and weights that do not belong together."""
    x, e, V = values["x"], values["e"], values["V"]
    if V is None and (x is not None or e is not None):
        raise ValueError("V: is required with x or e")
    if V is not None and x is None and e is None:
        raise ValueError("V: has no effect without x or e: leave it out")
    for name, letter in (("x", "U"), ("e", "S")):
        if sizes.get(letter) == 0:
            raise ValueError(f"{name}: expected at least one column, got {list(values[name].shape)}: leave it out")
    rows = sizes.get("U", 0) + sizes.get("S", 0)
    if sizes.get("R", rows) != rows:
        raise ValueError(f"V: expected U + S = {rows} rows as x and e have columns, got R={sizes['R']}")


def _check_noise(sigma, noise, noise_seed, noise_stream) -> None:
    check_noise(noise, noise_seed, noise_stream)
    if (sigma is None) != (noise is None and noise_seed is None):
        raise ValueError(
            "sigma: is required with noise or noise_seed"
            if sigma is None
            else "sigma: has no effect without noise or noise_seed: give one of them, or no sigma"
        )


def _call(
    weights, z0, path, drive, x, e, V, a, sigma, noise, noise_seed, noise_stream, lengths, steps, first_step, backend
):
    packed, hidden = packed_weights(weights)
    E, M = (len(packed), weights.M) if isinstance(weights, PackedWeights) else weights.bo.shape
    name, lead = ("z0", z0) if path is None else ("z", path)
    if not isinstance(lead, Tensor):
        raise TypeError(f"{name}: expected a tensor, got {type(lead).__name__}")
    dims = 3 if path is None else 4
    if lead.ndim != dims or lead.shape[0] != E or lead.shape[-1] != M or 0 in lead.shape:
        wanted = f"[E={E}, B, {'' if path is None else 'T, '}M={M}]"
        raise ValueError(f"{name}: expected {wanted} as weights, none of them 0, got {list(lead.shape)}")
    if lead.dtype != packed.dtype:
        raise TypeError(f"{name}: expected {packed.dtype} as weights, got {lead.dtype}")
    if noise_seed is not None:
        noise_seed = per_model(noise_seed, E, lead, torch.int64)
        noise_stream = usual_streams(E, lead.shape[1], lead) if noise_stream is None else noise_stream
    values: dict[str, Any] = dict(
        weights=packed, z0=z0, path=path, drive=drive, x=x, e=e, V=V, a=per_model(a, E, lead, lead.dtype), sigma=sigma,
        noise=noise, noise_seed=noise_seed, noise_stream=noise_stream, lengths=lengths,
    )  # fmt: skip
    ordinary = plain((lead, *values.values()))
    if ordinary:
        key = (hidden, steps, first_step, *likeness(values.values()))
        T = checked_once(_KNOWN, key, lambda: _steps_of(values, M, hidden, steps, first_step))
    else:
        T = _steps_of(values, M, hidden, steps, first_step)
    for integer in ("noise_seed", "noise_stream", "lengths"):
        values[integer] = None if values[integer] is None else values[integer].to(torch.int64)
    return _OPERATOR(values, backend, ordinary, hidden=hidden, steps=T, first_step=first_step)


def rollout_gated_sde(
    z0: Tensor,
    weights: GatedWeights | PackedWeights,
    drive: Tensor | None = None,
    *,
    x: Tensor | None = None,
    e: Tensor | None = None,
    V: Tensor | None = None,
    a: Tensor | float,
    sigma: Tensor | None = None,
    noise: Tensor | None = None,
    noise_seed: Tensor | int | None = None,
    noise_stream: Tensor | None = None,
    lengths: Tensor | None = None,
    steps: int | None = None,
    first_step: int = 0,
    backend: str | None = None,
) -> GatedSdeRollout:
    """Roll out E stochastic differential equations with a gated drift over B sequences, in one fused launch.

    The drift is ``f(z, d) = g (-z + h)`` with the gate ``g = sigmoid(z Wg + bg + d_gate)`` and ``h = tanh(x Wo + bo)``,
    where x leaves the hidden layers ``silu(z W1 + b1 + d_hidden)``, ``silu(x W_k + b_k)``. Step t computes
    ``mu_t = f(z_{t-1}, d_t)`` and ``z_t = z_{t-1} + a mu_t + sqrt(a) sigma eps_t``, the last term only with noise.

    What drives it enters in one of two ways, or in both, and then adds up: as a drive made by the caller, or as signals
    and their weights, ``d = (x, e) V``. On a CPU the product is then part of the rollout, and no drive is stored.

    Args:
        z0: state before the first step, [E, B, M]; 1 <= M <= 32, float32 or float64.
        weights: GatedWeights of E models, or the same as PackedWeights; hidden layers of 1 to 512 units, each its own
            number.
        drive: everything that does not depend on the state (inputs, an encoder's output), times its weights, for the
            gate and then the first hidden layer: [E or 1, B, T, M + H_1]; drive[t] acts in the step that makes z[t].
        x: inputs, [E or 1, B, T, U]. e: states of an encoder, [E, B, T, S]. Of the dtype of the weights.
        V: from x's and then e's columns to the gate and the first hidden layer, [E, U + S, M + H_1].
        a: step over time constant (bin_s / tau_s), a number > 0 or [E]. Checked on the CPU alone.
        sigma: scale of the noise, [E, M]; required with noise or noise_seed.
        noise: eps, [E or 1, B, T, M].
        noise_seed: draw standard normal eps inside instead: a whole number of 64 bits, or an integer tensor [] or [E].
            A draw is a function of (seed, stream, step, dimension), the same on every backend up to rounding
            (`neurorbit.kernels.noise_common` has the definition).
        noise_stream: which stream each sequence draws from, integer [E, B]; 2^32 model + sequence when None.
        lengths: steps of each sequence, integer [E or 1, B]; later rows of z and mu are 0, and what stands there in
            drive, x, e and noise takes no part. Checked on the CPU; on a GPU the caller answers for the range, since a
            check would wait for the device.
        steps: T, needed when none of drive, x, e and noise gives it.
        first_step: steps already made, so that a rollout cut in two continues the noise.
        backend: None (numba on cpu, triton on cuda), "numba", "triton" or "reference".

    Returns:
        GatedSdeRollout(z [E, B, T, M], mu [E, B, T, M], z_final [E, B, M] at each sequence's end).

    Raises:
        ValueError: shapes, ranges, or arguments that belong together. TypeError: types and dtypes.
        RuntimeError: the named backend is not installed.

    Differentiable once in z0, weights, drive, e, V and sigma; not in x, a and the noise.
    Source: Kim et al. 2025 (flow-field inference from neural data).
    """
    _check_noise(sigma, noise, noise_seed, noise_stream)
    return GatedSdeRollout(*_call(weights, z0, None, drive, x, e, V, a, sigma, noise, noise_seed, noise_stream,
                                  lengths, steps, first_step, backend))  # fmt: skip


def gated_drift(
    z: Tensor,
    weights: GatedWeights | PackedWeights,
    drive: Tensor | None = None,
    *,
    x: Tensor | None = None,
    e: Tensor | None = None,
    V: Tensor | None = None,
    z0: Tensor | None = None,
    lengths: Tensor | None = None,
    backend: str | None = None,
) -> Tensor:
    """The drift f(z, d) of `rollout_gated_sde` along known states: nothing is sequential, one fused launch.

    With z0 the drift of step t is taken at the state before it: ``mu_t = f(z_{t-1}, d_t)``, ``z_{-1} = z0``. Then the
    states of one rollout give the drifts of other weights at the same states and bins as its own mu, as the
    Kullback-Leibler divergence between a posterior and a prior needs them.

    Args:
        z: states, [E, B, T, M], or [1, B, T, M] for all models.
        weights, drive, x, e, V, lengths, backend: as for `rollout_gated_sde`; drive [E or 1, B, T, M + H_1].
        z0: the state before z[:, :, 0], [E, B, M]; None takes mu[t] at z[t].

    Returns:
        mu [E, B, T, M]; rows past a sequence's end are 0.

    Raises: as `rollout_gated_sde`. Differentiable once in z, z0, weights, drive, e and V.
    """
    if isinstance(z, Tensor) and isinstance(weights, GatedWeights | PackedWeights) and z.ndim == 4 and z.shape[0] == 1:
        z = z.expand(len(weights[0]), -1, -1, -1)
    found = _call(weights, z0, z, drive, x, e, V, 1.0, None, None, None, None, lengths, None, 0, backend)
    return found[1]
