"""Profiles in a file that only the user can read."""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import Misconfigured
from .usage import unknown

OTHERS = 0o077


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
            raise Misconfigured(f"Other users can read {self.path}, which contains tokens. Run: chmod 600 {self.path}")
        try:
            content: dict[str, Any] = json.loads(self.path.read_text())
        except ValueError:
            raise Misconfigured(
                f"{self.path} is not valid JSON. Repair it, or remove it and add the profiles again."
            ) from None
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
            names = content["profiles"]
            hint = unknown("profile", wanted, names) if names else f"There is no profile {wanted!r}."
            raise Misconfigured(f"{hint} Add one with `profile add`.")
        found: dict[str, str] = content["profiles"][wanted]
        return found
