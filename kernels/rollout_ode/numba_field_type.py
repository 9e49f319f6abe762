"""How a vector field enters the numba kernels: as a type, so that each field has kernels of its own, cached on disk."""

import hashlib
import marshal
from types import CodeType, FunctionType, ModuleType

import numba
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.datamodel import models
from numba.core.pythonapi import NativeValue
from numba.extending import intrinsic, overload, register_model, typeof_impl, unbox

from neurorbit.kernels.numba_common import LANES, Lanes, emit_fma, emit_spread
from neurorbit.kernels.numba_math_common import INLINE


class FieldType(types.Type):
    """A field with the sizes that its tuples have; the digest of its sources keeps stale kernels out of the cache."""

    def __init__(self, name, digest, form, M, P, U, added):
        self.form, self.M, self.P, self.U, self.added = form, M, P, U, added
        super().__init__(f"Field({name}, {digest}, {form}, M={M}, P={P}, U={U}, added={added})")


@register_model(FieldType)
class FieldModel(models.OpaqueModel):
    pass


class Field:
    """What Python hands to a kernel: it has a type and no value."""

    def __init__(self, numba_type):
        self.numba_type = numba_type


@typeof_impl.register(Field)
def _typeof(value, c):
    return value.numba_type


@unbox(FieldType)
def _unbox(typ, obj, c):
    return NativeValue(c.context.get_dummy_value())


_FUNCTIONS = {}


def digest(function):
    """Hash of a function's code and of all code and numbers that it reaches."""
    seen, sink = set(), hashlib.sha256()

    def add(value):
        value = getattr(value, "py_func", value)
        if isinstance(value, FunctionType):
            if value in seen:
                return
            seen.add(value)
            add(value.__code__)
            cells = value.__closure__ or ()
            reached = [value.__globals__.get(name) for name in sorted(names_in(value.__code__))]
            for part in (*reached, *(cell.cell_contents for cell in cells), *(value.__defaults__ or ())):
                add(part)
        elif isinstance(value, CodeType):
            sink.update(marshal.dumps([value.co_code, value.co_names, value.co_varnames]))
            for part in value.co_consts:
                add(part)
        elif isinstance(value, ModuleType):
            sink.update(value.__name__.encode())
        elif isinstance(value, tuple):
            for part in value:
                add(part)
        else:
            sink.update(f"{type(value).__name__} {value if isinstance(value, int | float | str) else ''}".encode())

    add(function)
    return sink.hexdigest()[:16]


def names_in(code):
    """Global names of some code and of the functions inside it."""
    inner = [part for part in code.co_consts if isinstance(part, CodeType)]
    return set(code.co_names).union(*(names_in(part) for part in inner))


def typed(name, functions, form, M, P, U, added):
    """The Field of a function, or of it and its vector-Jacobian product; compiled when a kernel first needs them.

    Form "rows" has no fixed sizes.
    """
    sizes = (M, P, U) if form == "states" else (0, 0, 0)
    key = FieldType(name, "".join(digest(f) for f in functions), form, *sizes, added)
    if key.name not in _FUNCTIONS:
        _FUNCTIONS[key.name] = [f if hasattr(f, "py_func") else numba.njit(**INLINE)(f) for f in functions]
    return Field(key)


def derivative(field, *args):
    """The field's function."""


def pull_back(field, *args):
    """The field's vector-Jacobian product."""


def dispatch(stub, choose):
    """Calls of the stub become calls of choose(type of the field)."""

    @overload(stub, jit_options={"forceinline": True})
    def chosen(field, *args):
        function = choose(field)
        return lambda field, *args: function(field, *args)


def _own(stub, position):
    @overload(stub, jit_options={"forceinline": True})
    def chosen(field, *args):
        function = _FUNCTIONS[field.name][position]
        return lambda field, *args: function(*args)


_own(derivative, 0)
_own(pull_back, 1)


def _tuple(field, letter, p):
    size = {"M": field.M, "P": field.P, "U": field.U}[letter.literal_value]
    return types.UniTuple(Lanes(p.dtype), size)


def _rows_from(builder, p, row):
    """Address of p[row * LANES] as that of a vector."""
    return builder.gep(builder.bitcast(p, ir.VectorType(p.type.pointee, LANES).as_pointer()), [row])


def _plus(builder, i, m):
    return builder.add(i, ir.Constant(i.type, m))


@intrinsic(prefer_literal=True)
def zeros_of(typingctx, field, letter, p):
    """A tuple of M, P or U zero lanes of the type of the numbers behind p."""
    result = _tuple(field, letter, p)

    def codegen(context, builder, sig, args):
        zero = ir.Constant(context.get_value_type(result.dtype), [0.0] * LANES)
        return context.make_tuple(builder, result, [zero] * result.count)

    return result(field, letter, p), codegen


@intrinsic(prefer_literal=True)
def splats_at(typingctx, field, letter, p):
    """(p[0], p[1], ...): M, P or U numbers, each in every lane."""
    result = _tuple(field, letter, p)

    def codegen(context, builder, sig, args):
        places = [builder.gep(args[2], [context.get_constant(types.intp, i)]) for i in range(result.count)]
        return context.make_tuple(builder, result, [emit_spread(builder, builder.load(place)) for place in places])

    return result(field, letter, p), codegen


@intrinsic(prefer_literal=True)
def rows_at(typingctx, field, letter, p, row):
    """Rows `row`, `row` + 1, ... behind p: M, P or U of them."""
    result = _tuple(field, letter, p)

    def codegen(context, builder, sig, args):
        places = [_rows_from(builder, args[2], _plus(builder, args[3], i)) for i in range(result.count)]
        return context.make_tuple(builder, result, [builder.load(s, align=p.dtype.bitwidth // 8) for s in places])

    return result(field, letter, p, types.intp), codegen


@intrinsic
def store_rows(typingctx, p, row, values):
    """The way back."""

    def codegen(context, builder, sig, args):
        for i, value in enumerate(cgutils.unpack_tuple(builder, args[2])):
            place = _rows_from(builder, args[0], _plus(builder, args[1], i))
            builder.store(value, place, align=p.dtype.bitwidth // 8)
        return context.get_dummy_value()

    return types.void(p, types.intp, values), codegen


@intrinsic
def add_tuples(typingctx, x, y):
    """x + y, member by member."""

    def codegen(context, builder, sig, args):
        pairs = zip(*(cgutils.unpack_tuple(builder, a) for a in args), strict=True)
        return context.make_tuple(builder, x, [builder.fadd(a, b) for a, b in pairs])

    return x(x, y), codegen


@intrinsic
def fma_tuples(typingctx, a, x, y):
    """a x + y, member by member, with one rounding; a is one value of lanes."""

    def codegen(context, builder, sig, args):
        pairs = zip(*(cgutils.unpack_tuple(builder, t) for t in args[1:]), strict=True)
        return context.make_tuple(builder, x, [emit_fma(builder, args[0], s, t) for s, t in pairs])

    return y(a, x, y), codegen


@intrinsic
def with_inputs(typingctx, field, k, u):
    """k + u where the rollout itself adds the inputs, else k."""
    adds = field.added

    def codegen(context, builder, sig, args):
        if not adds:
            return args[1]
        pairs = zip(*(cgutils.unpack_tuple(builder, a) for a in args[1:]), strict=True)
        return context.make_tuple(builder, k, [builder.fadd(a, b) for a, b in pairs])

    return k(field, k, u), codegen


@intrinsic
def own_inputs(typingctx, field, u):
    """The inputs that the field's function sees: none where the rollout adds them."""
    result = types.UniTuple(u.dtype, 0) if field.added else u

    def codegen(context, builder, sig, args):
        return context.make_tuple(builder, result, []) if field.added else args[1]

    return result(field, u), codegen


@intrinsic
def input_gradients(typingctx, field, dk, du):
    """dL/du: that of dz/dt where the rollout adds the inputs, else what the field's function found."""
    result = dk if field.added else du

    def codegen(context, builder, sig, args):
        return args[1] if field.added else args[2]

    return result(field, dk, du), codegen


@intrinsic
def adds_inputs(typingctx, field):
    """Whether the rollout itself adds the inputs: known when the kernel is compiled."""
    adds = field.added

    def codegen(context, builder, sig, args):
        return ir.Constant(ir.IntType(1), int(adds))

    return types.boolean(field), codegen


@intrinsic
def times_tuple(typingctx, a, x):
    """a x, member by member."""

    def codegen(context, builder, sig, args):
        return context.make_tuple(
            builder, x, [builder.fmul(args[0], value) for value in cgutils.unpack_tuple(builder, args[1])]
        )

    return x(a, x), codegen
