"""The layer: the module with its libraries for a runtime of Lambda, and the wrapper that puts it around any handler."""

import io
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from .errors import DeploymentError
from .package import EPOCH, NOT_FOR_LAMBDA

ARCHITECTURES = ("x86_64", "arm64")
PLATFORM = {"x86_64": "x86_64", "arm64": "aarch64"}
"""As wheels call them."""

GLIBC = ("manylinux_2_28", "manylinux_2_17", "manylinux2014")
"""Of Amazon Linux 2023, which has 2.34, and of Amazon Linux 2, which has 2.26, the oldest that all wheels run on."""

RUNTIME = re.compile(r"python(3\.(?:1[1-9]|[2-9]\d))")
THIS_PYTHON = f"3.{sys.version_info.minor}"

OF_THE_RUNTIME = {"boto3", "botocore", "jmespath", "python-dateutil", "s3transfer", "six", "urllib3"}
"""Lambda's runtimes have them, and a function may have others: it keeps those that it has without us."""

NOT_FOR_A_HANDLER = {"aws-lambda-powertools"}
"""An extra, without which no metrics are written. A function that has it has it."""

FOLDER = "python"
WRAPPER = "chaos-experiments"


@dataclass(frozen=True, kw_only=True)
class Target:
    """What the layer is for: a runtime of Lambda, such as python3.13, and an architecture."""

    python: str
    architecture: str


def target(runtime: str, architecture: str) -> Target:
    """Raises DeploymentError."""
    found = RUNTIME.fullmatch(runtime)
    if not found:
        raise DeploymentError(
            f"RUNTIME must be one of Lambda's from python3.11 on, such as python3.13; got {runtime!r}."
        )
    if architecture not in ARCHITECTURES:
        raise DeploymentError(f"ARCH must be one of {', '.join(ARCHITECTURES)}; got {architecture!r}.")
    return Target(python=found[1], architecture=architecture)


def build_layer(root: Path, wanted: Target) -> bytes:
    """The zip; the same bytes for the same sources, pins and target. Raises DeploymentError."""
    with TemporaryDirectory() as folder:
        layer = Path(folder) / FOLDER
        _install(root, wanted, layer)
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(root / "chalicelib", layer / "chaos_experiments", ignore=ignored)
        _leave_out(layer)
        _compile(layer, wanted)
        shutil.copy(Path(__file__).with_name(f"{WRAPPER}.sh"), Path(folder) / WRAPPER)
        return _zipped(Path(folder))


def libraries(root: Path) -> list[str]:
    """What the layer brings, pinned as in the package."""
    lines = (root / "requirements.txt").read_text().splitlines()
    pins = [line for line in lines if "==" in line]
    return [pin for pin in pins if pin.partition("==")[0] not in OF_THE_RUNTIME | NOT_FOR_A_HANDLER]


def _install(root: Path, wanted: Target, layer: Path) -> None:
    platforms = [f"--platform={each}_{PLATFORM[wanted.architecture]}" for each in GLIBC]
    made = subprocess.run(  # noqa: S603 - our own arguments
        [
            *(sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-compile"),
            *("--no-deps", "--only-binary=:all:", "--implementation=cp", f"--python-version={wanted.python}"),
            *platforms,
            *("--target", str(layer), *libraries(root)),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    if made.returncode:
        raise DeploymentError(
            f"There are no wheels of the libraries for Python {wanted.python} on {wanted.architecture}:\n{made.stderr}"
        )


def _leave_out(layer: Path) -> None:
    for path in sorted(layer.rglob("*")):
        if path.is_file() and NOT_FOR_LAMBDA.match(path.relative_to(layer).as_posix()):
            path.unlink()


def _compile(layer: Path, wanted: Target) -> None:
    """As in the package: never looked at again. In a process of its own, the same source gives the same bytes."""
    python = _interpreter(wanted.python)
    if python is None:
        name = f"python{wanted.python}"
        print(f"Not compiled, so that cold starts take longer: there is no {name} on this machine.", file=sys.stderr)
        return
    options = ["-q", "-j1", "--invalidation-mode", "unchecked-hash", "-s", str(layer.parent), "-p", "/opt"]
    subprocess.run([python, "-m", "compileall", *options, str(layer)], check=True)  # noqa: S603 - our own arguments


def _interpreter(version: str) -> str | None:
    """One that runs: a version manager has programs for versions that are not chosen, which do not."""
    if version == THIS_PYTHON:
        return sys.executable
    found = shutil.which(f"python{version}")
    if found and subprocess.run([found, "-c", ""], capture_output=True, check=False).returncode == 0:  # noqa: S603
        return found
    return None


def _zipped(folder: Path) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as layer:
        for name in sorted(_files(folder)):
            entry = zipfile.ZipInfo(name, EPOCH)
            is_program = name == WRAPPER or name.endswith(".so")
            entry.external_attr = (0o755 if is_program else 0o644) << 16
            layer.writestr(entry, (folder / name).read_bytes(), zipfile.ZIP_DEFLATED)
    return made.getvalue()


def _files(folder: Path) -> Iterator[str]:
    return (path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def unpacked_size(archive: bytes) -> int:
    """What counts against Lambda's 250 MB for a function with its layers."""
    with zipfile.ZipFile(io.BytesIO(archive)) as layer:
        return sum(info.file_size for info in layer.infolist())
