"""Threads of a command's own process."""

from __future__ import annotations

import os


def leave_the_cores_to_the_kernels() -> None:
    """One thread for torch: the rollouts bring their own, and two pools on the same cores slow each other down.

    Twice as fast on two cores. OMP_NUM_THREADS, when set, is left to decide.
    """
    if "OMP_NUM_THREADS" not in os.environ:
        import torch

        torch.set_num_threads(1)
