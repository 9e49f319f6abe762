"""convSeq: repeating spike sequences found by optimised filters."""
