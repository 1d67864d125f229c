"""What every command has at hand."""

import json
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, cast

import typer
from rich.console import Console

from ..bootstrap import Chaos, bootstrap
from ..settings import Settings
from . import PROGRAM
from .notes import note
from .profile_file import Profiles
from .remote import PATIENCE_SECONDS, Destination, Remote

LOCAL = "http://localhost:8000/chaos_experiments"


@dataclass(frozen=True, kw_only=True)
class Said:
    """Where the application is, as it was given in one place; empty where it was not."""

    profile: str = ""
    url: str = ""
    token: str = ""

    @classmethod
    def by_the_environment(cls) -> "Said":
        return cls(**{name: os.environ.get(f"CHAOS_{name.upper()}", "") for name in ("profile", "url", "token")})

    def options(self) -> str:
        """The same, to be typed before a command. No token is repeated."""
        told = {"profile": self.profile, "url": self.url, "token": self.token and "…"}
        return "".join(f"--{name} {value} " for name, value in told.items() if value)


def destination(typed: Said, environment: Said) -> Destination:
    """Where to send requests, and the token. Raises Misconfigured.

    Options go before variables, a named profile goes before the current one, and the token of a profile goes to the
    address of that profile only.
    """
    url_from = "--url" if typed.url else "CHAOS_URL" if environment.url else ""
    token_from = "--token" if typed.token else "CHAOS_TOKEN"
    named = typed.profile or ("" if typed.url else environment.profile)
    if not named and (typed.url or environment.url or environment.token):
        return Destination(
            typed.url or environment.url or LOCAL, typed.token or environment.token, url_from, token_from
        )
    profile = Profiles.of_the_user().find(named)
    if not profile:
        return Destination(LOCAL, typed.token, "", token_from)
    of_the_profile = f"the profile {named}" if named else "the current profile"
    if typed.url and typed.url != profile["url"]:
        return Destination(typed.url, typed.token, "--url", "--token")
    if typed.token:
        return Destination(profile["url"], typed.token, of_the_profile, "--token")
    return Destination(profile["url"], profile["token"], of_the_profile, of_the_profile)


@dataclass(kw_only=True)
class Desk:
    said: Said = field(default_factory=Said)
    as_json: bool = False
    patience_seconds: float = PATIENCE_SECONDS
    wire: Callable[[Settings], Chaos] = bootstrap
    program: str = PROGRAM

    @cached_property
    def remote(self) -> Remote:
        """The application."""
        return Remote(
            destination(self.said, Said.by_the_environment()),
            program=self.program,
            command=self.command,
            note=self.tell,
            patience_seconds=self.patience_seconds,
        )

    @cached_property
    def console(self) -> Console:
        return Console(highlight=False, soft_wrap=False, no_color=bool(os.environ.get("NO_COLOR")))

    @property
    def is_live(self) -> bool:
        """Whether the output is redrawn: in terminals only."""
        return sys.stdout.isatty() and not self.as_json

    def command(self, words: str) -> str:
        """A command for the same application, to be pasted."""
        return f"{self.program} {self.said.options()}{words}"

    def tell(self, text: str) -> None:
        """Print what is not the answer itself."""
        note(text, self.program)

    def say(self, resultset: Mapping[str, Any], text: str) -> None:
        """As `give`, for text that is to be copied: it is not wrapped."""
        print(json.dumps(resultset, indent=2) if self.as_json else text, flush=True)

    def give(self, resultset: Mapping[str, Any], *shown: Any) -> None:  # noqa: ANN401 - whatever rich draws
        """Print the answer: as JSON where that is asked for, drawn otherwise."""
        if self.as_json:
            print(json.dumps(resultset, indent=2), flush=True)
        else:
            for each in shown:
                self.console.print(each)


def desk_of(context: typer.Context) -> Desk:
    return cast("Desk", context.obj)
