"""The checks that every backend of every op must pass; the definition in float64 is the truth."""

from __future__ import annotations

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


def kernel_options(case: Case, **changes: Any) -> dict[str, Any]:
    """The options a kernel takes; those that only shape the sample stay behind."""
    return {name: case.options[name] for name in ("cell", "n_relu", "steps")} | changes


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
    state = {**arguments, "first_step": 0, **options, **saved, "wanted": wanted}
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
    options = kernel_options(case)
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


def _along_time(spec: KernelSpec, arguments: Arguments, first: int, last: int) -> Arguments:
    part = dict(arguments)
    for name, axis in spec.time_arguments.items():
        if part[name] is not None:
            part[name] = part[name].narrow(axis, first, last - first)
    if part.get("lengths") is not None:
        part["lengths"] = (part["lengths"] - first).clamp(0, last - first)
    return part


def check_segments(spec: KernelSpec, module: ModuleType, case: Case, arguments: Arguments, **launch: Any) -> None:
    """A rollout cut in two, with the state carried over, equals the whole."""
    T = case.sizes["T"]
    cut = max(1, T // 2)
    (whole, end), _ = module.forward(**arguments, **kernel_options(case), **launch)
    first = _along_time(spec, arguments, 0, cut)
    (z1, state), _ = module.forward(**first, **kernel_options(case, steps=cut), **launch)
    parts = [z1]
    if cut < T:
        second = _along_time(spec, arguments | {"z0": state}, cut, T)
        (z2, state), _ = module.forward(**second, **kernel_options(case, steps=T - cut, first_step=cut), **launch)
        parts.append(z2)
    assert torch.equal(torch.cat(parts, 2), whole)
    assert torch.equal(state, end)


def _sliced(spec: KernelSpec, arguments: Arguments, letter: str, index: int) -> Arguments:
    part = dict(arguments)
    for argument in spec.arguments:
        value = arguments[argument.name]
        axis = next((i for i, d in enumerate(argument.dims) if d[0] == letter), None)
        if value is not None and axis is not None and value.shape[axis] > 1:
            part[argument.name] = value.narrow(axis, index, 1)
    return part


def check_one_by_one(
    spec: KernelSpec, module: ModuleType, case: Case, arguments: Arguments, letter: str, **launch: Any
) -> None:
    """A stack along E (or a batch along B) equals its members one by one: states, and gradients of each member."""
    options = kernel_options(case)
    outputs, _ = module.forward(**arguments, **options, **launch)
    named = dict(zip(spec.outputs, outputs, strict=True))
    axis = "EB".index(letter)
    weights = weights_like(named)
    wanted = tuple(n for n in ("z0", "A", "W1", "drive") if arguments[n] is not None)
    sums: dict[str, list[Tensor]] = {n: [] for n in wanted}
    for index in range(case.sizes[letter]):
        part = _sliced(spec, arguments, letter, index)
        (z, z_final), saved = module.forward(**part, **options, **launch)
        assert_close(z, named["z"].narrow(axis, index, 1), "z")
        assert_close(z_final, named["z_final"].narrow(axis, index, 1), "z_final")
        state = {**part, "first_step": 0, **options, **saved, "wanted": wanted}
        alone = module.backward(state, {n: w.narrow(axis, index, 1) for n, w in weights.items()}, **launch)
        for name in wanted:
            sums[name].append(alone[name])
    state = {**arguments, "first_step": 0, **options, "z": named["z"], "wanted": wanted}
    together = module.backward(state, weights, **launch)
    for name in wanted:
        dims = next(a.dims for a in spec.arguments if a.name == name)
        whole = torch.cat(sums[name], axis) if any(d[0] == letter for d in dims) else torch.stack(sums[name]).sum(0)
        assert_close(together[name], whole, f"d{name}")


def check_all(
    spec: KernelSpec, module: ModuleType, case: Case, dtype: torch.dtype, device: str = "cpu", **launch: Any
) -> None:
    """The whole contract of one backend on one case."""
    arguments = arguments_of(spec, case, dtype, device)
    options = kernel_options(case)
    with memory_full_of_nan():
        found = twin(spec, module, arguments, options, **launch)
    check_budget(spec, case, found, dtype, device)
    assert_identical(found, twin(spec, module, arguments, options, **launch))
    strided = {n: inside_larger(v) if isinstance(v, Tensor) else v for n, v in arguments.items()}
    assert_identical(found, twin(spec, module, strided, options, **launch))
    check_segments(spec, module, case, arguments, **launch)
    check_one_by_one(spec, module, case, arguments, "E", **launch)
    check_one_by_one(spec, module, case, arguments, "B", **launch)


Change = Callable[[Outcome], Outcome]


def planted(module: ModuleType, *, outputs: Change | None = None, grads: Change | None = None) -> ModuleType:
    """The module with a bug: what it returns is changed on the way out."""
    fake = ModuleType(f"{module.__name__}_planted")

    def forward(*args: Any, **kwargs: Any) -> tuple[tuple[Tensor, ...], Outcome]:
        (z, z_final), saved = module.forward(*args, **kwargs)
        named = {"z": z, "z_final": z_final}
        return tuple((outputs(named) if outputs else named).values()), saved

    def backward(*args: Any, **kwargs: Any) -> Outcome:
        found = module.backward(*args, **kwargs)
        return grads(found) if grads else found

    fake.forward, fake.backward = forward, backward  # type: ignore[attr-defined]
    return fake
