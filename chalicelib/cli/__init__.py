"""The command line. What it tells goes to the standard output, what went wrong to the standard error."""

import json
import sys
from collections.abc import Callable, Sequence

from ..bootstrap import Chaos, bootstrap
from ..errors import ChaosError
from ..settings import Settings

JSON = "--json"
"""Understood wherever it stands."""

MISSING = "The command line needs typer and rich: pip install 'chaos-experiments[cli]'"


def main(arguments: Sequence[str], wire: Callable[[Settings], Chaos] = bootstrap) -> int:
    """The exit code: 0 fine, 1 refused, 2 usage, 3 unreachable, 4 hypothesis failed, 5 aborted, 130 Ctrl-C."""
    try:
        from .commands import PROGRAM, build  # noqa: PLC0415 - where they are not installed, say so
    except ImportError as error:
        if error.name not in ("typer", "rich"):
            raise
        print(MISSING, file=sys.stderr)
        return 1
    from .remote import Refused, Unreachable  # noqa: PLC0415

    as_json = JSON in arguments
    given = [*([JSON] if as_json else []), *(each for each in arguments if each != JSON)]
    try:
        build(given, wire)(args=given, prog_name=PROGRAM)
    except SystemExit as done:
        return done.code if isinstance(done.code, int) else int(bool(done.code))
    except Unreachable as error:
        print(error.message, file=sys.stderr)
        return 3
    except Refused as error:
        if as_json:
            print(json.dumps(error.content, indent=2))
        print(error.message, file=sys.stderr)
    except ChaosError as error:
        print(error.message, file=sys.stderr)
    return 1


def run() -> None:
    """The command `chaos-experiments`."""
    sys.exit(main(sys.argv[1:]))
