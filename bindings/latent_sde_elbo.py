"""Public function of FINDR's objective: latent_sde_elbo, the ops of its evidence lower bound in one call."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from neurorbit.bindings.dispatch import backend_for, load, plain
from neurorbit.bindings.drawn_noise import check_noise, usual_streams
from neurorbit.bindings.poisson_readout import floor_of, poisson_readout
from neurorbit.bindings.rollout_gated_sde import GatedWeights, gated_drift, packed_weights, rollout_gated_sde
from neurorbit.bindings.rollout_gru import rollout_gru
from neurorbit.bindings.validation import check_counts, check_lengths, checked_once, likeness, per_model

__all__ = ["DrivenDrift", "GruWeights", "LatentSdeElbo", "latent_sde_elbo"]


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

    weights: GatedWeights
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
    check_noise(None, noise_seed, noise_stream)
    if isinstance(noise_seed, int) and isinstance(C, Tensor):
        noise_seed = per_model(noise_seed, len(C), C, torch.int64)
    data = _Data(y, x, lengths, baseline_trial, baseline_time)
    options = _Options(a, bin_s, link, first_step, backend)
    parameters = (*encoder, posterior.V, prior.V, sigma, C, bias)
    tensors: tuple[Any, ...] = (*data, *parameters, noise_seed, noise_stream)
    everything = (data, encoder, posterior, prior, sigma, C, bias, noise_seed, noise_stream, options)
    if backend == "reference" or not plain(tensors) or _needs_gradient(*data):
        return _op_by_op(*everything)
    packed = [packed_weights(drift.weights) for drift in (posterior, prior)]
    rows = (packed[0][0], packed[1][0])
    if not plain(rows):
        return _op_by_op(*everything)
    key = (options._replace(first_step=0), *packed[0][1], None, *packed[1][1], *likeness((*tensors, *rows)))
    checked_once(_KNOWN, key, lambda: _op_by_op(*everything))  # which checks everything
    if y.device.type == "cpu":
        check_lengths(lengths, y.shape[2])
        check_counts(y, lengths)
    if noise_seed is not None:
        noise_seed = per_model(noise_seed, len(C), C, torch.int64)
        noise_stream = usual_streams(len(C), y.shape[1], C) if noise_stream is None else noise_stream
    fixed = _Fixed(data, noise_seed, noise_stream, (packed[0][1], packed[1][1]), options)
    terms = _Bound.apply(fixed, *encoder, packed[0][0], posterior.V, packed[1][0], prior.V, sigma, C, bias)
    return LatentSdeElbo(*terms)


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


class _Fixed(NamedTuple):
    """What has no gradient."""

    data: _Data
    noise_seed: Tensor | None
    noise_stream: Tensor | None
    hidden: tuple[tuple[int, ...], tuple[int, ...]]  # widths of the posterior's and the prior's layers
    options: _Options


_KNOWN: dict[Any, Any] = {}


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


class _Bound(torch.autograd.Function):
    """The kernels one after another, and their adjoints in the opposite order."""

    @staticmethod
    def forward(ctx: Any, fixed: _Fixed, *parameters: Tensor | None) -> tuple[Tensor, Tensor]:
        (y, x, lengths, *baselines), seed, stream, hidden, options = fixed
        W_in, b_in, W, b, posterior, V, prior, prior_V, sigma, C, bias = parameters
        assert W is not None and posterior is not None and prior is not None and sigma is not None and C is not None
        gru, sde, poisson = (
            load(op, backend_for(op, C.device.type, options.backend))
            for op in ("rollout_gru", "rollout_gated_sde", "poisson_readout")
        )
        E, (B, T), M = len(C), y.shape[1:3], C.shape[2]
        lengths = None if lengths is None else lengths.to(torch.int64)
        inputs = {"W": W, "drive": None, "b": b, "y": y, "x": x, "W_in": W_in, "b_in": b_in, "h0": None,
                  "lengths": lengths}  # fmt: skip
        (h, _), saved = gru.forward(**inputs)
        ctx.gru = gru, {**inputs, **saved, "wanted": ("W", "b", "W_in", "b_in")}
        e = h.flatten(3)
        shared = {"z0": C.new_zeros(E, B, M), "drive": None, "a": per_model(options.a, E, C, C.dtype), "noise": None,
                  "lengths": lengths}  # fmt: skip
        inputs = {"weights": posterior, "path": None, "x": x, "e": e, "V": V, "noise_seed": seed,
                  "noise_stream": stream, "sigma": None if seed is None else sigma, **shared}  # fmt: skip
        sizes = {"hidden": hidden[0], "steps": T, "first_step": options.first_step}
        (z, mu, _), saved = sde.forward(**inputs, **sizes)
        wanted: tuple[str, ...] = ("weights", "e", "V") if seed is None else ("weights", "e", "V", "sigma")
        ctx.posterior = sde, {**inputs, **sizes, **saved, "wanted": wanted}
        inputs = {"weights": prior, "path": z, "x": None if prior_V is None else x, "e": None, "V": prior_V,
                  "sigma": None, "noise_seed": None, "noise_stream": None, **shared}  # fmt: skip
        sizes = {"hidden": hidden[1], "steps": T, "first_step": 0}
        (_, prior_mu, _), saved = sde.forward(**inputs, **sizes)
        wanted = ("path", "weights") if prior_V is None else ("path", "weights", "V")
        ctx.prior = sde, {**inputs, **sizes, **saved, "wanted": wanted}
        observed = {"z": z, "C": C, "bias": bias, "baseline_trial": baselines[0], "baseline_time": baselines[1], "y": y,
                    "lengths": lengths, "mask": None}  # fmt: skip
        link = {"link": options.link, "bin_s": float(options.bin_s), "floor_hz": floor_of(options.link, None)}
        (nll, _), saved = poisson.forward(**observed, **link)
        wanted = ("z", "C") if bias is None else ("z", "C", "bias")
        ctx.poisson = poisson, {**observed, **link, **saved, "wanted": wanted}
        apart = prior_mu.sub_(mu).div_(sigma[:, None, None])
        ctx.save_for_backward(apart, sigma, x, *parameters)  # so that torch sees which were changed meanwhile
        ctx.a = options.a
        return nll, apart.square().sum((2, 3)).mul_(0.5 * options.a)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, dnll: Tensor, dkl: Tensor) -> tuple[Tensor | None, ...]:
        apart, sigma, *_ = ctx.saved_tensors
        dmu = apart * (ctx.a * dkl[..., None] / sigma[:, None])[:, :, None]
        dsigma = (dmu * apart).sum((1, 2)).neg_()
        module, known = ctx.poisson
        observed = module.backward(known, {"nll": dnll, "per_neuron": None})
        module, known = ctx.prior
        prior = module.backward(known, {"z": None, "mu": dmu, "z_final": None})
        module, known = ctx.posterior
        dz = prior["path"].add_(observed["z"])
        posterior = module.backward(known, {"z": dz, "mu": dmu.neg(), "z_final": None})
        if "sigma" in posterior:
            dsigma += posterior["sigma"]
        module, known = ctx.gru
        gru = module.backward(known, {"h": posterior["e"].view(known["h"].shape), "h_final": None})
        return (
            None, gru["W_in"], gru["b_in"], gru["W"], gru["b"], posterior["weights"], posterior["V"], prior["weights"],
            prior.get("V"), dsigma, observed["C"], observed.get("bias"),
        )  # fmt: skip
