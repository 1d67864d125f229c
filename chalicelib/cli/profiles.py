"""Profiles: where the stages are, and with which token. In a file that only the user can read."""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from ..errors import Misconfigured

OTHERS = 0o077
app = typer.Typer(help="Where the stages are, and their tokens.", no_args_is_help=True)


@dataclass(frozen=True)
class Profiles:
    path: Path

    @classmethod
    def of_the_user(cls) -> "Profiles":
        folder = os.environ.get("XDG_CONFIG_HOME") or str(Path.home() / ".config")
        return cls(Path(folder) / "chaos-experiments/profiles.json")

    def read(self) -> dict[str, Any]:
        """`current` and `profiles`. Raises Misconfigured where others can read the file, or nobody can."""
        if not self.path.exists():
            return {"current": "", "profiles": {}}
        if self.path.stat().st_mode & OTHERS:
            raise Misconfigured(f"Others can read {self.path}, which has tokens in it. Run: chmod 600 {self.path}")
        try:
            content: dict[str, Any] = json.loads(self.path.read_text())
        except ValueError:
            raise Misconfigured(f"{self.path} is no JSON. Mend it, or remove it and add the profiles anew.") from None
        return content

    def write(self, content: dict[str, Any]) -> None:
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        made = self.path.with_suffix(".new")
        made.unlink(missing_ok=True)
        with os.fdopen(os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            json.dump(content, file, indent=2)
        made.replace(self.path)

    def find(self, name: str) -> dict[str, str]:
        """The profile, or the current one where none is named; empty where there is none. Raises Misconfigured."""
        content = self.read()
        wanted = name or content["current"]
        if not wanted:
            return {}
        if wanted not in content["profiles"]:
            known = ", ".join(content["profiles"]) or "none; make one with `profile add`"
            raise Misconfigured(f"There is no profile {wanted!r}. There are: {known}.")
        found: dict[str, str] = content["profiles"][wanted]
        return found


Name = Annotated[str, typer.Argument(help="Such as staging.")]


@app.command()
def add(
    name: Name,
    url: Annotated[str, typer.Option(help="Where the endpoints are: https://…/api/chaos_experiments")],
    token: Annotated[str, typer.Option(prompt=True, hide_input=True, help="Asked for where it is not given.")],
) -> None:
    """Add a profile, or change it; it becomes the current one."""
    kept = Profiles.of_the_user()
    content = kept.read()
    content["profiles"][name] = {"url": url, "token": token}
    kept.write({**content, "current": name})
    print(f"Added {name}, in {kept.path}.")


@app.command("list")
def list_profiles() -> None:
    """Show the profiles; a star is at the current one."""
    content = Profiles.of_the_user().read()
    for name, profile in content["profiles"].items():
        print(f"{'*' if name == content['current'] else ' '} {name:12} {profile['url']}")


@app.command()
def use(name: Name) -> None:
    """Make a profile the current one."""
    kept = Profiles.of_the_user()
    kept.find(name)
    kept.write({**kept.read(), "current": name})
    print(f"{name} is the current profile.")


@app.command()
def remove(name: Name) -> None:
    """Forget a profile and its token."""
    kept = Profiles.of_the_user()
    kept.find(name)
    content = kept.read()
    del content["profiles"][name]
    kept.write({**content, "current": "" if content["current"] == name else content["current"]})
    print(f"Removed {name}.")
