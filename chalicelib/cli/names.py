"""What a run is called, and how a command names it."""

from collections.abc import Mapping
from typing import Any

Shown = Mapping[str, Any]
"""A run, as the application shows it."""


def has_own_label(run: Shown) -> bool:
    """Whether a run has another label than its experiment's name. An older version knows no labels."""
    return run.get("label") not in (None, "", run["name"])


def called(run: Shown) -> str:
    """A run in a sentence: by its label, where it has one of its own."""
    return f"{run['label']} ({run['name']})" if has_own_label(run) else str(run["name"])


def words(run: Shown) -> str:
    """What `stop` and `status` take for a run."""
    return f"--label {run['label']}" if has_own_label(run) else str(run["name"])
