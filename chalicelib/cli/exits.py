"""Exit codes of the command, for scripts."""

EXIT_REFUSED = 1
EXIT_WRONG_USAGE = 2
EXIT_UNREACHABLE = 3
EXIT_HYPOTHESIS_FAILED = 4
EXIT_ENDED_EARLY = 5
"""The run was aborted, halted, or stopped or replaced by somebody else."""

EXIT_UNDECIDED = 6
"""The run had its time, and there is no verdict on its hypothesis."""

EXIT_NEVER_HIT = 7
"""The run had its time, and hit no request."""

EXIT_INTERRUPTED = 130
"""With Ctrl-C."""
