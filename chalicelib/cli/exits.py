"""Exit codes, for scripts. Wrong usage is 2."""

REFUSED = 1
WRONG_USAGE = 2
UNREACHABLE = 3
FAILED = 4
"""The hypothesis failed."""

ENDED_EARLY = 5
"""The run was aborted, halted, or stopped or replaced by somebody else."""

INTERRUPTED = 130
"""With Ctrl-C."""
