"""The repository keeps every rule of its tree, and every rule fails on a planted violation."""

from __future__ import annotations

from pathlib import Path

import pytest
import tree_rules

ROOT = Path(__file__).resolve().parents[2]

CLEAN = {
    "kernels/__init__.py": 'KERNELS: tuple[str, ...] = ("spin",)\n',
    "kernels/spec.py": "import torch\n",
    "kernels/numba_common.py": "import numba\n",
    "kernels/spin/README.md": "dz/dt = -z\n",
    "kernels/spin/__init__.py": "",
    "kernels/spin/spec.py": "from neurorbit.kernels.spec import KernelSpec\n",
    "kernels/spin/reference.py": "import torch\n",
    "kernels/spin/cpu_numba.py": "import numba\nfrom neurorbit.kernels.numba_common import block\n",
    "kernels/spin/gpu_triton.py": "import triton\nimport triton.language as tl\n",
    "bindings/__init__.py": "",
    "bindings/spin.py": "from neurorbit.kernels.spin.spec import SPEC\n",
    "engine/__init__.py": "",
    "engine/data/pickled_file.py": "import numpy as np\nnp.load('x', allow_pickle=True)\n",
    "engine/data/series.py": "import numpy as np\ngenerator = np.random.default_rng(0)\n",
    "engine/models/spin.py": "from neurorbit.bindings.spin import spin\nfrom neurorbit.engine.data import series\n",
    "engine/cli/main.py": "from neurorbit.engine.models import spin\nprint('done')\n",
    "src/neurorbit/__init__.py": '__version__ = "1"\n',
    "benchmarks/ops/spin.py": "from neurorbit.bindings.spin import spin\n",
    "tests/test_spin.py": "",
    "examples/spin.py": "print('an example may print')\n",
}

PLANTED = [
    ("import_direction", "kernels/spin/reference.py", "from neurorbit.bindings import spin\n"),
    ("import_direction", "kernels/spec.py", "import neurorbit.engine.data\n"),
    ("import_direction", "bindings/spin.py", "def late():\n    from neurorbit.engine import data\n"),
    ("import_direction", "engine/models/spin.py", "from neurorbit import kernels\n"),
    (
        "import_direction",
        "engine/models/spin.py",
        "import importlib\nimportlib.import_module('neurorbit.kernels.spin')\n",
    ),
    (
        "import_direction",
        "engine/models/spin.py",
        "import importlib\nop = 'spin'\nimportlib.import_module(f'neurorbit.kernels.{op}')\n",
    ),
    ("import_direction", "engine/data/series.py", "from neurorbit.engine.cli.main import main\n"),
    ("import_direction", "engine/cli/main.py", "import neurorbit.kernels.spin.reference\n"),
    ("ops_stand_alone", "kernels/spin/cpu_numba.py", "from neurorbit.kernels.drift.cpu_numba import step\n"),
    ("ops_stand_alone", "kernels/spin/spec.py", "from neurorbit.kernels import drift\n"),
    ("twins_know_no_reference", "kernels/spin/cpu_numba.py", "from neurorbit.kernels.spin.reference import step\n"),
    ("twins_know_no_reference", "kernels/spin/gpu_triton.py", "from neurorbit.kernels.spin import reference\n"),
    ("backends_first_in_names", "kernels/spin/parts_numba.py", "import numba\n"),
    ("backends_first_in_names", "kernels/spin/parts_triton.py", "import triton\n"),
    ("backends_first_in_names", "kernels/numba_parts.py", "import numba\n"),
    ("backends_in_their_files", "kernels/__init__.py", 'import triton\nKERNELS = ("spin",)\n'),
    ("backends_in_their_files", "kernels/spec.py", "from numba import njit\n"),
    ("backends_in_their_files", "kernels/spin/spec.py", "import triton.language\n"),
    ("backends_in_their_files", "engine/data/series.py", "def late():\n    import numba\n"),
    ("absolute_imports", "engine/models/spin.py", "from .other import part\n"),
    ("absolute_imports", "bindings/spin.py", "from kernels.spin import spec\n"),
    ("absolute_imports", "tests/test_spin.py", "import engine.data\n"),
    ("no_prints", "engine/data/series.py", "print('here')\n"),
    ("no_prints", "kernels/spin/reference.py", "def step():\n    print('here')\n"),
    ("short_files", "engine/data/series.py", "x = 0\n" * 501),
    ("no_drawers", "engine/utils.py", ""),
    ("no_drawers", "engine/common/parts.py", ""),
    ("complete_ops", "kernels/drift/reference.py", ""),
    ("no_global_state", "engine/data/series.py", "import torch\ntorch.manual_seed(0)\n"),
    ("no_global_state", "engine/data/series.py", "from torch import set_default_dtype\n"),
    ("no_global_state", "engine/data/series.py", "import numpy as np\nnp.random.seed(0)\n"),
    ("no_global_state", "engine/cli/main.py", "import os\nos.chdir('/')\n"),
    ("no_global_state", "engine/data/series.py", "from matplotlib import pyplot as plt\n"),
    ("no_global_state", "engine/data/series.py", "import matplotlib.pyplot as plt\n"),
    ("no_pickle", "engine/data/series.py", "import torch\ntorch.load('x')\n"),
    ("no_pickle", "engine/data/series.py", "import numpy as np\nnp.load('x', allow_pickle=True)\n"),
    ("no_pickle", "engine/data/series.py", "from pickle import loads\n"),
    ("no_pickle", "engine/data/pickled_file.py", "from pickle import loads\n"),
    ("no_swallowed_errors", "engine/data/series.py", "try:\n    x = 0\nexcept Exception:\n    pass\n"),
    ("no_swallowed_errors", "tests/test_spin.py", "try:\n    x = 0\nexcept:\n    x = 1\n"),
    (
        "no_autotune",
        "kernels/spin/gpu_triton.py",
        "import triton\n@triton.autotune(configs=[], key=[])\ndef f(): ...\n",
    ),
]


def write(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


@pytest.mark.parametrize("rule", tree_rules.RULES, ids=lambda r: r.__name__)
def test_repository_keeps(rule):
    assert rule(ROOT) == []


@pytest.mark.parametrize("rule", tree_rules.RULES, ids=lambda r: r.__name__)
def test_clean_tree_passes(rule, tmp_path):
    write(tmp_path, CLEAN)
    assert rule(tmp_path) == []


@pytest.mark.parametrize(("name", "path", "text"), PLANTED, ids=[f"{i}-{p[0]}" for i, p in enumerate(PLANTED)])
def test_planted_violation_is_found(name, path, text, tmp_path):
    write(tmp_path, CLEAN)
    write(tmp_path, {path: text})
    found = {rule.__name__: rule(tmp_path) for rule in tree_rules.RULES}
    assert found[name], f"{name} did not see {path}"
    assert all(line.startswith(path.rsplit("/", 1)[0]) for line in found[name])


@pytest.mark.parametrize("name", [*tree_rules.OP_FILES, "binding", "benchmark"])
def test_missing_part_of_an_op_is_found(name, tmp_path):
    write(tmp_path, CLEAN)
    path = {"binding": "bindings/spin.py", "benchmark": "benchmarks/ops/spin.py"}.get(name, f"kernels/spin/{name}")
    (tmp_path / path).unlink()
    assert tree_rules.complete_ops(tmp_path) == [f"{path}: missing"]


def test_every_rule_has_a_planted_violation():
    assert {p[0] for p in PLANTED} == {rule.__name__ for rule in tree_rules.RULES}


def test_rules_see_the_whole_library():
    seen = {path for path, _ in tree_rules.python_files(ROOT, *tree_rules.SOURCES)}
    assert {"kernels/spec.py", "bindings/dispatch.py", "engine/__init__.py", "src/neurorbit/__init__.py"} <= seen
    assert not any(path.startswith(f"src/neurorbit/{layer}") for path in seen for layer in tree_rules.LAYERS)
