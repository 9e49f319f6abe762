"""The rules of the tree as functions of a root folder: each returns one line per violation, an empty list when kept."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from pathlib import Path

LAYERS = ("kernels", "bindings", "engine")
SOURCES = (*LAYERS, "src/neurorbit", "tests", "benchmarks", "examples")
OP_FILES = ("README.md", "__init__.py", "spec.py", "reference.py", "cpu_numba.py", "gpu_triton.py")
DRAWERS = {"util", "utils", "misc", "common", "helper", "helpers"}
LONGEST_FILE = 500

GLOBAL_STATE = {
    "torch.manual_seed",
    "torch.seed",
    "torch.cuda.manual_seed",
    "torch.cuda.manual_seed_all",
    "torch.set_default_dtype",
    "torch.set_default_device",
    "torch.set_default_tensor_type",
    "numpy.random.seed",
    "np.random.seed",
    "random.seed",
    "os.chdir",
    "contextlib.chdir",
    "matplotlib.use",
    "matplotlib.pyplot",
    "pylab",
}
PICKLES = {
    f"{m}.{f}" for m in ("pickle", "dill", "cloudpickle") for f in ("load", "loads", "dump", "dumps", "Unpickler")
}
PICKLES |= {"torch.load", "torch.save"}
TRUSTED_PICKLES = ("engine/data/pickled_file.py",)  # numpy.load alone, and only for those who pass --trust-pickle

Violations = list[str]


def python_files(root: Path, *folders: str) -> Iterator[tuple[str, ast.Module]]:
    """Every module under the folders as (path relative to root, syntax tree); links are not followed twice."""
    for folder in folders:
        base = root / folder
        candidates = base.glob("*.py") if folder == "src/neurorbit" else base.rglob("*.py")
        for path in sorted(candidates):
            yield path.relative_to(root).as_posix(), ast.parse(path.read_text(encoding="utf-8"))


def dotted(node: ast.AST) -> str:
    """`a.b.c` as text, or an empty string when it is no plain dotted name."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        front = dotted(node.value)
        return f"{front}.{node.attr}" if front else ""
    return ""


def imports(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Every imported name with its line: inside functions too, `from a import b` as a and a.b, importlib's texts."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield node.lineno, node.module or ""
            for alias in node.names:
                yield node.lineno, f"{node.module}.{alias.name}"
        elif isinstance(node, ast.Call) and dotted(node.func).endswith("import_module") and node.args:
            text = node.args[0]
            if isinstance(text, ast.JoinedStr) and text.values:
                text = text.values[0]
            if isinstance(text, ast.Constant) and isinstance(text.value, str):
                yield node.lineno, text.value.rstrip(".")


def below(name: str, *packages: str) -> bool:
    """Whether a dotted name is one of the packages or lies in one."""
    return any(name == p or name.startswith(p + ".") for p in packages)


def names_used(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Imported and dotted names, each with its line."""
    yield from imports(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and (name := dotted(node)):
            yield node.lineno, name


def import_direction(root: Path) -> Violations:
    """kernels <- bindings <- engine <- engine/cli; engine never imports kernels."""
    forbidden = {
        "kernels/": ("neurorbit.bindings", "neurorbit.engine"),
        "bindings/": ("neurorbit.engine",),
        "engine/": ("neurorbit.kernels",),
    }
    found = []
    for path, tree in python_files(root, *LAYERS):
        refused = next(v for k, v in forbidden.items() if path.startswith(k))
        if path.startswith("engine/") and not path.startswith("engine/cli/"):
            refused = (*refused, "neurorbit.engine.cli")
        found += [f"{path}:{line}: imports {name}" for line, name in imports(tree) if below(name, *refused)]
    return sorted(set(found))


def ops_stand_alone(root: Path) -> Violations:
    """An op's folder imports itself, kernels/spec.py and kernels/*_common.py, no other op."""
    found = []
    for path, tree in python_files(root, "kernels"):
        parts = path.split("/")
        if len(parts) < 3:
            continue
        for line, name in imports(tree):
            if not below(name, "neurorbit.kernels") or name == "neurorbit.kernels":
                continue
            target = name.split(".")[2]
            if target not in (parts[1], "spec") and not target.endswith("_common"):
                found.append(f"{path}:{line}: imports {name}")
    return found


def twins_know_no_reference(root: Path) -> Violations:
    """cpu_numba and gpu_triton never import the reference that they are tested against."""
    return [
        f"{path}:{line}: imports {name}"
        for path, tree in python_files(root, "kernels")
        if path.endswith(("/cpu_numba.py", "/gpu_triton.py", "_common.py"))
        for line, name in imports(tree)
        if "reference" in name.split(".")
    ]


def backends_in_their_files(root: Path) -> Violations:
    """numba and triton are imported by the files that are named after them alone, nowhere else in the library."""
    found = []
    for path, tree in python_files(root, *LAYERS, "src/neurorbit"):
        for line, name in imports(tree):
            for package in ("numba", "triton"):
                if below(name, package) and package not in path.rsplit("/", 1)[-1]:
                    found.append(f"{path}:{line}: imports {name}")
    return found


def backends_first_in_names(root: Path) -> Violations:
    """In kernels/, numba_x.py and triton_x.py beside cpu_numba.py and gpu_triton.py; what ops share ends in _common."""
    found = []
    for path, _ in python_files(root, "kernels"):
        *folders, name = path.removesuffix(".py").split("/")
        if name.endswith(("_numba", "_triton")) and name not in ("cpu_numba", "gpu_triton"):
            front, _, backend = name.rpartition("_")
            found.append(f"{path}: expected {backend}_{front}.py")
        if len(folders) == 1 and name not in ("__init__", "spec") and not name.endswith("_common"):
            found.append(f"{path}: expected a name that ends in _common")
    return found


def absolute_imports(root: Path) -> Violations:
    """`from neurorbit.engine.data import ...`: no dots, no layer under its bare name."""
    found = []
    for path, tree in python_files(root, *SOURCES):
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.level > 0:
                found.append(f"{path}:{node.lineno}: relative import")
        found += [f"{path}:{line}: imports {name}" for line, name in imports(tree) if below(name, *LAYERS)]
    return found


def no_prints(root: Path) -> Violations:
    """Only the command line prints."""
    return [
        f"{path}:{node.lineno}: print"
        for path, tree in python_files(root, *LAYERS, "src/neurorbit")
        if not path.startswith("engine/cli/")
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and dotted(node.func) == "print"
    ]


def short_files(root: Path) -> Violations:
    """No file is longer than 500 lines."""
    found = []
    for path, _ in python_files(root, *SOURCES):
        lines = len((root / path).read_text(encoding="utf-8").splitlines())
        if lines > LONGEST_FILE:
            found.append(f"{path}: {lines} lines")
    return found


def no_drawers(root: Path) -> Violations:
    """No utils, misc, common or helpers: a file is named after what is in it."""
    found = []
    for path, _ in python_files(root, *SOURCES):
        names = path.removesuffix(".py").split("/")
        found += [f"{path}: {name!r} says nothing" for name in names if name.lower() in DRAWERS]
    return found


def listed_ops(root: Path) -> tuple[str, ...]:
    """KERNELS as it stands in the file, without importing it."""
    for node in ast.parse((root / "kernels/__init__.py").read_text(encoding="utf-8")).body:
        targets = [node.target] if isinstance(node, ast.AnnAssign) else getattr(node, "targets", [])
        if any(dotted(t) == "KERNELS" for t in targets) and isinstance(node, ast.Assign | ast.AnnAssign) and node.value:
            return tuple(ast.literal_eval(node.value))
    raise ValueError("kernels/__init__.py: no KERNELS")


def complete_ops(root: Path) -> Violations:
    """Each op of KERNELS has its six files, a binding and a benchmark; each folder of kernels/ is in KERNELS."""
    listed, found = listed_ops(root), []
    for op in listed:
        wanted = [f"kernels/{op}/{name}" for name in OP_FILES] + [f"bindings/{op}.py", f"benchmarks/ops/{op}.py"]
        found += [f"{path}: missing" for path in wanted if not (root / path).is_file()]
    folders = {path.parent.name for path in (root / "kernels").glob("*/*.py")}
    return found + [f"kernels/{name}: not in KERNELS" for name in sorted(folders - set(listed))]


def no_global_state(root: Path) -> Violations:
    """The library seeds no global generator, sets no default, changes no folder, holds no current figure."""
    return [
        f"{path}:{line}: {name}"
        for path, tree in python_files(root, *LAYERS, "src/neurorbit")
        for line, name in sorted(set(names_used(tree)))
        if below(name, *GLOBAL_STATE)
    ]


def no_pickle(root: Path) -> Violations:
    """Nothing is pickled or unpickled; one file may let numpy do it, for those who ask for it."""
    found = []
    for path, tree in python_files(root, *LAYERS, "src/neurorbit"):
        found += [f"{path}:{line}: {name}" for line, name in sorted(set(names_used(tree))) if name in PICKLES]
        for node in ast.walk(tree):
            if isinstance(node, ast.keyword) and node.arg == "allow_pickle":
                refused = isinstance(node.value, ast.Constant) and node.value.value is False
                if not refused and path not in TRUSTED_PICKLES:
                    found.append(f"{path}:{node.value.lineno}: allow_pickle")
    return found


def no_swallowed_errors(root: Path) -> Violations:
    """No handler catches everything, and none that catches Exception does nothing with it."""
    found = []
    for path, tree in python_files(root, *SOURCES):
        for node in ast.walk(tree):
            if not isinstance(node, ast.ExceptHandler):
                continue
            idle = all(isinstance(s, ast.Pass) for s in node.body)
            if node.type is None or (dotted(node.type) in ("Exception", "BaseException") and idle):
                found.append(f"{path}:{node.lineno}: swallows every error")
    return found


def no_autotune(root: Path) -> Violations:
    """Triton configurations are data in CONFIGS: an autotuner at import fails without a device."""
    return [
        f"{path}:{line}: {name}"
        for path, tree in python_files(root, "kernels")
        for line, name in sorted(set(names_used(tree)))
        if below(name, "triton.autotune")
    ]


RULES: tuple[Callable[[Path], Violations], ...] = (
    import_direction,
    ops_stand_alone,
    twins_know_no_reference,
    backends_in_their_files,
    backends_first_in_names,
    absolute_imports,
    no_prints,
    short_files,
    no_drawers,
    complete_ops,
    no_global_state,
    no_pickle,
    no_swallowed_errors,
    no_autotune,
)
