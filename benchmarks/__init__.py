"""Measurements: `python -m benchmarks <op>|<system>`; nothing is reported while the contract is red."""
