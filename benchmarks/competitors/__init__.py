"""What each op is measured against, one folder per op."""
