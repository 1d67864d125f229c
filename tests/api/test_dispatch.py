"""Who is let in, and what is answered to who is not."""

import logging

import pytest

from chalicelib.access import Caller, Role
from chalicelib.api.endpoints import ENDPOINTS
from chalicelib.api.http import Request, Response
from chalicelib.api.openapi import document
from chalicelib.experiments.catalogue import installed
from tests.api.conftest import Control
from tests.support import Clock

CLOSABLE = [("GET", "/test"), ("POST", "/test"), ("GET", "/openapi.json")]
VIEWER = Caller("vic", Role.VIEWER)


@pytest.fixture
def closed(clock: Clock) -> Control:
    return Control(clock, open_endpoints=False)


@pytest.mark.parametrize(("method", "path"), CLOSABLE)
def test_an_open_endpoint_is_open_unless_the_application_says_no(
    control: Control, closed: Control, method: str, path: str
) -> None:
    assert control.ask(method, path, caller=None).status == 200
    refused = closed.ask(method, path, caller=None)
    assert (refused.status, refused.content["code"]) == (401, "unauthenticated")
    assert closed.ask(method, path, caller=VIEWER).status == 200
    with_a_token = {"authorization": "Bearer dev-token"}
    assert closed.ask(method, path, caller=None, headers=with_a_token).status == 200


def test_the_console_is_open_all_the_same_as_it_asks_for_a_token_itself(closed: Control) -> None:
    assert closed.ask("GET", "/console", caller=None).status == 200


def test_the_document_says_what_needs_a_token() -> None:
    for open_endpoints in (True, False):
        paths = document("", {}, installed(), open_endpoints=open_endpoints)["paths"]
        needed = {(each.method, each.path) for each in ENDPOINTS if "security" in paths[each.path][each.method.lower()]}
        assert needed.isdisjoint(CLOSABLE) is open_endpoints
        assert ("401" in paths["/test"]["get"]["responses"]) is not open_endpoints


@pytest.mark.parametrize(
    ("method", "path", "caller", "status"),
    [
        ("GET", "/nothing", VIEWER, 404),
        ("DELETE", "/list", VIEWER, 405),
        ("GET", "/list", None, 401),
        ("POST", "/start", VIEWER, 403),
    ],
)
def test_who_is_not_admitted_gets_the_answer_that_handle_gives(
    control: Control, method: str, path: str, caller: Caller | None, status: int
) -> None:
    request = Request(method=method, path=path, caller=caller)
    refused = control.api.admit(request)
    assert isinstance(refused, Response)
    assert refused == control.api.handle(request)
    assert refused.status == status


@pytest.mark.parametrize("path", ["/test", "/test/", "/list", "/list/"])
def test_who_is_admitted_gets_no_answer_yet(control: Control, path: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        admitted = control.api.admit(Request(method="HEAD", path=path, caller=VIEWER))
    assert isinstance(admitted, Request)
    assert not caplog.records
    assert control.api.handle(Request(method="HEAD", path=path, caller=VIEWER)).status == 200


@pytest.mark.parametrize(
    ("path", "logged"),
    [
        ("/list\n2026-11-24 ERROR a line of somebody's own", r"GET '/list\n2026-11-24 ERROR a line of somebody"),
        ("/\x1b[2J", r"GET '/\x1b[2J' by"),
        ("/\u2028", r"GET '/\u2028' by"),
        ("/caf\u00e9", r"GET '/caf\xe9' by"),
        ("/status", "GET /status by"),
    ],
)
def test_nobody_writes_lines_of_their_own_into_the_log(
    control: Control, path: str, logged: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        control.ask("GET", path, caller=None)
        control.ask("GET", path + "x" * 9000, caller=None)
    first, second = (record.getMessage() for record in caplog.records)
    assert logged in first.replace('"', "'")
    assert first.isprintable()
    assert len(second) < 400


def test_an_authentication_that_raises_is_logged_and_answered(
    control: Control, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def defective(_headers: object) -> Caller:
        raise ZeroDivisionError("a defect")

    monkeypatch.setattr(control.api, "_authenticate", defective)
    refused = control.api.admit(Request(method="GET", path="/list"))
    assert isinstance(refused, Response)
    assert (refused.status, refused.content["code"]) == (500, "internal_error")
    assert "ZeroDivisionError: a defect" in caplog.text
