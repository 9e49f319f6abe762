"""The CPU kernels give the same bits freshly compiled and from the cache, with one thread and with two."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

DIGEST = """
import hashlib, torch
from neurorbit.bindings.dispatch import load
from neurorbit.kernels.rollout_plrnn.spec import SPEC
import contract
case = next(c for c in SPEC.cases if c.name == "odd-sizes")
found = contract.twin(
    SPEC, load(SPEC.name, "numba"), contract.arguments_of(SPEC, case, torch.float32), contract.kernel_options(case)
)
print(hashlib.sha256(b"".join(found[n].numpy().tobytes() for n in sorted(found))).hexdigest())
"""


def digest(cache: Path, threads: int) -> str:
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(cache), "NUMBA_NUM_THREADS": str(threads)}
    here = Path(__file__).parent
    environment["PYTHONPATH"] = os.pathsep.join([str(here), str(here.parents[1])])
    done = subprocess.run([sys.executable, "-c", DIGEST], env=environment, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_fresh_cached_and_on_two_threads(tmp_path):
    fresh = digest(tmp_path, 1)
    assert len(fresh) == 64
    assert any(tmp_path.rglob("*.nbc"))
    assert digest(tmp_path, 1) == fresh
    assert digest(tmp_path, 2) == fresh
