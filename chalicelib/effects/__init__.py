"""What a run holds in the process until it is over."""
