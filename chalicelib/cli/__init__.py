"""The command line. Answers go to the standard output; notes and errors go to the standard error.

Importing this file needs nothing but Python, also an older one: what is missing is a message and not a traceback.
"""

import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from .exits import EXIT_REFUSED
from .missing import missing_packages, wrong_python

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..bootstrap import Chaos
    from ..settings import Settings

PROGRAM = "chaos-experiments"
PACKAGE = __name__.partition(".")[0]
MODULE = "__main__.py"


def main(arguments: Sequence[str], wire: "Callable[[Settings], Chaos] | None" = None, *, program: str = PROGRAM) -> int:
    """The exit code; 0 is success. `program` is what a user types to start this command."""
    problem = wrong_python()
    if problem:
        print(problem, file=sys.stderr)
        return EXIT_REFUSED
    try:
        from .execute import execute  # noqa: PLC0415 - it needs the packages
    except ModuleNotFoundError as error:
        if (error.name or PACKAGE).startswith(PACKAGE):
            raise
        print(missing_packages(error, PACKAGE, arguments), file=sys.stderr)
        return EXIT_REFUSED
    return execute(arguments, wire, program)


def run() -> None:
    """The command `chaos-experiments`, and `python -m` of this package."""
    sys.exit(main(sys.argv[1:], program=invocation(sys.argv[0], sys.executable)))


def invocation(script: str, python: str) -> str:
    """What was typed to start this program, short enough to be pasted."""
    return f"{_short(python)} -m {PACKAGE}" if Path(script).name == MODULE else _short(script)


def _short(program: str) -> str:
    path = Path(program)
    if shutil.which(path.name) == program:
        return path.name
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else program
