"""Every op as an operator of torch: its schema, and the same bits on every way to the kernel."""

from __future__ import annotations

import importlib
from typing import Any

import pytest
import torch
from torch import Tensor

from neurorbit.bindings.operator import Arguments, Operator
from neurorbit.kernels import KERNELS


def operator_of(op: str) -> Operator:
    return importlib.import_module(f"neurorbit.bindings.{op}")._OPERATOR


def call_of(operator: Operator) -> tuple[Arguments, dict[str, Any]]:
    """The first case of the op's contract, with leaves that want their gradients."""
    case = operator.spec.cases[0]
    found = operator.spec.sample(case, torch.Generator().manual_seed(3), torch.float32)
    for argument in operator.spec.arguments:
        if argument.gradient and isinstance(found[argument.name], Tensor):
            found[argument.name].requires_grad_()
    operator.expand_shared(found, 1)
    options = {"first_step": 0, "keep_every": 1, **case.options}
    return found, {name: options[name] for name in operator.options}


def gradients(arguments: Arguments, outputs: tuple[Tensor, ...]) -> list[Tensor | None]:
    leaves = [x for x in arguments.values() if isinstance(x, Tensor) and x.requires_grad]
    return list(
        torch.autograd.grad(sum(x.square().sum() for x in outputs), leaves, allow_unused=True, retain_graph=True)
    )


@pytest.mark.parametrize("op", KERNELS)
def test_the_schema_is_that_of_the_spec(op: str) -> None:
    operator = operator_of(op)
    names = [a.name for a in getattr(torch.ops.neurorbit, op).default._schema.arguments]
    assert names == [*operator.spec.argument_names, *operator.options, "backend"]
    backward = [a.name for a in getattr(torch.ops.neurorbit, f"{op}_backward").default._schema.arguments]
    assert backward == [*(f"d{n}" for n in operator.spec.outputs), *operator.spec.saved, *names, "needs"]


@pytest.mark.parametrize("op", KERNELS)
def test_past_the_dispatcher_and_through_it_are_one(op: str) -> None:
    operator = operator_of(op)
    arguments, options = call_of(operator)
    short = operator(arguments, None, **options)
    long = operator(arguments, None, False, **options)
    with torch.no_grad():
        alone = operator(arguments, None, **options)
    assert len(short) == len(long) == len(alone) == len(operator.spec.outputs)
    for a, b, c in zip(short, long, alone, strict=True):
        assert torch.equal(a, b) and torch.equal(a, c) and not c.requires_grad
    for a, b in zip(gradients(arguments, short), gradients(arguments, long), strict=True):
        assert (a is None and b is None) or torch.equal(a, b)


@pytest.mark.parametrize("op", KERNELS)
def test_an_output_without_a_gradient_counts_as_zeros(op: str) -> None:
    operator = operator_of(op)
    arguments, options = call_of(operator)
    outputs = operator(arguments, None, **options)
    for k in range(len(outputs)):
        alone = gradients(arguments, outputs[k : k + 1] if outputs[k].requires_grad else outputs)
        zeros = tuple(x if i == k else x * 0 for i, x in enumerate(operator(arguments, None, **options)))
        for a, b in zip(alone, gradients(arguments, zeros), strict=True):
            assert torch.allclose(torch.zeros(()) if a is None else a, torch.zeros(()) if b is None else b, rtol=1e-6)
