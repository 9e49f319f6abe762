"""The CPU kernels give the same bits freshly compiled and from the cache, with one thread and with two."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from neurorbit.kernels import KERNELS

DIGEST = """
import hashlib, importlib, sys, torch
from neurorbit.bindings.dispatch import load
import contract
SPEC = importlib.import_module(f"neurorbit.kernels.{sys.argv[1]}.spec").SPEC
case = next(c for c in SPEC.cases if c.name == contract.rules_of(SPEC).SAME_BITS)
found = contract.twin(
    SPEC, load(SPEC.name, "numba"), contract.arguments_of(SPEC, case, torch.float32),
    contract.kernel_options(SPEC, case),
)
print(hashlib.sha256(b"".join(found[n].numpy().tobytes() for n in sorted(found))).hexdigest())
"""


def digest(op: str, cache: Path, threads: int) -> str:
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(cache), "OMP_NUM_THREADS": str(threads)}
    here = Path(__file__).parent
    environment["PYTHONPATH"] = os.pathsep.join([str(here), str(here.parents[1])])
    done = subprocess.run(
        [sys.executable, "-c", DIGEST, op], env=environment, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


@pytest.mark.parametrize("op", KERNELS)
def test_fresh_cached_and_on_two_threads(op, tmp_path):
    fresh = digest(op, tmp_path, 1)
    assert len(fresh) == 64
    assert any(tmp_path.rglob("*.nbc"))
    assert digest(op, tmp_path, 1) == fresh
    assert digest(op, tmp_path, 2) == fresh
