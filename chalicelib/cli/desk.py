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
from .profile_file import Profiles
from .remote import PATIENCE_SECONDS, Remote

LOCAL = "http://localhost:8000/chaos_experiments"


@dataclass(frozen=True, kw_only=True)
class Said:
    """Where the application is, as somebody said; empty where nobody did."""

    profile: str = ""
    url: str = ""
    token: str = ""

    @classmethod
    def by_the_environment(cls) -> "Said":
        return cls(**{name: os.environ.get(f"CHAOS_{name.upper()}", "") for name in ("profile", "url", "token")})


def destination(typed: Said, environment: Said) -> tuple[str, str]:
    """The URL, and the token that goes there. Raises Misconfigured.

    What is typed goes before the environment, a profile that is named before the current one, and no profile's token
    goes to another address than its own.
    """
    if typed.profile or (environment.profile and not typed.url):
        profile = Profiles.of_the_user().find(typed.profile or environment.profile)
    elif typed.url or environment.url or environment.token:
        return typed.url or environment.url or LOCAL, typed.token or environment.token
    else:
        profile = Profiles.of_the_user().find("") or {"url": LOCAL, "token": ""}
    url = typed.url or profile["url"]
    return url, typed.token or (profile["token"] if url == profile["url"] else "")


@dataclass(kw_only=True)
class Desk:
    said: Said = field(default_factory=Said)
    as_json: bool = False
    patience_seconds: float = PATIENCE_SECONDS
    wire: Callable[[Settings], Chaos] = bootstrap

    @cached_property
    def remote(self) -> Remote:
        """The application, where it was said to be."""
        return Remote(*destination(self.said, Said.by_the_environment()), patience_seconds=self.patience_seconds)

    @cached_property
    def console(self) -> Console:
        return Console(highlight=False, soft_wrap=False, no_color=bool(os.environ.get("NO_COLOR")))

    @property
    def is_live(self) -> bool:
        """Whether somebody looks: drawing over what was drawn is for terminals."""
        return sys.stdout.isatty() and not self.as_json

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
