"""One file a framework: it translates, nothing else."""
