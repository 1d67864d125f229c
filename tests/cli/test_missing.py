"""Where this Python cannot run the command line."""

import subprocess
import sys
from collections import namedtuple
from pathlib import Path

import pytest

from chalicelib import cli
from chalicelib.cli import invocation
from chalicelib.cli.missing import missing_packages
from tests.contract.servers import PROJECT

MISSING = ModuleNotFoundError("No module named 'typer'", name="typer")
WITHOUT_PACKAGES = """
import runpy, sys
sys.path.insert(0, ".")
runpy.run_module("chalicelib", run_name="__main__", alter_sys=True)
"""
HALT = ["halt", "--reason", "orders are lost"]


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".venv/bin").mkdir(parents=True)
    (tmp_path / ".venv/bin/python").touch()
    return tmp_path


def test_the_command_in_the_virtual_environment_is_reported_in_full(clone: Path) -> None:
    missing, use = missing_packages(MISSING, "chalicelib", HALT, clone).splitlines()
    assert missing == f"The command line needs Python packages that {sys.executable} does not have, such as typer."
    assert use == "Use the virtual environment: .venv/bin/python -m chalicelib halt --reason 'orders are lost'"


def test_from_another_folder_the_command_goes_there_first(
    clone: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    output = missing_packages(MISSING, "chalicelib", ["list"], clone)
    assert output.endswith(f"cd {clone} && .venv/bin/python -m chalicelib list")


def test_where_there_is_no_virtual_environment_its_creation_is_explained(clone: Path) -> None:
    (clone / ".venv/bin/python").unlink()
    output = missing_packages(MISSING, "chalicelib", [], clone)
    assert "python3 -m venv .venv && .venv/bin/pip install -r requirements-dev.txt && .venv/bin/python" in output
    assert output.endswith("-m chalicelib")


@pytest.mark.parametrize("token", [["--token", "secret"], ["--token=secret"]])
def test_a_token_is_not_repeated(clone: Path, token: list[str]) -> None:
    assert "secret" not in missing_packages(MISSING, "chalicelib", [*token, "list"], clone)


def test_an_installed_package_is_advised_to_be_installed_with_its_extra(clone: Path) -> None:
    output = missing_packages(MISSING, "chaos_experiments", HALT, clone)
    assert output.splitlines()[1] == "Install them: pip install typer rich"


def test_the_emergency_command_outside_of_the_virtual_environment_is_no_traceback() -> None:
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", WITHOUT_PACKAGES, *HALT],
        cwd=PROJECT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (1, "")
    assert len(done.stderr.splitlines()) == 2
    assert "-m chalicelib halt --reason 'orders are lost'" in done.stderr


def test_a_module_of_ours_that_is_missing_is_a_defect_and_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("chalicelib.cli.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "chalicelib.cli.commands", None)
    with pytest.raises(ModuleNotFoundError):
        cli.main(["list"])


def test_a_python_that_is_too_old_is_reported_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    version = namedtuple("version", ["major", "minor", "micro"])  # noqa: PYI024 - as Python's own
    monkeypatch.setattr("chalicelib.cli.missing.sys.version_info", version(3, 9, 2))
    assert cli.main(["list"]) == 1
    assert "needs Python 3.11 or newer" in (output := capsys.readouterr().err)
    assert output.endswith("is Python 3.9.2.\n")


@pytest.mark.parametrize(
    ("script", "python", "expected"),
    [
        ("{cwd}/chalicelib/__main__.py", "{cwd}/.venv/bin/python", ".venv/bin/python -m chalicelib"),
        ("{cwd}/chalicelib/__main__.py", "/opt/x/bin/python", "/opt/x/bin/python -m chalicelib"),
        ("{cwd}/.venv/bin/chaos-experiments", "/opt/x/bin/python", ".venv/bin/chaos-experiments"),
        ("/usr/bin/env", "/opt/x/bin/python", "env"),
    ],
)
def test_commands_are_reported_as_the_program_was_started(
    script: str, python: str, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/usr/bin")
    cwd = Path.cwd()
    assert invocation(script.format(cwd=cwd), python.format(cwd=cwd)) == expected
