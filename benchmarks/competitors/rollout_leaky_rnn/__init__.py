"""Who rollout_leaky_rnn is measured against."""
