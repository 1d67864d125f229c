"""Programs of the machine that tests need."""

import shutil

import pytest


def needed(program: str) -> str:
    """Where it is; without it the test is skipped, and says so."""
    found = shutil.which(program)
    if not found:
        pytest.skip(f"needs {program}: apt-get install {program}")
    return found
