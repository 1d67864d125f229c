"""One command, from what was typed to an exit code."""

import json
from collections.abc import Callable, Sequence

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


def execute(arguments: Sequence[str], wire: Callable[[Settings], Chaos] | None, program: str) -> int:
    as_json = JSON in arguments
    given = [*([JSON] if as_json else []), *(each for each in arguments if each != JSON)]
    try:
        command = build(given, wire or bootstrap, program)
        code = command(args=given, prog_name=program, complete_var=COMPLETING[0], standalone_mode=False)
    except SystemExit as done:  # a completion, or a reader that is gone
        return done.code if isinstance(done.code, int) else int(bool(done.code))
    except UsageError as error:
        note(explained(error), program)
        return EXIT_WRONG_USAGE
    except (Unreachable, Refused, ChaosError) as error:
        if as_json:
            content = failure(error).content if isinstance(error, ChaosError) else error.content
            print(json.dumps(content, indent=2))
        note(error.message, program)
        return EXIT_UNREACHABLE if isinstance(error, Unreachable) else EXIT_REFUSED
    except typer.Abort:
        note("Canceled.", program)
        return EXIT_REFUSED
    except KeyboardInterrupt:
        note("Interrupted.", program)
        return EXIT_INTERRUPTED
    return code if isinstance(code, int) else 0
