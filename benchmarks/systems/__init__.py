"""One file per system: what a user's fit costs, everything included."""
