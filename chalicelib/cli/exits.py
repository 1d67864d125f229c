"""Exit codes of the command, for scripts."""

EXIT_REFUSED = 1
EXIT_WRONG_USAGE = 2
EXIT_UNREACHABLE = 3
EXIT_HYPOTHESIS_FAILED = 4
EXIT_ENDED_EARLY = 5
"""The run was aborted, halted, or stopped or replaced by somebody else."""

EXIT_INTERRUPTED = 130
"""With Ctrl-C."""
