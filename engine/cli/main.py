"""The command `neurorbit`: finds the command, turns what went wrong into one line and an exit code."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import MutableMapping

COMMANDS = {
    "plrnn fit": ("plrnn_fit", "reconstruct the dynamics behind a time series with an ensemble of PLRNNs"),
    "plrnn resume": ("plrnn_resume", "continue a stopped fit"),
    "plrnn evaluate": ("plrnn_evaluate", "measure fitted runs on test data"),
    "plrnn generate": ("plrnn_generate", "write an orbit of a fitted model to a file"),
    "convseq fit": ("convseq_fit", "find repeating spike sequences with an ensemble of trained filters"),
    "convseq resume": ("convseq_resume", "continue a stopped fit"),
    "convseq report": ("convseq_report", "write the report of a fit again, with an animal's position"),
    "convseq detect": ("convseq_detect", "write where the sequences of a fit occur to a CSV file"),
    "convseq score": ("convseq_score", "score detections against planted sequences"),
    "convseq video": ("convseq_video", "write a film of the optimisation"),
    "convseq simulate": ("convseq_simulate", "write a recording with planted spike sequences, or tuned neurons"),
    "identify fit": ("identify_fit", "recover the connectivity behind recorded activity and its inputs"),
    "identify resume": ("identify_resume", "continue a stopped fit"),
    "identify evaluate": ("identify_evaluate", "measure fitted networks: connectivity, free and silent runs, shifters"),
    "identify inputs": ("identify_inputs", "decide from activity alone which recorded units carry an input"),
    "identify plot": ("identify_plot", "write figures and report of a fit, beside a control"),
    "findr fit": ("findr_fit", "infer the flow behind the spikes of trials"),
    "findr grid": ("findr_fit", "the same for the published grid of sizes and rates"),
    "findr resume": ("findr_resume", "continue a stopped fit or grid"),
    "findr evaluate": ("findr_evaluate", "measure fitted flows on validation and test trials"),
    "findr sample": ("findr_sample", "write paths of a fitted flow, and spikes, to a file"),
    "findr plot": ("findr_plot", "write figures and report of a fit"),
    "simulate ring": ("network_simulate", "write walks of a ring attractor, compass neurons, to a file"),
    "simulate torus": ("network_simulate", "write runs of a torus attractor, grid cells, to a file"),
    "simulate headdirection": ("network_simulate", "write walks of a compass with two populations of shifters"),
    "simulate decision": ("trials_simulate", "write spikes behind a bistable decision between clicks to a file"),
    "simulate flipflop": ("trials_simulate", "write spikes behind a memory of two or three bits"),
    "simulate ou": ("trials_simulate", "write spikes behind a linear stochastic flow"),
    "simulate": ("simulate", "write an orbit of a chaotic system to a file"),
    "demo": ("demo", "run every system on data with a known answer, with tables and a report"),
    "info": ("info", "show versions, device, and which backend runs each op"),
}


def wait_briefly(environment: MutableMapping[str, str]) -> None:
    """Threads that wait spin for some ten microseconds, as long as Python takes from one kernel to the next, and then
    sleep: those that spin on make a step ten times as long when another program wants the core, those that sleep at
    once make it half as long again. For a process of our own, before torch is loaded; a user's own setting stays.
    """
    if "OMP_WAIT_POLICY" not in environment:
        environment["OMP_WAIT_POLICY"] = "passive"
        environment.setdefault("GOMP_SPINCOUNT", "1000")


def main(arguments: list[str] | None = None) -> int:
    """Run a command; 0 when all went well, 1 when every run diverged, 2 for bad input, 128 + n after signal n."""
    if arguments is None:
        wait_briefly(os.environ)
    words = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in words
    words = [w for w in words if w != "--debug"]
    name = next((n for n in COMMANDS if words[: len(n.split())] == n.split()), None)
    if name is None:
        return _no_command(words)
    try:
        module = importlib.import_module(f"neurorbit.engine.cli.{COMMANDS[name][0]}")
        return module.main(words[len(name.split()) :], f"neurorbit {name}")
    except (ValueError, TypeError, OSError, RuntimeError, MemoryError) as error:
        if debug:
            raise
        if isinstance(error, BrokenPipeError):
            return 141
        print(f"neurorbit {name}: {' '.join(str(error).split()) or type(error).__name__}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"neurorbit {name}: interrupted", file=sys.stderr)
        return 130
    except SystemExit as leaving:
        return leaving.code if isinstance(leaving.code, int) else 0


def _no_command(words: list[str]) -> int:
    group = words[0] if words and any(n.startswith(words[0] + " ") for n in COMMANDS) else None
    rest = words[1:] if group else words
    if rest and rest[0] == "--version":
        import neurorbit

        print(f"neurorbit {neurorbit.__version__}")
        return 0
    shown = [n for n in COMMANDS if group is None or n.startswith(group + " ")]
    if rest and rest[0] not in ("--help", "-h"):
        known = ", ".join(shown)
        print(f"neurorbit: unknown command {' '.join(words[:2])!r}; the commands are {known}", file=sys.stderr)
        return 2
    print("usage: neurorbit COMMAND [options]; neurorbit COMMAND --help lists them, --debug shows tracebacks\n")
    for n in shown:
        print(f"  {n:<22} {COMMANDS[n][1]}")
    return 0 if rest else 2


if __name__ == "__main__":
    sys.exit(main())
