"""The same rollout as others write it."""
