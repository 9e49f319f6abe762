"""The command line: one file per command; parse, load, fit, save."""
