"""The context of a command: which application it is for, and how its answer is printed."""

import json
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any, cast

import typer
from rich.console import Console

from ..bootstrap import Chaos, bootstrap
from ..lazy import cached_property
from ..settings import Settings
from . import PROGRAM
from .notes import note
from .profile_file import Profiles
from .remote import PATIENCE_SECONDS, Destination, Remote

PLACE_STAGE = "CHAOS_STAGE"
PLACE: Mapping[str, str] = {PLACE_STAGE: "stage", "CHAOS_APPLICATION": "application", "CHAOS_TABLE": "table"}
"""The variables that name a table and what is in it, and the fields of a profile that stand for them."""

LOCAL = "http://localhost:8000/chaos_experiments"


@dataclass(frozen=True, kw_only=True)
class Selection:
    """A choice of the application, made in one place: by options, or by variables. Empty where nothing was given."""

    profile: str = ""
    url: str = ""
    token: str = field(default="", repr=False)

    @classmethod
    def from_variables(cls) -> "Selection":
        return cls(**{name: os.environ.get(f"CHAOS_{name.upper()}", "") for name in ("profile", "url", "token")})

    def options(self) -> str:
        """The same, to be typed before a command. No token is repeated."""
        given = {"profile": self.profile, "url": self.url, "token": self.token and "…"}
        return "".join(f"--{name} {value} " for name, value in given.items() if value)


def destination(typed: Selection, variables: Selection) -> Destination:
    """Where to send requests, and the token. Raises Misconfigured.

    Options go before variables, a named profile goes before the current one, and the token of a profile goes to the
    address of that profile only.
    """
    named, profile = _profile(typed, variables)
    return _of_profile(typed, named, profile) if profile else _without_profile(typed, variables)


def table_variables(typed: Selection, variables: Selection) -> Mapping[str, str]:
    """The variables that name the table of the same application; empty where its stage is not known.

    They are the profile's where one is in use: its address and CHAOS_STAGE may be of two applications.
    """
    _, profile = _profile(typed, variables)
    if profile and typed.url in ("", profile["url"]):
        named = {name: profile[field] for name, field in PLACE.items() if profile.get(field)}
        return named if PLACE_STAGE in named else {}
    stage = os.environ.get(PLACE_STAGE, "").strip()
    return {PLACE_STAGE: stage} if stage else {}


def _profile(typed: Selection, variables: Selection) -> tuple[str, Mapping[str, str]]:
    """The name that was given, and the profile; empty where none is in use."""
    named = typed.profile or ("" if typed.url else variables.profile)
    is_direct = typed.url or variables.url or variables.token
    return named, {} if is_direct and not named else Profiles.of_the_user().find(named)


def _without_profile(typed: Selection, variables: Selection) -> Destination:
    url, url_from = _first((typed.url, "--url"), (variables.url, "CHAOS_URL"), (LOCAL, ""))
    token, token_from = _first((typed.token, "--token"), (variables.token, "CHAOS_TOKEN"))
    return Destination(url, token, url_from, token_from)


def _of_profile(typed: Selection, named: str, profile: Mapping[str, str]) -> Destination:
    source = f"the profile {named}" if named else "the current profile"
    if typed.url not in ("", profile["url"]):
        return Destination(typed.url, typed.token, "--url", "--token")
    token, token_from = _first((typed.token, "--token"), (profile["token"], source))
    return Destination(profile["url"], token, source, token_from)


def _first(*choices: tuple[str, str]) -> tuple[str, str]:
    """The first value that is not empty, and where it is from; or the last choice."""
    return next(filter(itemgetter(0), choices), choices[-1])


@dataclass(kw_only=True)
class CommandContext:
    """What every command is handed: the application that it is for, and how to print."""

    selection: Selection = field(default_factory=Selection)
    as_json: bool = False
    patience_seconds: float = PATIENCE_SECONDS
    wire: Callable[[Settings], Chaos] = bootstrap
    program: str = PROGRAM
    has_labels: bool = False
    """Whether the application knows labels, lists of experiments and previews."""

    @cached_property
    def remote(self) -> Remote:
        """The application's endpoints over HTTP."""
        return Remote(
            destination(self.selection, Selection.from_variables()),
            program=self.program,
            command=self.command,
            note=self.print_note,
            patience_seconds=self.patience_seconds,
        )

    @property
    def table_variables(self) -> Mapping[str, str]:
        """The variables that name the table of this application; empty where its stage is not known."""
        return table_variables(self.selection, Selection.from_variables())

    @cached_property
    def console(self) -> Console:
        return Console(highlight=False, soft_wrap=False, no_color=bool(os.environ.get("NO_COLOR")))

    @property
    def is_live(self) -> bool:
        """Whether the output is redrawn: in terminals only."""
        return sys.stdout.isatty() and not self.as_json

    def command(self, words: str) -> str:
        """A command for the same application, to be pasted."""
        return f"{self.program} {self.selection.options()}{words}"

    def print_note(self, text: str) -> None:
        """Print what is not the answer itself."""
        note(text, self.program)

    def print_text(self, resultset: Mapping[str, Any], text: str) -> None:
        """Print the answer as text that is to be copied: it is not wrapped. As JSON where that is asked for."""
        print(json.dumps(resultset, indent=2) if self.as_json else text, flush=True)

    def print_result(self, resultset: Mapping[str, Any], *shown: Any) -> None:  # noqa: ANN401 - whatever rich draws
        """Print the answer: as JSON where that is asked for, drawn otherwise."""
        if self.as_json:
            print(json.dumps(resultset, indent=2), flush=True)
        else:
            for each in shown:
                self.console.print(each)


def context_of(typer_context: typer.Context) -> CommandContext:
    return cast("CommandContext", typer_context.obj)
