"""The command line. What it tells goes to the standard output, what went wrong to the standard error."""

import json
import sys
from collections.abc import Callable, Sequence

from ..api.http import failure
from ..bootstrap import Chaos, bootstrap
from ..errors import ChaosError
from ..settings import Settings
from .exits import INTERRUPTED, REFUSED, UNREACHABLE

JSON = "--json"
"""Understood wherever it stands."""

MISSING = "The command line needs typer and rich, the extra `cli`: pip install typer rich"


def main(arguments: Sequence[str], wire: Callable[[Settings], Chaos] = bootstrap) -> int:
    """The exit code; 0 is fine."""
    try:
        from .commands import PROGRAM, build  # noqa: PLC0415 - where they are not installed, say so
    except ImportError as error:
        if error.name not in ("typer", "rich"):
            raise
        print(MISSING, file=sys.stderr)
        return REFUSED
    from .remote import Refused, Unreachable  # noqa: PLC0415 - as those

    as_json = JSON in arguments
    given = [*([JSON] if as_json else []), *(each for each in arguments if each != JSON)]
    try:
        build(given, wire)(args=given, prog_name=PROGRAM)
    except SystemExit as done:
        return done.code if isinstance(done.code, int) else int(bool(done.code))
    except (Unreachable, Refused, ChaosError) as error:
        if as_json:
            content = failure(error).content if isinstance(error, ChaosError) else error.content
            print(json.dumps(content, indent=2))
        print(error.message, file=sys.stderr)
        return UNREACHABLE if isinstance(error, Unreachable) else REFUSED
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        return INTERRUPTED
    return 0


def run() -> None:
    """The command `chaos-experiments`."""
    sys.exit(main(sys.argv[1:]))
