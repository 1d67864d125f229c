from functools import partial
from typing import Any

import pytest

from chalicelib.access import Authenticator, Caller, Role
from chalicelib.api.api import Api
from chalicelib.api.endpoints import PREFIX
from chalicelib.api.http import Request, Response
from chalicelib.api.openapi import document
from chalicelib.settings import Settings
from tests.support import Clock, FakeAlarms, FakeResultStore, FakeRunStore, FakeTokenStore

OPERATOR = Caller("ada", Role.OPERATOR)
JSON = {"content-type": "application/json"}


class Desk:
    """The API on fakes, and short ways to ask it."""

    def __init__(self, clock: Clock, settings: Settings | None = None) -> None:
        self.clock = clock
        self.clock = clock
        self.alarms = FakeAlarms()
        self.store = FakeRunStore()
        self.tokens = FakeTokenStore()
        self.results = FakeResultStore()
        self.changes = 0
        self.api = Api(
            self.store,
            self.results,
            Authenticator(self.tokens, clock, "dev-token"),
            clock,
            settings or Settings(stage="qa"),
            alarms=self.alarms,
            spare_memory_mb=lambda: 500,
            environment="here",
            prefix=PREFIX,
            document=partial(document, PREFIX, {"duration_seconds": 3600.0}),
            on_change=self._changed,
        )

    def _changed(self) -> None:
        self.changes += 1

    def ask(self, method: str, path: str, **options: Any) -> Response:
        return self.api.handle(Request(method=method, path=path, **{"caller": OPERATOR, **options}))

    def post(self, path: str, body: bytes | str, **options: Any) -> Response:
        encoded = body.encode() if isinstance(body, str) else body
        return self.ask("POST", path, body=encoded, **{"headers": JSON, **options})


@pytest.fixture
def desk(clock: Clock) -> Desk:
    return Desk(clock)
