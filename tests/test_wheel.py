"""The wheel: the folder `chalicelib` as the package `chaos_experiments`."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[1]
FRAMEWORKS = {"chalice", "flask", "fastapi"}


def test_it_holds_every_module_and_nothing_else_of_the_project(wheel: Path) -> None:
    console = PROJECT / "chalicelib/api/console"
    pages = [path for kind in ("*.html", "*.css", "*.js", "vendor/*") for path in console.glob(kind)]
    sources = [*(PROJECT / "chalicelib").rglob("*.py"), PROJECT / "chalicelib/py.typed", *pages]
    with zipfile.ZipFile(wheel) as opened:
        held = {name for name in opened.namelist() if ".dist-info/" not in name}
    assert held == {f"chaos_experiments/{path.relative_to(PROJECT / 'chalicelib')}" for path in sources}


@pytest.mark.parametrize("framework", [None, *sorted(FRAMEWORKS)])
def test_importing_it_imports_no_other_framework(wheel: Path, framework: str | None, tmp_path: Path) -> None:
    module = f"chaos_experiments.frameworks.{framework}" if framework else "chaos_experiments.bootstrap"
    check = f"import sys, {module}; print(sorted({FRAMEWORKS} & set(sys.modules)))"
    environment = {"PATH": "", "PYTHONPATH": str(wheel), "PYTHONDONTWRITEBYTECODE": "1"}
    told = subprocess.run(
        [sys.executable, "-c", check], env=environment, cwd=tmp_path, check=True, capture_output=True, text=True
    )
    assert told.stdout.strip() == str([framework] if framework else [])
