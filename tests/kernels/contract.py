"""The checks that every backend of every op must pass; the definition in float64 is the truth."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from benchmarks.contract import excess
from neurorbit.bindings.dispatch import load
from neurorbit.kernels.spec import Case, KernelSpec

Arguments = dict[str, Any]
Outcome = dict[str, Tensor]


def arguments_of(spec: KernelSpec, case: Case, dtype: torch.dtype, device: str = "cpu") -> Arguments:
    """The case's inputs: drawn once in float32, so that every dtype sees the same values."""
    drawn = spec.sample(case, torch.Generator().manual_seed(7), torch.float32)
    return {
        name: value.to(device, dtype if value.is_floating_point() else value.dtype)
        if isinstance(value, Tensor)
        else value
        for name, value in drawn.items()
    }


def rules_of(spec: KernelSpec) -> ModuleType:
    """What is particular to the op's contract: its options, its members, how it is cut in time."""
    return importlib.import_module(f"rules_{spec.name}")


def kernel_options(spec: KernelSpec, case: Case, **changes: Any) -> dict[str, Any]:
    """The options a kernel takes; those that only shape the sample stay behind."""
    return {name: case.options[name] for name in rules_of(spec).OPTIONS} | changes


def weights_like(outputs: Mapping[str, Tensor]) -> Outcome:
    """Fixed weights of the outputs in the scalar whose gradients are compared."""
    generator = torch.Generator().manual_seed(11)
    return {n: torch.randn(x.shape, generator=generator).to(x) for n, x in outputs.items()}


def definition(spec: KernelSpec, arguments: Arguments, options: Mapping[str, Any]) -> Outcome:
    """Outputs and gradients of the reference, by autograd."""
    wanted = [n for n in spec.differentiable if arguments[n] is not None]
    leaves = dict(arguments)
    for name, value in arguments.items():
        if isinstance(value, Tensor) and value.is_floating_point():
            leaves[name] = value.detach().clone().requires_grad_(name in wanted)
    outputs = dict(zip(spec.outputs, load(spec.name, "reference").forward(**leaves, **options), strict=True))
    weights = weights_like(outputs)
    total = sum(((outputs[n] * weights[n]).sum() for n in outputs), torch.zeros(()))
    grads = torch.autograd.grad(total, [leaves[n] for n in wanted], allow_unused=True)
    found = {n: x.detach() for n, x in outputs.items()}
    return found | {
        f"d{n}": torch.zeros_like(arguments[n]) if g is None else g for n, g in zip(wanted, grads, strict=True)
    }


def twin(
    spec: KernelSpec, module: ModuleType, arguments: Arguments, options: Mapping[str, Any], **launch: Any
) -> Outcome:
    """Outputs and gradients of a backend, straight from its forward and backward."""
    outputs, saved = module.forward(**arguments, **options, **launch)
    named = dict(zip(spec.outputs, outputs, strict=True))
    wanted = tuple(n for n in spec.differentiable if arguments[n] is not None)
    state = {**arguments, **rules_of(spec).STATE, **options, **saved, "wanted": wanted}
    grads = module.backward(state, weights_like(named), **launch)
    found = dict(named)
    for name in wanted:
        grad, like = grads[name], arguments[name]
        found[f"d{name}"] = grad.sum(0, keepdim=True) if grad.shape != like.shape else grad
    return found


def check_budget(spec: KernelSpec, case: Case, found: Outcome, dtype: torch.dtype, device: str = "cpu") -> None:
    """Every output and gradient within 2 x the definition's own error in this dtype, plus rounding.

    float64 has no truth above it: its budget is the float32 definition's error scaled by the two roundings.
    """
    options = kernel_options(spec, case)
    truth = definition(spec, arguments_of(spec, case, torch.float64, device), options)
    single = definition(spec, arguments_of(spec, case, torch.float32, device), options)
    if dtype == torch.float64:
        shrink = torch.finfo(torch.float64).eps / torch.finfo(torch.float32).eps
        single = {n: truth[n] + (single[n].double() - truth[n]) * shrink for n in truth}
    assert set(found) == set(truth)
    for name in truth:
        assert found[name].dtype == dtype, name
        ratio = excess(found[name], single[name], truth[name])
        assert ratio <= 1, f"{spec.name}, {case.name}, {name}: {ratio:.3g} x its error budget"


@contextmanager
def memory_full_of_nan() -> Iterator[None]:
    """Fresh allocations hold NaN: an element that is not written shows."""
    plain = torch.Tensor.new_empty

    def poisoned(self: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        fresh = plain(self, *args, **kwargs)
        return fresh.fill_(float("nan")) if fresh.is_floating_point() else fresh

    torch.Tensor.new_empty = poisoned  # type: ignore[method-assign,assignment]
    try:
        yield
    finally:
        torch.Tensor.new_empty = plain  # type: ignore[method-assign]


def inside_larger(value: Tensor) -> Tensor:
    """The same values as a slice of a larger tensor that is full of NaN (or -1) elsewhere."""
    filler = float("nan") if value.is_floating_point() else -1
    large = torch.full([2 * n + 1 for n in value.shape], filler, dtype=value.dtype, device=value.device)
    view = large[tuple(slice(1, None, 2) for _ in value.shape)]
    view.copy_(value)
    return view


def assert_identical(a: Outcome, b: Outcome) -> None:
    assert set(a) == set(b)
    for name in a:
        assert torch.equal(a[name], b[name]), f"{name}: largest difference {(a[name] - b[name]).abs().max():.3g}"


def assert_close(a: Tensor, b: Tensor, name: str) -> None:
    """Equal but for the order of sums."""
    scale = b.abs().max().clamp_min(1) if b.numel() else torch.ones(())
    tolerance = 64 * torch.finfo(b.dtype).eps * float(scale)
    assert a.shape == b.shape and bool(((a - b).abs() <= tolerance).all()), name


def sliced(spec: KernelSpec, arguments: Arguments, letter: str, index: int) -> Arguments:
    """The member's own part of every argument that has the dim."""
    part = dict(arguments)
    for argument in spec.arguments:
        value = arguments[argument.name]
        axis = next((i for i, d in enumerate(argument.dims) if d[0] == letter), None)
        if value is not None and axis is not None and value.shape[axis] > 1:
            part[argument.name] = value.narrow(axis, index, 1)
    return part


def along_time(spec: KernelSpec, arguments: Arguments, first: int, last: int) -> Arguments:
    """The steps first .. last - 1 of every argument that has time."""
    part = dict(arguments)
    for name, axis in spec.time_arguments.items():
        if part[name] is not None:
            part[name] = part[name].narrow(axis, first, last - first)
    if part["lengths"] is not None:
        part["lengths"] = (part["lengths"] - first).clamp(0, last - first)
    return part


def check_one_by_one(
    spec: KernelSpec, module: ModuleType, case: Case, arguments: Arguments, letter: str, **launch: Any
) -> None:
    """A stack along E (or along another dim of the outputs) equals its members one by one: outputs and gradients."""
    rules, options = rules_of(spec), kernel_options(spec, case)
    outputs, saved = module.forward(**arguments, **options, **launch)
    named = dict(zip(spec.outputs, outputs, strict=True))
    axis = next(iter(spec.outputs.values())).index(letter)
    weights = weights_like(named)
    wanted = tuple(n for n in rules.COMPARED if arguments[n] is not None)
    sums: dict[str, list[Tensor]] = {n: [] for n in wanted}
    for index in range(case.sizes[letter]):
        part = rules.member(spec, arguments, letter, index)
        alone, own = module.forward(**part, **options, **launch)
        for name, value in zip(spec.outputs, alone, strict=True):
            assert_close(value, named[name].narrow(axis, index, 1), name)
        state = {**part, **rules.STATE, **options, **own, "wanted": wanted}
        grads = module.backward(state, {n: w.narrow(axis, index, 1) for n, w in weights.items()}, **launch)
        for name in wanted:
            sums[name].append(grads[name])
    state = {**arguments, **rules.STATE, **options, **saved, "wanted": wanted}
    together = module.backward(state, weights, **launch)
    for name in wanted:
        dims = next(a.dims for a in spec.arguments if a.name == name)
        at = next((i for i, d in enumerate(dims) if d[0] == letter), None)
        apart = at is not None and arguments[name].shape[at] == len(sums[name])
        whole = torch.cat(sums[name], at) if apart else torch.stack(sums[name]).sum(0)
        assert_close(together[name], whole, f"d{name}")


def check_all(
    spec: KernelSpec, module: ModuleType, case: Case, dtype: torch.dtype, device: str = "cpu", **launch: Any
) -> None:
    """The whole contract of one backend on one case."""
    arguments = arguments_of(spec, case, dtype, device)
    options = kernel_options(spec, case)
    with memory_full_of_nan():
        found = twin(spec, module, arguments, options, **launch)
    check_budget(spec, case, found, dtype, device)
    assert_identical(found, twin(spec, module, arguments, options, **launch))
    strided = {n: inside_larger(v) if isinstance(v, Tensor) else v for n, v in arguments.items()}
    assert_identical(found, twin(spec, module, strided, options, **launch))
    rules_of(spec).check_segments(spec, module, case, arguments, **launch)
    for letter in rules_of(spec).MEMBERS:
        check_one_by_one(spec, module, case, arguments, letter, **launch)


Change = Callable[[Outcome], Outcome]


def planted(
    spec: KernelSpec, module: ModuleType, *, outputs: Change | None = None, grads: Change | None = None
) -> ModuleType:
    """The module with a bug: what it returns is changed on the way out."""
    fake = ModuleType(f"{module.__name__}_planted")

    def forward(*args: Any, **kwargs: Any) -> tuple[tuple[Tensor, ...], Outcome]:
        found, saved = module.forward(*args, **kwargs)
        named = dict(zip(spec.outputs, found, strict=True))
        return tuple((outputs(named) if outputs else named).values()), saved

    def backward(*args: Any, **kwargs: Any) -> Outcome:
        found = module.backward(*args, **kwargs)
        return grads(found) if grads else found

    fake.forward, fake.backward = forward, backward  # type: ignore[attr-defined]
    return fake
