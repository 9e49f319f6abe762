"""Reconstruction quality on real and published data: whole fits, evaluated on held-out trajectories."""

import os

from neurorbit.engine.cli.main import wait_briefly

wait_briefly(os.environ)  # as the commands, before torch is loaded
