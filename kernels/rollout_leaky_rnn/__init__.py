"""Leaky recurrent networks of rate units; README.md has the mathematics."""
