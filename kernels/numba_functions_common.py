"""Functions of sixteen values in SIMD lanes: tanh, softplus, parts of rows, and counter-based normal noise.

tanh and softplus follow from exp(y) - 1 = 2^n (exp(s) - 1) + 2^n - 1 with y = n ln 2 + s and Taylor's series in s;
`noise_common.py` says which draw of the noise belongs where.
"""

import math

import numba
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from neurorbit.kernels.noise_common import BITS, KEY_STEPS, MULTIPLIERS, ROUNDS
from neurorbit.kernels.numba_common import JIT, LANES, Lanes, fma, where_number, where_positive

# Taylor coefficients, lowest power first, and as many of them as float32 and float64 can see.
TERMS = {"expm1": {32: 6, 64: 13}, "atanh": {32: 8, 64: 17}, "sin": {32: 5, 64: 9}, "cos": {32: 6, 64: 10}}
SERIES = {
    "expm1": lambda i: 1 / math.factorial(i + 2),  # (exp(s) - 1 - s) / s^2 in s
    "atanh": lambda i: 1 / (2 * i + 1),  # atanh(f) / f in f^2
    "sin": lambda i: (-1) ** i / math.factorial(2 * i + 1),  # sin(x) / x in x^2
    "cos": lambda i: (-1) ** i / math.factorial(2 * i),  # cos(x) in x^2
}
NUMBERS = {
    "-ln2 high": {32: -355 / 512, 64: -float.fromhex("0x1.62e42feep-1")},  # n times it is exact
    "-ln2 low": {32: 2.1219444005469058e-4, 64: -1.9082149292705877e-10},
    "log2 e": 1 / math.log(2),
    "root two": math.sqrt(2),
    "two pi": 2 * math.pi,
    "-80": -80.0,  # exp(-80) is nothing beside 1
}
SIGN = {32: 1 << 31, 64: 1 << 63}


def _of_lanes(emit):
    """An intrinsic of SIMD values of one type, with the same type as its result."""

    @intrinsic
    def function(typingctx, a):
        return a(a), lambda context, builder, sig, args: emit(builder, *args)

    return function


def _bits(vector):
    """(bits of an element, vector of integers of that size, mantissa bits, bias of the exponent)."""
    single = isinstance(vector.element, ir.FloatType)
    width = 32 if single else 64
    return width, ir.VectorType(ir.IntType(width), LANES), 23 if single else 52, 127 if single else 1023


def _call(name):
    def emit(builder, a):
        function = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(a.type, [a.type]), f"llvm.{name}.v{LANES}f{_bits(a.type)[0]}"
        )
        return builder.call(function, [a])

    return emit


def _power(builder, n):
    """2^n for whole n within the exponents' range."""
    _, integers, mantissa, bias = _bits(n.type)
    raised = builder.add(builder.fptosi(n, integers), ir.Constant(integers, [bias] * LANES))
    return builder.bitcast(builder.shl(raised, ir.Constant(integers, [mantissa] * LANES)), n.type)


def _exponent(builder, x):
    _, integers, mantissa, bias = _bits(x.type)
    raised = builder.lshr(builder.bitcast(x, integers), ir.Constant(integers, [mantissa] * LANES))
    return builder.sitofp(builder.sub(raised, ir.Constant(integers, [bias] * LANES)), x.type)


def _mantissa(builder, x):
    _, integers, mantissa, bias = _bits(x.type)
    kept = builder.and_(builder.bitcast(x, integers), ir.Constant(integers, [(1 << mantissa) - 1] * LANES))
    return builder.bitcast(builder.or_(kept, ir.Constant(integers, [bias << mantissa] * LANES)), x.type)


root = _of_lanes(_call("sqrt"))
nearest = _of_lanes(_call("rint"))
magnitude = _of_lanes(_call("fabs"))
power_of_two = _of_lanes(_power)
exponent = _of_lanes(_exponent)  # floor(log2(x)) of positive x
mantissa = _of_lanes(_mantissa)  # x / 2^exponent(x)


@intrinsic
def divide(typingctx, a, b):
    """a / b."""
    return a(a, a), lambda context, builder, sig, args: builder.fdiv(*args)


@intrinsic
def with_sign(typingctx, a, s):
    """|a| with the sign of s."""

    def codegen(context, builder, sig, args):
        width, integers, _, _ = _bits(args[0].type)
        sign = ir.Constant(integers, [SIGN[width]] * LANES)
        a, s = (builder.bitcast(x, integers) for x in args)
        found = builder.or_(builder.and_(a, builder.not_(sign)), builder.and_(s, sign))
        return builder.bitcast(found, args[0].type)

    return a(a, a), codegen


@intrinsic(prefer_literal=True)
def number(typingctx, like, name):
    """A constant in every lane: a name of NUMBERS, or a whole number of quarters."""
    dtype = like.dtype
    if isinstance(name, types.StringLiteral):
        value = NUMBERS[name.literal_value]
        value = value[dtype.bitwidth] if isinstance(value, dict) else value
    else:
        value = name.literal_value / 4

    def codegen(context, builder, sig, args):
        return ir.Constant(context.get_value_type(sig.return_type), [value] * LANES)

    return Lanes(dtype)(like, name), codegen


@intrinsic(prefer_literal=True)
def series(typingctx, name, x):
    """Horner's rule with the coefficients of a series."""
    coefficients = [SERIES[name.literal_value](i) for i in range(TERMS[name.literal_value][x.dtype.bitwidth])]

    def codegen(context, builder, sig, args):
        vector = args[1].type
        step = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(vector, [vector] * 3), f"llvm.fma.v{LANES}f{_bits(vector)[0]}"
        )
        found = ir.Constant(vector, [coefficients[-1]] * LANES)
        for c in coefficients[-2::-1]:
            found = builder.call(step, [found, args[1], ir.Constant(vector, [c] * LANES)])
        return found

    return x(name, x), codegen


def _pointer(context, builder, array_type, array, index):
    values = context.make_array(array_type)(context, builder, array)
    return cgutils.get_item_pointer(context, builder, array_type, values, [index], wraparound=False)


def _below(builder, count):
    """Which lanes have an index below the count, which fits 32 bits."""
    narrow = ir.VectorType(ir.IntType(32), LANES)
    one = builder.insert_element(
        ir.Constant(narrow, ir.Undefined), builder.trunc(count, ir.IntType(32)), ir.Constant(ir.IntType(32), 0)
    )
    counts = builder.shuffle_vector(one, ir.Constant(narrow, ir.Undefined), ir.Constant(narrow, [0] * LANES))
    return builder.icmp_signed("<", ir.Constant(narrow, list(range(LANES))), counts)


def _masked(builder, name, result, parameters, vector):
    return cgutils.get_or_insert_function(
        builder.module, ir.FunctionType(result, parameters), f"llvm.masked.{name}.v{LANES}f{_bits(vector)[0]}.p0"
    )


@intrinsic
def load_first(typingctx, array, at, count):
    """Lane i: array[at + i] where i < count (any number), 0 elsewhere; nothing past them is touched."""

    def codegen(context, builder, sig, args):
        vector = context.get_value_type(sig.return_type)
        place = builder.bitcast(_pointer(context, builder, array, args[0], args[1]), vector.as_pointer())
        mask = _below(builder, args[2])
        align = ir.Constant(ir.IntType(32), array.dtype.bitwidth // 8)
        function = _masked(builder, "load", vector, [place.type, align.type, mask.type, vector], vector)
        return builder.call(function, [place, align, mask, ir.Constant(vector, [0.0] * LANES)])

    return Lanes(array.dtype)(array, types.int64, types.int64), codegen


@intrinsic
def store_first(typingctx, array, at, value, count):
    """array[at + i] = lane i where i < count."""

    def codegen(context, builder, sig, args):
        vector = args[2].type
        place = builder.bitcast(_pointer(context, builder, array, args[0], args[1]), vector.as_pointer())
        mask = _below(builder, args[3])
        align = ir.Constant(ir.IntType(32), array.dtype.bitwidth // 8)
        function = _masked(builder, "store", ir.VoidType(), [vector, place.type, align.type, mask.type], vector)
        builder.call(function, [args[2], place, align, mask])
        return context.get_dummy_value()

    return types.void(array, types.int64, value, types.int64), codegen


@intrinsic
def prefetch(typingctx, array, at):
    """A hint that array[at] is read soon; the index may lie outside."""

    def codegen(context, builder, sig, args):
        place = _pointer(context, builder, array, args[0], args[1])
        place = builder.bitcast(place, ir.IntType(8).as_pointer())
        word = ir.IntType(32)
        function = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(ir.VoidType(), [place.type, word, word, word]), "llvm.prefetch.p0"
        )
        builder.call(function, [place, ir.Constant(word, 0), ir.Constant(word, 3), ir.Constant(word, 1)])
        return context.get_dummy_value()

    return types.void(array, types.int64), codegen


@intrinsic
def first(typingctx, value, count):
    """The value in the lanes i < count, 0 elsewhere."""

    def codegen(context, builder, sig, args):
        return builder.select(_below(builder, args[1]), args[0], ir.Constant(args[0].type, [0.0] * LANES))

    return value(value, types.int64), codegen


@numba.njit(**JIT)
def load_at(array, at):
    """array[at : at + LANES] of a flat array."""
    return load_first(array, at, LANES)


@numba.njit(**JIT)
def store_at(array, at, value):
    """array[at : at + LANES] = the lanes of the value."""
    store_first(array, at, value, LANES)


@numba.njit(**JIT)
def _split(y):
    """(2^n, exp(s) - 1) with y = n ln 2 + s, for y <= 0."""
    y = where_positive(y - number(y, "-80"), y, number(y, "-80"))
    n = nearest(y * number(y, "log2 e"))
    s = fma(n, number(y, "-ln2 low"), fma(n, number(y, "-ln2 high"), y))
    return power_of_two(n), fma(s * s, series("expm1", s), s)


@numba.njit(**JIT)
def exp(y):
    """exp(y) for y <= 0."""
    scale, p = _split(y)
    return fma(scale, p, scale)


@numba.njit(**JIT)
def expm1(y):
    """exp(y) - 1 for y <= 0."""
    scale, p = _split(y)
    return fma(scale, p, scale - number(y, 4))


@numba.njit(**JIT)
def tanh(x):
    m = expm1(magnitude(x) * number(x, -8))
    return where_number(x, with_sign(divide(m, m + number(x, 8)), x), x)


@numba.njit(**JIT)
def softplus(x):
    """log(1 + exp(x)) = max(x, 0) + 2 atanh(e / (2 + e)), e = exp(-|x|)."""
    e = exp(magnitude(x) * number(x, -4))
    f = divide(e, e + number(x, 8))
    found = where_positive(x, x, number(x, 0)) + number(x, 8) * f * series("atanh", f * f)
    return where_number(x, found, x)


@numba.njit(**JIT)
def log(x):
    """Logarithm of positive, normal x."""
    e, m = exponent(x), mantissa(x)
    large = m - number(x, "root two")
    m = where_positive(large, m * number(x, 2), m)
    e = where_positive(large, e + number(x, 4), e)
    f = divide(m - number(x, 4), m + number(x, 4))
    small = fma(e, number(x, 0) - number(x, "-ln2 low"), number(x, 8) * f * series("atanh", f * f))
    return fma(e, number(x, 0) - number(x, "-ln2 high"), small)


@numba.njit(**JIT)
def turned(v):
    """(cos, sin) of 2 pi v for 0 <= v < 1."""
    n = nearest(v * number(v, 16))
    x = fma(n, number(v, -1), v) * number(v, "two pi")
    square = x * x
    c, s = series("cos", square), x * series("sin", square)
    odd = n * (number(v, 16) - n) - number(v, 12)  # not 0 for even n
    odd = odd * odd
    a, b = where_positive(odd, c, s), where_positive(odd, s, c)
    zero, one = number(v, 0), number(v, 4)
    left, low = n - number(v, 6), n - number(v, 10)
    return (
        where_positive(one - left * left, zero - a, a),
        where_positive(one - low * low, zero - b, b),
    )


@intrinsic
def draw_uniform(typingctx, out, block, step, stream, seed):
    """Philox's words of the counters 16 block + lane: out[16 i + lane] in [0, 1), plus 2^-24 for even i."""

    def codegen(context, builder, sig, args):
        narrow, wide = (ir.VectorType(ir.IntType(n), LANES) for n in (32, 64))
        zeros = ir.Constant(narrow, [0] * LANES)

        def spread(value):
            one = builder.insert_element(
                ir.Constant(narrow, ir.Undefined), builder.trunc(value, ir.IntType(32)), ir.Constant(ir.IntType(32), 0)
            )
            return builder.shuffle_vector(one, ir.Constant(narrow, ir.Undefined), zeros)

        def same(value, kind=narrow):
            return ir.Constant(kind, [value] * LANES)

        def halves(value):
            return spread(value), spread(builder.lshr(value, ir.Constant(ir.IntType(64), 32)))

        c0 = builder.add(builder.mul(spread(args[1]), same(LANES)), ir.Constant(narrow, list(range(LANES))))
        c1, (c2, c3), (k0, k1) = spread(args[2]), halves(args[3]), halves(args[4])
        for _ in range(ROUNDS):
            highs, lows = [], []
            for c, factor in zip((c0, c2), MULTIPLIERS, strict=True):
                product = builder.mul(builder.zext(c, wide), same(factor, wide))
                highs.append(builder.trunc(builder.lshr(product, same(32, wide)), narrow))
                lows.append(builder.trunc(product, narrow))
            c0, c2 = builder.xor(builder.xor(highs[1], c1), k0), builder.xor(builder.xor(highs[0], c3), k1)
            c1, c3 = lows[1], lows[0]
            k0, k1 = builder.add(k0, same(KEY_STEPS[0])), builder.add(k1, same(KEY_STEPS[1]))
        vector = ir.VectorType(context.get_value_type(out.dtype), LANES)
        start = _pointer(context, builder, out, args[0], ir.Constant(ir.IntType(64), 0))
        for i, word in enumerate((c0, c1, c2, c3)):
            value = builder.uitofp(builder.lshr(word, same(32 - BITS)), vector)
            if i % 2 == 0:
                value = builder.fadd(value, ir.Constant(vector, [0.5] * LANES))
            value = builder.fmul(value, ir.Constant(vector, [0.5**BITS] * LANES))
            place = builder.gep(start, [ir.Constant(ir.IntType(64), i * LANES)])
            builder.store(value, builder.bitcast(place, vector.as_pointer()), align=out.dtype.bitwidth // 8)
        return context.get_dummy_value()

    integer = types.int64
    return types.void(out, integer, integer, integer, integer), codegen


@numba.njit(**JIT)
def draw_normal(out, block, step, stream, seed):
    """Standard normal draws of the units 64 block .. 64 block + 63 into out [64]."""
    draw_uniform(out, block, step, stream, seed)
    for pair in range(0, 4 * LANES, 2 * LANES):
        p = load_at(out, pair)
        radius = root(log(p) * number(p, -8))
        c, s = turned(load_at(out, pair + LANES))
        store_first(out, pair, radius * c, LANES)
        store_first(out, pair + LANES, radius * s, LANES)
