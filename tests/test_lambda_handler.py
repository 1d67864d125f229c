"""The handler of a function whose code nobody touches."""

import importlib
import logging
import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from chalicelib.api.endpoints import PREFIX
from chalicelib.errors import Misconfigured
from chalicelib.first_look import FirstLook
from chalicelib.frameworks import aws_lambda
from chalicelib.settings import Settings

MODULE = "chalicelib.lambda_handler"
CONTEXT = SimpleNamespace(function_name="orders")

CODE = """
import os

calls = []
seen = os.environ.get("_HANDLER")


def handler(event, context):
    calls.append(event)
    return {"got": event}


handler.version = "7"


class Application:
    name = "shop"

    def __call__(self, event, context):
        return self.name


application = Application()
"""


@pytest.fixture
def task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """What is in /var/task."""
    (tmp_path / "orders_app.py").write_text(CODE)
    (tmp_path / "src").mkdir()
    (tmp_path / "src/orders_nested.py").write_text(CODE)
    (tmp_path / "orders_broken.py").write_text("import nothing_of_that_name\n")
    monkeypatch.syspath_prepend(tmp_path)
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before | {MODULE}:
        if name.startswith(("orders_", "src", MODULE)):
            sys.modules.pop(name, None)


Start = Callable[..., Any]


@pytest.fixture
def start(task: Path, monkeypatch: pytest.MonkeyPatch) -> Start:
    """A cold start: the handler, where the variables are these."""

    def start(own: str = "orders_app.handler", **variables: str) -> Any:
        for name, value in {"CHAOS_HANDLER": own, "_HANDLER": "ours", **variables}.items():
            monkeypatch.setenv(name, value)
        sys.modules.pop(MODULE, None)
        return importlib.import_module(MODULE).handler

    return start


def calls(module: str = "orders_app") -> list[Any]:
    return list(sys.modules[module].calls)


@pytest.mark.parametrize("off", [{}, {"CHAOS_STAGE": "qa", "CHAOS_ENABLED": "false"}])
def test_where_the_module_is_off_it_is_the_functions_own(start: Start, off: dict[str, str]) -> None:
    handler = start(**off)
    assert handler is sys.modules["orders_app"].handler


def test_the_functions_own_handler_runs_once_where_nothing_runs(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    handler = start(CHAOS_STAGE="qa", AWS_LAMBDA_FUNCTION_NAME="orders")
    monkeypatch.setattr(FirstLook, "finds_nothing", lambda _: True)
    monkeypatch.setattr(aws_lambda, "inject_chaos", None)
    assert handler({"id": 1}, CONTEXT) == {"got": {"id": 1}}
    assert calls() == [{"id": 1}]


@pytest.mark.parametrize("path", [{"rawPath": f"/api{PREFIX}/list"}, {"path": f"{PREFIX}/stop"}])
def test_the_endpoints_are_answered_where_nothing_runs(
    start: Start, monkeypatch: pytest.MonkeyPatch, path: dict[str, str]
) -> None:
    handler = start(CHAOS_STAGE="qa")
    monkeypatch.setattr(FirstLook, "finds_nothing", lambda _: True)
    monkeypatch.setattr(aws_lambda, "inject_chaos", lambda own: lambda event, context: "ours")
    assert handler(path, CONTEXT) == "ours"
    assert calls() == []


def test_where_something_runs_the_module_is_around_it_from_then_on(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = []

    def inject(own: Any) -> Any:
        made.append(own)
        return lambda event, context: ("injected", own(event, context))

    handler = start(CHAOS_STAGE="qa")
    monkeypatch.setattr(FirstLook, "finds_nothing", lambda _: False)
    monkeypatch.setattr(aws_lambda, "inject_chaos", inject)
    assert [handler(number, CONTEXT) for number in (1, 2)] == [("injected", {"got": 1}), ("injected", {"got": 2})]
    assert made == [sys.modules["orders_app"].handler]
    assert calls() == [1, 2]


def test_where_the_module_cannot_be_made_the_functions_own_runs_untouched(
    start: Start, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(own: Any) -> Any:
        raise ImportError("cannot import name 'BaseModel' from 'pydantic'")

    handler = start(CHAOS_STAGE="qa")
    monkeypatch.setattr(FirstLook, "finds_nothing", lambda _: False)
    monkeypatch.setattr(aws_lambda, "inject_chaos", broken)
    with caplog.at_level(logging.ERROR):
        assert [handler(number, CONTEXT) for number in (1, 2)] == [{"got": 1}, {"got": 2}]
    assert calls() == [1, 2]
    assert caplog.text.count("No faults are injected by this process") == 1


def test_settings_that_are_wrong_are_told_by_the_module(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    handler = start(CHAOS_STAGE="no stage")
    monkeypatch.setattr(aws_lambda, "inject_chaos", lambda own: lambda event, context: "the module")
    assert handler(1, CONTEXT) == "the module"


def test_outside_of_lambda_the_module_itself_reads(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    handler = start(CHAOS_STAGE="dev")
    monkeypatch.setattr(aws_lambda, "inject_chaos", lambda own: lambda event, context: "the module")
    assert handler(1, CONTEXT) == "the module"


def test_the_error_of_the_functions_own_is_its_own(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    handler = start(CHAOS_STAGE="qa")
    monkeypatch.setattr(FirstLook, "finds_nothing", lambda _: True)
    monkeypatch.setattr(sys.modules["orders_app"], "calls", None)
    with pytest.raises(AttributeError, match="append"):
        handler(1, CONTEXT)


@pytest.mark.parametrize("own", ["src.orders_nested.handler", "src/orders_nested.handler"])
def test_a_handler_in_a_folder_is_named_as_lambda_lets_it(start: Start, own: str) -> None:
    assert start(own).__module__ == "src.orders_nested"


def test_the_functions_modules_read_the_handler_that_is_theirs(start: Start) -> None:
    start(CHAOS_STAGE="qa")
    assert sys.modules["orders_app"].seen == "orders_app.handler"


def test_what_it_is_asked_for_it_has_of_the_functions_own(start: Start) -> None:
    assert start(CHAOS_STAGE="qa").version == "7"
    assert start("orders_app.application", CHAOS_STAGE="qa").name == "shop"


@pytest.mark.parametrize("how", ["on-demand", "provisioned-concurrency", "snap-start", ""])
def test_the_table_is_asked_in_the_init_phase_where_an_invocation_follows_at_once(
    start: Start, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    begun: list[Settings] = []
    monkeypatch.setattr(FirstLook, "begin", lambda look: begun.append(look._settings))
    start(CHAOS_STAGE="qa", AWS_LAMBDA_FUNCTION_NAME="orders", AWS_LAMBDA_INITIALIZATION_TYPE=how)
    assert [each.stage for each in begun] == (["qa"] if how == "on-demand" else [])


def test_without_a_handler_it_is_said_which_variable_is_missing(start: Start) -> None:
    with pytest.raises(Misconfigured, match=r"CHAOS_HANDLER is not set.*CHAOS_HANDLER=app.handler"):
        start("")


@pytest.mark.parametrize(
    ("own", "error"),
    [
        ("orders_broken.handler", ModuleNotFoundError),
        ("orders_app.missing", AttributeError),
        ("no_module_of_that_name.handler", ModuleNotFoundError),
    ],
)
def test_an_import_fails_as_it_would_without_us(start: Start, own: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        start(own, CHAOS_STAGE="qa")


def test_it_is_loaded_by_lambdas_own_function_where_that_is_there(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime = types.ModuleType("awslambdaric.bootstrap")
    runtime._get_handler = lambda name: f"loaded {name}"  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "awslambdaric.bootstrap", runtime)
    assert start("anything.handler") == "loaded anything.handler"
