"""CREATING_EXPERIMENTS.md, typed in a copy of the repository: an experiment is a file, a test and a line."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[1]
GUIDE = (PROJECT / "CREATING_EXPERIMENTS.md").read_text()
WALK = GUIDE.partition("## From nothing to tested")[2].partition("\n## ")[0]
NAME = "rate_limit"
CATALOGUE, TABLE = "chalicelib/experiments/catalogue.py", "docs/api.md"


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", WALK, flags=re.DOTALL)


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The repository with the new experiment, as the guide says."""
    copy = tmp_path_factory.mktemp("copy") / "project"
    written = (".hypothesis", ".coverage*", ".benchmarks")  # by other tests, which run meanwhile
    left_out = shutil.ignore_patterns(
        ".git", ".venv", ".tools", "build", "dist", "site", "__pycache__", ".*_cache", *written
    )
    shutil.copytree(PROJECT, copy, ignore=left_out)
    experiment, line, test = blocks("python")
    (copy / f"chalicelib/experiments/{NAME}.py").write_text(experiment)
    (copy / f"tests/experiments/test_{NAME}.py").write_text(test)
    imported, member = line.strip().split("\n\n")
    catalogue = (copy / CATALOGUE).read_text()
    catalogue = catalogue.replace("\nlog =", f"\n{imported}\n\nlog =", 1).replace("\n)\n", f"\n{member}\n)\n", 1)
    (copy / CATALOGUE).write_text(catalogue)
    (row,) = blocks("markdown")
    api = (copy / TABLE).read_text()
    (copy / TABLE).write_text(api.replace("| `resource_exhaustion` |", f"{row}| `resource_exhaustion` |", 1))
    return copy


def test_the_guide_costs_one_file_one_test_one_line_and_a_row(copy: Path) -> None:
    told = subprocess.run(
        [
            "git",
            "diff",
            "--no-index",
            "--numstat",
            "--no-renames",
            "--",
            str(PROJECT / "chalicelib"),
            str(copy / "chalicelib"),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    changed = [line.split("\t") for line in told.stdout.splitlines() if "__pycache__" not in line]
    assert told.returncode == 1, told.stderr
    assert {Path(path.replace("}", "")).name for *_, path in changed} == {f"{NAME}.py", "catalogue.py"}
    assert [removed for _, removed, _ in changed] == ["0", "0"]


def run_tests(copy: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments]
    return subprocess.run(command, cwd=copy, capture_output=True, text=True, check=False)


def test_its_tests_pass_and_those_of_all_experiments(copy: Path) -> None:
    program, *arguments = blocks("sh")[0].splitlines()[0].split()
    assert program == ".venv/bin/pytest"
    told = run_tests(copy, *arguments)
    assert told.returncode == 0, told.stdout + told.stderr


def test_without_its_row_a_test_fails(copy: Path) -> None:
    documented = (copy / TABLE).read_text()
    try:
        (copy / TABLE).write_text(documented.replace(f"| `{NAME}` |", "| |"))
        told = run_tests(copy, "tests/test_documents.py", "-k", "documented")
    finally:
        (copy / TABLE).write_text(documented)
    assert told.returncode == 1
    assert NAME in told.stdout
