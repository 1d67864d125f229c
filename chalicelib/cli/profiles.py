"""`profile`: addresses and tokens of applications, under names."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from .address import address
from .context import context_of
from .profile_file import Profiles
from .usage import Commands, parser

app = typer.Typer(help="Keep addresses and tokens of applications, under names.", cls=Commands, no_args_is_help=True)

Name = Annotated[str, typer.Argument(metavar="name", help="The name of the profile, such as staging.")]


@app.command()
def add(
    typer_context: typer.Context,
    name: Name,
    *,
    url: Annotated[
        str,
        typer.Option(
            parser=parser("--url", address),
            metavar="<address>",
            help="The address of the endpoints, such as https://api.example.com/api/chaos_experiments.",
        ),
    ],
    token: Annotated[
        str,
        typer.Option(
            prompt=True, hide_input=True, metavar="<token>", help="The token. Without this option you are asked."
        ),
    ],
    stage: Annotated[
        str,
        typer.Option(
            metavar="<stage>",
            help="Its stage: `halt` then writes to the table, with AWS credentials, where nothing answers.",
        ),
    ] = "",
    application: Annotated[
        str, typer.Option(metavar="<name>", help="Its CHAOS_APPLICATION. Default: the variable, as it is then.")
    ] = "",
    table: Annotated[
        str, typer.Option(metavar="<table>", help="Its CHAOS_TABLE. Default: the variable, as it is then.")
    ] = "",
) -> None:
    """Add or replace a profile, and make it the current one."""
    place = {"stage": stage, "application": application, "table": table}
    given = {field: value for field, value in place.items() if value}
    path = str(_add(name, {"url": url, "token": token, **given}))
    context_of(typer_context).print_text(
        {"current": name, "file": path}, f"Added the profile {name} to {path}. It is the current profile."
    )


def _add(name: str, profile: Mapping[str, str]) -> Path:
    """The file that it is in from now on."""
    profiles = Profiles.of_the_user()
    content = profiles.read()
    content["profiles"][name] = profile
    profiles.write({**content, "current": name})
    return profiles.path


@app.command("list")
def list_profiles(typer_context: typer.Context) -> None:
    """List the profiles. A star marks the current one."""
    content = Profiles.of_the_user().read()
    current, urls = content["current"], {name: profile["url"] for name, profile in content["profiles"].items()}
    lines = [f"{'*' if name == current else ' '} {name:12} {url}" for name, url in urls.items()]
    context_of(typer_context).print_text(
        {"current": current, "profiles": urls}, "\n".join(lines) or "There are no profiles."
    )


@app.command()
def use(typer_context: typer.Context, name: Name) -> None:
    """Make a profile the current one. It is used where nothing else is given."""
    profiles = Profiles.of_the_user()
    profiles.find(name)
    profiles.write({**profiles.read(), "current": name})
    context_of(typer_context).print_text({"current": name}, f"The current profile is {name}.")


@app.command()
def remove(typer_context: typer.Context, name: Name) -> None:
    """Remove a profile and its token from this machine."""
    profiles = Profiles.of_the_user()
    profiles.find(name)
    content = profiles.read()
    del content["profiles"][name]
    current = "" if content["current"] == name else content["current"]
    profiles.write({**content, "current": current})
    context_of(typer_context).print_text({"current": current}, f"Removed the profile {name}.")
