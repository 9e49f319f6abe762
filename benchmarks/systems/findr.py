"""FINDR: a whole training step (batch, encoder, flow, readout, gradient, clipping, Adam) against two other writings of
the same model, and what a model costs inside an ensemble."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict
from typing import Any, Literal, cast

import torch

from benchmarks.competitors.findr.eager import EagerFindr
from benchmarks.competitors.findr.jax_scan import JaxFindr
from benchmarks.contract import RedContract
from benchmarks.provenance import ROOT, provenance
from benchmarks.timing import Call, Timing, interleaved
from benchmarks.workload import OURS
from neurorbit.engine.data.spike_trials import SpikeTrials
from neurorbit.engine.models.findr.config import FindrConfig
from neurorbit.engine.models.findr.fitting import optimiser_of, schedule_of
from neurorbit.engine.models.findr.members import members
from neurorbit.engine.models.findr.objective import FindrObjective
from neurorbit.engine.models.findr.prepared import prepare
from neurorbit.engine.simulate.decision import decision
from neurorbit.engine.training.config import LoopConfig
from neurorbit.engine.training.loop import Trainer

Row = dict[str, Any]
EAGER, JAX = "eager torch, nn.GRU", "JAX lax.scan"
TARGETS = {EAGER: 3.0, JAX: 3.0}
TOLERANCE = 2e-3  # of likelihood and divergence between the three, relative


def _trials(quick: bool) -> SpikeTrials:
    if quick:
        return decision(n_trials=60, n_neurons=20, shortest=20, longest=30)
    return decision(n_trials=500, n_neurons=60, shortest=60, longest=100)


class _Step:
    """Our loop, one step at a time."""

    def __init__(self, config: FindrConfig, trials: SpikeTrials, device: str) -> None:
        place = torch.device(device)
        every = members(config)
        self.objective = FindrObjective(config, every, prepare(config, [trials], place), trials.bin_s, place)
        per_epoch = self.objective.batches.per_epoch
        loop = LoopConfig(gradient_clip=5.0, log_every=10**6, checkpoint_every=10**9, batches_per_epoch=per_epoch)
        self.trainer = Trainer(
            self.objective, loop, 10**9, self.objective.learning_rate,
            optimiser=optimiser_of(config), schedule=schedule_of(config, per_epoch),
        )  # fmt: skip
        self.device = device

    def __call__(self) -> None:
        trainer = self.trainer
        trainer._one_step(trainer._rate(trainer.step))
        if trainer.step % 1000 == 0:
            trainer.record.begin()

    def call(self) -> Call:
        return self, lambda _: torch.cuda.synchronize() if self.device == "cuda" else None


def _check(ours: _Step, others: dict[str, Any]) -> None:
    """Likelihood and divergence of the first batch, with the noise that our kernel drew."""
    o = ours.objective
    with torch.no_grad():
        session, seen = o.batches.draw(0)
        path = o.module.infer(seen, session, torch.zeros_like(seen.lengths[:, 0]))
        bins = seen.lengths.sum()
        expected = torch.stack((o.module.score(path.z, seen).nll.sum(), o.module.kl(path, seen).sum())) / bins
        before = torch.cat((torch.zeros_like(path.z[:, :, :1]), path.z[:, :, :-1]), 2)
        eps = (path.z - before - o.module.a * path.mu) / (o.module.a**0.5 * o.module.sigma)
        eps = eps * (torch.arange(eps.shape[2], device=eps.device) < seen.lengths[..., None])[..., None]
        assert seen.inputs is not None
        batch = [x[0].cpu() for x in (seen.counts, seen.inputs, seen.lengths, seen.by_trial, seen.by_bin, eps)]
        for name, other in others.items():
            found = torch.tensor([float(x) for x in other.terms(*batch)])
            error = ((found - expected.cpu()).abs() / expected.cpu()).max()
            if not error < TOLERANCE:
                raise RedContract(f"findr, {name}: expected {expected.tolist()}, got {found.tolist()}")


def _eager_call(model: EagerFindr, ours: _Step, rate: float, beta: float, device: str) -> Call:
    data, batches = ours.objective.sessions[0], ours.objective.batches
    model.to(device)
    optimiser = torch.optim.Adam(model.parameters(), lr=rate)
    assert data.inputs is not None
    counts, inputs, ends = data.counts, data.inputs, data.lengths.cpu()
    noise = torch.Generator(device).manual_seed(0)

    def step() -> None:
        at = torch.randperm(len(ends))[: batches.size]
        eps = torch.randn(len(at), counts.shape[1], len(model.own["s"]), generator=noise, device=device)
        terms = model.terms(counts[at], inputs[at], ends[at], data.by_trial[0, at], data.by_bin[0], eps)
        l2 = sum(p.square().mean() for p in model.parameters())
        optimiser.zero_grad()
        (terms[0] + beta * terms[1] + 1e-7 * l2).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimiser.step()

    return step, lambda _: torch.cuda.synchronize() if device == "cuda" else None


def _jax_call(model: JaxFindr, ours: _Step) -> Call:
    data, batches = ours.objective.sessions[0], ours.objective.batches
    assert data.inputs is not None
    arrays = tuple(model.put(x) for x in (data.counts, data.inputs, data.lengths, data.by_trial[0], data.by_bin[0]))
    numbers = torch.Generator().manual_seed(0)

    def step() -> Any:
        at = torch.randperm(len(data.lengths), generator=numbers)[: batches.size]
        return model.step(at.numpy(), arrays)

    return step, model.wait


def compile_elsewhere() -> None:
    """A step of a small fit in a process of its own leaves the compiled kernels in numba's cache.

    What compiling them here would leave in memory makes every later step a quarter slower, as no fit is but the first.
    """
    program = "from benchmarks.systems.findr import _Step, _trials, FindrConfig; "
    program += "_Step(FindrConfig(fold=(0,), device='cpu', encoder_size=8, features=(8,)), _trials(True), 'cpu')()"
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True)


def measure(device: str, *, quick: bool = False, say: Callable[[str], None] = lambda _: None) -> list[Row]:
    """Seconds per step of one model, of both competitors, and of ensembles."""
    trials = _trials(quick)
    if device == "cpu" and not quick:
        compile_elsewhere()
    chosen = cast(Literal["cpu", "cuda"], device)
    config = FindrConfig(fold=(0,), device=chosen, encoder_size=8 if quick else 50, features=(8,) if quick else (30,))
    ours = _Step(config, trials, device)
    parameters = {n: p[0].detach().clone() for n, p in ours.objective.module.named_parameters()}
    rate, beta = config.rates[0], config.loss.beta(1000)
    constants = (trials.bin_s, config.model.tau_s, config.model.noise_level)
    others: dict[str, Any] = {EAGER: EagerFindr(parameters, *constants)}
    if importlib.util.find_spec("jax") is None:
        say(f"  {JAX}: not measured, jax is not installed")
    else:
        others[JAX] = JaxFindr(parameters, *constants, rate, 5.0, beta, device)
    _check(ours, others)
    calls = {OURS: ours.call(), EAGER: _eager_call(others[EAGER], ours, rate, beta, device)}
    if JAX in others:
        calls[JAX] = _jax_call(others[JAX], ours)
    rates = tuple(rate / k for k in range(1, 6))
    sizes_of: dict[int, dict[str, Any]] = {5: {"fold": ()}, 25: {"fold": (), "rates": rates}}
    # samples of many steps, as a fit makes them: the first one after another program's finds cold caches
    timing: dict[str, Any] = {"sample_s": 0.002 if quick else 0.2, "budget_s": 2 if quick else 60.0}
    timing["samples"] = 3 if quick else 15
    rows = _rows(interleaved(calls, **timing), trials, config, device, say)
    ensembles = {OURS: calls[OURS]}  # apart: what a step of 25 models leaves of the memory would slow the next of one
    for E, changes in sizes_of.items():
        many = FindrConfig(**{**_fields(config), **changes})
        ensembles[f"{OURS}, {E} models"] = _Step(many, trials, device).call()
    return rows + _rows(interleaved(ensembles, **timing), trials, config, device, say)[1:]


def _fields(config: FindrConfig) -> dict[str, Any]:
    return {name: getattr(config, name) for name in config.__dataclass_fields__}


def _rows(
    times: dict[str, Timing], trials: SpikeTrials, config: FindrConfig, device: str, say: Callable[[str], None]
) -> list[Row]:
    own, rows = times[OURS].median_s, []
    B, T, N = config.training.batch_size, trials.n_bins, trials.n_neurons
    workload = f"step of a fit, batch {B}, T {T}, N {N}, encoder {config.encoder_size}, features {config.features[0]}"
    for name, timing in times.items():
        E = int(name.split(", ")[1].split()[0]) if name.endswith(" models") else 1
        ratio = timing.median_s / own
        row = {"op": "findr", "workload": workload, "phase": "fit", "implementation": name, **asdict(timing),
               "ratio": ratio, "sizes": {"E": E, "B": B, "T": T, "M": config.latent_dim, "H": config.features[0],
               "K": config.encoder_size, "N": N}, "options": {}, "dtype": "float32", **provenance(device)}  # fmt: skip
        target = ""
        if name in TARGETS:
            row["target"] = TARGETS[name]
            target = f" (target {TARGETS[name]:g} x: {'met' if ratio >= TARGETS[name] else 'NOT met'})"
        if E > 1:
            row["seconds_per_model"] = timing.median_s / E
            target = f", {E * own / timing.median_s:.2f} x faster than {E} fits one after another"
        say(f"  {workload}, {name}: {1e3 * timing.median_s:.2f} ms, {ratio:.2f} x{target}")
        rows.append(row)
    return rows
