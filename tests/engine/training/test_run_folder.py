"""Run folders: made whole, one process at a time, metrics cut back to the checkpoint."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from neurorbit.engine.training.folder import RunFolder
from neurorbit.engine.training.lock import FolderLock

HOLD = """
import sys
from pathlib import Path
from neurorbit.engine.training.lock import FolderLock
with FolderLock(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_second_process_is_refused_and_told_who_holds_the_folder(tmp_path: Path) -> None:
    holder = subprocess.Popen([sys.executable, "-c", HOLD, tmp_path], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert holder.stdout is not None and holder.stdout.readline() == b"held\n"
        with (
            pytest.raises(RuntimeError, match=rf"in use by process {holder.pid}: .*another workdir"),
            FolderLock(tmp_path),
        ):
            pass
    finally:
        holder.kill()
        holder.communicate()
    assert (tmp_path / "lock").read_text() == f"process {holder.pid}\n"  # stale, since it was killed
    with FolderLock(tmp_path):
        assert (tmp_path / "lock").read_text() == f"process {os.getpid()}\n"


def test_a_lock_is_refused_within_one_process_too(tmp_path: Path) -> None:
    with FolderLock(tmp_path), pytest.raises(RuntimeError, match="in use"), FolderLock(tmp_path):
        pass
    with FolderLock(tmp_path):
        pass


def test_an_earlier_run_is_kept_unless_overwritten_and_strangers_files_always(tmp_path: Path) -> None:
    RunFolder.create(tmp_path / "a", {"system": "s", "n": 1}).append_metrics([["step"], [1]])
    (tmp_path / "a" / "notes.txt").write_text("mine")
    with pytest.raises(ValueError, match="already holds a run"):
        RunFolder.create(tmp_path / "a", {"n": 2})
    assert RunFolder(tmp_path / "a").config == {"system": "s", "n": 1}
    folder = RunFolder.create(tmp_path / "a", {"n": 2}, overwrite=True)
    assert folder.config == {"n": 2} and not folder.metrics.exists()
    assert (tmp_path / "a" / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize("name", ["figures/mine.png", "report.html", "detections.csv", "shape_photos/a", "config.json"])
@pytest.mark.parametrize("overwrite", [False, True])
def test_a_folder_with_own_files_of_these_names_is_no_place_for_a_run(
    tmp_path: Path, name: str, overwrite: bool
) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("mine")
    with pytest.raises(ValueError, match=r"is no run folder and holds|already holds a run"):
        RunFolder.create(tmp_path, {"system": "s"}, overwrite=overwrite)
    assert (tmp_path / name).read_text() == "mine"
    assert {p.name for p in tmp_path.iterdir()} == {name.split("/")[0]}


def test_metrics_are_cut_back_to_the_checkpoint(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path, {})
    folder.begin_metrics(["step", "loss"], 0)
    folder.append_metrics([[1, 0.5], [2, None]])
    size = folder.metrics.stat().st_size
    folder.append_metrics([[3, 0.25]])
    folder.begin_metrics(["step", "loss"], size)
    assert folder.metrics.read_text() == "step,loss\n1,0.5\n2,\n"
    folder.metrics.write_text("step")
    with pytest.raises(ValueError, match=r"holds 4 bytes, .* at the checkpoint"):
        folder.begin_metrics(["step", "loss"], size)


def test_what_is_no_run_folder_or_cannot_be_one_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"config\.json is missing"):
        RunFolder(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match=r"workdir .*file"):
        RunFolder.create(tmp_path / "file", {})
