"""`profile`: where the stages are, and their tokens."""

from typing import Annotated

import typer

from .desk import desk_of
from .profile_file import Profiles

app = typer.Typer(help="Where the stages are, and their tokens.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="Such as staging.")]


@app.command()
def add(
    context: typer.Context,
    name: Name,
    url: Annotated[str, typer.Option(help="Where the endpoints are: https://…/api/chaos_experiments")],
    token: Annotated[str, typer.Option(prompt=True, hide_input=True, help="Asked for where it is not given.")],
) -> None:
    """Add a profile, or change it; it becomes the current one."""
    kept = Profiles.of_the_user()
    content = kept.read()
    content["profiles"][name] = {"url": url, "token": token}
    kept.write({**content, "current": name})
    desk_of(context).say({"current": name, "file": str(kept.path)}, f"Added {name}, in {kept.path}.")


@app.command("list")
def list_profiles(context: typer.Context) -> None:
    """Show the profiles; a star is at the current one."""
    content = Profiles.of_the_user().read()
    current, urls = content["current"], {name: profile["url"] for name, profile in content["profiles"].items()}
    lines = [f"{'*' if name == current else ' '} {name:12} {url}" for name, url in urls.items()]
    desk_of(context).say({"current": current, "profiles": urls}, "\n".join(lines) or "There are no profiles yet.")


@app.command()
def use(context: typer.Context, name: Name) -> None:
    """Make a profile the current one."""
    kept = Profiles.of_the_user()
    kept.find(name)
    kept.write({**kept.read(), "current": name})
    desk_of(context).say({"current": name}, f"{name} is the current profile.")


@app.command()
def remove(context: typer.Context, name: Name) -> None:
    """Forget a profile and its token."""
    kept = Profiles.of_the_user()
    kept.find(name)
    content = kept.read()
    del content["profiles"][name]
    current = "" if content["current"] == name else content["current"]
    kept.write({**content, "current": current})
    desk_of(context).say({"current": current}, f"Removed {name}.")
