"""What a script learns from the command's exit code. Wrong usage is 2, as typer has it."""

REFUSED = 1
UNREACHABLE = 3
FAILED = 4
"""The hypothesis failed."""

ENDED_EARLY = 5
"""The run was aborted, halted, or stopped or replaced by somebody else."""

INTERRUPTED = 130
"""By Ctrl-C."""
