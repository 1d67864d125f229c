"""One experiment, one file, of the same name."""
