"""Who else computes the responses of filters to a recording."""
