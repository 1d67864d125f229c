"""The wrapper and the handler in Lambda's runtime: what a function's owner sees, and what a cold start takes.

Figures: the CPU time of the process, which other processes of the machine change least, and the time to the answer.
"""

import json
import os
import ssl
import statistics
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import trustme

from chalicelib.dynamodb.runs import DynamoDBRunStore
from chalicelib.dynamodb.table import create_table
from chalicelib.settings import read_settings
from tests.staging.account import REGION, Account
from tests.staging.fleet import Tell
from tests.staging.runtime import Runtime
from tests.staging.runtime_api import Posted, RuntimeApi, runtime_api
from tests.support import a_run

pytestmark = pytest.mark.timeout(600)

PAIRS = 11
MOST = 1.15
MOST_ANYWHERE = 1.3
"""Where the machine has other work: without `--exact`."""
OF_LAMBDA = {
    "AWS_REGION": REGION,
    "AWS_DEFAULT_REGION": REGION,
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_SESSION_TOKEN": "test",
    "AWS_LAMBDA_FUNCTION_NAME": "orders",
    "AWS_LAMBDA_LOG_STREAM_NAME": "2026/11/26/[$LATEST]0123456789abcdef",
    "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "512",
    "_HANDLER": "app.handler",
}
PATIENT = {
    "CHAOS_TABLE_TIMEOUT_SECONDS": "5",
    "CHAOS_MAX_STALENESS_SECONDS": "60",
    "CHAOS_IDLE_REFRESH_SECONDS": "60",
}
"""For a machine that is busy."""

ORDER = {"order": 1}
EMPTY = json.dumps({"Count": 0, "ScannedCount": 0}).encode()


class Table(ThreadingHTTPServer):
    """In which nothing runs. `asked` are the operations."""

    daemon_threads = True

    def __init__(self, context: ssl.SSLContext | None) -> None:
        super().__init__(("127.0.0.1", 0), TableHandler)
        self.asked: list[str] = []
        scheme = "http"
        if context:
            scheme = "https"
            self.socket = context.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)
        self.url = f"{scheme}://localhost:{self.server_port}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Whoever asked has been killed."""


class TableHandler(BaseHTTPRequestHandler):
    server: Table

    def do_POST(self) -> None:
        self.server.asked.append(self.headers["X-Amz-Target"].partition(".")[2])
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", str(len(EMPTY)))
        self.end_headers()
        self.wfile.write(EMPTY)

    def log_message(self, *arguments: Any) -> None:
        pass


@contextmanager
def table(context: ssl.SSLContext | None = None) -> Iterator[Table]:
    server = Table(context)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def empty_table() -> Iterator[Table]:
    with table() as server:
        yield server


@dataclass(frozen=True)
class Cold:
    """A cold start: what was posted, the milliseconds until then, those of CPU time, and what was logged."""

    posted: Posted
    milliseconds: float
    cpu: float
    log: str


@dataclass(frozen=True)
class Starter:
    runtime: Runtime
    folder: Path

    def task(self, app: str, **others: str) -> None:
        """What is in /var/task: app.py, and other packages."""
        (self.folder / "app.py").write_text(app)
        for name, content in others.items():
            (self.folder / name).mkdir()
            (self.folder / name / "__init__.py").write_text(content)

    def with_layer(self, url: str, **variables: str) -> dict[str, str]:
        """The two variables, and where the table is."""
        ours = {"AWS_LAMBDA_EXEC_WRAPPER": self.runtime.wrapper, "CHAOS_STAGE": "staging"}
        return {**ours, "AWS_ENDPOINT_URL": url, **PATIENT, **variables}

    def cold(self, **variables: str) -> Cold:
        with runtime_api() as api:
            api.events.put(ORDER)
            return self._posted(api, variables)

    def _posted(self, api: RuntimeApi, variables: dict[str, str]) -> Cold:
        began = time.time()
        process = self.runtime.start(api.address, self.folder, **{**OF_LAMBDA, **variables})
        try:
            posted = api.posted.get(timeout=60)
        finally:
            process.kill()
            _, _, usage = os.wait4(process.pid, 0)
            process.returncode = 0
            assert process.stdout
            log = process.stdout.read().decode()
            process.stdout.close()
        cpu = (usage.ru_utime + usage.ru_stime) * 1000
        return Cold(posted, (posted.at - began) * 1000, cpu, log)


@pytest.fixture
def starter(runtime: Runtime, tmp_path: Path) -> Starter:
    return Starter(runtime, tmp_path)


# What a function's owner sees

ANSWERS = "def handler(event, context):\n    return event\n"


def test_a_function_is_wrapped_by_two_variables_and_asks_the_table_once(starter: Starter, empty_table: Table) -> None:
    starter.task(ANSWERS)
    cold = starter.cold(**starter.with_layer(empty_table.url))
    assert (cold.posted.kind, cold.posted.content, cold.log) == ("response", ORDER, "")
    assert empty_table.asked == ["Query"]


def test_without_a_stage_the_wrapper_does_nothing(starter: Starter, empty_table: Table) -> None:
    starter.task(
        "import os, sys\ndef handler(event, context):\n    return [os.environ.get('CHAOS_HANDLER'), "
        "[name for name in sys.modules if name.startswith('chaos_experiments')]]\n"
    )
    cold = starter.cold(**starter.with_layer(empty_table.url, CHAOS_STAGE=""))
    assert (cold.posted.content, empty_table.asked) == ([None, []], [])


def test_nothing_that_the_function_does_not_import_is_loaded_while_nothing_runs(
    starter: Starter, empty_table: Table
) -> None:
    starter.task(
        "import sys\ndef handler(event, context):\n    return sorted({name.partition('.')[0] for name "
        "in sys.modules} & {'boto3', 'botocore', 'pynamodb', 'pydantic', 'psutil', 'urllib3', 'http', 'ssl'})\n"
    )
    assert starter.cold(**starter.with_layer(empty_table.url)).posted.content == starter.cold().posted.content


@pytest.mark.parametrize(
    "content",
    [
        "import nothing_of_that_name\n",
        "from json import nothing_of_that_name\n",
        "def handler(event, context)\n",
        "no_handler = 1\n",
        "raise KeyError('a variable of ours')\n",
    ],
)
def test_what_is_wrong_with_a_function_is_told_as_without_us(
    starter: Starter, empty_table: Table, content: str
) -> None:
    starter.task(content)
    theirs, ours = starter.cold(), starter.cold(**starter.with_layer(empty_table.url))
    assert theirs.posted.kind == ours.posted.kind == "init/error"
    told = [{**each.posted.content, "stackTrace": None} for each in (theirs, ours)]
    assert told[0] == told[1]
    assert last_frames(theirs) == last_frames(ours)


def last_frames(cold: Cold) -> list[str]:
    """Those of the function."""
    return [frame for frame in cold.posted.content["stackTrace"] if "app.py" in frame]


def test_an_error_of_the_handler_is_the_functions(starter: Starter, empty_table: Table) -> None:
    starter.task("def handler(event, context):\n    raise KeyError('no such order')\n")
    ours = starter.cold(**starter.with_layer(empty_table.url)).posted
    assert ours.kind == "error"
    assert (ours.content["errorType"], ours.content["errorMessage"]) == ("KeyError", "'no such order'")
    assert "app.py" in ours.content["stackTrace"][-1]


LOGS = """
import logging

log = logging.getLogger("orders")
log.setLevel(logging.INFO)


def handler(event, context):
    log.info("handled")
    return [type(each).__name__ for each in logging.getLogger().handlers], logging.getLogger().level
"""


def test_the_functions_logging_stays_as_it_is(starter: Starter, account: Account) -> None:
    """Here with the module wired, which logs that there is no table."""
    starter.task(LOGS)
    url = account.environment["AWS_ENDPOINT_URL"]
    theirs, ours = starter.cold(), starter.cold(**starter.with_layer(url, CHAOS_TABLE="no-table-of-that-name"))
    assert ours.posted.content == theirs.posted.content
    own = [line for line in ours.log.splitlines() if "handled" in line]
    assert [line.split("\t")[::3] for line in own] == [["[INFO]", "handled"]]
    others = [json.loads(line) for line in ours.log.splitlines() if "handled" not in line]
    assert {each["logger"].partition(".")[0] for each in others} == {"chaos_experiments"}


def test_with_the_layers_libraries_it_is_hit_from_its_first_invocation_on(starter: Starter, account: Account) -> None:
    starter.task(ANSWERS)
    with running(account) as name:
        cold = starter.cold(**starter.with_layer(account.environment["AWS_ENDPOINT_URL"], CHAOS_TABLE=name))
    assert (cold.posted.kind, cold.posted.content["errorType"]) == ("error", "InjectedError")


def test_a_function_that_brings_an_older_library_keeps_it_and_runs_untouched(
    starter: Starter, account: Account
) -> None:
    starter.task(
        "import pydantic\ndef handler(event, context):\n    return [pydantic.VERSION, event]\n",
        pydantic="VERSION = '1.10.0'\n",
    )
    with running(account) as name:
        cold = starter.cold(**starter.with_layer(account.environment["AWS_ENDPOINT_URL"], CHAOS_TABLE=name))
    assert (cold.posted.kind, cold.posted.content) == ("response", ["1.10.0", ORDER])
    assert "pydantic" in cold.log


@contextmanager
def running(account: Account) -> Iterator[str]:
    """The name of a table in which an error is to be injected into everything."""
    settings = read_settings({"CHAOS_STAGE": "staging", "CHAOS_TABLE": "chaos-of-a-test", **account.environment})
    with account.shell():
        create_table(settings)
        now = time.time()
        DynamoDBRunStore(settings).start([a_run("error_injection", now=now, error_rate=1)], now=now)
    yield settings.table
    account.client("dynamodb").delete_table(TableName=settings.table)


# What a cold start takes

HANDLERS = {
    "that makes clients of boto3": """
import json
import logging
import os
import uuid
from datetime import UTC, datetime
from decimal import Decimal

import boto3

orders = boto3.resource("dynamodb").Table("orders")
queue = boto3.client("sqs")


def handler(event, context):
    return event
""",
    "that imports boto3": f"import boto3\n{ANSWERS}",
    "that imports nothing": ANSWERS,
}


@pytest.mark.parametrize("name", HANDLERS)
def test_a_cold_start_is_hardly_longer_than_without_the_layer(
    starter: Starter, name: str, tell: Tell, pytestconfig: pytest.Config
) -> None:
    """Over TLS, of which a connection to DynamoDB takes most."""
    starter.task(HANDLERS[name])
    authority = trustme.CA(organization_name="Amazon")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    bundle = starter.folder / "bundle.pem"
    trusted = ssl.get_default_verify_paths().cafile
    bundle.write_bytes((Path(trusted).read_bytes() if trusted else b"") + authority.cert_pem.bytes())
    with table(context) as server:
        ours = starter.with_layer(server.url, SSL_CERT_FILE=str(bundle))
        theirs = {"AWS_ENDPOINT_URL": server.url, "SSL_CERT_FILE": str(bundle)}
        starter.cold(**theirs)
        starter.cold(**ours)
        pairs = [(starter.cold(**theirs), starter.cold(**ours)) for _ in range(PAIRS)]
        assert server.asked == ["Query"] * (PAIRS + 1)
    least = min(with_layer.cpu for _, with_layer in pairs) / min(bare.cpu for bare, _ in pairs)
    cpu = statistics.median(with_layer.cpu / bare.cpu for bare, with_layer in pairs)
    passed = statistics.median(with_layer.milliseconds / bare.milliseconds for bare, with_layer in pairs)
    bare, with_layer = (statistics.median(pair[which].cpu for pair in pairs) for which in (0, 1))
    tell(f"a handler {name}: {bare:.0f} and {with_layer:.0f} ms of CPU time, of time {passed:.2f} as much")
    tell(f"ratio of CPU time {cpu:.2f}, of the least {least:.2f}")
    if name == "that makes clients of boto3":
        assert least <= (MOST if pytestconfig.getoption("--exact") else MOST_ANYWHERE)
