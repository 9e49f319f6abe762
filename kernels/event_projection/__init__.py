"""Responses of spatiotemporal filters to a recording given as events or as a dense matrix."""
