"""Rollout of piecewise-linear recurrent networks with teacher forcing."""
