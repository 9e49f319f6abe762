"""Logarithms of the factorials of spike counts."""

import math

import numba
import numpy as np

from neurorbit.kernels.numba_common import JIT

LOG_FACTORIALS = np.array([math.lgamma(k + 1) for k in range(256)])  # of counts 0 .. 255
HALF_LOG_TWO_PI = 0.5 * math.log(2 * math.pi)


@numba.njit(**JIT)
def log_factorial(count, table):
    """log count!: from the table, or Stirling's series beyond it."""
    if count < table.size:
        return table[count]
    inverse = 1 / count
    square = inverse * inverse
    series = inverse * (1 / 12 - square * (1 / 360 - square / 1260))
    return (count + 0.5) * math.log(count) - count + HALF_LOG_TWO_PI + series
