"""The composition root: settings in, wired objects out. Called when they are first needed, never at import."""

import logging
import os
import random
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import TYPE_CHECKING

from . import local
from .access import Authenticator, TokenStore
from .api.endpoints import PREFIX
from .dynamodb.runs import DynamoDBRunStore
from .dynamodb.table import create_table
from .dynamodb.tokens import DynamoDBTokenStore
from .errors import ChaosError, Misconfigured, ModuleOff
from .injection.injection import UNTOUCHED, Injected, Injection
from .injection.memory import Memory
from .injection.spare_memory import spare_mb
from .runs.snapshot import Snapshot
from .runs.store import RunStore
from .settings import Settings, read_settings

if TYPE_CHECKING:
    from .api.api import Api

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Chaos:
    """The module, wired."""

    settings: Settings
    tokens: TokenStore
    authenticate: Authenticator
    api: "Callable[[], Api]"
    injection: Injection


def bootstrap(
    settings: Settings | None = None,
    *,
    runs: RunStore | None = None,
    tokens: TokenStore | None = None,
    clock: Callable[[], float] = time.time,
    sleep: Callable[[float], None] = time.sleep,
    chance: Callable[[], float] = random.random,
) -> Chaos:
    """Wire the module. Raises ModuleOff where no stage is set, and Misconfigured.

    In the stage `dev`, outside of Lambda, an embedded DynamoDB is started unless the settings name one, and the table
    is made when it is missing.
    """
    settings = settings or read_settings(os.environ)
    if settings.stage is None:
        raise ModuleOff("The chaos experiments module is off in this process: CHAOS_STAGE is not set.")
    if not settings.development:
        settings = replace(settings, dev_token=None)
    elif runs is None:
        settings = local.prepared(settings)
        create_table(settings)
    runs = runs or DynamoDBRunStore(settings)
    tokens = tokens or DynamoDBTokenStore(settings)
    authenticate = Authenticator(tokens, clock, settings.dev_token)
    snapshot = Snapshot(
        lambda: runs.active(clock()),
        clock,
        refresh_seconds=settings.refresh_seconds,
        idle_refresh_seconds=settings.idle_refresh_seconds,
        max_staleness_seconds=settings.max_staleness_seconds,
    )
    environment = (settings.log_stream or secrets.token_hex(4))[-8:]
    memory = Memory(snapshot.active, partial(spare_mb, settings.lambda_memory_mb), clock, snapshot.fresh_for, sleep)

    @cache
    def api() -> "Api":
        from .api.api import Api  # noqa: PLC0415 - it needs pydantic, a fifth of a cold start; most processes never do

        return Api(
            runs,
            authenticate,
            clock,
            refresh_seconds=settings.refresh_seconds,
            max_duration_seconds=settings.max_duration_seconds,
            spare_memory_mb=memory.available_mb,
            environment=environment,
            on_change=snapshot.outdate,
        )

    return Chaos(
        settings=settings,
        tokens=tokens,
        authenticate=authenticate,
        api=api,
        injection=Injection(
            snapshot,
            memory,
            chance=chance,
            clock=clock,
            sleep=sleep,
            environment=environment,
            control_plane=PREFIX,
            excluded_paths=settings.excluded_paths,
        ),
    )


class Lazy:
    """The module, wired when it is first needed. Where it cannot be, every request goes on untouched."""

    def __init__(self, wire: Callable[[], Chaos] = bootstrap) -> None:
        self._wire = wire
        self._wiring = threading.Lock()
        self._chaos: Chaos | None = None
        self._refusal: ChaosError | None = None
        self.inject: Callable[[str], Injected] = self._wire_and_inject

    def get(self) -> Chaos:
        """Raises what wiring refused with, for as long as the process lives."""
        with self._wiring:
            if self._chaos is None and self._refusal is None:
                try:
                    self._chaos = self._wire()
                    self.inject = self._chaos.injection
                except ChaosError as error:
                    self._refuse(error)
                except Exception as error:  # noqa: BLE001 - the application goes on without us
                    self._refuse(Misconfigured(f"The chaos experiments module did not start: {error}"))
        if self._chaos is None:
            raise self._refusal or ModuleOff("The module is not wired.")
        return self._chaos

    def _refuse(self, error: ChaosError) -> None:
        log.warning("Nothing is injected: %s", error)
        self._refusal = error
        self.inject = lambda _path: UNTOUCHED

    def _wire_and_inject(self, path: str) -> Injected:
        try:
            self.get()
        except ChaosError:
            return UNTOUCHED
        return self.inject(path)
