"""The composition root: settings in, wired objects out. Called when they are first needed, never at import."""

import atexit
import logging
import os
import random
import secrets
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import TYPE_CHECKING, TypedDict, Unpack

from .access import Authenticator, OwnAuthentication, TokenStore
from .api.endpoints import PREFIX
from .api.http import Request, Response, failure
from .dynamodb.results import DynamoDBResultStore
from .dynamodb.runs import DynamoDBRunStore
from .dynamodb.table import create_table
from .dynamodb.tokens import DynamoDBTokenStore
from .errors import ChaosError, Misconfigured, ModuleOff, StoreUnavailable
from .guardrails.alarms import Alarms, alarm_condition
from .guardrails.base import Guardrails
from .guardrails.cloudwatch import CloudWatchAlarms
from .guardrails.hypothesis import HypothesisGuard
from .injection.effects.memory import Memory
from .injection.effects.spare_memory import spare_mb
from .injection.engine import UNTOUCHED, Injected, Injection, LambdaContext
from .injection.snapshot import Snapshot
from .logs import log_as_json
from .results.metrics import Metrics
from .results.recorder import Later, Tallies, Told, in_a_thread
from .results.store import ResultStore
from .runs.run import Run
from .runs.store import RunStore
from .settings import Settings, read_settings
from .web_tokens import WebTokenAuthentication

if TYPE_CHECKING:
    from .api.api import Api

log = logging.getLogger(__name__)

DEVELOPMENT_TABLE_SECONDS = 5.0
"""How long the start of a development server waits for each answer of a table that is to be made."""


@dataclass(frozen=True, kw_only=True)
class Chaos:
    """The module, wired."""

    settings: Settings
    clock: Callable[[], float]
    runs: RunStore
    tokens: TokenStore
    authenticate: Authenticator
    api: "Callable[[], Api]"
    injection: Injection


def bootstrap(
    settings: Settings | None = None,
    *,
    prefix: str = PREFIX,
    excluded_paths: Sequence[str] = (),
    authenticate: OwnAuthentication | None = None,
    runs: RunStore | None = None,
    results: ResultStore | None = None,
    tokens: TokenStore | None = None,
    alarms: Alarms | None = None,
    clock: Callable[[], float] = time.time,
    sleep: Callable[[float], None] = time.sleep,
    chance: Callable[[], float] = random.random,
    later: Later = in_a_thread,
) -> Chaos:
    """Wire the module. Raises ModuleOff where no stage is set, and Misconfigured.

    `prefix` is where the endpoints are, `excluded_paths` are never hit, besides those of the settings.
    In the stage `dev`, outside of Lambda, an embedded DynamoDB is found or started unless the settings name one, and
    the table is made when it is missing.
    """
    settings = settings or read_settings(os.environ)
    if settings.stage is None:
        raise ModuleOff(
            "CHAOS_STAGE is not set, so the chaos experiments module is off in this process. "
            "Set it to the name of the stage, such as CHAOS_STAGE=staging, and restart."
        )
    if not settings.enabled:
        raise ModuleOff(
            "CHAOS_ENABLED is false, so the chaos experiments module is off in this process. "
            "Set it to true, or remove it, and restart."
        )
    if settings.in_lambda:
        log_as_json()
    if not settings.development:
        settings = replace(settings, dev_token=None)
    elif runs is None:
        from .development.embedded import prepared  # noqa: PLC0415 - for development only

        settings = prepared(settings)
        _ensure_table(settings)
    runs = runs or DynamoDBRunStore(settings)
    results = results or DynamoDBResultStore(settings)
    tokens = tokens or DynamoDBTokenStore(settings)
    if authenticate is None and settings.web_tokens:
        authenticate = WebTokenAuthentication(settings.web_tokens)
    authenticator = Authenticator(tokens, clock, settings.dev_token, authenticate)
    environment = (settings.log_stream or secrets.token_hex(4))[-8:]
    alarms = alarms or CloudWatchAlarms(settings)
    guardrails = Guardrails(
        runs,
        [alarm_condition(alarms)],
        clock,
        interval_seconds=settings.guardrail_seconds,
        environment=environment,
    )
    snapshot = Snapshot(
        lambda: guardrails.enforce(runs.active(clock())),
        clock,
        refresh_seconds=settings.refresh_seconds,
        idle_refresh_seconds=settings.idle_refresh_seconds,
        max_staleness_seconds=settings.max_staleness_seconds,
    )
    guard = HypothesisGuard(runs, results, clock, chance, environment=environment, on_abort=snapshot.outdate)
    told: list[Told] = [guard, Metrics(settings)] if settings.in_lambda else [guard]
    tallies = Tallies(
        results,
        clock,
        environment=f"{environment}.{secrets.token_hex(4)}",  # Lambda restarts a process, and keeps its log stream
        interval_seconds=settings.refresh_seconds,
        patience_seconds=settings.table_timeout_seconds,
        later=None if settings.in_lambda else later,
        is_silent=lambda: snapshot.is_silent,
        told=told,
    )
    if not settings.in_lambda:
        atexit.register(tallies.tell)
    memory = Memory(snapshot.active, partial(spare_mb, settings.lambda_memory_mb), clock, snapshot.fresh_for, sleep)

    @cache
    def api() -> "Api":
        # They need pydantic, a fifth of a cold start; most processes never do.
        from .api.api import Api  # noqa: PLC0415
        from .api.openapi import document  # noqa: PLC0415

        return Api(
            runs,
            results,
            authenticator,
            clock,
            settings,
            alarms=alarms,
            spare_memory_mb=memory.available_mb,
            environment=environment,
            prefix=prefix,
            document=partial(document, prefix, settings.limits),
            on_change=snapshot.outdate,
        )

    return Chaos(
        settings=settings,
        clock=clock,
        runs=runs,
        tokens=tokens,
        authenticate=authenticator,
        api=api,
        injection=Injection(
            snapshot,
            memory,
            tallies,
            chance=chance,
            clock=clock,
            sleep=sleep,
            environment=environment,
            control_plane=prefix,
            excluded_paths=(*settings.excluded_paths, *excluded_paths),
            max_active_faults=settings.max_active_faults,
            mark=partial(_record_defect, runs),
        ),
    )


def _ensure_table(settings: Settings) -> None:
    """Where it cannot be made now, the application serves all the same; it is made when it is needed."""
    try:
        create_table(settings, timeout_seconds=DEVELOPMENT_TABLE_SECONDS)
    except StoreUnavailable as error:
        log.warning("No faults are injected until the table is ready: %s", error)


def _record_defect(runs: RunStore, run: Run, defect: str) -> None:
    try:
        runs.record_defect(run, defect)
    except ChaosError as error:
        log.warning("Could not record the defect of run %s: %s", run.run_id, error)


class Options(TypedDict, total=False):
    """What an application may say where it takes the module in."""

    settings: Settings
    """Instead of the environment's variables."""
    excluded_paths: Sequence[str]
    """Routes that are never hit, besides `CHAOS_EXCLUDED_PATHS`."""
    authenticate: OwnAuthentication
    """The application's own way to tell who calls."""


def _check_paths(prefix: str, excluded_paths: Sequence[str]) -> None:
    """Raises ValueError: an excluded path that matches nothing does not protect a health check."""
    if not prefix.startswith("/") or prefix.endswith("/"):
        raise ValueError(f"prefix must begin with a slash and not end with one, such as {PREFIX}; got {prefix!r}.")
    wrong = [path for path in excluded_paths if not path.startswith("/")]
    if isinstance(excluded_paths, str) or wrong:
        got = excluded_paths if isinstance(excluded_paths, str) else wrong[0]
        raise ValueError(f"excluded_paths must be a list of paths that begin with a slash; got {got!r}.")


class Lazy:
    """The module, wired when it is first needed. Where it cannot be, every request goes on untouched."""

    def __init__(
        self,
        wire: Callable[..., Chaos] = bootstrap,
        *,
        prefix: str = PREFIX,
        **options: Unpack[Options],
    ) -> None:
        _check_paths(prefix, options.get("excluded_paths", ()))
        self.prefix = prefix
        self.settings = options.get("settings")
        self._wire = partial(wire, prefix=prefix, **options)
        self._wiring = threading.Lock()
        self._chaos: Chaos | None = None
        self._refusal: ChaosError | None = None
        self.inject: Callable[..., Injected] = self._wire_and_inject
        self.finish: Callable[..., None] = lambda _injected, _status: None

    def handle(self, request: Request) -> Response:
        """The answer to a request for one of the endpoints."""
        try:
            return self.get().api().handle(request)
        except ChaosError as error:
            return failure(error)

    def get(self) -> Chaos:
        """Raises what wiring refused with, for as long as the process lives."""
        with self._wiring:
            if self._chaos is None and self._refusal is None:
                try:
                    self._chaos = self._wire()
                    self.inject = self._chaos.injection
                    self.finish = self._chaos.injection.finish
                except ChaosError as error:
                    self._refuse(error)
                except Exception as error:  # noqa: BLE001 - the application goes on without us
                    self._refuse(Misconfigured(f"The chaos experiments module did not start: {error}"))
        if self._chaos is None:
            raise self._refusal or ModuleOff("The module is not wired.")
        return self._chaos

    def _refuse(self, error: ChaosError) -> None:
        log.warning("No faults are injected by this process: %s", error)
        self._refusal = error
        self.inject = lambda _path, _context=None: UNTOUCHED

    def _wire_and_inject(self, path: str, context: LambdaContext | None = None) -> Injected:
        try:
            self.get()
        except ChaosError:
            return UNTOUCHED
        return self.inject(path, context)
