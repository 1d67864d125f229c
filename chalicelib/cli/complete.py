"""Completions of names: of this version's experiments, of what runs, and of what the application calls."""

from collections.abc import Callable
from contextlib import suppress

import typer

from ..errors import ChaosError
from ..experiments.catalogue import installed
from .context import context_of
from .remote import Refused, Unreachable


def known(incomplete: str) -> list[str]:
    """The experiments of this version."""
    return [name for name in installed() if name.startswith(incomplete)]


def active(field: str) -> Callable[[typer.Context, str], list[str]]:
    """What the runs that are active have in a field: their labels, say. The application is asked, if it answers."""

    def complete(typer_context: typer.Context, incomplete: str) -> list[str]:
        with suppress(Refused, Unreachable, ChaosError):
            runs = context_of(typer_context).remote.ask("GET", "/list")["active_experiments"]
            names = dict.fromkeys(str(run[field]) for run in runs if run.get(field))
            return [name for name in names if name.startswith(incomplete)]
        return []

    return complete


def called(typer_context: typer.Context, incomplete: str) -> list[str]:
    """The dependencies that the application has been seen to call, and that faults reach."""
    with suppress(Refused, Unreachable, ChaosError):
        rows = context_of(typer_context).remote.ask("GET", "/dependencies")["dependencies"]
        names = dict.fromkeys(str(row["dependency"]) for row in rows if row["faults"])
        return [name for name in names if name.startswith(incomplete)]
    return []
