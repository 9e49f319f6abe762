"""Matrix products inside a numba loop: tiles of the result in registers, the right factor packed into panels.

Every element is a chain of fused multiply-adds in the order of the inner index, in chunks of CHUNK: its bits depend
neither on the tile it falls into nor on threads nor on the width of the machine's vectors.
"""

import llvmlite.binding
import numba
import torch
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from neurorbit.kernels.numba_common import JIT

WIDE = bool(llvmlite.binding.get_host_cpu_features().get("avx512f"))
PANEL_BYTES = 128 if WIDE else 64  # one row of a panel: two vectors of 512 bits, or what fits 16 registers of 256
CHUNK = 256  # inner indices per pass: a panel of that length fits the L1 cache


def panel_width(dtype: torch.dtype) -> int:
    """Columns of one panel."""
    return PANEL_BYTES // dtype.itemsize


def padded_width(columns: int, dtype: torch.dtype) -> int:
    """Columns, filled up to whole panels."""
    width = panel_width(dtype)
    return -(-columns // width) * width


def panels_of(matrix: torch.Tensor) -> torch.Tensor:
    """[..., K, J] packed as [..., panels, K, panel width], zeros past J: the form that `add_product` reads."""
    width = panel_width(matrix.dtype)
    *lead, K, J = matrix.shape
    count = -(-J // width)
    packed = matrix.new_empty(*lead, count, K, width)
    whole = J // width
    packed[..., :whole, :, :] = matrix[..., : whole * width].reshape(*lead, K, whole, width).transpose(-3, -2)
    if whole < count:
        packed[..., whole, :, : J - whole * width] = matrix[..., whole * width :]
        packed[..., whole, :, J - whole * width :] = 0
    return packed


@numba.njit(**JIT)
def pack_panels(packed, matrix, K, J, columns, width, turned):
    """The matrix [K, J], or the transpose of [J, K], as `panels_of` makes it of so many columns; all arrays flat."""
    for p in range((columns + width - 1) // width):
        first = p * width
        n = max(0, min(width, J - first))
        panel = packed[first * K : (first + width) * K]
        if turned:
            for j in range(n):
                for k in range(K):
                    panel[k * width + j] = matrix[(first + j) * K + k]
        else:
            for k in range(K):
                for j in range(n):
                    panel[k * width + j] = matrix[k * J + first + j]
        for k in range(K):
            for j in range(n, width):
                panel[k * width + j] = 0


def _at(context, builder, array_type, array, index):
    values = context.make_array(array_type)(context, builder, array)
    return cgutils.get_item_pointer(context, builder, array_type, values, [index], wraparound=False)


@intrinsic(prefer_literal=True)
def add_tile(typingctx, c, c0, c_row, a, a0, a_row, a_step, w, w0, steps, rows, vectors):
    """c[c0 + r c_row + j] += sum over k < steps of a[a0 + r a_row + k a_step] w[w0 + k J + j].

    Flat arrays; J is the width of a panel, which is two vectors; `rows` and `vectors`, the columns of the tile, are
    literals. The sums stay in registers.
    """
    if not isinstance(rows, types.IntegerLiteral) or not isinstance(vectors, types.IntegerLiteral):
        return None
    R, V, bits = rows.literal_value, vectors.literal_value, c.dtype.bitwidth
    lanes = PANEL_BYTES // 2 * 8 // bits

    def codegen(context, builder, sig, args):
        element, i64 = context.get_value_type(c.dtype), ir.IntType(64)
        vector, align = ir.VectorType(element, lanes), bits // 8
        fma = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(vector, [vector] * 3), f"llvm.fma.v{lanes}f{bits}"
        )
        zero, undefined = ir.Constant(vector, [0.0] * lanes), ir.Constant(vector, ir.Undefined)
        zeros = ir.Constant(ir.VectorType(ir.IntType(32), lanes), [0] * lanes)
        first = [_at(context, builder, sig.args[i], args[i], args[i + 1]) for i in (0, 3, 7)]
        c_row, a_row, a_step, steps = args[2], args[5], args[6], args[9]

        def moved(pointer, count):
            return builder.gep(pointer, [count])

        def vector_at(pointer, column):
            return builder.bitcast(moved(pointer, ir.Constant(i64, column)), vector.as_pointer())

        row_of = [builder.mul(a_row, ir.Constant(i64, r)) for r in range(R)]
        before = builder.block
        loop, end = builder.append_basic_block("steps"), builder.append_basic_block("summed")
        builder.cbranch(builder.icmp_signed(">", steps, ir.Constant(i64, 0)), loop, end)
        builder.position_at_end(loop)
        k = builder.phi(i64)
        k.add_incoming(ir.Constant(i64, 0), before)
        sums = [builder.phi(vector) for _ in range(R * V)]
        a_k = moved(first[1], builder.mul(k, a_step))
        w_k = moved(first[2], builder.mul(k, ir.Constant(i64, 2 * lanes)))
        factors = [builder.load(vector_at(w_k, v * lanes), align=align) for v in range(V)]
        new = []
        for r in range(R):
            value = builder.load(moved(a_k, row_of[r]))
            spread = builder.shuffle_vector(
                builder.insert_element(undefined, value, ir.Constant(ir.IntType(32), 0)), undefined, zeros
            )
            new += [builder.call(fma, [spread, factors[v], sums[r * V + v]]) for v in range(V)]
        following = builder.add(k, ir.Constant(i64, 1))
        k.add_incoming(following, loop)
        for before_step, after_step in zip(sums, new, strict=True):
            before_step.add_incoming(zero, before)
            before_step.add_incoming(after_step, loop)
        builder.cbranch(builder.icmp_signed("<", following, steps), loop, end)
        builder.position_at_end(end)
        totals = [builder.phi(vector) for _ in new]
        for total, last in zip(totals, new, strict=True):
            total.add_incoming(zero, before)
            total.add_incoming(last, loop)
        for i, total in enumerate(totals):
            row = moved(first[0], builder.mul(c_row, ir.Constant(i64, i // V)))
            place = vector_at(row, i % V * lanes)
            builder.store(builder.fadd(builder.load(place, align=align), total), place, align=align)
        return context.get_dummy_value()

    integer = types.int64
    return types.void(c, integer, integer, a, integer, integer, integer, w, integer, integer, rows, vectors), codegen


if WIDE:

    @numba.njit(**JIT)
    def _add_column(c, c0, c_row, a, a0, a_row, a_step, w, w0, steps, rows):
        r = 0
        while r + 8 <= rows:
            add_tile(c, c0 + r * c_row, c_row, a, a0 + r * a_row, a_row, a_step, w, w0, steps, 8, 2)
            r += 8
        if r + 4 <= rows:
            add_tile(c, c0 + r * c_row, c_row, a, a0 + r * a_row, a_row, a_step, w, w0, steps, 4, 2)
            r += 4
        if r + 2 <= rows:
            add_tile(c, c0 + r * c_row, c_row, a, a0 + r * a_row, a_row, a_step, w, w0, steps, 2, 2)
            r += 2
        if r < rows:
            add_tile(c, c0 + r * c_row, c_row, a, a0 + r * a_row, a_row, a_step, w, w0, steps, 1, 2)

else:

    @numba.njit(**JIT)
    def _add_column(c, c0, c_row, a, a0, a_row, a_step, w, w0, steps, rows):
        r = 0
        while r + 4 <= rows:
            add_tile(c, c0 + r * c_row, c_row, a, a0 + r * a_row, a_row, a_step, w, w0, steps, 4, 2)
            r += 4
        while r < rows:
            add_tile(c, c0 + r * c_row, c_row, a, a0 + r * a_row, a_row, a_step, w, w0, steps, 1, 2)
            r += 1


@numba.njit(**JIT)
def _add_half_column(c, c0, c_row, a, a0, a_row, a_step, w, w0, steps, rows):
    r = 0
    while r + 8 <= rows:
        add_tile(c, c0 + r * c_row, c_row, a, a0 + r * a_row, a_row, a_step, w, w0, steps, 8, 1)
        r += 8
    while r < rows:
        add_tile(c, c0 + r * c_row, c_row, a, a0 + r * a_row, a_row, a_step, w, w0, steps, 1, 1)
        r += 1


@numba.njit(**JIT)
def add_product(c, c0, c_row, a, a0, a_row, a_step, w, w0, inner, rows, columns, width):
    """c += a w for flat arrays: c [rows, columns], a [rows, inner] with its own strides, w in panels.

    Columns past the last are touched up to half a panel: rows of c are that much apart, or more.
    """
    for k in range(0, inner, CHUNK):
        steps = min(CHUNK, inner - k)
        for j in range(0, columns, width):
            at = w0 + j * inner + k * width
            if columns - j > width // 2:
                _add_column(c, c0 + j, c_row, a, a0 + k * a_step, a_row, a_step, w, at, steps, rows)
            else:
                _add_half_column(c, c0 + j, c_row, a, a0 + k * a_step, a_row, a_step, w, at, steps, rows)
