"""Runs: what one is, its options, its target store (a port), and the events of the history."""
