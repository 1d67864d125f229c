"""The layer zip: what is in it, for which runtime, and that it is the same twice."""

import io
import json
import marshal
import os
import platform
import subprocess
import sys
import zipfile
from collections.abc import Callable
from importlib.util import cache_from_source
from pathlib import Path

import pytest

from deployment import layer
from deployment.__main__ import main
from deployment.errors import DeploymentError
from deployment.layer import OF_THE_RUNTIME, THIS_PYTHON, Target, build_layer, libraries, target, unpacked_size
from deployment.package import NOT_FOR_LAMBDA
from tests.deployment.project import PROJECT

HERE = {"aarch64": "arm64"}.get(platform.machine(), platform.machine())
LIMIT_MB, UNPACKED_LIMIT_MB = 6, 16


@pytest.fixture(scope="module")
def built() -> bytes:
    return build_layer(PROJECT, target(f"python{THIS_PYTHON}", HERE))


@pytest.fixture(scope="module")
def opt(built: bytes, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As Lambda unpacks it."""
    folder = tmp_path_factory.mktemp("opt")
    with zipfile.ZipFile(io.BytesIO(built)) as package:
        for info in package.infolist():
            Path(package.extract(info, folder)).chmod(info.external_attr >> 16)
    return folder


def test_it_is_small(built: bytes, tell: Callable[[str], None]) -> None:
    tell(f"{len(built) / 1e6:.1f} MB, unpacked {unpacked_size(built) / 1e6:.1f} MB")
    assert len(built) < LIMIT_MB * 1e6
    assert unpacked_size(built) < UNPACKED_LIMIT_MB * 1e6


def test_the_same_sources_are_the_same_bytes(built: bytes) -> None:
    assert build_layer(PROJECT, target(f"python{THIS_PYTHON}", HERE)) == built


def test_it_has_the_module_its_libraries_and_a_wrapper_and_no_boto3(opt: Path) -> None:
    assert {path.name for path in opt.iterdir()} == {"python", "chaos-experiments"}
    found = {path.name for path in (opt / "python").iterdir()}
    assert {"chaos_experiments", "pydantic", "pydantic_core", "psutil", "pynamodb"} <= found
    assert not found & {"boto3", "botocore", "urllib3", "s3transfer", "dateutil", "chalice", "aws_lambda_powertools"}
    files = [path.relative_to(opt / "python").as_posix() for path in (opt / "python").rglob("*") if path.is_file()]
    assert [name for name in files if name.endswith(".py") and NOT_FOR_LAMBDA.match(name)] == []


def test_of_the_requirements_it_leaves_out_what_the_runtime_has() -> None:
    names = {pin.partition("==")[0] for pin in libraries(PROJECT)}
    assert {"pydantic", "psutil", "pynamodb", "typing-extensions"} <= names
    assert not names & OF_THE_RUNTIME


def test_its_modules_are_compiled_never_to_be_looked_at_again(opt: Path) -> None:
    module = opt / "python/chaos_experiments/lambda_handler.py"
    compiled = Path(cache_from_source(str(module))).read_bytes()
    assert compiled[4] == 1  # PEP 552: hash-based, and never compared with the source
    assert marshal.loads(compiled[16:]).co_filename == "/opt/python/chaos_experiments/lambda_handler.py"  # noqa: S302
    uncompiled = [path for path in opt.rglob("*.py") if not Path(cache_from_source(str(path))).exists()]
    assert uncompiled == []


def wrapped(opt: Path, **variables: str) -> dict[str, str]:
    """What the wrapper makes of the variables that it is about, for the program that it starts."""
    show = "import json, os; print(json.dumps({name: os.environ.get(name) for name in ('_HANDLER', 'CHAOS_HANDLER')}))"
    started = subprocess.run(
        [opt / "chaos-experiments", sys.executable, "-c", show],
        env={"PATH": os.environ["PATH"], **variables},
        capture_output=True,
        text=True,
        check=True,
    )
    found: dict[str, str] = json.loads(started.stdout)
    return found


OURS = "chaos_experiments.lambda_handler.handler"


def test_the_wrapper_names_the_functions_handler_to_the_module(opt: Path) -> None:
    made = wrapped(opt, _HANDLER="src/app.handler", CHAOS_STAGE="qa")
    assert made == {"_HANDLER": OURS, "CHAOS_HANDLER": "src/app.handler"}


def test_without_a_stage_it_changes_nothing(opt: Path) -> None:
    assert wrapped(opt, _HANDLER="app.handler") == {"_HANDLER": "app.handler", "CHAOS_HANDLER": None}


def test_where_the_handler_is_the_modules_already_it_changes_nothing(opt: Path) -> None:
    given = {"_HANDLER": OURS, "CHAOS_HANDLER": "app.handler"}
    assert wrapped(opt, CHAOS_STAGE="qa", **given) == given


def test_the_wrapper_hands_arguments_on_as_they_are(opt: Path) -> None:
    show = [sys.executable, "-c", "import sys; print(sys.argv[1:])", "two words", "$HOME", ""]
    started = subprocess.run([opt / "chaos-experiments", *show], capture_output=True, text=True, check=True)
    assert started.stdout == "['two words', '$HOME', '']\n"


@pytest.mark.parametrize(
    ("runtime", "architecture", "message"),
    [
        ("python3.10", "x86_64", r"RUNTIME must be one of Lambda's .*python3\.13; got 'python3\.10'"),
        ("3.12", "x86_64", "got '3.12'"),
        ("nodejs22.x", "x86_64", "RUNTIME"),
        ("python3.12", "aarch64", "ARCH must be one of x86_64, arm64; got 'aarch64'"),
    ],
)
def test_what_lambda_does_not_have_is_refused(
    runtime: str, architecture: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(DeploymentError, match=message):
        target(runtime, architecture)
    assert main(["layer", "--runtime", runtime, "--arch", architecture], tmp_path) == 1
    assert capsys.readouterr().err
    assert not (tmp_path / "dist").exists()


def test_it_can_be_for_another_runtime_and_architecture(capsys: pytest.CaptureFixture[str]) -> None:
    """Of a Python that is not on this machine it is not compiled, which is said."""
    made = build_layer(PROJECT, Target(python="3.13", architecture="arm64"))
    with zipfile.ZipFile(io.BytesIO(made)) as package:
        libraries = [name for name in package.namelist() if name.endswith(".so")]
        is_compiled = any(name.endswith("cpython-313.pyc") for name in package.namelist())
    assert any("cpython-313-aarch64" in name for name in libraries)
    assert is_compiled != ("there is no python3.13 on this machine" in capsys.readouterr().err)


def test_what_pip_says_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layer, "libraries", lambda root: ["psutil==0.0.0.1"])
    with pytest.raises(DeploymentError, match=r"(?s)no wheels of the libraries for Python .*psutil"):
        build_layer(PROJECT, target(f"python{THIS_PYTHON}", HERE))


def test_the_command_writes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as package:
        package.writestr("chaos-experiments", "")
    monkeypatch.setattr("deployment.__main__.build_layer", lambda root, wanted: made.getvalue())
    assert main(["layer", "--runtime", "python3.12", "--arch", "arm64"], tmp_path) == 0
    assert "dist/chaos-experiments-layer.zip for Python 3.12 on arm64: 0.0 MB" in capsys.readouterr().out
    assert (tmp_path / "dist/chaos-experiments-layer.zip").read_bytes() == made.getvalue()
