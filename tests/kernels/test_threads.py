"""Threads of the CPU kernels: torch's number, torch's own threads, plain ones where torch has none or after a fork."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
import torch

from neurorbit.kernels import numba_threads_common as threads


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.fixture(params=("team", "plain"))
def kind(request, monkeypatch):
    if request.param == "plain":
        monkeypatch.setattr(threads, "_team", lambda: None)
    elif threads._team() is None:
        pytest.skip("torch has no OpenMP here")
    return request.param


def shares_done(tasks: int, *args, **kwargs) -> dict[tuple[int, ...], int]:
    """Who did what: native thread of every share."""
    found = {}
    threads.run_tasks(lambda *share: found.update({share: threading.get_native_id()}), tasks, *args, **kwargs)
    return found


def test_every_task_once_and_by_two_threads(two_threads, kind):
    assert set(shares_done(7)) == {(0, 3), (3, 7)}
    found = shares_done(7, numbered=True)
    assert set(found) == {(0, 3, 0), (3, 7, 1)}
    assert found[0, 3, 0] == threading.get_native_id()
    assert len(set(found.values())) == 2


def test_as_many_threads_as_torch(two_threads, kind):
    assert threads.workers_for(100) == 2
    torch.set_num_threads(1)
    assert threads.workers_for(100) == 1
    assert shares_done(7) == {(0, 7): threading.get_native_id()}


def test_fewer_tasks_than_threads(two_threads, kind):
    torch.set_num_threads(4)
    for _ in range(20):
        found = shares_done(3, numbered=True)
        assert set(found) == {(0, 1, 0), (1, 2, 1), (2, 3, 2)}
    assert len(set(found.values())) == 3 or kind == "plain"


def record_share(first, last, share, p):
    """Compiled: the share of every task, the sum of a vector and the number of a matrix's columns."""
    found = threads.matrix(p, 0, threads.INTEGERS)
    values = threads.vector(p, 1, DOUBLES)
    for task in range(first, last):
        found[task, 0] += share + 1
        found[task, 1] = values.sum()
        found[task, 2] = found.shape[1]


DOUBLES = np.empty(0)


@pytest.mark.parametrize(("workers", "tasks", "shares"), [
    (1, 7, [1] * 7), (2, 7, [1, 1, 1, 2, 2, 2, 2]), (2, 1, [1]), (4, 3, [1, 2, 3])
])  # fmt: skip
def test_compiled_shares(kind, workers, tasks, shares):
    before = torch.get_num_threads()
    torch.set_num_threads(workers)
    try:
        for _ in range(20):
            found = np.zeros((tasks, 3), np.int64)
            threads.run_compiled(record_share, tasks, found, np.array([1.5, 2.5]))
            assert found.tolist() == [[share, 4, 3] for share in shares]
    finally:
        torch.set_num_threads(before)


def test_compiled_shares_from_several_python_threads_at_once(two_threads, kind):
    found = np.zeros((4, 1000, 3), np.int64)

    def many(row):
        for _ in range(50):
            threads.run_compiled(record_share, 1000, found[row], np.ones(1))

    callers = [threading.Thread(target=many, args=(row,)) for row in range(4)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert (found[:, :500, 0] == 50).all() and (found[:, 500:, 0] == 100).all()


def test_several_python_threads_at_once(two_threads, kind):
    sums = torch.zeros(4, 1000)

    def many(row):
        for _ in range(50):
            threads.run_tasks(lambda first, last: sums[row, first:last].add_(1), 1000)

    callers = [threading.Thread(target=many, args=(row,)) for row in range(4)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert sums.eq(50).all()


@pytest.mark.parametrize("share", [0, 1])
def test_an_error_in_a_thread_reaches_the_caller(two_threads, kind, share):
    def fail(first, last, number):
        if number == share:
            raise KeyError(f"share {number}")

    with pytest.raises(KeyError, match=f"share {share}"):
        threads.run_tasks(fail, 2, numbered=True)
    assert len(shares_done(2)) == 2


def test_no_result_without_all_shares(two_threads, monkeypatch):
    """A signal's error that comes as a thread enters is dropped by ctypes: nothing may be returned then."""
    if (team := threads._team()) is None:
        pytest.skip("torch has no OpenMP here")

    def enter(number):
        if team._thread() == 0:
            raise KeyboardInterrupt
        team._do_shares(number)

    dropped = []
    shares = threads._TEAM_FUNCTION(enter)
    address = ctypes.cast(shares, ctypes.c_void_p).value
    monkeypatch.setattr(sys, "unraisablehook", dropped.append)
    monkeypatch.setattr(team, "_addresses", [team._addresses[0], address])
    with pytest.raises(KeyboardInterrupt, match="discarded"):
        shares_done(7)
    assert len(dropped) == 1


def test_plain_threads_end_before_an_error_leaves(two_threads, monkeypatch):
    monkeypatch.setattr(threads, "_team", lambda: None)
    ended = threading.Event()

    def work(first, last, number):
        if number == 0:
            raise KeyError("share 0")
        time.sleep(0.1)
        ended.set()

    with pytest.raises(KeyError, match="share 0"):
        threads.run_tasks(work, 2, numbered=True)
    assert ended.is_set()


@pytest.mark.skipif(not os.path.isdir("/proc/self/task"), reason="counts threads in /proc")
def test_kernels_start_no_threads_beside_those_of_torch(two_threads):
    if threads._team() is None:
        pytest.skip("torch has no OpenMP here")
    torch.ones(10**6).mul(2.0)  # torch's team is there now
    before = set(os.listdir("/proc/self/task"))
    helper = (set(map(str, shares_done(2).values())) - {str(threading.get_native_id())}).pop()
    assert set(os.listdir("/proc/self/task")) == before
    assert helper in before


FORKED = """
import os, torch
from neurorbit.kernels.numba_threads_common import run_tasks
from neurorbit.kernels.rollout_gru.cpu_numba import forward
W, drive = torch.ones(1, 1, 2, 6), torch.ones(1, 20, 3, 1, 6)
torch.set_num_threads(2)
def run():
    found = []
    run_tasks(lambda first, last: found.append((first, last)), 4)
    return sorted(found)
def end():
    return forward(W, drive, None, None, None, None, None, None, None)[0][1]
assert run() == [(0, 2), (2, 4)]
expected = end()
child = os.fork()
if child == 0:
    os._exit(0 if run() == [(0, 2), (2, 4)] and torch.equal(end(), expected) else 1)
assert os.waitpid(child, 0)[1] == 0
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this platform")
def test_a_forked_child_computes():
    subprocess.run([sys.executable, "-c", FORKED], check=True, timeout=120)
