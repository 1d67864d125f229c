"""What a query cannot ask for is the caller's mistake on every DynamoDB: what Amazon's refuses is not sent to it."""

from functools import partial
from typing import Any

import pytest

from chalicelib.access import Authenticator, Caller, Role
from chalicelib.api.dispatch import Api
from chalicelib.api.endpoints import PREFIX
from chalicelib.api.handlers import Handlers, Server, Stage
from chalicelib.api.http import Request, Response
from chalicelib.api.openapi import document
from chalicelib.api.preview import DataPlane
from chalicelib.dynamodb.results import DynamoDBResultStore
from chalicelib.dynamodb.runs import DynamoDBRunStore
from chalicelib.dynamodb.seen import DynamoDBSeenStore
from chalicelib.experiments.catalogue import installed
from chalicelib.injection.permits import StagePermits
from chalicelib.injection.selection import selector
from chalicelib.paths import PathSet
from chalicelib.settings import Settings
from tests.support import Clock, FakeAlarms, FakeTokenStore

LONG = "x" * 100_000
HALF_A_CHARACTER = "\ud800"
STRANGE = {
    "a control character": "\x00",
    "a line break": "a\nb",
    "half a character": HALF_A_CHARACTER,
    "too long for a key": "x" * 1100,
    "a novel": LONG,
    "letters of three bytes, too long for a key": "\u20ac" * 400,
    "a blank": " ",
}
NUMBERS = ("0", "-1", "1e9", "1000000000", "101", "\u0661\u0662", "1.5", "+1", "01", "NaN", "0x10", "1" * 5000)
TIMES = (
    "yesterday",
    "0",
    "2026-13-01",
    "2026-11-24T25:00:00Z",
    "9999-12-31T23:59:59-23:59",
    "0001-01-01T00:00:00+14:00",
    "99999-01-01",
    "2026-11-24T09:00:00+99:00",
    "NaN",
    "\u0662\u0660\u0662\u0666-11-24",
    *STRANGE.values(),
)
CURSORS = [value for name, value in STRANGE.items()]
INVALID = [
    *(("/history", {"limit": value}) for value in (*NUMBERS, *STRANGE.values())),
    *(("/history", {name: value}) for value in TIMES for name in ("since", "until")),
    *(("/history", {"before": value}) for value in CURSORS),
    ("/history", {"since": "2026-11-24T09:00:01Z", "until": "2026-11-24T09:00:00Z"}),
    ("/history", {"since": "9999-12-31T23:59:59Z", "until": "0001-01-01"}),
    ("/history", {"page": "2"}),
    ("/history", {HALF_A_CHARACTER: "1"}),
    ("/report", {"run_id": "20261124T090000.000Z-d6f07188", "format": "pdf"}),
    ("/report", {"run_id": "20261124T090000.000Z-d6f07188", "format": LONG}),
    ("/report", {}),
    ("/report", {"run_id": ""}),
    ("/status", {}),
    ("/status", {"experiment_name": ""}),
]
UNKNOWN = [
    *(("/history", {"experiment_name": value}) for value in STRANGE.values()),
    *(("/status", {"experiment_name": value}) for value in (*STRANGE.values(), "cpu", "#alarms")),
    *(("/report", {"run_id": value}) for value in (*STRANGE.values(), "20261124T090000.000Z-d6f07188", "x" * 64)),
]
POSSIBLE = [
    {"since": "0001-01-01"},
    {"since": "9999-12-31T23:59:59Z"},
    {"since": "2026-11-24T09:00:00Z", "until": "2026-11-24T09:00:00Z"},
    {"before": "!"},
    {"before": "~" * 64},
    {"since": "2026-11-24", "before": "20200101T000000.000Z-1"},
    {"limit": "100", "experiment_name": "latency_injection"},
    {"limit": "", "since": "", "until": "", "before": "", "experiment_name": ""},
]
"""What asks for little, or for nothing that there is, is answered."""


def asked(value: Any) -> str:
    text = ascii(value)
    return text if len(text) < 60 else f"{text[:50]}..."


@pytest.fixture
def api(settings: Settings, clock: Clock) -> Api:
    catalogue = installed()
    stage = Stage(
        settings=settings,
        runs=DynamoDBRunStore(settings),
        results=DynamoDBResultStore(settings),
        seen=DynamoDBSeenStore(settings),
        alarms=FakeAlarms(),
        catalogue=catalogue,
    )
    plane = DataPlane(selector=selector, excluded=PathSet(()), prefix=PREFIX, why_not=StagePermits(settings))
    server = Server(
        environment="here", clock=clock, spare_memory_mb=lambda: 500, on_change=lambda: None, data_plane=plane
    )
    handlers = Handlers(stage, server, prefix=PREFIX, document=partial(document, PREFIX, {}, catalogue))
    return Api(handlers, Authenticator(FakeTokenStore(), clock, "dev-token"), prefix=PREFIX)


def ask(api: Api, path: str, query: dict[str, str]) -> Response:
    by = Caller("ada", Role.OPERATOR)
    given = {name: [value] for name, value in query.items()}
    return api.handle(Request(method="GET", path=path, query=given, caller=by))


def test_what_cannot_be_is_the_callers_mistake(api: Api) -> None:
    for path, query in INVALID:
        refused = ask(api, path, query)
        assert (refused.status, refused.content["code"]) in {
            (400, "invalid_parameters"),
            (400, "missing_parameter"),
        }, f"{path} {asked(query)}: {refused.content}"
        assert len(refused.body) < 2000
        assert refused.body.isascii()


def test_a_name_that_nothing_can_have_is_unknown(api: Api) -> None:
    for path, query in UNKNOWN:
        refused = ask(api, path, query)
        assert refused.status == 404, f"{path} {asked(query)}: {refused.content}"
        assert refused.content["code"] in {"unknown_run", "unknown_experiment"}
        assert len(refused.body) < 2000


@pytest.mark.parametrize("query", POSSIBLE, ids=asked)
def test_what_can_be_is_answered(api: Api, query: dict[str, str]) -> None:
    answer = ask(api, "/history", query)
    assert (answer.status, answer.content["resultset"]) == (200, {"entries": [], "next": None})
