"""Events sorted by time, brought into the order of neurons: one pass, stable."""

import numba
import numpy as np

from neurorbit.kernels.numba_common import JIT


@numba.njit(**JIT)
def _by_row(rows, times, counts, starts, times_by_row, counts_by_row):
    at = starts[:-1].copy()
    for i in range(rows.size):
        j = at[rows[i]]
        times_by_row[j] = times[i]
        counts_by_row[j] = counts[i]
        at[rows[i]] = j + 1


def by_row(rows, times, counts, starts):
    """(times, counts) in the order of rows, which are 0 .. len(starts) - 2; starts: first event of each row."""
    found = times.new_empty(times.shape), counts.new_empty(counts.shape)
    _by_row(*(np.ascontiguousarray(v.numpy()) for v in (rows, times, counts, starts)), *(v.numpy() for v in found))
    return found
