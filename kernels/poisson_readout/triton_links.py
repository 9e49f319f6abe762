"""The three links in Triton: a bin's cost without log y!, and its slope in the argument of the link."""

import triton
import triton.language as tl

from neurorbit.kernels.poisson_readout.spec import EXP_LIMIT
from neurorbit.kernels.triton_functions_common import exponential, logarithm, softplus_parts

LIMIT = tl.constexpr(EXP_LIMIT)


@triton.jit
def tangent_parts(a):
    """(exp, what follows it linearly, the argument up to the limit): the exponential is their product."""
    above = tl.where(a > LIMIT, a - LIMIT, 0.0)
    below = tl.where(a > LIMIT, LIMIT, a)
    return tl.where(below > -80.0, exponential(below), 0.0), 1.0 + above, below


@triton.jit
def cost(a, y, LINK: tl.constexpr, BIN_S: tl.constexpr, LOG_BIN: tl.constexpr, FLOOR: tl.constexpr):
    """lam - y log lam with lam = BIN_S rate."""
    if LINK == "exp":
        e, rise, below = tangent_parts(a)
        rate, log_rate = e * rise, below + logarithm(rise)
    else:
        if LINK == "softplus":
            rate, _, _ = softplus_parts(a)
            rate += FLOOR
        else:
            rate = tl.where(a > FLOOR, a, FLOOR)
        log_rate = logarithm(rate)
    return tl.where(a == a, BIN_S * rate - y * (log_rate + LOG_BIN), a)


@triton.jit
def slope(a, y, LINK: tl.constexpr, BIN_S: tl.constexpr, FLOOR: tl.constexpr):
    """The cost's slope in a."""
    if LINK == "exp":
        e, rise, _ = tangent_parts(a)
        found = BIN_S * e - y / rise
    elif LINK == "softplus":
        value, share, whole = softplus_parts(a)
        rate = value + FLOOR
        found = share * ((BIN_S * rate - y) / (whole * rate))
    else:
        found = tl.where(a > FLOOR, BIN_S - y / tl.where(a > FLOOR, a, FLOOR), 0.0)
    return tl.where(a == a, found, a)
