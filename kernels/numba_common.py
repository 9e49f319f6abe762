"""What the numba kernels share: compile flags, arrays by address, and sixteen sequences in one SIMD value."""

import operator
import os
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import pairwise

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


def _spread(builder, value, vector):
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
        return _spread(builder, args[0], context.get_value_type(sig.return_type))

    return Lanes(value)(value), codegen


@intrinsic
def splat_at(typingctx, array, i, j):
    """array[i, j] in every lane."""

    def codegen(context, builder, sig, args):
        pointer = _element(context, builder, sig.args[0], args[0], args[1:])
        return _spread(builder, builder.load(pointer), context.get_value_type(sig.return_type))

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


@intrinsic
def fma(typingctx, a, b, c):
    """a * b + c with one rounding.

    Spelled out, and no operation may be reordered or fused by the compiler: the same sources give the same bits on
    every machine and in every process, freshly compiled or from the cache.
    """

    def codegen(context, builder, sig, args):
        vector = args[0].type
        suffix = "f32" if isinstance(vector.element, ir.FloatType) else "f64"
        function = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(vector, [vector] * 3), f"llvm.fma.v{LANES}{suffix}"
        )
        return builder.call(function, args)

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


@numba.njit(**JIT)
def multiply(y, y0, w, x, x0, rows, inner):
    """y[y0 + r] = sum_k w[r, k] x[x0 + k], each row a value of LANES; four rows and two k at a time.

    Where fewer than four rows are left, the last one is computed again: eight independent sums hide the latency.
    """
    zero = splat(y.dtype.type(0))
    last = rows - 1
    even = inner // 2 * 2
    for r in range(0, rows, 4):
        r1, r2, r3 = min(r + 1, last), min(r + 2, last), min(r + 3, last)
        s0, s1, s2, s3, p0, p1, p2, p3 = zero, zero, zero, zero, zero, zero, zero, zero
        for k in range(0, even, 2):
            v, n = load(x, x0 + k, 0), load(x, x0 + k + 1, 0)
            s0, p0 = fma(splat_at(w, r, k), v, s0), fma(splat_at(w, r, k + 1), n, p0)
            s1, p1 = fma(splat_at(w, r1, k), v, s1), fma(splat_at(w, r1, k + 1), n, p1)
            s2, p2 = fma(splat_at(w, r2, k), v, s2), fma(splat_at(w, r2, k + 1), n, p2)
            s3, p3 = fma(splat_at(w, r3, k), v, s3), fma(splat_at(w, r3, k + 1), n, p3)
        if even < inner:
            v = load(x, x0 + even, 0)
            s0 = fma(splat_at(w, r, even), v, s0)
            s1 = fma(splat_at(w, r1, even), v, s1)
            s2 = fma(splat_at(w, r2, even), v, s2)
            s3 = fma(splat_at(w, r3, even), v, s3)
        store(y, y0 + r, 0, s0 + p0)
        store(y, y0 + r1, 0, s1 + p1)
        store(y, y0 + r2, 0, s2 + p2)
        store(y, y0 + r3, 0, s3 + p3)


@numba.njit(**JIT)
def add_products(g, k, row, x, rows, steps):
    """g[k, r] += sum over t and lanes of row[t] x[t * rows + r], for r < rows; four r and two t at a time."""
    zero = splat(g.dtype.type(0))
    last = rows - 1
    even = steps // 2 * 2
    for r in range(0, rows, 4):
        r1, r2, r3 = min(r + 1, last), min(r + 2, last), min(r + 3, last)
        s0, s1, s2, s3, p0, p1, p2, p3 = zero, zero, zero, zero, zero, zero, zero, zero
        for t in range(0, even, 2):
            i, j = t * rows, (t + 1) * rows
            v, n = load(row, t, 0), load(row, t + 1, 0)
            s0, p0 = fma(v, load(x, i + r, 0), s0), fma(n, load(x, j + r, 0), p0)
            s1, p1 = fma(v, load(x, i + r1, 0), s1), fma(n, load(x, j + r1, 0), p1)
            s2, p2 = fma(v, load(x, i + r2, 0), s2), fma(n, load(x, j + r2, 0), p2)
            s3, p3 = fma(v, load(x, i + r3, 0), s3), fma(n, load(x, j + r3, 0), p3)
        if even < steps:
            i = even * rows
            v = load(row, even, 0)
            s0, s1 = fma(v, load(x, i + r, 0), s0), fma(v, load(x, i + r1, 0), s1)
            s2, s3 = fma(v, load(x, i + r2, 0), s2), fma(v, load(x, i + r3, 0), s3)
        g[k, r] += total(s0 + p0)
        if r + 1 < rows:
            g[k, r1] += total(s1 + p1)
        if r + 2 < rows:
            g[k, r2] += total(s2 + p2)
        if r + 3 < rows:
            g[k, r3] += total(s3 + p3)


@numba.njit(**JIT)
def matrix_at(address, like, model, rows, columns):
    """Matrix [rows, columns] of one model in a stack [E, rows, columns] that begins at `address`."""
    offset = model * rows * columns * like.itemsize
    return numba.carray(pointer(address + offset, like), (rows, columns))


@numba.njit(**JIT)
def sequences_at(address, like, model, B, T, width):
    """Sequences [B, T, width] of one model in [E, B, T, width] that begins at `address`."""
    offset = model * B * T * width * like.itemsize
    return numba.carray(pointer(address + offset, like), (B, T, width))


@numba.njit(**JIT)
def lanes_in(block, data, b0, count, t0, t1, width):
    """block[(t - t0) * width + m, i] = data[b0 + i, t, m]; lanes past `count` become 0."""
    for i in range(LANES):
        if i < count:
            for t in range(t0, t1):
                for m in range(width):
                    block[(t - t0) * width + m, i] = data[b0 + i, t, m]
        else:
            for r in range((t1 - t0) * width):
                block[r, i] = 0


@numba.njit(**JIT)
def lanes_out(data, block, b0, count, t0, t1, width):
    """The way back: data[b0 + i, t, m] = block[(t - t0) * width + m, i]."""
    for i in range(count):
        for t in range(t0, t1):
            for m in range(width):
                data[b0 + i, t, m] = block[(t - t0) * width + m, i]


def addresses(*tensors: torch.Tensor | None) -> np.ndarray:
    """Where the tensors' data begin, 0 for a missing one; they must be contiguous and stay alive during the call."""
    return np.array([0 if x is None else x.data_ptr() for x in tensors], np.int64)


def contiguous(*tensors: torch.Tensor | None) -> list[torch.Tensor | None]:
    """The tensors, laid out in C order; a missing one stays missing."""
    return [x if x is None or x.is_contiguous() else x.contiguous() for x in tensors]


@cache
def _pool(workers: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(workers, thread_name_prefix="neurorbit")


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_pool.cache_clear)


def run_tasks(function, tasks: int, *args) -> None:
    """function(first, last, *args) over all tasks, split among numba's number of threads; it must release the GIL.

    Plain threads, not prange: a quarter of the compile time, nothing at all for a single task, safe after a fork.
    """
    threads = min(numba.config.NUMBA_NUM_THREADS, tasks)
    if threads <= 1:
        function(0, tasks, *args)
        return
    bounds = [tasks * i // threads for i in range(threads + 1)]
    pool = _pool(threads - 1)
    others = [pool.submit(function, a, b, *args) for a, b in pairwise(bounds[1:])]
    function(0, bounds[1], *args)
    for other in others:
        other.result()
