"""The example runs, on a small recording, and finds all that it plants."""

import re
import subprocess
import sys
from pathlib import Path

EXAMPLE = Path(__file__).parents[3] / "examples" / "find_sequences.py"


def test_the_example_plants_fits_detects_and_scores(tmp_path: Path) -> None:
    words = ["--bins", "3000", "--neurons", "40", "--width", "40", "--steps", "200"]
    done = subprocess.run(
        [sys.executable, EXAMPLE, *words, "--workdir", tmp_path / "run"], capture_output=True, text=True, check=True
    )
    lines = done.stdout.splitlines()
    assert lines[0] == "25 detections; chance of any false one: 5% (crossfit)"
    rows = [line.split() for line in lines[2:27]]
    assert [round(float(row[0])) for row in rows] == [3 + 6 * i for i in range(25)]  # 120 bins of 0.05 s apart
    assert re.match(r"\d+ neurons take part, 24 of the 24 planted ones; the first to fire: \[", lines[27])
    assert lines[28] == "precision 1.00, recall 1.00, F1 1.00"
    assert (tmp_path / "run" / "crossfit" / "config.json").exists()
    assert len(EXAMPLE.read_text().splitlines()) < 60
