"""Who else integrates many initial states."""
