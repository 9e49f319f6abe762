"""The example runs, on a few steps."""

import subprocess
import sys
from pathlib import Path

EXAMPLE = Path(__file__).parents[3] / "examples" / "reconstruct_lorenz.py"


def test_the_example_fits_measures_and_generates() -> None:
    done = subprocess.run([sys.executable, EXAMPLE, "--steps", "5"], capture_output=True, text=True, check=True)
    assert "lyapunov_max: " in done.stdout and "generated orbits: [5, 1000, 3]" in done.stdout
    assert len(EXAMPLE.read_text().splitlines()) < 60
