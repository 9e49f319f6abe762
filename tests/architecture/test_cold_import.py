"""What an import loads, what it refuses, and what is left when triton is not there. Each check has its own process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
HEAVY = ("triton", "numba", "matplotlib", "scipy", "h5py", "jax")

# As on a machine without it: no finder finds triton.
BLOCK_TRITON = """
import sys
class WithoutTriton:
    def __init__(self, finder):
        self.finder = finder
    def find_spec(self, name, path=None, target=None):
        return None if name.split(".")[0] == "triton" else self.finder.find_spec(name, path, target)
    def __getattr__(self, name):
        return getattr(self.finder, name)
sys.meta_path[:] = [WithoutTriton(finder) for finder in sys.meta_path]
"""

CPU_ROLLOUT = """
import torch
from neurorbit.bindings.rollout_plrnn import rollout_plrnn
generator = torch.Generator().manual_seed(0)
def normal(*shape):
    return 0.3 * torch.randn(*shape, generator=generator)
z0, A, W1, h1, W2, h2 = normal(1, 2, 3), normal(1, 3), normal(1, 3, 5), normal(1, 3), normal(1, 5, 3), normal(1, 5)
"""


def run(code: str, *, folder: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """Python on some code in a process of its own."""
    return subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, timeout=300)


def loaded_after(statement: str, folder: Path) -> set[str]:
    done = run(f"{statement}\nimport sys\nprint(*sorted({{m.split('.')[0] for m in sys.modules}}))", folder=folder)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


@pytest.mark.parametrize("package", HEAVY)
def test_import_neurorbit_is_light(package, tmp_path):
    loaded = loaded_after("import neurorbit", tmp_path)
    assert "neurorbit" in loaded
    assert package not in loaded


def test_import_of_a_binding_loads_no_backend(tmp_path):
    loaded = loaded_after("import torch\nbefore = set(__import__('sys').modules)", tmp_path)
    after = loaded_after("import neurorbit.bindings.rollout_plrnn", tmp_path)
    assert "torch" in after
    assert (after - loaded) & set(HEAVY) == set()


@pytest.mark.parametrize("layer", ["kernels", "bindings", "engine"])
def test_bare_names_are_refused(layer):
    done = run(f"import {layer}")
    assert done.returncode == 1
    assert f"ImportError: import neurorbit.{layer}, not {layer}" in done.stderr


def test_versions_agree(tmp_path):
    done = run("import neurorbit\nprint(neurorbit.__version__)", folder=tmp_path)
    text = (ROOT / "src/neurorbit/__init__.py").read_text()
    assert f'__version__ = "{done.stdout.strip()}"' in text


def test_cpu_works_without_triton(tmp_path):
    check = """
out = rollout_plrnn(z0, A, W1.requires_grad_(), h1, cell="shallow", W2=W2, h2=h2, steps=4)
out.z.sum().backward()
again = rollout_plrnn(z0, A, W1, h1, cell="shallow", W2=W2, h2=h2, steps=4, backend="reference")
torch.testing.assert_close(out.z, again.z)
assert W1.grad.abs().sum() > 0
assert not any(m.startswith("triton.") for m in sys.modules)
print("rolled out")
"""
    done = run(BLOCK_TRITON + CPU_ROLLOUT + check, folder=tmp_path)
    assert done.stdout.strip() == "rolled out", done.stderr


def test_triton_asked_for_but_not_there_says_what_to_install(tmp_path):
    check = """
import os
os.environ["TRITON_INTERPRET"] = "1"
try:
    rollout_plrnn(z0, A, W1, h1, cell="shallow", W2=W2, h2=h2, steps=4, backend="triton")
except RuntimeError as error:
    print(error)
"""
    done = run(BLOCK_TRITON + CPU_ROLLOUT + check, folder=tmp_path)
    assert "triton" in done.stdout, done.stderr
    assert "pip install triton" in done.stdout
    assert len(done.stdout.splitlines()) == 1
