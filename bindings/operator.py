"""From a kernel's spec to an operator of torch: schema, fakes, autograd, and the short way past the dispatcher."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from neurorbit.bindings.dispatch import backend_for, load, plain
from neurorbit.kernels.spec import KernelSpec

_LIBRARY = torch.library.Library("neurorbit", "FRAGMENT")

Arguments = dict[str, Any]
Check = Callable[[Arguments, Arguments], None]


class _Plain(tuple):
    """Options of a call that needs nothing of torch's dispatcher."""

    __slots__ = ()


class Operator:
    """`torch.ops.neurorbit.<op>` and `<op>_backward`, and a call that takes the fastest way to the kernel.

    Args:
        spec: of the op; its `saved` that are no outputs are returned besides them inside torch, without a gradient.
        options: type of each option in torch's schema; they follow the tensors.
        fake: outputs, then what is saved besides, as empty tensors, from the arguments and the options by name.
        check: raises ValueError for values out of their range; called where nothing waits for a device.
        check_gradient: raises RuntimeError for options that have no gradient.
        whole_gradients: the kernels want zeros, not None, for an output without a gradient.
    """

    def __init__(
        self,
        spec: KernelSpec,
        options: Mapping[str, str],
        fake: Callable[[Arguments, Arguments], Sequence[Tensor]],
        *,
        check: Check | None = None,
        check_gradient: Check | None = None,
        whole_gradients: bool = False,
    ) -> None:
        self.spec, self.options = spec, tuple(options)
        self._names, self._n_outputs, self._first = spec.argument_names, len(spec.outputs), len(spec.arguments)
        self._differentiable, self._outputs, self._saved = spec.differentiable, tuple(spec.outputs), spec.saved
        self._positions = [i for i, a in enumerate(spec.arguments) if a.gradient]
        self._shared = tuple(a.name for a in spec.arguments if a.gradient and a.dims[0] == "E|1")
        self._besides = tuple(n for n in spec.saved if n not in spec.outputs)
        returned = (*spec.outputs, *self._besides)
        self._one, self._kept = len(returned) == 1, [returned.index(n) for n in spec.saved]
        self._lists = "int[]" in options.values()
        self._fake, self._check, self._check_gradient = fake, check, check_gradient
        self._function = _autograd_function(self, whole_gradients)
        self._define(options, len(returned))
        self._op = getattr(torch.ops.neurorbit, spec.name)
        self._backward_op = getattr(torch.ops.neurorbit, f"{spec.name}_backward")

    def expand_shared(self, arguments: Arguments, E: int) -> None:
        """Repeats tensors that all models share where they need a gradient: torch then adds those of the models."""
        for name in self._shared:
            value = arguments[name]
            if value is not None and value.shape[0] == 1 and E > 1 and value.requires_grad:
                arguments[name] = value.expand(E, *value.shape[1:])

    def __call__(
        self, arguments: Arguments, backend: str | None, ordinary: bool | None = None, **options: Any
    ) -> tuple[Tensor, ...]:
        """The outputs for checked arguments, all of them by name in the spec's order.

        ordinary: what `plain` says of them, where it has been asked.
        """
        if backend == "reference":
            if self._check is not None:
                self._check(arguments, options)
            found: tuple[Tensor, ...] = load(self.spec.name, backend).forward(**arguments, **options)
            return found
        tensors = tuple(arguments.values())
        values = _Plain([*[options[name] for name in self.options], backend or ""])
        if not (plain(tensors) if ordinary is None else ordinary):
            return self._tuple(self._op(*tensors, *values))[: self._n_outputs]
        if torch.is_grad_enabled():
            found = self._function.apply(*tensors, values)
            return found[: self._n_outputs]
        return self._tuple(self._forward(*tensors, *values))[: self._n_outputs]

    def _define(self, options: Mapping[str, str], n_returned: int) -> None:
        name = self.spec.name
        tensors = ", ".join(f"Tensor{'?' if a.optional else ''} {a.name}" for a in self.spec.arguments)
        kinds = ", ".join([*(f"{kind} {option}" for option, kind in options.items()), "str backend"])
        grads = ", ".join([*(f"Tensor? d{o}" for o in self.spec.outputs), *(f"Tensor {s}" for s in self.spec.saved)])
        result = ", ".join(["Tensor"] * n_returned)
        _LIBRARY.define(f"{name}({tensors}, {kinds}) -> ({result})")
        _LIBRARY.define(f"{name}_backward({grads}, {tensors}, {kinds}, bool[] needs) -> Tensor[]")
        for device in ("CPU", "CUDA"):
            _LIBRARY.impl(name, self._forward, device)
            _LIBRARY.impl(f"{name}_backward", self._backward, device)
        _LIBRARY.impl(name, self._autograd, "Autograd")
        torch.library.register_fake(f"neurorbit::{name}", self._forward_fake, lib=_LIBRARY)
        torch.library.register_fake(f"neurorbit::{name}_backward", self._backward_fake, lib=_LIBRARY)

    def _split(self, inputs: Sequence[Any]) -> tuple[Arguments, Arguments, str | None]:
        """(arguments, options, backend) of what the operator takes."""
        options = dict(zip(self.options, inputs[self._first :], strict=False))
        if self._lists:  # which torch makes of tuples on the way through its dispatcher
            options = {n: tuple(v) if isinstance(v, list) else v for n, v in options.items()}
        backend = inputs[self._first + len(self.options)]
        return dict(zip(self._names, inputs, strict=False)), options, backend or None

    def _tuple(self, found: Any) -> tuple[Tensor, ...]:
        return (found,) if self._one else tuple(found)

    def _forward(self, *inputs: Any) -> Any:
        arguments, options, backend = self._split(inputs)
        device = inputs[0].device.type
        if device == "cpu" and self._check is not None:
            self._check(arguments, options)
        kernel = load(self.spec.name, backend_for(self.spec.name, device, backend))
        outputs, saved = kernel.forward(*inputs[: self._first], **options)
        return outputs[0] if self._one else (*outputs, *(saved[n] for n in self._besides))

    def _backward(self, *inputs: Any) -> list[Tensor]:
        grads, saved = inputs[: self._n_outputs], inputs[self._n_outputs :][: len(self._kept)]
        rest = inputs[self._n_outputs + len(self._kept) :]
        arguments, options, backend = self._split(rest)
        if self._check_gradient is not None:
            self._check_gradient(arguments, options)
        wanted = tuple(n for n, need in zip(self._differentiable, rest[-1], strict=True) if need)
        known = {**arguments, **options, "wanted": wanted}
        known.update(zip(self._saved, saved, strict=True))
        kernel = load(self.spec.name, backend_for(self.spec.name, rest[0].device.type, backend))
        found = kernel.backward(known, dict(zip(self._outputs, grads, strict=True)))
        return [found[n] for n in wanted]

    def _forward_fake(self, *inputs: Any) -> Any:
        arguments, options, _ = self._split(inputs)
        found = tuple(self._fake(arguments, options))
        return found[0] if self._one else found

    def _backward_fake(self, *inputs: Any) -> list[Tensor]:
        tensors = inputs[self._n_outputs + len(self._kept) :]
        return [
            tensors[i].new_empty(tensors[i].shape)
            for i, need in zip(self._positions, inputs[-1], strict=True)
            if need
        ]  # fmt: skip

    def _autograd(self, *inputs: Any) -> Any:
        n = len(self._names)
        found = self._function.apply(*inputs[:n], inputs[n:])
        return found[0] if self._one else found


def _autograd_function(op: Operator, whole_gradients: bool) -> type[torch.autograd.Function]:
    class Function(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, *inputs: Any) -> tuple[Tensor, ...]:
            *tensors, options = inputs
            if type(options) is _Plain:
                found = op._tuple(op._forward(*tensors, *options))
            else:
                with torch._C._AutoDispatchBelowAutograd():
                    found = op._tuple(op._op(*tensors, *options))
            ctx.options = options
            ctx.save_for_backward(*(found[i] for i in op._kept), *tensors)
            ctx.set_materialize_grads(whole_gradients)
            ctx.mark_non_differentiable(*found[op._n_outputs :])
            return found

        @staticmethod
        @torch.autograd.function.once_differentiable
        def backward(ctx: Any, *grads: Any) -> tuple[Tensor | None, ...]:
            tensors, needed = ctx.saved_tensors, ctx.needs_input_grad
            given, needs = grads[: op._n_outputs], [needed[i] for i in op._positions]
            ordinary = plain((tensors[len(op._kept)], *given, *tensors))
            function = op._backward if ordinary else op._backward_op
            found = iter(function(*given, *tensors, *ctx.options, needs))
            return *[next(found) if need else None for need in needed[:-1]], None

    Function.__name__ = Function.__qualname__ = op.spec.name  # what a traceback and a graph show
    return Function
