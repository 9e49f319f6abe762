"""New memory of the numba kernels: large arrays in large pages where the system grants them."""

import ctypes
import mmap
from functools import cache

import torch

LARGE = 1 << 25  # bytes: beyond, an array is mapped afresh every time
ADVICE = getattr(mmap, "MADV_HUGEPAGE", None)


@cache
def _madvise():
    try:
        function = ctypes.CDLL(None).madvise
    except (OSError, AttributeError, TypeError):
        return None
    function.argtypes, function.restype = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int], ctypes.c_int
    return function


def empty(like: torch.Tensor, *shape: int) -> torch.Tensor:
    """like.new_empty(*shape), in large pages if it is large.

    Every step of an ensemble asks for such arrays anew, and to fault in a gigabyte by pages of four kibibytes can take
    longer than to compute it. The advice may be refused; nothing changes then.
    """
    x = like.new_empty(shape)
    if x.nbytes >= LARGE and ADVICE is not None and (madvise := _madvise()):
        first = -(-x.data_ptr() // mmap.PAGESIZE) * mmap.PAGESIZE
        madvise(first, x.data_ptr() + x.nbytes - first, ADVICE)
    return x
