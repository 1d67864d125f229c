"""One command, from what was typed to an exit code."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import typer

from ..api.http import failure
from ..bootstrap import Chaos, bootstrap
from ..errors import ChaosError
from ..settings import Settings
from .commands import COMPLETING, build
from .exits import EXIT_INTERRUPTED, EXIT_REFUSED, EXIT_UNREACHABLE, EXIT_WRONG_USAGE
from .notes import note
from .remote import Refused, Unreachable
from .usage import UsageError, explained

JSON = "--json"
"""May stand anywhere."""


STOPPED: Mapping[type[BaseException], tuple[str, int]] = {
    typer.Abort: ("Canceled.", EXIT_REFUSED),
    KeyboardInterrupt: ("Interrupted.", EXIT_INTERRUPTED),
}
"""What is printed where the user gives up, and the exit code."""


def execute(arguments: Sequence[str], wire: Callable[[Settings], Chaos] | None, program: str) -> int:
    try:
        return _code(_run(arguments, wire or bootstrap, program))
    except SystemExit as done:  # a completion, or a reader that is gone
        return _code(done.code)
    except UsageError as error:
        note(explained(error), program)
        return EXIT_WRONG_USAGE
    except (Unreachable, Refused, ChaosError) as error:
        if JSON in arguments:
            print(json.dumps(_content(error), indent=2))
        note(error.message, program)
        return EXIT_UNREACHABLE if isinstance(error, Unreachable) else EXIT_REFUSED
    except tuple(STOPPED) as error:
        text, code = STOPPED[type(error)]
        note(text, program)
        return code


def _run(arguments: Sequence[str], wire: Callable[[Settings], Chaos], program: str) -> object:
    """What the command returned: its exit code if it has one."""
    given = [each for each in arguments if each != JSON]
    if len(given) < len(arguments):
        given.insert(0, JSON)
    command = build(given, wire, program)
    return command(args=given, prog_name=program, complete_var=COMPLETING[0], standalone_mode=False)


def _code(result: object) -> int:
    return result if isinstance(result, int) else int(isinstance(result, str))


def _content(error: Unreachable | Refused | ChaosError) -> Mapping[str, Any]:
    """The envelope of an error."""
    return failure(error).content if isinstance(error, ChaosError) else error.content
