import json
import logging
from collections.abc import Iterator

import pytest

from chalicelib.logs import JsonFormatter, log_as_json

PACKAGE = logging.getLogger("chalicelib")


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    reset()  # after a test that wired the module as in Lambda
    yield
    reset()


def reset() -> None:
    PACKAGE.handlers.clear()
    PACKAGE.propagate = True
    PACKAGE.setLevel(logging.NOTSET)


def test_a_line_is_one_object_with_the_fields_that_are_known(capsys: pytest.CaptureFixture[str]) -> None:
    log_as_json()
    log_as_json()
    more = {"request_id": "r-1", "run_id": "run-1", "authorization": "secret", "code": None}
    logging.getLogger("chalicelib.api.api").info("POST /start\nby %s", "ada", extra=more)
    (line,) = capsys.readouterr().out.splitlines()
    logged = json.loads(line)
    assert logged.pop("timestamp").endswith("+00:00")
    assert logged == {
        "level": "INFO",
        "logger": "chalicelib.api.api",
        "message": "POST /start\nby ada",
        "request_id": "r-1",
        "run_id": "run-1",
    }


def test_an_exception_is_in_it() -> None:
    error = ZeroDivisionError("no")
    record = logging.LogRecord("x", logging.ERROR, "", 1, "failed", None, (type(error), error, None))
    assert "ZeroDivisionError: no" in json.loads(JsonFormatter().format(record))["exception"]


def test_the_applications_logs_stay_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    log_as_json()
    assert logging.getLogger().handlers
    logging.getLogger("application").warning("its own")
    assert "its own" not in capsys.readouterr().out
