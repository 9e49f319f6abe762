"""One measurement in a fresh process: `python -m benchmarks.child memory|first_call OP DEVICE IMPLEMENTATION`.

memory: the highest resident size (CPU) or allocated size (CUDA) during a training step, above what was there before it.
first_call: seconds from after `import torch` to the end of the first training step, imports and compilation included.
"""

from __future__ import annotations

import ctypes
import gc
import importlib
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.provenance import ROOT
from benchmarks.workload import Implementation, Prepared, Workload

# Large freed blocks go back to the system at once, so that resident size is what is in use.
HONEST_MALLOC = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536", "MALLOC_ARENA_MAX": "2"}


def in_child(job: str, op: str, device: str, implementation: str, environment: dict[str, str]) -> dict[str, Any]:
    """Run one job in a process of its own and read its answer."""
    command = [sys.executable, "-m", "benchmarks.child", job, op, device, implementation]
    done = subprocess.run(command, cwd=ROOT, env={**os.environ, **environment}, capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command[2:])}: {done.stderr.strip().splitlines()[-1:]}")
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def peak_memory(op: str, device: str, implementation: str) -> dict[str, Any]:
    """{"peak_bytes": ...} of a training step of the op's memory workload."""
    return in_child("memory", op, device, implementation, HONEST_MALLOC if device == "cpu" else {})


def first_calls(op: str, device: str, implementation: str) -> dict[str, float]:
    """Seconds of the first training step in a fresh process: without a kernel cache, and with the one it left."""
    with tempfile.TemporaryDirectory() as cache:
        places = {"NUMBA_CACHE_DIR": f"{cache}/numba", "TRITON_CACHE_DIR": f"{cache}/triton"}
        cold = in_child("first_call", op, device, implementation, places)
        warm = in_child("first_call", op, device, implementation, places)
    return {"cold_s": cold["first_call_s"], "cached_s": warm["first_call_s"], "second_call_s": warm["second_call_s"]}


def resident_bytes(field: str) -> int:
    """VmRSS or VmHWM of this process."""
    found = re.search(rf"{field}:\s*(\d+) kB", Path("/proc/self/status").read_text())
    if found is None:
        raise RuntimeError(f"/proc/self/status has no {field}")
    return int(found.group(1)) * 1024


def give_back_freed_memory() -> None:
    """What earlier steps freed goes back to the system; small blocks stay with the heap otherwise, and look in use."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc has it
    if trim is not None:
        trim(0)


def run_step(prepared: Prepared) -> None:
    prepared.wait(prepared.phases["step"]())


def measure_memory(implementation: Implementation, workload: Workload, op: Any, device: str) -> dict[str, Any]:
    import torch

    prepared = implementation.prepare(workload, op.inputs_of(workload, device))
    run_step(prepared)
    gc.collect()
    if device == "cuda":
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        run_step(prepared)
        return {"peak_bytes": torch.cuda.max_memory_allocated() - before}
    reset = Path("/proc/self/clear_refs")
    if not reset.exists():
        raise RuntimeError("peak memory on the CPU is read from /proc: Linux only")
    give_back_freed_memory()
    reset.write_text("5")  # sets VmHWM to VmRSS
    before = resident_bytes("VmRSS")
    run_step(prepared)
    return {"peak_bytes": max(0, resident_bytes("VmHWM") - before)}


def main(job: str, name: str, device: str, implementation_name: str) -> dict[str, Any]:
    import torch

    if device == "cuda":
        torch.cuda.init()
    start = time.perf_counter()
    op = importlib.import_module(f"benchmarks.ops.{name}")
    implementation = next(i for i in op.implementations(compiling=True) if i.name == implementation_name)
    if job == "memory":
        return measure_memory(implementation, op.memory_workload(device), op, device)
    workload = op.workloads(device)[0]
    prepared = implementation.prepare(workload, op.inputs_of(workload, device))
    run_step(prepared)
    first = time.perf_counter()
    run_step(prepared)
    return {"first_call_s": first - start, "second_call_s": time.perf_counter() - first}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main(*sys.argv[1:5])) + "\n")
