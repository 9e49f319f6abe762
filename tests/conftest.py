"""What is collected where: the interpreter's tests in a process of their own, the GPU's on a machine with one."""

from __future__ import annotations

import os

import pytest

# TRITON_INTERPRET is read once per process, when a kernel is decorated: these tests run in a second pytest (make test).
collect_ignore = [] if os.environ.get("TRITON_INTERPRET") == "1" else ["kernels/interpreter"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    marked = [item for item in items if item.get_closest_marker("gpu")]
    if not marked:
        return
    import torch

    if not torch.cuda.is_available():
        for item in marked:
            item.add_marker(pytest.mark.skip(reason="needs a CUDA device"))
