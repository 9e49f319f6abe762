"""The wheel and the source archive hold what the tree holds, and work where they land; the version stands once."""

from __future__ import annotations

import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from neurorbit.kernels import KERNELS

ROOT = Path(__file__).resolve().parents[2]
LAYERS = ("kernels", "bindings", "engine")
VERSION = re.search(r'__version__ = "(.+)"', (ROOT / "src/neurorbit/__init__.py").read_text()).group(1)
OWN = {f"neurorbit/{name}" for name in ("__init__.py", "__main__.py", "py.typed")}  # besides the linked folders


def run(*command: str | Path, folder: Path) -> str:
    done = subprocess.run([sys.executable, *map(str, command)], cwd=folder, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def in_tree(*suffixes: str) -> set[str]:
    """Files of the three layers that git would carry, as they are called inside the package."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "--", *LAYERS],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return {name for name in listed.stdout.splitlines() if name.endswith(suffixes) and (ROOT / name).is_file()}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The wheel and the sdist, built from this tree without an isolated environment."""
    out = tmp_path_factory.mktemp("dist")
    run("-m", "build", "--wheel", "--sdist", "--no-isolation", "--outdir", out, ROOT, folder=out)
    return {"wheel": next(out.glob("*.whl")), "sdist": next(out.glob("*.tar.gz"))}


@pytest.fixture(scope="module")
def wheel_names(built) -> set[str]:
    with zipfile.ZipFile(built["wheel"]) as archive:
        return set(archive.namelist())


@pytest.fixture(scope="module")
def landed(built, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the unpacked package, away from the repository."""
    target = tmp_path_factory.mktemp("site")
    run("-m", "pip", "install", "-q", "--no-deps", "--no-index", "--target", target, built["wheel"], folder=target)
    return target


def test_wheel_holds_every_module_once(wheel_names):
    modules = {name for name in wheel_names if name.endswith(".py")}
    assert modules == {f"neurorbit/{name}" for name in in_tree(".py")} | OWN - {"neurorbit/py.typed"}
    assert "neurorbit/py.typed" in wheel_names


def test_wheel_holds_each_op(wheel_names):
    parts = ("README.md", "spec.py", "reference.py", "cpu_numba.py", "gpu_triton.py")
    assert {f"neurorbit/kernels/{op}/{part}" for op in KERNELS for part in parts} <= wheel_names
    folders = {name.split("/")[2] for name in wheel_names if re.match(r"neurorbit/kernels/[^/]+/", name)}
    assert folders == set(KERNELS)


def test_wheel_holds_nothing_else(wheel_names):
    data = {f"neurorbit/{name}" for name in in_tree("")} | OWN
    stray = {name for name in wheel_names - data if not name.startswith(f"neurorbit-{VERSION}.dist-info/")}
    assert stray == set()


def test_wheel_carries_licence_and_command(built):
    with zipfile.ZipFile(built["wheel"]) as archive:
        entries = archive.read(f"neurorbit-{VERSION}.dist-info/entry_points.txt").decode()
        licence = archive.read(f"neurorbit-{VERSION}.dist-info/licenses/LICENSE").decode()
        metadata = archive.read(f"neurorbit-{VERSION}.dist-info/METADATA").decode()
    assert "neurorbit = neurorbit.engine.cli.main:main" in entries
    assert licence == (ROOT / "LICENSE").read_text()
    assert "License-Expression: Apache-2.0" in metadata
    assert "Requires-Python: >=3.10" in metadata


def test_landed_wheel_is_what_is_imported(landed, tmp_path):
    code = f"""
import sys
sys.path.insert(0, {str(landed)!r})
import neurorbit, neurorbit.kernels, neurorbit.bindings.dispatch, neurorbit.engine
for module in (neurorbit, neurorbit.kernels, neurorbit.bindings.dispatch, neurorbit.engine):
    print(module.__file__)
print(neurorbit.__version__, *neurorbit.kernels.KERNELS)
"""
    *files, last = run("-c", code, folder=tmp_path).splitlines()
    assert len(files) == 4
    assert all(Path(file).is_relative_to(landed) for file in files)
    assert last.split() == [VERSION, *KERNELS]
    code = f"""
import runpy, sys
sys.path.insert(0, {str(landed)!r})
sys.argv[1:] = ["--version"]
runpy.run_module("neurorbit")
"""
    assert run("-c", code, folder=tmp_path).strip() == f"neurorbit {VERSION}"


def test_landed_wheel_rolls_out(landed, tmp_path):
    code = f"""
import sys
sys.path.insert(0, {str(landed)!r})
import torch
from neurorbit.bindings.rollout_plrnn import rollout_plrnn
z0, A, h1, W1 = torch.ones(1, 1, 2), torch.full((1, 2), 0.5), torch.zeros(1, 2), torch.zeros(1, 2, 2)
print(rollout_plrnn(z0, A, W1, h1, cell="plrnn", steps=3, backend="reference").z.flatten().tolist())
"""
    assert run("-c", code, folder=tmp_path).strip() == "[0.5, 0.5, 0.25, 0.25, 0.125, 0.125]"


def test_sdist_holds_the_tree_once_and_builds(built, tmp_path):
    with tarfile.open(built["sdist"]) as archive:
        names = {name.split("/", 1)[1] for name in archive.getnames()}
        top = f"neurorbit-{VERSION}/"
        inside = [m for m in archive.getmembers() if m.name.startswith(top + "src/")]
        assert {m.name.removeprefix(top) for m in inside} == {f"src/{name}" for name in OWN}
        assert not any("shared/" in name or name.startswith(".venv") or ".pyc" in name for name in names)
        wanted = {
            "LICENSE",
            "README.md",
            "CITATION.cff",
            "CHANGELOG.md",
            "Makefile",
            "constraints.txt",
            "pyproject.toml",
        }
        assert in_tree(".py", ".md") | wanted <= names
        for member in archive.getmembers():
            archive.extract(member, tmp_path)
    out = tmp_path / "again"
    run("-m", "build", "--wheel", "--no-isolation", "--outdir", out, tmp_path / f"neurorbit-{VERSION}", folder=tmp_path)
    with zipfile.ZipFile(next(out.glob("*.whl"))) as again, zipfile.ZipFile(built["wheel"]) as first:
        assert sorted(again.namelist()) == sorted(first.namelist())


def test_version_is_stated_once():
    citation = (ROOT / "CITATION.cff").read_text()
    stated = [
        path
        for path in ("pyproject.toml", "README.md", "CITATION.cff", "src/neurorbit/__init__.py")
        if re.search(rf'version.{{0,6}}"?{re.escape(VERSION)}', (ROOT / path).read_text())
    ]
    assert stated == ["src/neurorbit/__init__.py"]
    assert "\nversion:" not in citation
    assert (
        f"## {VERSION}" in (ROOT / "CHANGELOG.md").read_text() or "## Unreleased" in (ROOT / "CHANGELOG.md").read_text()
    )
