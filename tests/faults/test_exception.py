import asyncio
import concurrent.futures
import dataclasses
import json
import subprocess
import sys
import types
from collections.abc import Iterator
from typing import Any

import botocore.exceptions
import chalice
import fastapi
import fastapi.exceptions
import httpx2
import pydantic
import pytest
import redis.exceptions
import requests
import starlette.exceptions
import urllib3.exceptions
import werkzeug.exceptions

from chalicelib.faults.base import Raise, Unavailable
from chalicelib.faults.exception import RaiseException, arguments_for, exception_class, qualified
from tests.faults.support import FakeHitCall, drive

MESSAGE = 'it\'s "out" of {stock}: 100 %'


class OutOfStock(Exception):
    """Has its own message."""

    def __init__(self) -> None:
        super().__init__("out of stock")


class Declined(Exception):
    """Needs what nobody but the application knows."""

    def __init__(self, order: int, *, card: str) -> None:
        super().__init__(order, card)
        self.order = order


class Outer(Exception):
    pass


@dataclasses.dataclass(frozen=True)
class Frozen(Exception):
    """Cannot be changed, not even by a note."""

    message: str


@pytest.fixture
def shop(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    """A module of an application."""
    module = types.ModuleType("shop.errors")
    monkeypatch.setitem(sys.modules, "shop.errors", module)
    return module


def made(kind: type[Exception]) -> Exception:
    arguments, named = arguments_for(kind, MESSAGE)
    _, applied = drive(RaiseException(exception=kind, arguments=arguments, named=named), FakeHitCall())
    assert isinstance(applied.outcome, Raise)
    assert applied.counters == {"injected_exceptions": 1}
    assert applied.details == {"exception": qualified(kind)}
    return applied.outcome.exception


TAKE_A_MESSAGE = [
    Exception,
    RuntimeError,
    TimeoutError,
    KeyError,
    OSError,
    ConnectionResetError,
    MemoryError,
    RecursionError,
    AssertionError,
    UserWarning,
    ImportError,
    SyntaxError,
    UnicodeDecodeError,
    UnicodeEncodeError,
    UnicodeTranslateError,
    json.JSONDecodeError,
    subprocess.SubprocessError,
    concurrent.futures.CancelledError,
    asyncio.InvalidStateError,
    requests.ConnectionError,
    requests.Timeout,
    requests.HTTPError,
    urllib3.exceptions.HTTPError,
    httpx2.ConnectError,
    httpx2.ReadTimeout,
    botocore.exceptions.ClientError,
    redis.exceptions.ConnectionError,
    werkzeug.exceptions.NotFound,
    werkzeug.exceptions.MethodNotAllowed,
    werkzeug.exceptions.TooManyRequests,
    werkzeug.exceptions.HTTPException,
    starlette.exceptions.HTTPException,
    fastapi.HTTPException,
    chalice.BadRequestError,
    chalice.ChaliceViewError,
    Outer,
    Frozen,
]


@pytest.mark.parametrize("kind", TAKE_A_MESSAGE, ids=qualified)
def test_a_real_exception_is_made_with_the_message(kind: type[Exception]) -> None:
    exception = made(kind)
    assert type(exception) is kind
    assert MESSAGE in str(exception) or repr(MESSAGE) in str(exception)


@pytest.mark.parametrize(
    "kind",
    [
        Declined,
        ExceptionGroup,
        httpx2.HTTPStatusError,
        requests.JSONDecodeError,
        pydantic.ValidationError,
        fastapi.exceptions.RequestValidationError,
        botocore.exceptions.EndpointConnectionError,
        subprocess.CalledProcessError,
    ],
    ids=qualified,
)
def test_one_that_needs_more_than_a_message_is_refused(kind: type[Exception]) -> None:
    with pytest.raises(ValueError, match="cannot be made with a message alone"):
        arguments_for(kind, MESSAGE)


def test_one_that_takes_no_message_has_its_own() -> None:
    assert str(made(OutOfStock)) == "out of stock"


def test_what_handlers_of_well_known_exceptions_look_at_is_there() -> None:
    client_error: Any = made(botocore.exceptions.ClientError)
    assert client_error.response["Error"] == {"Code": "InternalError", "Message": MESSAGE}
    http: Any = made(starlette.exceptions.HTTPException)
    assert (http.status_code, http.detail) == (500, MESSAGE)
    method: Any = made(werkzeug.exceptions.MethodNotAllowed)
    assert (method.description, method.valid_methods) == (MESSAGE, None)
    unicode: Any = made(UnicodeDecodeError)
    assert (unicode.encoding, unicode.reason) == ("utf-8", MESSAGE)


def test_each_is_a_new_one_and_names_the_run() -> None:
    fault = RaiseException(exception=KeyError, arguments=("a",))
    outcomes: list[Any] = [drive(fault, FakeHitCall())[1].outcome for _ in range(2)]
    assert outcomes[0].exception is not outcomes[1].exception
    assert outcomes[0].exception.__notes__ == ["Injected by chaos experiment run 1"]
    assert not hasattr(made(Frozen), "__notes__")


def test_a_class_is_found_among_the_built_in_ones_or_in_a_module_that_is_imported(shop: Any) -> None:
    shop.OutOfStock = OutOfStock
    assert exception_class("TimeoutError") is TimeoutError
    assert exception_class("asyncio.TimeoutError") is TimeoutError
    assert exception_class("shop.errors.OutOfStock") is OutOfStock
    assert exception_class("botocore.exceptions.ClientError") is botocore.exceptions.ClientError


@pytest.mark.parametrize("name", ["Nothing", "shop.errors.Nothing", "shop.Nothing", "antigravity.Error", ".", ""])
def test_one_that_is_not_there_is_not_there_as_yet(shop: Any, name: str) -> None:
    with pytest.raises(Unavailable):
        exception_class(name)
    assert "antigravity" not in sys.modules


@pytest.mark.parametrize(
    "name",
    [
        "KeyboardInterrupt",
        "SystemExit",
        "GeneratorExit",
        "BaseException",
        "BaseExceptionGroup",
        "asyncio.CancelledError",
        "StopIteration",
        "StopAsyncIteration",
        "shop.errors.Stop",
        "shop.errors.text",
        "print",
        "int",
        "os.system",
        "sys.modules",
    ],
)
def test_what_is_no_exception_of_applications_is_refused(shop: Any, name: str) -> None:
    shop.Stop, shop.text = type("Stop", (StopIteration,), {}), "text"
    with pytest.raises(TypeError):
        exception_class(name)


def test_nothing_is_imported_nor_asked_for_what_a_module_makes_when_it_is_asked(shop: Any) -> None:
    asked: list[str] = []
    shop.__getattr__ = asked.append
    with pytest.raises(Unavailable):
        exception_class("shop.errors.Lazy")

    class Lazy(types.ModuleType):
        def __getattribute__(self, name: str) -> Any:
            asked.append(name)
            raise ImportError(name)

    sys.modules["shop.errors"] = Lazy("shop.errors")
    with pytest.raises(Unavailable):
        exception_class("shop.errors.Lazy")
    assert asked == []


@pytest.fixture(autouse=True)
def nothing_is_imported() -> Iterator[None]:
    before = set(sys.modules)
    yield
    assert set(sys.modules) - before <= {"shop.errors"}
