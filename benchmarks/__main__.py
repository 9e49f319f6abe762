"""`python -m benchmarks <op>|<system>|all|table [--device cpu|cuda] [--json FILE] [--quick]`."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from pathlib import Path

os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # leaves the GPU's memory to both

import torch

from benchmarks.contract import RedContract
from benchmarks.measure import Row, measure_op
from benchmarks.provenance import LOAD_AT_START, ROOT, device_folder
from benchmarks.table import RESULTS, update_readme, write_rows
from neurorbit.kernels import KERNELS

SYSTEMS = tuple(sorted(path.stem for path in (ROOT / "benchmarks/systems").glob("[a-z]*.py")))


def say(line: str) -> None:
    print(line, flush=True)


def parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure an op or a system.")
    parser.add_argument("what", choices=(*KERNELS, *SYSTEMS, "all", "table"), help="table: write the README's table")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument(
        "--json", type=Path, help="file for the rows; `all` writes benchmarks/results/<device>/<what>.json"
    )
    parser.add_argument("--quick", action="store_true", help="seconds instead of minutes; not for publication")
    parser.add_argument(
        "--compile", action="store_true", help="include torch.compile of the loop (compiles for minutes)"
    )
    parser.add_argument("--only", default="", help="workloads whose name contains this text, without sweeps and memory")
    return parser.parse_args(arguments)


def measure(what: str, options: argparse.Namespace) -> list[Row]:
    if what in KERNELS:
        return measure_op(
            what, options.device, quick=options.quick, compiling=options.compile, only=options.only, say=say
        )
    system = importlib.import_module(f"benchmarks.systems.{what}")
    rows: list[Row] = system.measure(options.device, quick=options.quick, say=say)
    return rows


def main(arguments: list[str] | None = None) -> int:
    options = parse(arguments)
    if options.what == "table":
        say("README.md: written" if update_readme() else "README.md: already so")
        return 0
    if options.device == "cuda" and not torch.cuda.is_available():
        print("error: --device cuda: torch sees no CUDA device", file=sys.stderr)
        return 2
    if LOAD_AT_START is not None and LOAD_AT_START > 0.5:
        say(f"warning: the machine is busy (load {LOAD_AT_START:.1f}): times and ratios will be off")
    for what in (*KERNELS, *SYSTEMS) if options.what == "all" else (options.what,):
        try:
            rows = measure(what, options)
        except RedContract as error:
            print(f"red: {error}", file=sys.stderr)
            return 1
        file = options.json
        if options.what == "all" and not options.quick:
            file = RESULTS / device_folder(options.device) / f"{what}.json"
        if file:
            write_rows(file, rows)
            say(f"{len(rows)} rows in {file}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
