"""Tables of detections and neurons: what is written is read, what was damaged is refused."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from neurorbit.engine.analysis.detections import Detections
from neurorbit.engine.analysis.participation import Participation
from neurorbit.engine.models.convseq.detecting import Found
from neurorbit.engine.models.convseq.null import Null
from neurorbit.engine.models.convseq.tables import read_detections, write_detections, write_neurons

HEAD = "run,sequence,time_bin,time_s,height_sd,p_value,recording"
NULL = Null(0.0, 1.0, 2, 2, np.arange(3.0), np.array([1, 1]))


def found(bin_s: float | None, D: int = 3) -> Found:
    times, sequence = np.array([4.5, 100.0, 12345.5])[:D], np.array([0, 1, 0])[:D]
    height, p = np.array([5.25, 1 / 3, 7.0])[:D], np.array([0.05, 1 / 201, 1e-9])[:D]
    d = Detections(times, sequence, height, p, "crossfit", np.ones(2), 0.05, 4, bin_s, np.zeros((2, 9)),
                   np.zeros(2), np.ones(2))  # fmt: skip
    part = Participation(np.array([2, 0, 1]), np.array([-3.5, 0.0, 8.0]), np.array([0.5, 0.25, 0.25]),
                         np.array([0.001, 1.0, 0.02]))  # fmt: skip
    return Found(1, d, [part, part], NULL, np.zeros((2, 3, 4)), "0123456789abcdef")


@pytest.mark.parametrize("bin_s", [0.05, None])
def test_round_trip(tmp_path: Path, bin_s: float | None) -> None:
    path = write_detections(tmp_path / "d.csv", found(bin_s))
    table = read_detections(path)
    assert path.read_text().splitlines()[0] == HEAD
    assert table.run.tolist() == [1, 1, 1] and table.sequence.tolist() == [0, 1, 0]
    assert table.time_bin.tolist() == [4.5, 100.0, 12345.5]
    assert np.allclose(table.height_sd, found(bin_s).detections.height_sd, rtol=1e-8)
    assert np.allclose(table.p_value, found(bin_s).detections.p_value, rtol=1e-8)
    assert table.recording.tolist() == ["0123456789ab"] * 3
    if bin_s is None:
        assert np.isnan(table.time_s).all()
    else:
        assert np.allclose(table.time_s, (table.time_bin + 0.5) * 0.05)


def test_no_detections(tmp_path: Path) -> None:
    path = write_detections(tmp_path / "d.csv", found(0.05, 0))
    assert path.read_text() == HEAD + "\n"
    assert all(len(column) == 0 for column in read_detections(path))


def test_neurons(tmp_path: Path) -> None:
    """Who takes part comes first; who never fires has no lag; the level is that of the detections."""
    lines = write_neurons(tmp_path / "n.csv", found(0.05)).read_text().splitlines()
    assert lines[0] == "run,sequence,neuron,rank,lag_bins,share,p_value,takes_part"
    sequence = ["2,0,-3.5,0.5,0.001,1", "1,1,8,0.25,0.02,1", "0,,0,0.25,1,0"]
    assert lines[1:] == [f"1,{k},{row}" for k in range(2) for row in sequence]
    strict = found(0.05)
    strict.participation[0].lag_bins[1] = np.nan
    strict = dataclasses.replace(strict, detections=dataclasses.replace(strict.detections, level=0.01))
    lines = write_neurons(tmp_path / "n.csv", strict).read_text().splitlines()
    assert lines[1:4] == ["1,0,2,0,-3.5,0.5,0.001,1", "1,0,0,,,0.25,1,0", "1,0,1,,8,0.25,0.02,0"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected the columns run,sequence,time_bin"),
        ("a,b\n1,2\n", "expected the columns"),
        (HEAD + "\n0,0,10,,5,0.1,\n0,0,ten,,5,0.1,\n", "line 3: expected 6 numbers"),
        (HEAD + "\n0,0,10,,5\n", "line 2: expected 6 numbers"),
        (HEAD + "\n3\n", "line 2: expected 6 numbers"),
        (HEAD + "\n0,0,10,,5,0.1,9,9\n", "line 2: expected 6 numbers"),
        (HEAD + "\n0,0,10,,5,0.1,\n\n0,0,10,,5,0.1,\n", "line 3: expected 6 numbers"),
        (HEAD + "\n0,0,,,5,0.1,\n", "line 2: expected run and sequence"),
        (HEAD + "\n0,0,inf,,5,0.1,\n", "line 2: expected run and sequence"),
        (HEAD + "\n0,-1,10,,5,0.1,\n", "line 2: expected run and sequence"),
        (HEAD + "\n0,0,10,,5,0.1,\n0,0.5,10,,5,0.1,\n", "line 3: expected run and sequence"),
        (HEAD + "\n0,1e300,10,,5,0.1,\n", "line 2: expected run and sequence"),
        (HEAD + "\n,0,10,,5,0.1,\n", "line 2: expected run and sequence"),
    ],
)
def test_damaged(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "d.csv"
    path.write_text(text)
    with pytest.raises(ValueError) as error:
        read_detections(path)
    assert str(error.value).startswith(f"{path}: {message}")


def test_not_text_and_not_there(tmp_path: Path) -> None:
    (tmp_path / "d.csv").write_bytes(b"\xff\xfe\x00\x80")
    with pytest.raises(ValueError, match="is not a CSV file"):
        read_detections(tmp_path / "d.csv")
    with pytest.raises(FileNotFoundError, match="no such file; check the path"):
        read_detections(tmp_path / "e.csv")
    with pytest.raises(OSError, match="could not be written"):
        write_detections(tmp_path / "nowhere" / "d.csv", found(None))
