"""A copy of this project, for tests that package and deploy it: what they write stays out of the checkout."""

import json
import shutil
from pathlib import Path

PROJECT = Path(__file__).parents[2]
APPLICATION = ("app.py", "chalicelib", "requirements.txt", "pyproject.toml")
SETTINGS = ("config.json", "policies.json", "stack.yaml")


def copy_project(folder: Path, **variables: str) -> Path:
    """The copy's root; the variables are added to those of the stage staging."""
    root = folder / "project"
    (root / ".chalice").mkdir(parents=True)
    for name in APPLICATION:
        source = PROJECT / name
        if source.is_dir():
            shutil.copytree(source, root / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, root / name)
    for name in SETTINGS:
        shutil.copy(PROJECT / ".chalice" / name, root / ".chalice" / name)
    config = root / ".chalice/config.json"
    content = json.loads(config.read_text())
    content["stages"]["staging"]["environment_variables"] |= variables
    config.write_text(json.dumps(content))
    return root
