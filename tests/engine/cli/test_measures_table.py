"""The table of measures in the terminal."""

import pytest

from neurorbit.engine.cli.tables import print_measures


def test_a_grid_shows_a_row_per_setting_and_gaps_are_counted(capsys: pytest.CaptureFixture[str]) -> None:
    def run(k: int, alpha: float, value: float) -> dict[str, object]:
        return {"run": k, "seed": 0, "settings": {"alpha": alpha}, "d_h": value}

    found = {
        "runs": [run(0, 0.1, 0.25), run(1, 0.3, None)],  # type: ignore[arg-type]
        "diverged": [1],
        "median": {"d_h": 0.25},
        "mad": {"d_h": 0.125},
        "by_settings": [
            {"settings": {"alpha": 0.1}, "runs": 1, "median": {"d_h": 0.25}, "mad": {"d_h": 0.5}},
            {"settings": {"alpha": 0.3}, "runs": 1, "median": {"d_h": None}, "mad": {"d_h": None}},
        ],
        "dropped_rows": 7,
        "variants": {"d_h": "gtf2023"},
    }
    print_measures(found)
    text = capsys.readouterr().out
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in text.splitlines() if line.startswith("│")]
    assert rows == [
        ["median", "0.25"],
        ["MAD", "0.125"],
        ["1 run alpha 0.1", "0.25 ± 0.5"],
        ["1 run alpha 0.3", "- ± -"],
        ["run 0 alpha 0.1", "0.25"],
        ["run 1 alpha 0.3 diverged", "-"],
    ]
    assert "left out of the medians, diverged in training: run 1" in text
    assert "7 rows with a missing value are left out of d_stsp and d_h" in text
