"""Public function of FINDR's objective: latent_sde_elbo, the ops of its evidence lower bound in one call."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import torch
from torch import Tensor

from neurorbit.bindings.dispatch import backend_for, load, plain
from neurorbit.bindings.drawn_noise import check_noise, usual_streams
from neurorbit.bindings.poisson_readout import floor_of, poisson_readout
from neurorbit.bindings.rollout_gated_sde import (
    GatedWeights,
    PackedWeights,
    gated_drift,
    packed_weights,
    rollout_gated_sde,
    unpacked_weights,
)
from neurorbit.bindings.rollout_gru import rollout_gru
from neurorbit.bindings.validation import check_counts, check_lengths, checked_once, likeness, per_model

__all__ = ["DrivenDrift", "ElboGradient", "GruWeights", "LatentSdeElbo", "latent_sde_elbo", "latent_sde_elbo_gradient"]


class GruWeights(NamedTuple):
    """Both directions of E encoders as `rollout_gru` takes them: W_in [E, N + U, 2, 3 K], b_in [E, 2, 3 K],
    W [E, 2, K, 3 K], b [E, 2, 3 K]."""

    W_in: Tensor
    b_in: Tensor
    W: Tensor
    b: Tensor


class DrivenDrift(NamedTuple):
    """Weights of a gated drift of E models, and V [E, columns, M + H_1] from what drives it to the gate and the first
    hidden layer; None without anything that does."""

    weights: GatedWeights | PackedWeights
    V: Tensor | None


class LatentSdeElbo(NamedTuple):
    """The two terms of each trial in nats: nll [E, B] at a sample of the posterior and kl [E, B] along its path; the
    bound on the log-likelihood is -(nll + kl)."""

    nll: Tensor
    kl: Tensor


def latent_sde_elbo(
    y: Tensor,
    encoder: GruWeights,
    posterior: DrivenDrift,
    prior: DrivenDrift,
    C: Tensor,
    *,
    a: float,
    sigma: Tensor,
    noise_seed: Tensor | int | None,
    noise_stream: Tensor | None = None,
    first_step: int = 0,
    x: Tensor | None = None,
    lengths: Tensor | None = None,
    bin_s: float,
    link: str = "softplus",
    bias: Tensor | None = None,
    baseline_trial: Tensor | None = None,
    baseline_time: Tensor | None = None,
    backend: str | None = None,
) -> LatentSdeElbo:
    """Evidence lower bound of E latent stochastic differential equations behind the spike counts of B trials.

    A bidirectional GRU reads counts y and inputs x; its states e and x drive the posterior's drift; one path z of the
    posterior is drawn; the prior's drift, driven by x, is taken along it; the counts are Poisson given z:
    ``nll = -log p(y | z)``, ``kl = a / 2 sum over t, m of ((mu_prior - mu_posterior) / sigma)^2``. It is
    `rollout_gru`, `rollout_gated_sde`, `gated_drift` and `poisson_readout` one after another, as one node of the graph.

    Args:
        y: spike counts, [E or 1, B, T, N], uint8, int16 or int32.
        encoder: GruWeights for N + U columns.
        posterior: DrivenDrift; rows of V: the U inputs, then the 2 K states of the encoder.
        prior: DrivenDrift; rows of V: the U inputs.
        C: readout, [E, N, M].
        a: step over time constant (bin_s / tau_s), > 0. sigma: scale of the noise, [E, M].
        noise_seed, noise_stream, first_step: as for `rollout_gated_sde`; without a seed the path has no noise.
        x: inputs, [E or 1, B, T, U]. lengths: bins of each trial, integer [E or 1, B]; what stands later in y and x
            takes no part.
        bin_s, link, bias, baseline_trial, baseline_time: as for `poisson_readout`.
        backend: None (numba on cpu, triton on cuda), "numba", "triton" or "reference".

    Returns:
        LatentSdeElbo(nll [E, B], kl [E, B]).

    Raises: as the four ops. Differentiable once in all weights, V, C, sigma and the bias.
    Source: Kim et al. 2025 (flow-field inference from neural data); Li et al. 2020 (latent SDEs), the divergence.
    """
    call = _call_of(
        y, encoder, posterior, prior, C, a=a, sigma=sigma, noise_seed=noise_seed, noise_stream=noise_stream,
        first_step=first_step, x=x, lengths=lengths, bin_s=bin_s, link=link, bias=bias, baseline_trial=baseline_trial,
        baseline_time=baseline_time, backend=backend,
    )  # fmt: skip
    found = _prepared(call)
    return _op_by_op(*call) if found is None else LatentSdeElbo(*_Bound.apply(found[0], *found[1]))


class ElboGradient(NamedTuple):
    """The terms of a bound, [E, B] each, and the gradient of their weighted sum in everything that is learnt."""

    nll: Tensor
    kl: Tensor
    encoder: GruWeights
    posterior: DrivenDrift
    prior: DrivenDrift
    sigma: Tensor
    C: Tensor
    bias: Tensor | None


def latent_sde_elbo_gradient(
    weight_nll: Tensor, weight_kl: Tensor, /, *arguments: Any, check: bool = True, **options: Any
) -> ElboGradient:
    """The terms of `latent_sde_elbo` and the gradient of ``(weight_nll nll + weight_kl kl).sum()``, without a graph.

    A training step whose loss is that sum needs nothing more, and a graph of small operations costs as much time as a
    kernel.

    Args:
        weight_nll, weight_kl: [E, B].
        arguments, options: as for `latent_sde_elbo`; whether they require a gradient plays no part.
        check: False looks at nothing: for ordinary tensors of the shapes of an earlier, checked call, counts >= 0 and
            lengths within T, in a loop where every microsecond counts.

    Returns:
        ElboGradient; the gradients have the shapes of what they belong to, and may be views of larger tensors.

    Raises: as `latent_sde_elbo`.
    """
    with torch.no_grad():
        call = _call_of(*arguments, **options)
        if check:
            _check_weights(call, weight_nll, weight_kl)
        found = _prepared(call, check)
        if found is None:
            return _gradient_op_by_op(weight_nll, weight_kl, call)
        tape = _Tape()
        nll, kl, apart = _forward(tape, *found)
        W_in, b_in, W, b, posterior, V, prior, prior_V, sigma, C, bias = _backward(
            tape, apart, call.sigma, weight_nll, weight_kl
        )
        return ElboGradient(
            nll, kl, GruWeights(W_in, b_in, W, b),
            DrivenDrift(unpacked_weights(posterior, call.posterior.weights), V),
            DrivenDrift(unpacked_weights(prior, call.prior.weights), prior_V), sigma, C, bias,
        )  # fmt: skip


class _Data(NamedTuple):
    y: Tensor
    x: Tensor | None
    lengths: Tensor | None
    baseline_trial: Tensor | None
    baseline_time: Tensor | None


class _Options(NamedTuple):
    a: float
    bin_s: float
    link: str
    first_step: int
    backend: str | None


class _Call(NamedTuple):
    """What was asked for."""

    data: _Data
    encoder: GruWeights
    posterior: DrivenDrift
    prior: DrivenDrift
    sigma: Tensor
    C: Tensor
    bias: Tensor | None
    noise_seed: Tensor | int | None
    noise_stream: Tensor | None
    options: _Options


class _Fixed(NamedTuple):
    """What has no gradient."""

    data: _Data
    noise_seed: Tensor | None
    noise_stream: Tensor | None
    hidden: tuple[tuple[int, ...], tuple[int, ...]]  # widths of the posterior's and the prior's layers
    options: _Options


_KNOWN: dict[Any, Any] = {}


def _call_of(
    y, encoder, posterior, prior, C, *, a, sigma, noise_seed, noise_stream=None, first_step=0, x=None, lengths=None,
    bin_s, link="softplus", bias=None, baseline_trial=None, baseline_time=None, backend=None,
) -> _Call:  # fmt: skip
    check_noise(None, noise_seed, noise_stream)
    if isinstance(noise_seed, int) and isinstance(C, Tensor):
        noise_seed = per_model(noise_seed, len(C), C, torch.int64)
    data, options = _Data(y, x, lengths, baseline_trial, baseline_time), _Options(a, bin_s, link, first_step, backend)
    return _Call(data, encoder, posterior, prior, sigma, C, bias, noise_seed, noise_stream, options)


def _prepared(call: _Call, check: bool = True) -> tuple[_Fixed, tuple[Tensor | None, ...]] | None:
    """What the kernels take, checked; None where the public functions are to do it one by one."""
    data, encoder, posterior, prior, sigma, C, bias, seed, stream, options = call
    tensors: tuple[Any, ...] = (*data, *encoder, posterior.V, prior.V, sigma, C, bias, seed, stream)
    if options.backend == "reference" or isinstance(options.a, Tensor) or not options.first_step >= 0:
        return None
    if check and (not plain(tensors) or _needs_gradient(*data)):
        return None
    (row, hidden), (prior_row, prior_hidden) = packed_weights(posterior.weights), packed_weights(prior.weights)
    if check:
        if not plain((row, prior_row)):
            return None
        key = (options._replace(first_step=0), *hidden, None, *prior_hidden, *likeness((*tensors, row, prior_row)))
        checked_once(_KNOWN, key, lambda: _op_by_op(*call))  # which checks everything
        if data.y.device.type == "cpu":
            check_lengths(data.lengths, data.y.shape[2])
            check_counts(data.y, data.lengths)
    if seed is not None:
        seed = per_model(seed, len(C), C, torch.int64)
        stream = usual_streams(len(C), data.y.shape[1], C) if stream is None else stream
    fixed = _Fixed(data, seed, stream, (hidden, prior_hidden), options)
    return fixed, (*encoder, row, posterior.V, prior_row, prior.V, sigma, C, bias)


def _check_weights(call: _Call, *weights: Tensor) -> None:
    """ValueError or TypeError for weights of the terms that are not one number for each trial of each model."""
    for name, weight in zip(("weight_nll", "weight_kl"), weights, strict=True):
        if not isinstance(weight, Tensor):
            raise TypeError(f"{name}: expected a tensor, got {type(weight).__name__}")
        E, B = len(call.C), call.data.y.shape[1]
        if weight.shape != (E, B):
            raise ValueError(f"{name}: expected [E={E}, B={B}], got {list(weight.shape)}")
        if (weight.dtype, weight.device) != (call.C.dtype, call.C.device):
            raise TypeError(
                f"{name}: expected {call.C.dtype} on {call.C.device} as C, got {weight.dtype} on {weight.device}"
            )


def _needs_gradient(*tensors: Tensor | None) -> bool:
    return any(t is not None and t.requires_grad for t in tensors)


def _op_by_op(
    data: _Data, encoder: GruWeights, posterior: DrivenDrift, prior: DrivenDrift, sigma: Tensor, C: Tensor,
    bias: Tensor | None, noise_seed: Tensor | int | None, noise_stream: Tensor | None, options: _Options,
) -> LatentSdeElbo:  # fmt: skip
    """The same through the public functions."""
    y, x, lengths, backend = data.y, data.x, data.lengths, options.backend
    W_in, b_in, W, b = encoder
    _check_rows(posterior.V, prior.V, len(C), 0 if x is None else x.shape[-1], 2 * W.shape[2])
    e = rollout_gru(None, W, b, y=y, x=x, W_in=W_in, b_in=b_in, lengths=lengths, backend=backend).h.flatten(3)
    z0 = C.new_zeros(len(C), y.shape[1], C.shape[2])
    path = rollout_gated_sde(
        z0, posterior.weights, x=x, e=e, V=posterior.V, a=options.a, sigma=None if noise_seed is None else sigma,
        noise_seed=noise_seed, noise_stream=noise_stream, lengths=lengths, first_step=options.first_step,
        backend=backend,
    )  # fmt: skip
    x = None if prior.V is None else x
    mu = gated_drift(path.z, prior.weights, x=x, V=prior.V, z0=z0, lengths=lengths, backend=backend)
    nll = poisson_readout(
        path.z, C, y, bin_s=options.bin_s, link=options.link, bias=bias, baseline_trial=data.baseline_trial,
        baseline_time=data.baseline_time, lengths=lengths, backend=backend,
    ).nll  # fmt: skip
    return LatentSdeElbo(nll, divergence(mu, path.mu, sigma, options.a))


def _mapped(function: Callable[[Any], Any], x: Any) -> Any:
    """Tuples, named or not, with the function of each entry; anything else as it is."""
    if not isinstance(x, tuple):
        return x
    return type(x)(*map(function, x)) if hasattr(x, "_fields") else tuple(map(function, x))


def _gradient_op_by_op(weight_nll: Tensor, weight_kl: Tensor, call: _Call) -> ElboGradient:
    """The same by autograd."""
    learnt = call.encoder, call.posterior, call.prior, call.sigma, call.C, call.bias
    leaves: list[Tensor] = []

    def leaf(x: Any) -> Any:
        if isinstance(x, Tensor):
            leaves.append(x.detach().requires_grad_())
            return leaves[-1]
        return _mapped(leaf, x)

    with torch.enable_grad():
        encoder, posterior, prior, sigma, C, bias = map(leaf, learnt)
        nll, kl = _op_by_op(call.data, encoder, posterior, prior, sigma, C, bias, *call[7:])
        found = iter(torch.autograd.grad((weight_nll * nll + weight_kl * kl).sum(), leaves, materialize_grads=True))

    def gradient(x: Any) -> Any:
        return next(found) if isinstance(x, Tensor) else _mapped(gradient, x)

    return ElboGradient(nll.detach(), kl.detach(), *map(gradient, learnt))


def _check_rows(V: Tensor | None, prior_V: Tensor | None, E: int, U: int, states: int) -> None:
    """ValueError for weights whose rows are not those of what drives the drifts."""
    if V is None:
        raise ValueError(f"posterior.V: is required, [E={E}, U + 2 K={U + states}, M + H_1]")
    if prior_V is not None and U == 0:
        raise ValueError("prior.V: has no effect without x: leave it out")
    for name, value, rows in (("posterior.V", V, U + states), ("prior.V", prior_V, U)):
        if value is not None and (value.ndim != 3 or value.shape[:2] != (E, rows)):
            raise ValueError(f"{name}: expected [E={E}, {rows}, M + H_1], got {list(value.shape)}")


def divergence(prior: Tensor, posterior: Tensor, sigma: Tensor, a: float) -> Tensor:
    """Kullback-Leibler divergence [E, B] of two drifts [E, B, T, M] at the same states, with the same noise [E, M]."""
    return 0.5 * a * ((prior - posterior) / sigma[:, None, None]).square().sum((2, 3))


@lru_cache(64)
def _constants(E: int, B: int, M: int, a: float, dtype: torch.dtype, device: torch.device) -> tuple[Tensor, Tensor]:
    """First states [E, B, M] and steps over time constants [E], which no one writes to."""
    return torch.zeros(E, B, M, dtype=dtype, device=device), torch.full((E,), a, dtype=dtype, device=device)


class _Tape:
    """The kernels' modules with what each of them takes and keeps."""

    gru: Any
    posterior: Any
    prior: Any
    poisson: Any
    a: float


def _forward(tape: Any, fixed: _Fixed, parameters: Sequence[Tensor | None]) -> tuple[Tensor, Tensor, Tensor]:
    """(nll, kl, distance of the drifts over sigma) by the kernels one after another."""
    (y, x, lengths, *baselines), seed, stream, hidden, options = fixed
    W_in, b_in, W, b, posterior, V, prior, prior_V, sigma, C, bias = parameters
    assert sigma is not None and C is not None
    gru, sde, poisson = (
        load(op, backend_for(op, C.device.type, options.backend))
        for op in ("rollout_gru", "rollout_gated_sde", "poisson_readout")
    )
    E, (B, T), M = len(C), y.shape[1:3], C.shape[2]
    lengths = None if lengths is None else lengths.to(torch.int64)
    inputs = {"W": W, "drive": None, "b": b, "y": y, "x": x, "W_in": W_in, "b_in": b_in, "h0": None,
              "lengths": lengths}  # fmt: skip
    (h, _), saved = gru.forward(**inputs)
    tape.gru = gru, {**inputs, **saved, "wanted": ("W", "b", "W_in", "b_in")}
    z0, a = _constants(E, B, M, options.a, C.dtype, C.device)
    shared = {"z0": z0, "drive": None, "a": a, "noise": None, "lengths": lengths}
    inputs = {"weights": posterior, "path": None, "x": x, "e": h.flatten(3), "V": V, "noise_seed": seed,
              "noise_stream": stream, "sigma": None if seed is None else sigma, **shared}  # fmt: skip
    sizes = {"hidden": hidden[0], "steps": T, "first_step": options.first_step}
    (z, mu, _), saved = sde.forward(**inputs, **sizes)
    wanted: tuple[str, ...] = ("weights", "e", "V") if seed is None else ("weights", "e", "V", "sigma")
    tape.posterior = sde, {**inputs, **sizes, **saved, "wanted": wanted}
    inputs = {"weights": prior, "path": z, "x": None if prior_V is None else x, "e": None, "V": prior_V,
              "sigma": None, "noise_seed": None, "noise_stream": None, **shared}  # fmt: skip
    sizes = {"hidden": hidden[1], "steps": T, "first_step": 0}
    (_, prior_mu, _), saved = sde.forward(**inputs, **sizes)
    wanted = ("path", "weights") if prior_V is None else ("path", "weights", "V")
    tape.prior = sde, {**inputs, **sizes, **saved, "wanted": wanted}
    observed = {"z": z, "C": C, "bias": bias, "baseline_trial": baselines[0], "baseline_time": baselines[1], "y": y,
                "lengths": lengths, "mask": None}  # fmt: skip
    link = {"link": options.link, "bin_s": float(options.bin_s), "floor_hz": floor_of(options.link, None)}
    (nll, _), saved = poisson.forward(**observed, **link)
    wanted = ("z", "C") if bias is None else ("z", "C", "bias")
    tape.poisson = poisson, {**observed, **link, **saved, "wanted": wanted}
    tape.a = options.a
    apart = prior_mu.sub_(mu).div_(sigma[:, None, None])
    return nll, apart.square().sum((2, 3)).mul_(0.5 * options.a), apart


def _backward(tape: Any, apart: Tensor, sigma: Tensor, dnll: Tensor, dkl: Tensor) -> tuple[Any, ...]:
    """Gradients of the parameters in the order of `_forward`, by the adjoints in the opposite order."""
    dmu = apart * (tape.a * dkl[..., None] / sigma[:, None])[:, :, None]
    dsigma = (dmu * apart).sum((1, 2)).neg_()
    module, known = tape.poisson
    observed = module.backward(known, {"nll": dnll, "per_neuron": None})
    module, known = tape.prior
    prior = module.backward(known, {"z": None, "mu": dmu, "z_final": None})
    module, known = tape.posterior
    dz = prior["path"].add_(observed["z"])
    posterior = module.backward(known, {"z": dz, "mu": dmu.neg_(), "z_final": None})
    if "sigma" in posterior:
        dsigma += posterior["sigma"]
    module, known = tape.gru
    gru = module.backward(known, {"h": posterior["e"].view(known["h"].shape), "h_final": None})
    return (
        gru["W_in"], gru["b_in"], gru["W"], gru["b"], posterior["weights"], posterior["V"], prior["weights"],
        prior.get("V"), dsigma, observed["C"], observed.get("bias"),
    )  # fmt: skip


class _Bound(torch.autograd.Function):
    """One node of the graph."""

    @staticmethod
    def forward(ctx: Any, fixed: _Fixed, *parameters: Tensor | None) -> tuple[Tensor, Tensor]:
        nll, kl, apart = _forward(ctx, fixed, parameters)
        # with everything that the kernels keep, so that torch sees what was changed meanwhile
        ctx.save_for_backward(apart, parameters[8], *fixed.data, fixed.noise_seed, fixed.noise_stream, *parameters)
        return nll, kl

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, dnll: Tensor, dkl: Tensor) -> tuple[Tensor | None, ...]:
        apart, sigma, *_ = ctx.saved_tensors
        return None, *_backward(ctx, apart, sigma, dnll, dkl)
