"""Registers, spills and shared memory of the Triton kernels, compiled ahead of time: needs no GPU and no driver.

`python -m benchmarks.resources` writes the table benchmarks/results/resources.md.
"""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from benchmarks.provenance import ROOT
from neurorbit.bindings.dispatch import load

TABLE = ROOT / "benchmarks/results/resources.md"
ARCHITECTURES = (80, 90)
SHARED_LIMIT = {80: 163 * 1024, 90: 227 * 1024}
INTEGER_POINTERS = ("interval", "lengths")
NAMED = (  # cell, M, H, B
    ("shallow-clipped", 3, 50, 16),
    ("shallow-clipped", 5, 250, 16),
    ("shallow-clipped", 16, 512, 16),
    ("shallow", 64, 1024, 16),
    ("plrnn", 50, 0, 16),
    ("plrnn-mc", 20, 0, 16),
    ("dendritic-clipped", 20, 0, 16),
    ("alrnn", 256, 0, 16),
)


@dataclass(frozen=True)
class Resources:
    """What one kernel of one model size takes on one architecture."""

    kernel: str
    cell: str
    M: int
    H: int
    form: str
    warps: int
    arch: int
    registers: int
    stack: int
    shared: int
    ffma: int
    shuffles: int
    barriers: int


def variants(cell: str, M: int, H: int, B: int) -> Iterator[tuple[str, dict[str, Any], int]]:
    """(kernel name, constexpr values, warps) of every launch that a model of this size makes."""
    module = load("rollout_plrnn", "triton")
    hidden = H > 0
    K = H or M
    family = {"CELL": module.CODES[cell], "HIDDEN": hidden, "HAS_FORCE": True}
    rollout = module.launch(hidden, B, M, K, torch.float32, None)
    warps = rollout.pop("num_warps")
    yield "forward_kernel", {**family, **rollout, "HAS_DRIVE": False, "HAS_LENGTHS": False}, warps
    yield "backward_kernel", {**family, **rollout, "WANTS_Z_HAT": False, "HAS_LENGTHS": False}, warps
    weights = module.weight_launch(M, K, torch.float32)
    warps = weights.pop("num_warps")
    yield "weight_kernel", {**family, **weights}, warps
    if cell.startswith("dendritic"):
        yield "dendrite_kernel", {"CLIPPED": cell == "dendritic-clipped", "HAS_FORCE": True, **weights}, warps


def _tool() -> str:
    import triton

    found = next(iter(Path(triton.__file__).parent.rglob("cuobjdump")), None)
    if found is None:
        raise RuntimeError("cuobjdump: not in the installed triton package: install triton 3.7.1")
    return str(found)


def _dump(cubin: bytes, option: str) -> str:
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(cubin)
        file.flush()
        return subprocess.run([_tool(), option, file.name], capture_output=True, text=True, check=True).stdout


def compile_kernel(
    name: str, constants: dict[str, Any], warps: int, arch: int, *, ones: bool = False
) -> tuple[bytes, int]:
    """The cubin and the shared memory in bytes of one specialisation for float32 pointers aligned to 16 bytes.

    ones: every integer is 1, which Triton compiles in as a constant, as it does at a launch with such sizes.
    """
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    kernel = getattr(load("rollout_plrnn", "triton"), name)
    signature: dict[str, str] = {}
    attributes: dict[tuple[int, ...], list[list[Any]]] = {}
    scalars = {"B", "T", "rows", "M", "K", "D", "N", "kept", "first_step", "keep_every", "n_linear", "z_hat_models",
               "length_models", "splits"}  # fmt: skip
    for position, argument in enumerate(kernel.arg_names):
        if ones and argument in scalars:
            constants = {**constants, argument: 1}
        if argument in constants:
            signature[argument] = "constexpr"
        elif argument in scalars:
            signature[argument] = "i32"
        else:
            signature[argument] = "*i64" if argument in INTEGER_POINTERS else "*fp32"
            attributes[(position,)] = [["tt.divisibility", 16]]
    source = ASTSource(kernel, signature, constexprs=constants, attrs=attributes)
    compiled = triton.compile(source, target=GPUTarget("cuda", arch, 32), options={"num_warps": warps})
    return compiled.asm["cubin"], compiled.metadata.shared


def measure(cell: str, M: int, H: int, B: int, arch: int) -> list[Resources]:
    """Resources of every kernel of one model size on one architecture."""
    found = []
    for name, constants, warps in variants(cell, M, H, B):
        cubin, shared = compile_kernel(name, constants, warps, arch)
        usage, code = _dump(cubin, "--dump-resource-usage"), _dump(cubin, "--dump-sass")

        def number(key: str, text: str = usage) -> int:
            match = re.search(rf"{key}:(\d+)", text)
            if match is None:
                raise RuntimeError(f"cuobjdump: no {key} in its report: {text[:200]}")
            return int(match.group(1))

        form = ("dot" if constants["DOT"] else "vector") + ("" if constants.get("RESIDENT", True) else ", streamed")
        counts = [len(re.findall(rf"\b{word}\b", code)) for word in ("FFMA", "SHFL", "BAR")]
        found.append(Resources(name, cell, M, H, form, warps, arch, number("REG"), number("STACK"), shared, *counts))
    return found


def table(rows: list[Resources]) -> str:
    """Markdown table of the rows."""
    head = (
        "kernel", "cell", "M", "H", "form", "warps", "sm", "registers", "spill (B)", "shared (B)", "FFMA", "SHFL",
        "BAR",
    )  # fmt: skip
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    lines += ["| " + " | ".join(str(v) for v in vars(row).values()) + " |" for row in rows]
    return "\n".join(lines)


def main() -> None:
    import triton

    rows = [r for case in NAMED for arch in ARCHITECTURES for r in measure(*case, arch)]
    text = (
        f"# Resources of the Triton kernels\n\nCompiled ahead of time with triton {triton.__version__} by "
        "`python -m benchmarks.resources`; float32, batch 16. Instruction counts are of the whole kernel; the loop "
        f"over time is most of it.\n\n{table(rows)}\n"
    )
    TABLE.parent.mkdir(parents=True, exist_ok=True)
    TABLE.write_text(text)


if __name__ == "__main__":
    main()
