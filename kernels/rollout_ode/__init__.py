"""Rollout of ordinary differential equations with fixed steps, many initial states at once, and its adjoint."""
