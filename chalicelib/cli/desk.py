"""What every command has at hand."""

import json
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast

import typer
from rich.console import Console

from ..bootstrap import Chaos, bootstrap
from ..settings import Settings
from .profile_file import Profiles
from .remote import Remote

LOCAL = "http://localhost:8000/chaos_experiments"


@dataclass(kw_only=True)
class Desk:
    profile: str = ""
    url: str = ""
    token: str = ""
    as_json: bool = False
    wire: Callable[[Settings], Chaos] = bootstrap

    @cached_property
    def remote(self) -> Remote:
        """The application, where it was said to be.

        What is said goes before the profile. The current profile's token never goes to another address than its own.
        """
        known = Profiles.of_the_user().find(self.profile) if self.profile or not self.url else {}
        return Remote(self.url or known.get("url", LOCAL), self.token or known.get("token", ""))

    @cached_property
    def console(self) -> Console:
        return Console(highlight=False, soft_wrap=False, no_color=bool(os.environ.get("NO_COLOR")))

    @property
    def is_live(self) -> bool:
        """Whether somebody looks: drawing over what was drawn is for terminals."""
        return self.console.is_terminal and not self.as_json

    def tell(self, text: str) -> None:
        """What is not the answer itself."""
        print(text, file=sys.stderr, flush=True)

    def say(self, resultset: Mapping[str, Any], text: str) -> None:
        """As `give`, of what is to be copied: no window's width breaks it."""
        print(json.dumps(resultset, indent=2) if self.as_json else text, flush=True)

    def give(self, resultset: Mapping[str, Any], *shown: Any) -> None:  # noqa: ANN401 - whatever rich draws
        """The answer: as JSON where that is asked for, drawn otherwise."""
        if self.as_json:
            print(json.dumps(resultset, indent=2), flush=True)
        else:
            for each in shown:
                self.console.print(each)


def desk_of(context: typer.Context) -> Desk:
    return cast("Desk", context.obj)
