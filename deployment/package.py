"""The package: what `chalice package` makes, with compiled modules, without what no function needs."""

import compileall
import hashlib
import io
import json
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.util import cache_from_source
from pathlib import Path, PurePosixPath
from py_compile import PycInvalidationMode
from tempfile import TemporaryDirectory
from typing import Any

import yaml

from .control_plane import separate
from .errors import DeploymentError
from .project import Stage

LAMBDA_FOLDER = "/var/task"
NOT_FOR_LAMBDA = re.compile(
    r"""
      (?:chalicelib|chaos_experiments)/(?:cli/|__main__\.py)
    | aws_lambda_powertools/event_handler/openapi/swagger_ui/.*\.(?:js|css)
    | aws_lambda_powertools/utilities/(?:auth_alpha|data_masking|kafka|validation)/
    | pydantic/v1/
    | psutil/_ps(?:windows|osx|bsd|sunos|aix)\.py
    | urllib3/contrib/emscripten/
    | .*/(?:mypy|_hypothesis_plugin)\.py$
    | .*(?:\.pyi|\.md|\.rst|/py\.typed|\.dist-info/(?:RECORD|REQUESTED|sboms/.*))$
    """,
    re.VERBOSE,
)
"""What no function runs: the command line; of the libraries the web page of Powertools' own router, its parts for which
libraries are not here, pydantic's previous major version, other systems' modules, and what is for people and tools."""

SERVICE_DATA = re.compile(r"(?:botocore|boto3)/data/([^/]+)/")
EPOCH = (1980, 1, 1, 0, 0, 0)
LONGEST_KEY = 32


@dataclass(frozen=True, kw_only=True)
class Package:
    """A template, and the zip that all functions come from. `key` is the same for the same content."""

    template: dict[str, Any]
    archive: bytes
    key: str


def build(stage: Stage) -> Package:
    """Raises DeploymentError with Chalice's own words where it cannot package."""
    stage.write_policies()
    fragment = stage.render((stage.root / ".chalice/stack.yaml").read_text())
    topic = {"CHAOS_ALARM_TOPIC": f"{stage.name}-alarms"}
    template, archive = chalice_package(stage.root, stage.stage, stage.account.region, fragment, **topic)
    services = _services(stage.root)
    return Package(template=separate(template, stage), archive=slim(archive, services), key=_key(archive, services))


def chalice_package(
    root: Path, stage: str, region: str, fragment: str = "{}", **variables: str
) -> tuple[dict[str, Any], bytes]:
    """The template, with the fragment (YAML) merged into it, and the zip. The application is given the variables."""
    with TemporaryDirectory() as folder:
        out = Path(folder)
        merged = out / "stack.yaml"
        merged.write_text(fragment)
        chalice = [sys.executable, "-c", "import sys; from chalice.cli import main; sys.exit(main())", "package"]
        made = subprocess.run(  # noqa: S603 - our own arguments
            [*chalice, "--stage", stage, "--merge-template", str(merged), str(out)],
            cwd=root,
            env={**os.environ, "AWS_DEFAULT_REGION": region, "PYTHONDONTWRITEBYTECODE": "1", **variables},
            capture_output=True,
            text=True,
            check=False,
        )
        if made.returncode:
            raise DeploymentError(f"chalice package failed:\n{made.stdout}{made.stderr}".rstrip())
        return yaml.safe_load((out / "sam.yaml").read_text()), (out / "deployment.zip").read_bytes()


def slim(archive: bytes, services: Iterable[str]) -> bytes:
    """The archive with compiled modules, without `NOT_FOR_LAMBDA`, and with `services` of botocore's data alone.

    Lambda's file system is read-only: what is not compiled in the package is compiled at every cold start. The compiled
    modules never look at their source again (PEP 552, unchecked), and name it where it will be.
    """
    with TemporaryDirectory() as folder:
        root = Path(folder)
        with zipfile.ZipFile(io.BytesIO(archive)) as given:
            kept = _kept(given, services)
            given.extractall(root, [info.filename for info in kept])
        compileall.compile_dir(
            root,
            quiet=2,
            stripdir=folder,
            prependdir=LAMBDA_FOLDER,
            invalidation_mode=PycInvalidationMode.UNCHECKED_HASH,
        )
        made = io.BytesIO()
        with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as smaller:
            for name in sorted(_with_compiled(root, (info.filename for info in kept))):
                entry = zipfile.ZipInfo(name, EPOCH)
                entry.external_attr = (0o755 if name.endswith(".so") else 0o644) << 16
                smaller.writestr(entry, (root / name).read_bytes(), zipfile.ZIP_DEFLATED)
    return made.getvalue()


def _with_compiled(root: Path, names: Iterable[str]) -> Iterable[str]:
    for name in names:
        if name.endswith("/"):
            continue
        yield name
        if name.endswith(".py"):
            compiled = PurePosixPath(cache_from_source(name))
            if (root / compiled).exists():
                yield str(compiled)


def _kept(given: zipfile.ZipFile, services: Iterable[str]) -> list[zipfile.ZipInfo]:
    """All but `NOT_FOR_LAMBDA`, other services' data, and what a checkout happens to have compiled."""
    return [
        info
        for info in given.infolist()
        if not info.filename.endswith(".pyc")
        and not NOT_FOR_LAMBDA.match(info.filename)
        and ((data := SERVICE_DATA.match(info.filename)) is None or data[1] in services)
    ]


def _services(root: Path) -> list[str]:
    """The AWS services that the application calls, as pyproject.toml lists them."""
    services: list[str] = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["deployment"]["aws-services"]
    return services


def _key(archive: bytes, services: Iterable[str]) -> str:
    """Made from what goes in, because neither a zip's dates nor a compiled module's bytes are the same twice."""
    with zipfile.ZipFile(io.BytesIO(archive)) as given:
        content = sorted((info.filename, info.CRC) for info in _kept(given, services))
    content_and_versions = json.dumps([content, sorted(services), sys.version])
    return hashlib.sha256(content_and_versions.encode()).hexdigest()[:LONGEST_KEY] + ".zip"
