"""Two operations on sixteen SIMD lanes that only event_projection needs: lanes inside a filter, and lanes reversed."""

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from neurorbit.kernels.numba_common import LANES


@intrinsic
def where_inside(typingctx, value, lag, width):
    """The value in the lanes i with 0 <= lag + i < width, zero in the others; lags of 32 bits."""

    def codegen(context, builder, sig, args):
        integers = ir.VectorType(ir.IntType(32), LANES)

        def spread(number):
            number = builder.trunc(number, ir.IntType(32))
            one = builder.insert_element(ir.Constant(integers, ir.Undefined), number, ir.Constant(ir.IntType(32), 0))
            zeros = ir.Constant(integers, [0] * LANES)
            return builder.shuffle_vector(one, ir.Constant(integers, ir.Undefined), zeros)

        lanes = builder.add(spread(args[1]), ir.Constant(integers, list(range(LANES))))
        inside = builder.icmp_unsigned("<", lanes, spread(args[2]))  # a negative lag is a large unsigned one
        return builder.select(inside, args[0], ir.Constant(args[0].type, [0.0] * LANES))

    return value(value, types.intp, types.intp), codegen


@intrinsic
def backwards(typingctx, value):
    """The lanes in the opposite order."""

    def codegen(context, builder, sig, args):
        order = ir.Constant(ir.VectorType(ir.IntType(32), LANES), list(range(LANES - 1, -1, -1)))
        return builder.shuffle_vector(args[0], args[0], order)

    return value(value), codegen
