"""The one training loop, its optimiser, run folders, checkpoints and progress."""
