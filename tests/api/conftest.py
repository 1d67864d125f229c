from collections.abc import Callable
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
from chalicelib.experiments.catalogue import Catalogue, installed
from chalicelib.injection.permits import StagePermits
from chalicelib.injection.selection import selector
from chalicelib.paths import PathSet
from chalicelib.runs.run import Run
from chalicelib.settings import Settings
from tests.support import Clock, FakeAlarms, FakeResultStore, FakeRunStore, FakeSeenStore, FakeTokenStore

OPERATOR = Caller("ada", Role.OPERATOR)
CATALOGUE = installed()
PUBLISHED = partial(document, PREFIX, {"duration_seconds": 3600.0}, CATALOGUE)
JSON = {"content-type": "application/json"}


class Control:
    """The API on fakes, and short ways to ask it."""

    def __init__(
        self,
        clock: Clock,
        settings: Settings | None = None,
        *,
        open_endpoints: bool = True,
        document: Callable[[], dict[str, Any]] = PUBLISHED,
        inherited: Callable[[Run, str | None], bool | None] = lambda _run, _baggage: None,
        catalogue: Catalogue = CATALOGUE,
    ) -> None:
        self.clock = clock
        self.alarms = FakeAlarms()
        self.store = FakeRunStore()
        self.tokens = FakeTokenStore()
        self.results = FakeResultStore()
        self.seen = FakeSeenStore()
        self.changes = 0
        settings = settings or Settings(stage="qa")
        stage = Stage(
            settings=settings,
            runs=self.store,
            results=self.results,
            seen=self.seen,
            alarms=self.alarms,
            catalogue=catalogue,
        )
        server = Server(
            environment="here",
            clock=clock,
            spare_memory_mb=lambda: 500,
            on_change=self._changed,
            data_plane=DataPlane(
                selector=selector,
                excluded=PathSet(["/health", "/internal/*"]),
                prefix=PREFIX,
                why_not=StagePermits(settings),
                inherited=inherited,
            ),
        )
        handlers = Handlers(stage, server, prefix=PREFIX, document=document)
        authenticate = Authenticator(self.tokens, clock, "dev-token")
        self.api = Api(handlers, authenticate, prefix=PREFIX, open_endpoints=open_endpoints)

    def _changed(self) -> None:
        self.changes += 1

    def ask(self, method: str, path: str, **options: Any) -> Response:
        return self.api.handle(Request(method=method, path=path, **{"caller": OPERATOR, **options}))

    def post(self, path: str, body: bytes | str, **options: Any) -> Response:
        encoded = body.encode() if isinstance(body, str) else body
        return self.ask("POST", path, body=encoded, **{"headers": JSON, **options})


@pytest.fixture
def control(clock: Clock) -> Control:
    return Control(clock)
