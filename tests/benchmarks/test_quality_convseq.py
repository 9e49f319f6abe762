"""The quality benchmark of convSeq runs as a whole; here on a small recording."""

from __future__ import annotations

import json

import numpy as np
import pytest
import scipy.io

from benchmarks.quality.convseq import main, without_paths
from neurorbit.engine.simulate import plant_sequences


@pytest.fixture(params=[12])
def data(tmp_path, request):
    events = plant_sequences(seqlen=10, n_neurons=request.param, n_bins=4200, rate_hz=0.2).events
    scipy.io.savemat(tmp_path / "neuronal_activity_mat.mat", {"neuronal_activity_mat": events.dense()})
    return tmp_path


def test_calibration_judges_every_recording_by_every_significance(data, capsys):
    words = ["calibration", "--recordings", "3", "--surrogates", "19", "--epochs", "2"]
    found = main([*words, "--data", str(data), "--json", str(data / "out.json")])
    assert json.loads((data / "out.json").read_text()) == json.loads(json.dumps(found))
    assert found["command"] == f"python -m benchmarks.quality.convseq {' '.join(words)}"
    assert [r["recording"] for r in found["rows"]] == [0, 1, 2]
    for name in ("crossfit", "random", "surrogate"):
        assert found["with_a_detection"][name] == sum(r[name] > 0 for r in found["rows"])
    for r in found["rows"]:
        assert (r["surrogate"] > 0) == (r["surrogate_p_any"] <= 0.05) and (r["crossfit"] > 0) == (r["p_any"] <= 0.05)
        assert np.isclose(r["surrogate_p_any"] * 20, round(r["surrogate_p_any"] * 20))  # a rank among 19 and itself
    assert '"level": 0.05' in capsys.readouterr().out


@pytest.mark.parametrize("data", [120], indirect=True)
def test_the_table_keeps_the_rows_of_surrogates_that_it_does_not_make(data, tmp_path, monkeypatch):
    monkeypatch.setattr("benchmarks.quality.convseq.RESULTS", tmp_path)
    monkeypatch.setattr("benchmarks.quality.convseq.CELLS", ((0.1, 10.0),))
    old = {"p_drop": 0.1, "jitter_std": 10.0, "significance": "surrogate", "seed": 0, "f1": 0.5}
    out = tmp_path / "out.json"
    out.write_text(json.dumps({"rows": [old, old | {"significance": "random"}], "command": "c", "commit": "abc"}))
    words = ["table", "--seeds", "2", "--epochs", "2", "--surrogates", "0", "--data", str(data), "--json", str(out)]
    found = main(words)
    assert [(r["significance"], r["seed"]) for r in found["rows"]] == [
        ("random", 0), ("crossfit", 0), ("random", 1), ("crossfit", 1), ("surrogate", 0),
    ]  # fmt: skip
    assert found["rows"][-1] == old and found["surrogate_rows"] == {"command": "c", "commit": "abc"}
    assert main(words)["surrogate_rows"] == {"command": "c", "commit": "abc"} and (tmp_path / "convseq_f1.png").exists()


def test_a_command_is_told_without_its_paths():
    assert without_paths(["demo", "--data", "x", "--seeds", "2", "--json", "y"]) == ["demo", "--seeds", "2"]


def test_missing_data_is_named(tmp_path):
    with pytest.raises(SystemExit, match="no such folder: name the data with --data"):
        main(["demo", "--data", str(tmp_path / "none")])
