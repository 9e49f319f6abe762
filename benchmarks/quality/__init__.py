"""Reconstruction quality on real and published data: whole fits, evaluated on held-out trajectories."""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # as the commands, before torch is loaded
