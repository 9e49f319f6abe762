"""What the numba kernels share: compile flags, arrays by address, and sixteen sequences in one SIMD value."""

import operator

import numba
import numpy as np
import torch
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.datamodel import models
from numba.core.typing.templates import AbstractTemplate, infer_global, signature
from numba.extending import intrinsic, lower_builtin, register_model

LANES = 16
JIT = {"nogil": True, "cache": True, "error_model": "numpy"}


class Lanes(types.Type):
    """LANES floating values in one SIMD value."""

    def __init__(self, dtype):
        self.dtype = dtype
        super().__init__(f"Lanes({dtype})")


@register_model(Lanes)
class LanesModel(models.PrimitiveModel):
    def __init__(self, dmm, fe_type):
        element = ir.FloatType() if fe_type.dtype == types.float32 else ir.DoubleType()
        super().__init__(dmm, fe_type, ir.VectorType(element, LANES))


def _arithmetic(operation, emit):
    @infer_global(operation)
    class Template(AbstractTemplate):
        def generic(self, args, kws):
            if len(args) == 2 and isinstance(args[0], Lanes) and args[0] == args[1]:
                return signature(args[0], *args)
            return None

    @lower_builtin(operation, Lanes, Lanes)
    def lower(context, builder, sig, args):
        return getattr(builder, emit)(*args)


_arithmetic(operator.add, "fadd")
_arithmetic(operator.sub, "fsub")
_arithmetic(operator.mul, "fmul")


def emit_spread(builder, value):
    vector = ir.VectorType(value.type, LANES)
    one = builder.insert_element(ir.Constant(vector, ir.Undefined), value, ir.Constant(ir.IntType(32), 0))
    zeros = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)
    return builder.shuffle_vector(one, ir.Constant(vector, ir.Undefined), zeros)


def _element(context, builder, array_type, array, indices):
    values = context.make_array(array_type)(context, builder, array)
    return cgutils.get_item_pointer(context, builder, array_type, values, indices, wraparound=False)


@intrinsic
def splat(typingctx, value):
    """The number in every lane."""

    def codegen(context, builder, sig, args):
        return emit_spread(builder, args[0])

    return Lanes(value)(value), codegen


@intrinsic
def splat_at(typingctx, array, i, j):
    """array[i, j] in every lane."""

    def codegen(context, builder, sig, args):
        pointer = _element(context, builder, sig.args[0], args[0], args[1:])
        return emit_spread(builder, builder.load(pointer))

    return Lanes(array.dtype)(array, types.intp, types.intp), codegen


@intrinsic
def load(typingctx, array, i, j):
    """array[i, j : j + LANES]."""

    def codegen(context, builder, sig, args):
        pointer = _element(context, builder, sig.args[0], args[0], args[1:])
        vector = context.get_value_type(sig.return_type)
        return builder.load(builder.bitcast(pointer, vector.as_pointer()), align=sig.return_type.dtype.bitwidth // 8)

    return Lanes(array.dtype)(array, types.intp, types.intp), codegen


@intrinsic
def store(typingctx, array, i, j, value):
    """array[i, j : j + LANES] = value."""

    def codegen(context, builder, sig, args):
        pointer = _element(context, builder, sig.args[0], args[0], args[1:3])
        target = builder.bitcast(pointer, context.get_value_type(sig.args[3]).as_pointer())
        builder.store(args[3], target, align=sig.args[3].dtype.bitwidth // 8)
        return context.get_dummy_value()

    return types.void(array, types.intp, types.intp, value), codegen


def _select(compare):
    @intrinsic
    def where(typingctx, c, a, b):
        def codegen(context, builder, sig, args):
            zero = ir.Constant(args[0].type, [0.0] * LANES)
            return builder.select(compare(builder, args[0], zero), args[1], args[2])

        return a(c, a, b), codegen

    return where


where_positive = _select(lambda builder, c, zero: builder.fcmp_ordered(">", c, zero))
where_number = _select(lambda builder, c, zero: builder.fcmp_ordered("ord", c, zero))


def emit_fma(builder, a, b, c):
    """a * b + c with one rounding.

    Spelled out, and no operation may be reordered or fused by the compiler: the same sources give the same bits on
    every machine and in every process, freshly compiled or from the cache.
    """
    suffix = "f32" if isinstance(a.type.element, ir.FloatType) else "f64"
    function = cgutils.get_or_insert_function(
        builder.module, ir.FunctionType(a.type, [a.type] * 3), f"llvm.fma.v{LANES}{suffix}"
    )
    return builder.call(function, [a, b, c])


@intrinsic
def fma(typingctx, a, b, c):
    """a * b + c with one rounding."""

    def codegen(context, builder, sig, args):
        return emit_fma(builder, *args)

    return c(a, b, c), codegen


@intrinsic
def total(typingctx, value):
    """Sum over the lanes, halves upon halves."""

    def codegen(context, builder, sig, args):
        value, n = args[0], LANES
        while n > 1:
            n //= 2
            halves = [
                builder.shuffle_vector(
                    value, value, ir.Constant(ir.VectorType(ir.IntType(32), n), list(range(at, at + n)))
                )
                for at in (0, n)
            ]
            value = builder.fadd(*halves)
        return builder.extract_element(value, ir.Constant(ir.IntType(32), 0))

    return value.dtype(value), codegen


@intrinsic
def pointer(typingctx, address, like):
    """The address as a pointer to values of the dtype of the array `like`."""

    def codegen(context, builder, sig, args):
        return builder.inttoptr(args[0], context.get_value_type(sig.return_type))

    return types.CPointer(like.dtype)(address, like), codegen


@numba.njit(**JIT)
def relu(v, zero):
    return where_positive(v, v, zero)


def addresses(*tensors: torch.Tensor | None) -> np.ndarray:
    """Where the tensors' data begin, 0 for a missing one; they must be contiguous and stay alive during the call."""
    return np.array([0 if x is None else x.data_ptr() for x in tensors], np.int64)


def contiguous(*tensors: torch.Tensor | None) -> list[torch.Tensor | None]:
    """The tensors, laid out in C order; a missing one stays missing."""
    return [x if x is None or x.is_contiguous() else x.contiguous() for x in tensors]
