"""Reconstruction quality on real and published data: whole fits, evaluated on held-out trajectories."""
