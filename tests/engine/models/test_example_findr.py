"""The example of FINDR runs as it stands, on small data."""

import subprocess
import sys
from pathlib import Path

EXAMPLE = Path(__file__).resolve().parents[3] / "examples/infer_flow.py"


def test_the_example_explains_spikes(tmp_path: Path) -> None:
    words = ["--epochs", "30", "--trials", "200", "--neurons", "20", "--workdir", str(tmp_path / "run")]
    done = subprocess.run([sys.executable, str(EXAMPLE), *words], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    lines = dict(line.rsplit(": ", 1) for line in done.stdout.splitlines() if ": " in line)
    assert float(lines["bits per spike of test trials"]) > 0.1
    assert float(lines["of neurons that the encoder does not see"]) > 0.05
    model, recorded = map(int, lines["spikes per trial, of the model and recorded"].strip("[]").split(","))
    assert abs(model - recorded) < 0.1 * recorded
    assert "a sink at z = [" in done.stdout
    assert "R^2 of the flow along the decision axis" in lines
    assert (tmp_path / "run" / "metrics.csv").is_file()
