"""Threads of the numba kernels: torch's own OpenMP team, or plain threads where torch has none.

Kernels and torch's operators take turns within one training step. Threads of the kernels' own would share the cores
with those of torch, which go on spinning for milliseconds after every operator; so the kernels run in torch's.
"""

import ctypes
import os
import threading
from array import array
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from functools import cache
from itertools import count, pairwise
from pathlib import Path
from typing import Any

import numba
import numpy as np
import torch
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from neurorbit.kernels.numba_common import JIT, pointer

INTEGERS = np.empty(0, np.int64)  # for `vector` and `matrix`
_TEAM_FUNCTION = ctypes.CFUNCTYPE(None, ctypes.c_int64)
_INTEGER = ir.IntType(64)
Share = tuple[int, ...]
_Job = tuple[Callable[..., Any], list[Share], tuple[Any, ...], list[BaseException], set[int]]


@intrinsic
def _number_from(typingctx, address):
    """What the C function `int f(void)` at the address returns."""

    def codegen(context, builder, sig, args):
        function = ir.FunctionType(ir.IntType(32), []).as_pointer()
        return builder.sext(builder.call(builder.inttoptr(args[0], function), []), _INTEGER)

    return types.int64(types.int64), codegen


@intrinsic
def _give(typingctx, address, number):
    """Calls the C function `void f(int64_t)` at the address."""

    def codegen(context, builder, sig, args):
        function = ir.FunctionType(ir.VoidType(), [_INTEGER]).as_pointer()
        builder.call(builder.inttoptr(args[0], function), [args[1]])
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), codegen


@intrinsic
def _do(typingctx, address, first, last, share, block):
    """Calls the C function `void f(int64_t, int64_t, int64_t, int64_t)` at the address."""

    def codegen(context, builder, sig, args):
        function = ir.FunctionType(ir.VoidType(), [_INTEGER] * 4).as_pointer()
        builder.call(builder.inttoptr(args[0], function), args[1:])
        return context.get_dummy_value()

    integer = types.int64
    return types.void(integer, integer, integer, integer, integer), codegen


def _enter_compiled(data):
    """Every thread of a team begins here and does its shares, without Python."""
    job = numba.carray(data, (6,), np.int64)
    thread_number, team_size, entry, tasks, workers, block = job[0], job[1], job[2], job[3], job[4], job[5]
    for share in range(_number_from(thread_number), workers, _number_from(team_size)):
        _do(entry, tasks * share // workers, tasks * (share + 1) // workers, share, block)


def _enter(data):
    """Every thread of a team begins here; one without a share returns at once, without a turn at Python's lock."""
    job = numba.carray(data, (4,), np.int64)
    if _number_from(job[0]) < job[1]:
        _give(job[2], job[3])


class _Team:
    """The entry points of the OpenMP library that torch itself is bound to; AttributeError where it has none."""

    def __init__(self, libtorch: str) -> None:
        quick = ctypes.PyDLL(libtorch)  # keeps Python's lock: these two only read a number
        self._thread, self._size = quick.omp_get_thread_num, quick.omp_get_num_threads
        self._parallel = ctypes.CDLL(libtorch).GOMP_parallel
        self._parallel.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint]
        self._parallel.restype = None
        self._shares = _TEAM_FUNCTION(self._do_shares)
        self._entry = numba.cfunc(types.void(types.voidptr), cache=True)(_enter)
        self._compiled = numba.cfunc(types.void(types.voidptr), cache=True)(_enter_compiled)
        self._compiled_at = self._compiled.address
        self._numbers_at = [ctypes.cast(f, ctypes.c_void_p).value for f in (quick.omp_get_thread_num,
                                                                            quick.omp_get_num_threads)]  # fmt: skip
        self._addresses = [ctypes.cast(f, ctypes.c_void_p).value for f in (quick.omp_get_thread_num, self._shares)]
        self._jobs: dict[int, _Job] = {}
        self._numbers, self._known = count(1), threading.local()

    def _do_shares(self, number: int) -> None:
        """The shares of one thread."""
        if not hasattr(self._known, "state"):  # held for good: Python would make one anew at every call, 30 us each
            self._known.state = ctypes.pythonapi.PyGILState_Ensure()
        function, shares, args, errors, left = self._jobs[number]
        try:
            for i in range(self._thread(), len(shares), self._size()):
                function(*shares[i], *args)
                left.discard(i)
        except BaseException as error:  # must not cross the library's frames
            errors.append(error)

    def run(self, function: Callable[..., Any], shares: list[Share], args: tuple[Any, ...]) -> None:
        """All shares, on a team of torch's size: a team that changes its size ends and starts threads."""
        number, left = next(self._numbers), set(range(len(shares)))
        errors: list[BaseException] = []
        thread_number, do_shares = self._addresses
        job = array("q", [thread_number, len(shares), do_shares, number])
        self._jobs[number] = function, shares, args, errors, left
        try:
            self._parallel(self._entry.address, job.buffer_info()[0], torch.get_num_threads(), 0)
        finally:
            del self._jobs[number]
        if errors:
            raise errors[0]
        if left:  # a signal's error came as a thread entered, where ctypes drops it: its shares were not done
            raise KeyboardInterrupt("a signal stopped a kernel, whose result is discarded")

    def run_compiled(self, entry: int, tasks: int, workers: int, threads: int, block: int) -> None:
        """The same for a compiled entry: no thread of the team takes a turn at Python's lock."""
        job = array("q", (*self._numbers_at, entry, tasks, workers, block))
        self._parallel(self._compiled_at, job.buffer_info()[0], threads, 0)


@cache
def _team() -> _Team | None:
    for library in (Path(torch.__file__).parent / "lib").glob("libtorch_cpu.*"):
        try:
            return _Team(str(library))
        except (OSError, AttributeError):
            continue
    return None


@cache
def _pool(workers: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(workers, thread_name_prefix="neurorbit")


def _after_fork() -> None:
    """OpenMP's threads stay behind in the parent and are waited for forever: a child takes plain ones."""
    global _team
    _pool.cache_clear()
    _team = lambda: None  # noqa: E731


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def workers_for(tasks: int) -> int:
    """How many threads `run_tasks` uses: torch's number (`torch.set_num_threads`, OMP_NUM_THREADS), or fewer."""
    return max(1, min(torch.get_num_threads(), tasks))


def run_tasks(function: Callable[..., Any], tasks: int, *args: Any, numbered: bool = False) -> None:
    """function(first, last, *args) over all tasks, split among torch's number of threads; it must release the GIL.

    A numbered function also learns which share it does: function(first, last, share, *args).
    No prange: a quarter of the compile time, and nothing at all to start for a single share.
    """
    workers = workers_for(tasks)
    bounds = [tasks * i // workers for i in range(workers + 1)]
    shares = [(*part, i) if numbered else part for i, part in enumerate(pairwise(bounds))]
    if workers == 1:
        function(*shares[0], *args)
    elif team := _team():
        team.run(function, shares, args)
    else:
        others = [_pool(workers - 1).submit(function, *share, *args) for share in shares[1:]]
        try:
            function(*shares[0], *args)
        finally:  # the caller frees what they write
            wait(others)
        for other in others:
            other.result()


_ENTRY = ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * 4)


@cache
def _entry_of(function: Callable[..., Any]) -> tuple[int, Callable[..., None], Any]:
    """(address, the same for a call from Python, what keeps it) of a compiled entry."""
    compiled = numba.cfunc(types.void(*[types.int64] * 4), cache=True)(function)
    return compiled.address, _ENTRY(compiled.address), compiled


def run_compiled(function: Callable[..., Any], tasks: int, *arrays: Any) -> None:
    """function(first, last, share, p) over all tasks as `run_tasks` does, in compiled code alone.

    `function` is plain and compiled here as a C function; at the address p it finds the arrays, of numpy (C order, one
    or two dims) or of `array`, as `address_of`, `vector` and `matrix` read them.
    """
    block = array("q")
    for x in arrays:
        if type(x) is array:
            block.extend((*x.buffer_info(), 1))
        else:
            block.extend((x.__array_interface__["data"][0], x.shape[0], x.shape[-1]))
    place, threads = block.buffer_info()[0], torch.get_num_threads()
    workers = min(threads, tasks)
    address, call, _ = _entry_of(function)
    if workers <= 1:
        call(0, tasks, 0, place)
    elif team := _team():
        team.run_compiled(address, tasks, workers, threads, place)
    else:
        shares = [(tasks * i // workers, tasks * (i + 1) // workers, i, place) for i in range(workers)]
        others = [_pool(workers - 1).submit(call, *share) for share in shares[1:]]
        call(*shares[0])
        wait(others)


@numba.njit(**JIT)
def address_of(address, k):
    """Where the k-th array of `run_compiled` begins."""
    return numba.carray(pointer(address, INTEGERS), (3 * k + 1,))[3 * k]


@numba.njit(**JIT)
def vector(address, k, like):
    """The k-th array of `run_compiled`, of one dim and of the dtype of the array `like`."""
    p = numba.carray(pointer(address, INTEGERS), (3 * k + 3,))
    return numba.carray(pointer(p[3 * k], like), (p[3 * k + 1],))


@numba.njit(**JIT)
def matrix(address, k, like):
    """The same of two dims."""
    p = numba.carray(pointer(address, INTEGERS), (3 * k + 3,))
    return numba.carray(pointer(p[3 * k], like), (p[3 * k + 1], p[3 * k + 2]))
