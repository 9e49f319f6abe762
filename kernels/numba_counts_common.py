"""Spike counts of one, two or four bytes: in SIMD lanes, one by one, and which of sixty-four are above a bound."""

import numba
import torch
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from neurorbit.kernels.numba_common import JIT, LANES, Lanes
from neurorbit.kernels.numba_functions_common import _below
from neurorbit.kernels.numba_math_common import INLINE

UINT8, INT16, INT32 = range(3)
CODES = {torch.uint8: UINT8, torch.int16: INT16, torch.int32: INT32}


def _counts(bits, signed):
    """An intrinsic: the counts number at, at + 1, ... behind the address as floats; 0 from lane `count` on."""

    @intrinsic
    def load(typingctx, address, at, count, like):
        def codegen(context, builder, sig, args):
            integers, i64, width = ir.VectorType(ir.IntType(bits), LANES), ir.IntType(64), ir.IntType(32)
            place = builder.add(args[0], builder.mul(args[1], ir.Constant(i64, bits // 8)))
            place = builder.inttoptr(place, integers.as_pointer())
            zeros = ir.Constant(integers, [0] * LANES)
            whole = builder.icmp_signed(">=", args[2], ir.Constant(i64, LANES))
            with builder.if_else(whole) as (all_lanes, some_lanes):
                with all_lanes:
                    full, full_block = builder.load(place, align=bits // 8), builder.block
                with some_lanes:
                    below, align = _below(builder, args[2]), ir.Constant(width, bits // 8)
                    kind = ir.FunctionType(integers, [place.type, width, below.type, integers])
                    function = cgutils.get_or_insert_function(
                        builder.module, kind, f"llvm.masked.load.v{LANES}i{bits}.p0"
                    )
                    part, part_block = builder.call(function, [place, align, below, zeros]), builder.block
            found = builder.phi(integers)
            found.add_incoming(full, full_block)
            found.add_incoming(part, part_block)
            vector = context.get_value_type(sig.return_type)
            return builder.sitofp(found, vector) if signed else builder.uitofp(found, vector)

        return Lanes(like.dtype)(types.int64, types.int64, types.int64, like), codegen

    return load


_bytes, _shorts, _words = _counts(8, False), _counts(16, True), _counts(32, True)


@numba.njit(**INLINE)
def counts_at(code, address, at, count, like):
    """Counts number at .. at + LANES - 1 behind the address, as floats of the type of `like`."""
    if code == UINT8:
        return _bytes(address, at, count, like)
    if code == INT16:
        return _shorts(address, at, count, like)
    return _words(address, at, count, like)


def _above(bits):
    """An intrinsic: bit i of the result says whether count number at + i behind the address is above bound, i < 64."""

    @intrinsic
    def load(typingctx, address, at, bound):
        def codegen(context, builder, sig, args):
            one, i64 = ir.IntType(bits), ir.IntType(64)
            integers, undefined = ir.VectorType(one, 64), ir.Constant(ir.VectorType(one, 64), ir.Undefined)
            place = builder.add(args[0], builder.mul(args[1], ir.Constant(i64, bits // 8)))
            counts = builder.load(builder.inttoptr(place, integers.as_pointer()), align=bits // 8)
            low = builder.trunc(args[2], one)
            low = builder.insert_element(undefined, low, ir.Constant(ir.IntType(32), 0))
            bounds = builder.shuffle_vector(low, undefined, ir.Constant(ir.VectorType(ir.IntType(32), 64), [0] * 64))
            compare = builder.icmp_unsigned if bits == 8 else builder.icmp_signed
            return builder.bitcast(compare(">", counts, bounds), i64)

        return types.int64(types.int64, types.int64, types.int64), codegen

    return load


_bytes_above, _shorts_above, _words_above = _above(8), _above(16), _above(32)


@intrinsic
def lowest_bit(typingctx, bits):
    """Number of the lowest bit that is set."""

    def codegen(context, builder, sig, args):
        return builder.cttz(args[0], ir.Constant(ir.IntType(1), 1))

    return types.int64(types.int64), codegen


def _one_count(bits, signed):
    @intrinsic
    def load(typingctx, address, at):
        def codegen(context, builder, sig, args):
            i64 = ir.IntType(64)
            place = builder.add(args[0], builder.mul(args[1], ir.Constant(i64, bits // 8)))
            value = builder.load(builder.inttoptr(place, ir.IntType(bits).as_pointer()))
            return builder.sext(value, i64) if signed else builder.zext(value, i64)

        return types.int64(types.int64, types.int64), codegen

    return load


_byte, _short, _word = _one_count(8, False), _one_count(16, True), _one_count(32, True)


@numba.njit(**JIT)
def count_at(code, address, at):
    """Count number `at` behind the address."""
    if code == UINT8:
        return _byte(address, at)
    if code == INT16:
        return _short(address, at)
    return _word(address, at)


@numba.njit(**JIT)
def above(bound, code, address, at, count, end):
    """Bit i: whether count number at + i is above the bound, for i < min(count, 64); there are `end` counts in all."""
    bits = 0
    if at + 64 > end:
        for i in range(min(count, 64)):
            if count_at(code, address, at + i) > bound:
                bits |= 1 << i
        return bits
    if code == UINT8:
        bits = _bytes_above(address, at, bound)
    elif code == INT16:
        bits = _shorts_above(address, at, bound)
    else:
        bits = _words_above(address, at, bound)
    return bits if count >= 64 else bits & ((1 << count) - 1)


@intrinsic
def prefetch_byte(typingctx, address, offset):
    """A hint that the byte at address + offset is read soon; it may lie anywhere."""

    def codegen(context, builder, sig, args):
        place = builder.inttoptr(builder.add(*args), ir.IntType(8).as_pointer())
        word = ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [place.type, word, word, word])
        function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
        builder.call(function, [place, ir.Constant(word, 0), ir.Constant(word, 3), ir.Constant(word, 1)])
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), codegen
