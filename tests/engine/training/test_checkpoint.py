"""Checkpoints: whole, or recognised as not whole."""

import errno
import os
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from neurorbit.engine.training.checkpoint import (
    Checkpoint,
    checkpoint_files,
    digested_bytes,
    load_checkpoint,
    load_digested,
    load_newest,
    save_checkpoint,
    tensor_bytes,
)
from neurorbit.engine.whole_files import write_atomically


def checkpoint(step: int) -> Checkpoint:
    return Checkpoint(
        step, {"a": torch.arange(6.0).reshape(2, 3) + step, "n": torch.tensor(step)}, {"bytes": 10 * step}
    )


def test_round_trip_and_only_the_newest_two_stay(tmp_path: Path) -> None:
    for step in (5, 10, 15, 100):
        save_checkpoint(tmp_path, checkpoint(step))
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        f"step_{s:08d}.{kind}" for s in (15, 100) for kind in ("json", "safetensors")
    ]
    found, damaged = load_newest(tmp_path)
    assert found is not None and found.step == 100 and found.values == {"bytes": 1000} and not damaged
    assert torch.equal(found.tensors["a"], checkpoint(100).tensors["a"]) and found.tensors["n"].dtype == torch.int64


def test_no_checkpoint_is_not_an_error(tmp_path: Path) -> None:
    assert load_newest(tmp_path) == (None, [])


def spoiled(content: bytes, where: float, change: int, cut: bool) -> bytes:
    """The content up to a place, or with one byte changed there."""
    at = int(where * len(content))
    return content[:at] if cut else content[:at] + bytes([content[at] ^ change]) + content[at + 1 :]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(where=st.floats(0, 1, exclude_max=True), change=st.integers(1, 255), json=st.booleans(), cut=st.booleans())
def test_any_changed_byte_and_any_cut_is_found_and_the_one_before_is_used(
    tmp_path: Path, where: float, change: int, json: bool, cut: bool
) -> None:
    for step in (1, 2):
        save_checkpoint(tmp_path, checkpoint(step))
    path = tmp_path / ("step_00000002.json" if json else "step_00000002.safetensors")
    content = path.read_bytes()
    path.write_bytes(spoiled(content, where, change, cut))
    try:
        found, damaged = load_newest(tmp_path)
        assert found is not None
        if found.step == 2:  # a change of white space in the JSON changes nothing that is read
            assert (
                json and torch.equal(found.tensors["a"], checkpoint(2).tensors["a"]) and found.values == {"bytes": 20}
            )
        else:
            assert found.step == 1 and len(damaged) == 1 and str(path.stem) in damaged[0]
    finally:
        for file in tmp_path.iterdir():
            file.unlink()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(where=st.floats(0, 1, exclude_max=True), change=st.integers(1, 255), cut=st.booleans())
def test_any_changed_byte_and_any_cut_of_a_file_that_stands_alone_is_found(
    tmp_path: Path, where: float, change: int, cut: bool
) -> None:
    path, tensors = tmp_path / "best.safetensors", checkpoint(3).tensors
    content = digested_bytes(tensors)
    path.write_bytes(content)
    found = load_digested(path)
    assert found.keys() == tensors.keys() and all(torch.equal(found[n], v) for n, v in tensors.items())
    path.write_bytes(spoiled(content, where, change, cut))
    try:
        found = load_digested(path)
    except ValueError as error:
        assert "best.safetensors: " in str(error) and "was cut or edited" in str(error)
    else:  # a change of white space in the header changes nothing that is read
        assert not cut and found.keys() == tensors.keys()
        assert all(torch.equal(found[n], v) for n, v in tensors.items())


def test_a_file_without_a_digest_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "best.safetensors"
    path.write_bytes(tensor_bytes(checkpoint(3).tensors))
    with pytest.raises(ValueError, match=r"best\.safetensors: holds no digest: it was cut or edited, or an earlier"):
        load_digested(path)


def test_all_damaged_is_an_error_that_names_the_files(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, checkpoint(3))
    (tmp_path / "step_00000003.safetensors").write_bytes(b"")
    with pytest.raises(ValueError, match=r"step_00000003\.safetensors: does not match its digest.*no earlier"):
        load_newest(tmp_path)
    with pytest.raises(ValueError, match="cut or edited"):
        load_checkpoint(checkpoint_files(tmp_path)[0])


def test_a_full_disk_leaves_the_old_file_and_no_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "state"
    write_atomically(path, b"old")

    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match=r"state: could not be written \(No space left"):
        write_atomically(path, b"new")
    assert [p.name for p in tmp_path.iterdir()] == ["state"] and path.read_bytes() == b"old"
