"""A short form of the contract: every case of an op against its definition, before anything is timed."""

from __future__ import annotations

from collections.abc import Mapping
from types import ModuleType

import torch
from torch import Tensor

from neurorbit.kernels.spec import Case, KernelSpec


class RedContract(RuntimeError):
    """A backend or a competitor computes something else; its speed is of no interest."""


def excess(found: Tensor, single: Tensor, truth: Tensor, *, factor: float = 2.0) -> float:
    """Error over its budget: factor x the float32 definition's error, plus rounding; above 1 it is wrong."""
    if found.shape != truth.shape or not bool(torch.isfinite(found).all()):
        return float("inf")
    if truth.numel() == 0:
        return 0.0
    rounding = torch.finfo(single.dtype).eps * truth.abs().max()
    budget = factor * ((single.double() - truth).abs().max() + rounding)
    return float((found.double() - truth).abs().max() / budget.clamp_min(1e-30))


def worst(
    found: Mapping[str, Tensor], single: Mapping[str, Tensor], truth: Mapping[str, Tensor], *, factor: float = 2.0
) -> tuple[str, float]:
    """The name with the largest excess, and that excess."""
    if missing := set(truth) - set(found):
        return sorted(missing)[0], float("inf")
    ratios = {name: excess(found[name], single[name], truth[name], factor=factor) for name in truth}
    name = max(ratios, key=lambda key: ratios[key])
    return name, ratios[name]


def results(
    op: ModuleType, spec: KernelSpec, case: Case, dtype: torch.dtype, device: str, backend: str | None
) -> dict[str, Tensor]:
    """Outputs of a case and the gradients of a fixed weighted sum of them, through the public function."""
    arguments = spec.sample(case, torch.Generator().manual_seed(0), torch.float32)
    values: dict[str, Tensor | None] = {}
    for argument in spec.arguments:
        value = arguments[argument.name]
        if value is not None and not argument.integer:
            value = value.to(device=device, dtype=dtype).requires_grad_(argument.gradient)
        values[argument.name] = value.to(device) if value is not None else None
    outputs = op.call(values, case.options, backend)
    generator = torch.Generator().manual_seed(1)
    total = torch.zeros((), dtype=dtype, device=device)
    for output in outputs.values():
        weights = torch.randn(output.shape, generator=generator, dtype=torch.float32)
        total = total + (output * weights.to(device=device, dtype=dtype)).sum()
    wanted = {name: value for name, value in values.items() if value is not None and value.requires_grad}
    grads = torch.autograd.grad(total, list(wanted.values()))
    found = {name: output.detach() for name, output in outputs.items()}
    return found | {f"d{name}": grad for name, grad in zip(wanted, grads, strict=True)}


def check_contract(op: ModuleType, device: str, *, backend: str | None = None) -> int:
    """Number of cases found equal; RedContract on the first that is not."""
    spec: KernelSpec = op.SPEC
    for case in spec.cases:
        truth = results(op, spec, case, torch.float64, device, "reference")
        single = results(op, spec, case, torch.float32, device, "reference")
        name, ratio = worst(results(op, spec, case, torch.float32, device, backend), single, truth)
        if ratio > 1:
            raise RedContract(f"{spec.name}, case {case.name}: {name} is {ratio:.3g} x its error budget: not measured")
    return len(spec.cases)
