"""What the command line says where this Python cannot run it. Needs nothing but Python itself, also an older one."""

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

CLONE = "chalicelib"
"""The package's name in a clone; in the wheel it has another one."""

OLDEST = (3, 11)
ROOT = Path(__file__).parents[2]
PYTHON = ".venv/bin/python"
MAKE = "python3 -m venv .venv && .venv/bin/pip install -r requirements-dev.txt"
INSTALL = "pip install typer rich"


def wrong_python() -> str:
    """What to do where this Python is too old; empty where it is not."""
    if sys.version_info >= OLDEST:
        return ""
    found = ".".join(map(str, sys.version_info[:3]))
    return f"The command line needs Python 3.11 or newer; {sys.executable} is Python {found}."


def missing_packages(error: ModuleNotFoundError, package: str, arguments: Sequence[str], root: Path = ROOT) -> str:
    """Two lines: what is missing, and the command to use instead."""
    missing = f"The command line needs Python packages that {sys.executable} does not have, such as {error.name}."
    if package != CLONE:
        return f"{missing}\nInstall them: {INSTALL}"
    typed = "…" if any(each.startswith("--token") for each in arguments) else shlex.join(arguments)
    there = "" if Path.cwd() == root else f"cd {shlex.quote(str(root))} && "
    make = "" if (root / PYTHON).exists() else f"{MAKE} && "
    return f"{missing}\nUse the virtual environment: {there}{make}{PYTHON} -m {package} {typed}".rstrip()
