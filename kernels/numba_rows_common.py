"""Numbers behind plain pointers: rows of sixteen sequences, several rows in registers, transposes and products.

Pointers instead of arrays: less to compile, and one scratch buffer from outside instead of allocations inside.
"""

import numba
import torch
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from neurorbit.kernels.numba_common import JIT, LANES, Lanes, emit_fma, emit_spread, fma, total

INT = ir.IntType(32)


def _shuffle(builder, a, b, lanes):
    return builder.shuffle_vector(a, b, ir.Constant(ir.VectorType(INT, len(lanes)), lanes))


def _number(builder, p, i):
    return builder.load(builder.gep(p, [i]))


def _row(builder, p, row):
    """Address of p[row * LANES] as that of a vector."""
    return builder.gep(builder.bitcast(p, ir.VectorType(p.type.pointee, LANES).as_pointer()), [row])


def _align(p):
    return 4 if isinstance(p.type.pointee, ir.FloatType) else 8


def _load(builder, p, row):
    return builder.load(_row(builder, p, row), align=_align(p))


def _store(builder, p, row, value):
    builder.store(value, _row(builder, p, row), align=_align(p))


@intrinsic
def pointer_to(typingctx, address, like):
    """The address as a pointer to numbers of the type of `like`."""

    def codegen(context, builder, sig, args):
        return builder.inttoptr(args[0], context.get_value_type(sig.return_type))

    return types.CPointer(like)(address, like), codegen


@intrinsic
def at(typingctx, p, i):
    """The pointer, i numbers on."""

    def codegen(context, builder, sig, args):
        return builder.gep(args[0], [args[1]])

    return p(p, types.intp), codegen


@intrinsic
def numbers(typingctx, p, i, offset, like):
    """The numbers of the type of `like` at the address p[i], from number `offset` on."""

    def codegen(context, builder, sig, args):
        start = builder.inttoptr(_number(builder, *args[:2]), context.get_value_type(sig.return_type))
        return builder.gep(start, [args[2]])

    return types.CPointer(like)(p, types.intp, types.intp, like), codegen


@intrinsic
def spread_at(typingctx, p, i):
    """p[i] in every lane."""

    def codegen(context, builder, sig, args):
        return emit_spread(builder, _number(builder, *args))

    return Lanes(p.dtype)(p, types.intp), codegen


@intrinsic
def load_row(typingctx, p, row):
    """Row `row` behind p: p[row * LANES : (row + 1) * LANES]."""

    def codegen(context, builder, sig, args):
        return _load(builder, *args)

    return Lanes(p.dtype)(p, types.intp), codegen


@intrinsic
def store_row(typingctx, p, row, value):
    """Row `row` behind p becomes the value."""

    def codegen(context, builder, sig, args):
        _store(builder, *args)
        return context.get_dummy_value()

    return types.void(p, types.intp, value), codegen


# Rows: several SIMD values that stay in registers together. Their number is part of the type (that of a tuple of
# numbers, `like`), so that loops over them are unrolled.


def _rows(like):
    return types.UniTuple(Lanes(like.dtype), like.count)


def _each(like, codegen):
    """Codegen of a tuple whose m-th row is codegen(builder, args, m)."""

    def whole(context, builder, sig, args):
        return cgutils.pack_array(builder, [codegen(builder, args, m) for m in range(like.count)])

    return whole


def _plus(builder, i, m):
    return builder.add(i, ir.Constant(i.type, m))


@intrinsic
def zero_rows(typingctx, like):
    """As many rows as `like` has numbers, all 0."""

    def codegen(builder, args, m):
        return emit_spread(builder, ir.Constant(args[0].type.element, 0.0))

    return _rows(like)(like), _each(like, codegen)


@intrinsic
def load_rows(typingctx, p, row, like):
    """Rows `row`, `row` + 1, ... behind p."""

    def codegen(builder, args, m):
        return _load(builder, args[0], _plus(builder, args[1], m))

    return _rows(like)(p, types.intp, like), _each(like, codegen)


@intrinsic
def store_rows(typingctx, p, row, value):
    """The way back."""

    def codegen(context, builder, sig, args):
        for m, one in enumerate(cgutils.unpack_tuple(builder, args[2])):
            _store(builder, args[0], _plus(builder, args[1], m), one)
        return context.get_dummy_value()

    return types.void(p, types.intp, value), codegen


@intrinsic
def splat_rows(typingctx, p, i, stride, like):
    """Row m holds p[i + m stride] in every lane."""

    def codegen(builder, args, m):
        place = builder.add(args[1], builder.mul(args[2], ir.Constant(args[2].type, m)))
        return emit_spread(builder, _number(builder, args[0], place))

    return _rows(like)(p, types.intp, types.intp, like), _each(like, codegen)


@intrinsic
def inner(typingctx, a, b):
    """sum_m a_m b_m, row after row."""

    def codegen(context, builder, sig, args):
        x, y = (cgutils.unpack_tuple(builder, v) for v in args)
        s = builder.fmul(x[0], y[0])
        for m in range(1, a.count):
            s = emit_fma(builder, x[m], y[m], s)
        return s

    return a.dtype(a, b), codegen


@intrinsic
def add_scaled(typingctx, s, a, v):
    """s_m + a_m v."""

    def codegen(builder, args, m):
        return emit_fma(builder, builder.extract_value(args[1], m), args[2], builder.extract_value(args[0], m))

    return s(s, a, v), _each(s, codegen)


@numba.njit(**JIT)
def multiply(y, w, row, column, x, rows, inner, zero):
    """y_r = sum_k w[r row + k column] x_k for the rows behind y and x; four rows and two k at a time.

    Where fewer than four rows are left, the last one is computed again: eight independent sums hide the latency.
    """
    last = rows - 1
    even = inner // 2 * 2
    for r in range(0, rows, 4):
        r1, r2, r3 = min(r + 1, last), min(r + 2, last), min(r + 3, last)
        w0, w1, w2, w3 = at(w, r * row), at(w, r1 * row), at(w, r2 * row), at(w, r3 * row)
        s0, s1, s2, s3, p0, p1, p2, p3 = zero, zero, zero, zero, zero, zero, zero, zero
        for k in range(0, even, 2):
            v, n, i, j = load_row(x, k), load_row(x, k + 1), k * column, (k + 1) * column
            s0, p0 = fma(spread_at(w0, i), v, s0), fma(spread_at(w0, j), n, p0)
            s1, p1 = fma(spread_at(w1, i), v, s1), fma(spread_at(w1, j), n, p1)
            s2, p2 = fma(spread_at(w2, i), v, s2), fma(spread_at(w2, j), n, p2)
            s3, p3 = fma(spread_at(w3, i), v, s3), fma(spread_at(w3, j), n, p3)
        if even < inner:
            v, i = load_row(x, even), even * column
            s0, s1 = fma(spread_at(w0, i), v, s0), fma(spread_at(w1, i), v, s1)
            s2, s3 = fma(spread_at(w2, i), v, s2), fma(spread_at(w3, i), v, s3)
        store_row(y, r, s0 + p0)
        store_row(y, r1, s1 + p1)
        store_row(y, r2, s2 + p2)
        store_row(y, r3, s3 + p3)


@numba.njit(**JIT)
def add_products(g, stride, row, x, rows, steps, zero):
    """g[r stride] += sum over t and lanes of row_t x_(t * rows + r), for r < rows; four r and two t at a time."""
    last = rows - 1
    even = steps // 2 * 2
    for r in range(0, rows, 4):
        r1, r2, r3 = min(r + 1, last), min(r + 2, last), min(r + 3, last)
        s0, s1, s2, s3, p0, p1, p2, p3 = zero, zero, zero, zero, zero, zero, zero, zero
        for t in range(0, even, 2):
            i, j = t * rows, (t + 1) * rows
            v, n = load_row(row, t), load_row(row, t + 1)
            s0, p0 = fma(v, load_row(x, i + r), s0), fma(n, load_row(x, j + r), p0)
            s1, p1 = fma(v, load_row(x, i + r1), s1), fma(n, load_row(x, j + r1), p1)
            s2, p2 = fma(v, load_row(x, i + r2), s2), fma(n, load_row(x, j + r2), p2)
            s3, p3 = fma(v, load_row(x, i + r3), s3), fma(n, load_row(x, j + r3), p3)
        if even < steps:
            i, v = even * rows, load_row(row, even)
            s0, s1 = fma(v, load_row(x, i + r), s0), fma(v, load_row(x, i + r1), s1)
            s2, s3 = fma(v, load_row(x, i + r2), s2), fma(v, load_row(x, i + r3), s3)
        g[r * stride] += total(s0 + p0)
        if r + 1 < rows:
            g[r1 * stride] += total(s1 + p1)
        if r + 2 < rows:
            g[r2 * stride] += total(s2 + p2)
        if r + 3 < rows:
            g[r3 * stride] += total(s3 + p3)


@intrinsic
def transpose(typingctx, target, target_stride, source, source_stride):
    """target[i target_stride + j] = source[j source_stride + i] for i, j < LANES, in registers.

    Of each pair of rows d apart, the blocks of d lanes off the diagonal change places: d = 8, 4, 2, 1.
    """

    def codegen(context, builder, sig, args):
        def place(p, stride, i):
            return builder.gep(p, [builder.mul(stride, ir.Constant(stride.type, i))])

        zero = ir.Constant(args[1].type, 0)
        rows = [_load(builder, place(*args[2:], i), zero) for i in range(LANES)]
        d = LANES // 2
        while d:
            for i in (i for i in range(LANES) if not i & d):
                pair = rows[i], rows[i + d]
                rows[i] = _shuffle(builder, *pair, [LANES + l - d if l & d else l for l in range(LANES)])
                rows[i + d] = _shuffle(builder, *pair, [LANES + l if l & d else l + d for l in range(LANES)])
            d //= 2
        for i, row in enumerate(rows):
            _store(builder, place(*args[:2], i), zero, row)
        return context.get_dummy_value()

    return types.void(target, types.intp, source, types.intp), codegen


@numba.njit(**JIT)
def lanes_in(block, data, stride, count, n):
    """Row r of the block holds data[i stride + r] in lane i, for r < n; 0 in the lanes past `count`."""
    whole = n // LANES * LANES if count == LANES else 0
    for r in range(0, whole, LANES):
        transpose(at(block, r * LANES), LANES, at(data, r), stride)
    for i in range(LANES):
        for r in range(whole, n):
            block[r * LANES + i] = data[i * stride + r] if i < count else 0


@numba.njit(**JIT)
def lanes_out(data, stride, block, count, n):
    """The way back: data[i stride + r] is lane i of row r."""
    whole = n // LANES * LANES if count == LANES else 0
    for r in range(0, whole, LANES):
        transpose(at(data, r), stride, at(block, r * LANES), LANES)
    for i in range(count):
        for r in range(whole, n):
            data[i * stride + r] = block[r * LANES + i]


def data_pointers(*tensors: torch.Tensor | None) -> list[int]:
    """Where the tensors' data begin, in C order, 0 for a missing one; they must live until the kernel has returned."""
    return [0 if x is None else x.data_ptr() for x in tensors]
