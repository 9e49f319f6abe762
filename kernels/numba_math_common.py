"""Arithmetic on Lanes beyond + - *: division, negation, plain numbers as operands, exp, sigmoid, tanh.

No library function is called, nothing may be fused or reordered: the same sources give the same bits everywhere.
"""

import math
import operator

import numba
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.typing.templates import AbstractTemplate, infer_global, signature
from numba.extending import intrinsic, lower_builtin, overload

from neurorbit.kernels.numba_common import JIT, LANES, Lanes, fma, where_positive

INLINE = {**JIT, "cache": False, "forceinline": True}
INVERSE_LN2 = 1 / math.log(2)
LN2_HIGH = 0.693145751953125  # 15 bits: its product with an exponent is exact
LN2_LOW = 1.4286068203094173e-06


@infer_global(operator.truediv)
class _Division(AbstractTemplate):
    def generic(self, args, kws):
        if len(args) == 2 and isinstance(args[0], Lanes) and args[0] == args[1]:
            return signature(args[0], *args)
        return None


@lower_builtin(operator.truediv, Lanes, Lanes)
def _divide(context, builder, sig, args):
    return builder.fdiv(*args)


@infer_global(operator.neg)
class _Negation(AbstractTemplate):
    def generic(self, args, kws):
        return signature(args[0], args[0]) if len(args) == 1 and isinstance(args[0], Lanes) else None


@lower_builtin(operator.neg, Lanes)
def _negate(context, builder, sig, args):
    return builder.fneg(args[0])


@intrinsic
def constant(typingctx, value, like):
    """The number, rounded to the precision of the lanes of `like`, in every lane."""

    def codegen(context, builder, sig, args):
        number = context.cast(builder, args[0], sig.args[0], sig.return_type.dtype)
        vector = context.get_value_type(sig.return_type)
        one = builder.insert_element(ir.Constant(vector, ir.Undefined), number, ir.Constant(ir.IntType(32), 0))
        zeros = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)
        return builder.shuffle_vector(one, ir.Constant(vector, ir.Undefined), zeros)

    return like(value, like), codegen


def _with_numbers(operation):
    @overload(operation, inline="always")
    def mixed(a, b):
        if isinstance(a, Lanes) and isinstance(b, types.Number):
            return lambda a, b: operation(a, constant(b, a))
        if isinstance(a, types.Number) and isinstance(b, Lanes):
            return lambda a, b: operation(constant(a, b), b)
        return None


for _operation in (operator.add, operator.sub, operator.mul, operator.truediv):
    _with_numbers(_operation)


@intrinsic
def nearest_whole(typingctx, a):
    """Each lane rounded to the nearest whole number, halves to even; NaN becomes 0."""

    def codegen(context, builder, sig, args):
        vector = args[0].type
        suffix = "f32" if isinstance(vector.element, ir.FloatType) else "f64"
        name = f"llvm.nearbyint.v{LANES}{suffix}"
        function = cgutils.get_or_insert_function(builder.module, ir.FunctionType(vector, [vector]), name)
        zero = ir.Constant(vector, [0.0] * LANES)
        return builder.call(function, [builder.select(builder.fcmp_ordered("ord", args[0], zero), args[0], zero)])

    return a(a), codegen


@intrinsic
def power_of_two(typingctx, n):
    """2^n of whole numbers n within the range of normal exponents."""

    def codegen(context, builder, sig, args):
        single = isinstance(args[0].type.element, ir.FloatType)
        bits, mantissa, bias = (32, 23, 127) if single else (64, 52, 1023)
        vector = ir.VectorType(ir.IntType(bits), LANES)
        whole = builder.fptosi(args[0], vector)
        raised = builder.add(whole, ir.Constant(vector, [bias] * LANES))
        return builder.bitcast(builder.shl(raised, ir.Constant(vector, [mantissa] * LANES)), args[0].type)

    return n(n), codegen


@intrinsic
def is_single(typingctx, a):
    """Whether the lanes hold float32: known when the kernel is compiled."""
    single = a.dtype == types.float32

    def codegen(context, builder, sig, args):
        return ir.Constant(ir.IntType(1), int(single))

    return types.boolean(a), codegen


@numba.njit(**INLINE)
def clamp(x, low, high):
    """x within [low, high]; NaN stays NaN."""
    x = where_positive(low - x, low, x)
    return where_positive(x - high, high, x)


@numba.njit(**INLINE)
def reduced(x):
    """(n, r) with x = n ln 2 + r and |r| <= ln(2) / 2."""
    n = nearest_whole(x * INVERSE_LN2)
    r = fma(-n, constant(LN2_HIGH, x), x)
    return n, fma(-n, constant(LN2_LOW, x), r)


@numba.njit(**INLINE)
def exp_minus_one_near_zero(r):
    """Taylor's series of exp(r) - 1 for |r| <= ln(2) / 2."""
    if is_single(r):
        s = constant(1 / 5040, r)
    else:
        s = constant(1 / 6227020800, r)
        s = fma(s, r, constant(1 / 479001600, r))
        s = fma(s, r, constant(1 / 39916800, r))
        s = fma(s, r, constant(1 / 3628800, r))
        s = fma(s, r, constant(1 / 362880, r))
        s = fma(s, r, constant(1 / 40320, r))
        s = fma(s, r, constant(1 / 5040, r))
    s = fma(s, r, constant(1 / 720, r))
    s = fma(s, r, constant(1 / 120, r))
    s = fma(s, r, constant(1 / 24, r))
    s = fma(s, r, constant(1 / 6, r))
    s = fma(s, r, constant(0.5, r))
    return fma(s * r, r, r)


@numba.njit(**INLINE)
def exp(x):
    """e^x; 0 and infinity past the ends of the range, NaN for NaN."""
    if is_single(x):
        x = clamp(x, constant(-105.0, x), constant(90.0, x))
    else:
        x = clamp(x, constant(-750.0, x), constant(711.0, x))
    n, r = reduced(x)
    value = exp_minus_one_near_zero(r) + 1.0
    half = nearest_whole(n * 0.5)  # 2^n itself need not be a normal number
    return value * power_of_two(half) * power_of_two(n - half)


@numba.njit(**INLINE)
def sigmoid(x):
    """1 / (1 + e^-x)."""
    return 1.0 / (exp(-x) + 1.0)


@numba.njit(**INLINE)
def tanh(x):
    """(e^2x - 1) / (e^2x + 1), without cancellation near 0."""
    n, r = reduced(clamp(x + x, constant(-44.0, x), constant(44.0, x)))
    scale = power_of_two(n)
    e = fma(exp_minus_one_near_zero(r), scale, scale - 1.0)
    return e / (e + 2.0)
