"""Lambda's managed runtime for Python on this machine: what `/var/runtime/bootstrap` does, with AWS's own client.

The emulator starts `python3.…` functions in a way of its own: it runs no exec wrapper, and puts layers before the
function's code. Functions of `provided.al2023` it starts as Lambda does: their `bootstrap`, with the Runtime API. So
the managed runtime is a `bootstrap` here. It does what AWS documents of the managed one: it starts the program of
AWS_LAMBDA_EXEC_WRAPPER, if there is one, with the interpreter and its arguments, or else these; the interpreter has
the function's code first, then the layers', then the runtime's own libraries, boto3 among them, and runs AWS's
runtime interface client, `awslambdaric`.
"""

import os
import shlex
import subprocess
import sys
import zipfile
from io import BytesIO
from pathlib import Path

CLIENT = "awslambdaric==4.2.2"
OF_THE_RUNTIME = ("boto3", "botocore", "s3transfer", "jmespath", "dateutil", "urllib3", "six.py")
PYTHON = str(Path(sys.base_prefix) / f"bin/python3.{sys.version_info.minor}")

BOOTSTRAP = """#!/bin/sh
set -- {python} -S -P -u {main}
if [ -z "$AWS_LAMBDA_EXEC_WRAPPER" ]; then
    exec "$@"
fi
if [ ! -f "$AWS_LAMBDA_EXEC_WRAPPER" ]; then
    echo "$AWS_LAMBDA_EXEC_WRAPPER: does not exist"
    exit 127
fi
if [ ! -x "$AWS_LAMBDA_EXEC_WRAPPER" ]; then
    echo "$AWS_LAMBDA_EXEC_WRAPPER: is not an executable"
    exit 126
fi
exec "$AWS_LAMBDA_EXEC_WRAPPER" "$@"
"""

MAIN = """
import os
import sys

opt = {opt!r}
site = f"{{opt}}/python/lib/python3.{{sys.version_info.minor}}/site-packages"
sys.path[:0] = [os.environ["LAMBDA_TASK_ROOT"], site, f"{{opt}}/python", {runtime!r}]

from awslambdaric import bootstrap
from awslambdaric.lambda_runtime_client import LambdaRuntimeClient

bootstrap.run(os.environ["_HANDLER"], LambdaRuntimeClient(os.environ["AWS_LAMBDA_RUNTIME_API"], False))
"""


class Runtime:
    """In a folder: `var/runtime`, and `opt` with a layer's content."""

    def __init__(self, folder: Path, layer: bytes) -> None:
        self.opt = folder / "opt"
        self.folder = folder / "var/runtime"
        self.folder.mkdir(parents=True)
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, "--target", str(self.folder), CLIENT], check=True)
        installed = Path(__import__("boto3").__file__).parents[1]
        for name in OF_THE_RUNTIME:
            (self.folder / name).symlink_to(installed / name)
        with zipfile.ZipFile(BytesIO(layer)) as package:
            for info in package.infolist():
                path = Path(package.extract(info, self.opt))
                path.chmod(info.external_attr >> 16)
        (self.folder / "bootstrap.py").write_text(MAIN.format(opt=str(self.opt), runtime=str(self.folder)))
        self.bootstrap = self.folder / "bootstrap"
        main = shlex.quote(str(self.folder / "bootstrap.py"))
        self.bootstrap.write_text(BOOTSTRAP.format(python=shlex.quote(PYTHON), main=main))
        self.bootstrap.chmod(0o755)

    @property
    def wrapper(self) -> str:
        return str(self.opt / "chaos-experiments")

    @property
    def program(self) -> dict[str, str]:
        """What makes this a function's runtime, in its code."""
        return {"bootstrap": f'#!/bin/sh\nexec {shlex.quote(str(self.bootstrap))} "$@"\n'}

    def start(self, api: str, task: Path, **variables: str) -> "subprocess.Popen[bytes]":
        """An environment, as the emulator and Lambda start it."""
        return subprocess.Popen(
            [str(self.bootstrap)],
            cwd=task,
            env={
                "PATH": os.environ["PATH"],
                "AWS_LAMBDA_RUNTIME_API": api,
                "LAMBDA_TASK_ROOT": str(task),
                "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
                "AWS_EXECUTION_ENV": f"AWS_Lambda_python3.{sys.version_info.minor}",
                "PYTHONDONTWRITEBYTECODE": "1",
                **variables,
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
