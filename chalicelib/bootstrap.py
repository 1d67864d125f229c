"""The composition root: settings in, wired objects out. Called when they are first needed, never at import.

Four steps: the settings that hold here, the ports and what implements them, the engine, the control plane.
"""

import atexit
import logging
import os
import random
import secrets
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple, TypedDict, Unpack
from weakref import WeakMethod

from . import time_limits
from .access import Authenticator, OwnAuthentication, TokenStore
from .api.endpoints import PREFIX
from .errors import Misconfigured, ModuleOff, StoreUnavailable
from .guardrails.alarms import Alarms, alarm_condition
from .guardrails.base import Guardrails
from .guardrails.hypothesis import HypothesisGuard
from .guardrails.turn import Lease, OwnTurn, SharedTurn, Turn
from .injection.arrival import arrival
from .injection.budgets import Budgets, Counters
from .injection.drivers import AsyncInjection, SyncInjection
from .injection.engine import Engine, Process, Slots
from .injection.exits import Exits, exit_process
from .injection.loops import AnyLoop
from .injection.observed import Observed
from .injection.outgoing import OutgoingCalls
from .injection.permits import StagePermits
from .injection.plan import Compiler, Environment, Plan
from .injection.propagation import Seal, inherited
from .injection.selection import selector
from .injection.snapshot import Snapshot
from .logs import log_as_json
from .outgoing.effect import Patches
from .outgoing.gate import Gate
from .paths import PathSet
from .results.metrics import Metrics
from .results.recorder import LONGEST_INVOCATION_SECONDS, FlushPolicy, OnFlush, Recorder, Schedule, in_a_thread
from .results.store import ResultStore, SeenStore
from .runs.store import BudgetStore, RunStore
from .server import is_about_to_fork, longest_request_seconds, runs_threads
from .settings import Settings, read_settings
from .time_limits import request_time

if TYPE_CHECKING:
    from .api.dispatch import Api
    from .api.handlers import Server, Stage
    from .dynamodb.clock import TableClock
    from .experiments.base import Experiment
    from .experiments.catalogue import Catalogue

log = logging.getLogger(__name__)

ALARM_TIMEOUTS = 2
"""How many time-outs all of the way to the alarms may take for the control plane."""

REFRESH_TIMEOUTS = 6
"""How many time-outs a refresh of the snapshot may take with all that is done beside: alarms, and the ends of runs."""

LAMBDA_REFRESH_SECONDS = 4.0
"""The least that it may take in Lambda, where a cold environment computes meanwhile."""

DEVELOPMENT_TABLE_SECONDS = 5.0
"""How long the start of a development server waits for each answer of a table that is to be made."""


class Stores(NamedTuple):
    """The stores, and the alarms, with one patience."""

    runs: RunStore
    results: ResultStore
    seen: SeenStore
    alarms: Alarms


@dataclass(frozen=True, kw_only=True, eq=False)
class Chaos:
    """The module, wired."""

    settings: Settings
    clock: Callable[[], float]
    sleep: Callable[[float], None]
    patient: Callable[[], Stores]
    tokens: TokenStore
    authenticate: Authenticator
    api: "Callable[[], Api]"
    engine: Engine

    @property
    def runs(self) -> RunStore:
        """The runs, for who has the patience of the control plane."""
        return self.patient().runs


class Instead(TypedDict, total=False):
    """What tests and other hosts may hand in, instead of what the settings name."""

    runs: RunStore
    results: ResultStore
    seen: SeenStore
    budgets: BudgetStore
    tokens: TokenStore
    alarms: Alarms
    clock: Callable[[], float]
    sleep: Callable[[float], None]
    chance: Callable[[], float]
    schedule: Schedule
    catalogue: "Callable[[], Catalogue]"
    exit_process: Callable[[int], object]


class Ports(NamedTuple):
    """What the module asks of the outside: stores, alarms, time, chance; and which experiments there are."""

    data_plane: Stores
    """Those that a request of the application may have to wait for."""
    patient: Callable[[], Stores]
    """The control plane's, made when they are first needed; most processes never do."""
    tokens: TokenStore
    budgets: BudgetStore
    lease: Lease | None
    catalogue: "Callable[[], Catalogue]"
    process: Process
    clocks: "Clocks"
    sleep: Callable[[float], None]
    schedule: Schedule | None
    exit_process: Callable[[int], object]


class Clocks(NamedTuple):
    """Beside the process' clock, which is the table's: this machine's, and a timer that never steps.

    One that is handed in is all three. `is_known`: whether the table has said what time it is there.
    """

    local: Callable[[], float]
    timer: Callable[[], float]
    is_known: Callable[[], bool]


def bootstrap(
    settings: Settings | None = None,
    *,
    prefix: str = PREFIX,
    excluded_paths: Sequence[str] = (),
    authenticate: OwnAuthentication | None = None,
    open_endpoints: bool = True,
    **instead: Unpack[Instead],
) -> Chaos:
    """Wire the module. Raises ModuleOff where it is switched off, and Misconfigured.

    `prefix` is where the endpoints are, `excluded_paths` are never hit, besides those of the settings.
    In the stage `dev`, outside of Lambda, an embedded DynamoDB is found or started unless the settings name one, and
    the table is made when it is missing.
    """
    settings = _settle(settings or read_settings(os.environ), has_store="runs" in instead)
    ports = _open(settings, instead)
    engine = _build_engine(settings, ports, excluded_paths)
    authenticator = _authenticator(settings, ports, authenticate)
    return Chaos(
        settings=settings,
        clock=ports.process.clock,
        sleep=ports.sleep,
        patient=ports.patient,
        tokens=ports.tokens,
        authenticate=authenticator,
        api=_api(settings, ports, engine, authenticator, prefix=prefix, open_endpoints=open_endpoints),
        engine=engine,
    )


# The settings that hold here


def _settle(settings: Settings, *, has_store: bool) -> Settings:
    """Raises ModuleOff."""
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
        return replace(settings, dev_token=None)
    if has_store:
        return settings
    from .development.embedded import prepared  # noqa: PLC0415 - for development only

    settings = prepared(settings)
    _ensure_table(settings)
    return settings


def _ensure_table(settings: Settings) -> None:
    """Where it cannot be made now, the application serves all the same; it is made when it is needed."""
    from .dynamodb.table import create_table  # noqa: PLC0415 - the driver is imported when it is first needed

    try:
        create_table(settings, timeout_seconds=DEVELOPMENT_TABLE_SECONDS)
    except StoreUnavailable as error:
        log.warning("No faults are injected until the table is ready: %s", error)


# The ports


def _open(settings: Settings, instead: Instead) -> Ports:
    # pynamodb and botocore are imported at the first request, not with the application: who preloads and patches it
    # (gevent) must find ssl untouched.
    from .dynamodb.budgets import DynamoDBBudgetStore  # noqa: PLC0415
    from .dynamodb.clock import TableClock  # noqa: PLC0415
    from .dynamodb.lease import DynamoDBLease  # noqa: PLC0415
    from .dynamodb.tokens import DynamoDBTokenStore  # noqa: PLC0415

    seconds = max(settings.table_timeout_seconds, settings.control_timeout_seconds)
    patient = replace(settings, table_timeout_seconds=seconds)
    clock = instead.get("clock") or TableClock(time.time)
    table_clock = clock if isinstance(clock, TableClock) else None
    return Ports(
        data_plane=_stores(settings, instead, table_clock),
        patient=cache(partial(_stores, patient, instead, table_clock, alarms_seconds=ALARM_TIMEOUTS * seconds)),
        tokens=instead.get("tokens") or DynamoDBTokenStore(patient, table_clock),
        budgets=instead.get("budgets") or DynamoDBBudgetStore(settings),
        lease=None if "runs" in instead else DynamoDBLease(settings),
        catalogue=instead.get("catalogue", _catalogue),
        process=_process(settings, instead, clock),
        clocks=_clocks(clock, table_clock),
        sleep=instead.get("sleep", time_limits.sleep),
        schedule=_schedule(settings, instead),
        exit_process=instead.get("exit_process", exit_process),
    )


def _process(settings: Settings, instead: Instead, clock: Callable[[], float]) -> Process:
    """What is this process's own. Its chance, too: the application may seed that of `random`, and forks inherit it."""
    return Process(
        name=(settings.log_stream or secrets.token_hex(4))[-8:],
        clock=clock,
        chance=instead.get("chance") or random.Random().random,  # noqa: S311 - not for secrets
    )


def _schedule(settings: Settings, instead: Instead) -> Schedule | None:
    """What flushes counts between requests; None where nothing runs then, so that requests do."""
    if settings.in_lambda or is_about_to_fork():
        return None
    if not runs_threads():
        log.warning(
            "uWSGI runs without threads in this process, so requests flush the counts of runs to the table, and each "
            "that does waits for the answer. Start it with --enable-threads, and a thread does it."
        )
        return None
    return instead.get("schedule", in_a_thread)


def _stores(
    settings: Settings, instead: Instead, clock: "TableClock | None", *, alarms_seconds: float | None = None
) -> Stores:
    from .dynamodb.results import DynamoDBResultStore  # noqa: PLC0415 - as above
    from .dynamodb.runs import DynamoDBRunStore  # noqa: PLC0415
    from .dynamodb.seen import DynamoDBSeenStore  # noqa: PLC0415
    from .guardrails.cloudwatch import CloudWatchAlarms  # noqa: PLC0415

    return Stores(
        runs=instead.get("runs") or DynamoDBRunStore(settings, clock=clock),
        results=instead.get("results") or DynamoDBResultStore(settings),
        seen=instead.get("seen") or DynamoDBSeenStore(settings),
        alarms=instead.get("alarms") or CloudWatchAlarms(settings, alarms_seconds),
    )


def _clocks(clock: Callable[[], float], table_clock: "TableClock | None") -> Clocks:
    if table_clock is None:
        return Clocks(local=clock, timer=clock, is_known=lambda: True)
    return Clocks(local=table_clock.local, timer=table_clock.timer, is_known=lambda: table_clock.is_known)


def _catalogue() -> "Catalogue":
    from .experiments.catalogue import installed  # noqa: PLC0415 - pydantic, a fifth of a cold start

    return installed()


# The engine


def _build_engine(settings: Settings, ports: Ports, excluded_paths: Sequence[str]) -> Engine:
    clock = ports.process.clock
    budgets = _budgets(settings, ports, lambda: snapshot)
    observed = Observed(ports.data_plane.seen, clock, lambda: recorder.plan_flush())  # noqa: PLW0108 - made below
    read = _reader(settings, ports, budgets, observed)

    def noticed() -> Sequence[Plan]:
        plans = read()
        recorder.notice(plans)
        return plans

    snapshot = Snapshot(
        noticed,
        clock,
        refresh_seconds=settings.refresh_seconds,
        idle_refresh_seconds=settings.idle_refresh_seconds,
        max_staleness_seconds=settings.max_staleness_seconds,
        local=ports.clocks.local,
        notice=lambda active: patches.notice(active),  # noqa: PLW0108 - it is made below, of what needs the snapshot
    )
    recorder = _recorder(settings, ports, snapshot)
    recorder.flush_with(observed)
    trusted = settings.trust_request_start
    engine = Engine(
        snapshot=snapshot,
        recorder=recorder,
        process=ports.process,
        arrival=arrival(trusts_headers=trusted) if trusted or settings.in_lambda else None,
        excluded=PathSet((*settings.excluded_paths, *excluded_paths)),
        slots=Slots(settings.max_active_faults),
        longest_request_seconds=min(settings.max_wait_seconds, longest_request_seconds()),
        limits=settings.limits,
        sleep=ports.sleep,
        lambda_memory_mb=settings.lambda_memory_mb,
        record_defect=ports.data_plane.runs.record_defect,
    )
    patches = _patches(engine, ports, observed)
    engine.add_effect(patches)
    engine.exits = Exits(engine, budgets.give_back, ports.schedule, ports.exit_process)
    return engine


def _patches(engine: Engine, ports: Ports, observed: Observed) -> Patches:
    snapshot = engine.snapshot
    injection, on_loop = SyncInjection(engine, ports.sleep), AsyncInjection(engine, AnyLoop())
    gate = Gate(OutgoingCalls(engine, observed, longest_request_seconds()), injection, on_loop)
    return Patches(gate, snapshot.get, snapshot.seconds_until_stale, ports.sleep)


def _budgets(settings: Settings, ports: Ports, snapshot: Callable[[], Snapshot]) -> Budgets:
    """How many calls runs may still hit. The table is asked with the patience of a request of the application."""
    counters = Counters(
        store=ports.budgets,
        clock=ports.process.clock,
        schedule=ports.schedule,
        is_unreachable=lambda: snapshot().is_unreachable,
    )
    budgets = Budgets(
        counters,
        ports.data_plane.runs,
        environment=ports.process.name,
        on_end=lambda: snapshot().invalidate(),
    )
    if not settings.in_lambda:
        _at_exit(budgets.give_back)
    return budgets


def _reader(settings: Settings, ports: Ports, budgets: Budgets, observed: Observed) -> Callable[[], Sequence[Plan]]:
    """What a refresh of the snapshot reads: the active runs, less those that a guardrail has just ended, compiled."""
    runs = ports.data_plane.runs
    guardrails = Guardrails(
        runs,
        [alarm_condition(ports.data_plane.alarms)],
        _turn(settings, ports),
        ports.process.clock,
        environment=ports.process.name,
    )
    catalogue: Callable[[], Mapping[str, Experiment]] = ports.catalogue
    compiled = Compiler(
        catalogue,
        runs.record_defect,
        StagePermits(settings),
        environment=Environment(ports.process.name, settings.lambda_function, _seal(settings, ports)),
        clock=ports.process.clock,
        timer=ports.clocks.timer,
        budgets=budgets.for_run,
    )
    seconds = REFRESH_TIMEOUTS * settings.table_timeout_seconds
    if settings.in_lambda:
        seconds = max(seconds, LAMBDA_REFRESH_SECONDS)

    def read() -> Sequence[Plan]:
        with request_time(seconds):
            current = runs.current(ports.process.clock())
            observed.notice(current.observation)
            return compiled(guardrails.enforce(current.runs))

    return read


def _seal(settings: Settings, ports: Ports) -> Seal | None:
    """None where this service shares no key with others."""
    return Seal(settings.propagation_key, ports.process.clock) if settings.propagation_key else None


def _turn(settings: Settings, ports: Ports) -> Turn:
    """When this environment asks for the alarms: one for all, where they share a table."""
    clock, interval = ports.process.clock, settings.guardrail_seconds
    if ports.lease is None:
        return OwnTurn(clock, interval)
    return SharedTurn(
        ports.lease, clock, ports.process.chance, interval_seconds=interval, environment=ports.process.name
    )


def _recorder(settings: Settings, ports: Ports, snapshot: Snapshot) -> Recorder:
    process = ports.process
    guard = HypothesisGuard(
        ports.data_plane.runs,
        ports.data_plane.results,
        process.clock,
        process.chance,
        environment=process.name,
        on_abort=snapshot.invalidate,
        is_table_settled=lambda: recorder.is_table_settled,
    )
    on_flush: list[OnFlush] = [guard, Metrics(settings)] if settings.in_lambda else [guard]
    recorder = Recorder(
        ports.data_plane.results,
        process.clock,
        FlushPolicy(
            interval_seconds=settings.refresh_seconds,
            patience_seconds=settings.table_timeout_seconds,
            schedule=ports.schedule,
            has_workers=not settings.in_lambda,
            longest_call_seconds=min(LONGEST_INVOCATION_SECONDS, longest_request_seconds()),
        ),
        process=f"{process.name}.{secrets.token_hex(4)}",  # Lambda restarts a process, and keeps its log stream
        is_unreachable=lambda: snapshot.is_unreachable,
        on_flush=on_flush,
    )
    if not settings.in_lambda:
        _at_exit(recorder.flush_last)
    return recorder


def _at_exit(call: Callable[[], None]) -> None:
    """Call a method when this process ends, also as a child of `multiprocessing` or Celery, which have no `atexit`."""
    last = partial(_call_last, WeakMethod(call), os.getpid())
    LAST.append(last)
    for library, is_child in CHILDREN.items():
        if library in sys.modules and is_child(sys.modules[library]):
            import_module(f"{library}.util").Finalize(None, last, exitpriority=0)
    atexit.register(last)


def end_process() -> None:
    """Do what is done at the end of this process, for one that calls no hooks then, as that of a job of RQ."""
    for last in LAST:
        last()


LAST: list[Callable[[], None]] = []

CHILDREN: Mapping[str, Callable[[Any], bool]] = {
    "multiprocessing": lambda library: library.parent_process() is not None,
    "billiard": lambda library: library.current_process().name != "MainProcess",
}
"""Libraries that fork, by what says whether this process is a child of theirs. Celery's is billiard."""


def _call_last(method: "WeakMethod[Callable[[], None]]", process_id: int) -> None:
    """A fork inherits this hook, and what its original has pending. There is nothing where the object is gone."""
    call = method()
    if call and os.getpid() == process_id:
        call()


# The control plane


def _authenticator(settings: Settings, ports: Ports, own: OwnAuthentication | None) -> Authenticator:
    if own is None and settings.web_tokens:
        from .web_tokens import WebTokenAuthentication  # noqa: PLC0415 - only where web tokens are accepted

        own = WebTokenAuthentication(settings.web_tokens)
    return Authenticator(ports.tokens, ports.process.clock, settings.dev_token, own)


def _warn_of_limits(catalogue: "Catalogue", settings: Settings) -> None:
    """A limit that protects nothing keeps experiments from being started, and none from being seen and stopped."""
    try:
        catalogue.check_limits(settings.limits)
    except Misconfigured as error:
        log.warning("No experiment can be started by this process: %s", error)


def _api(
    settings: Settings,
    ports: Ports,
    engine: Engine,
    authenticator: Authenticator,
    *,
    prefix: str,
    open_endpoints: bool,
) -> "Callable[[], Api]":
    """What makes the control plane, once. It needs pydantic, a fifth of a cold start; most processes never do."""

    @cache
    def api() -> "Api":
        from .api.dispatch import Api  # noqa: PLC0415
        from .api.handlers import Handlers  # noqa: PLC0415
        from .api.openapi import document  # noqa: PLC0415

        catalogue = ports.catalogue()
        _warn_of_limits(catalogue, settings)
        published = partial(document, prefix, settings.limits, catalogue, open_endpoints=open_endpoints)
        stage, server = _stage(settings, ports), _server(settings, ports, engine, prefix)
        handlers = Handlers(stage, server, prefix=prefix, document=published)
        return Api(handlers, authenticator, prefix=prefix, open_endpoints=open_endpoints)

    return api


def _stage(settings: Settings, ports: Ports) -> "Stage":
    """What all processes of the stage share."""
    from .api.handlers import Stage  # noqa: PLC0415

    stores = ports.patient()
    return Stage(
        settings=settings,
        runs=stores.runs,
        results=stores.results,
        seen=stores.seen,
        alarms=stores.alarms,
        catalogue=ports.catalogue(),
    )


def _server(settings: Settings, ports: Ports, engine: Engine, prefix: str) -> "Server":
    """What is this process's own."""
    from .api.handlers import Server  # noqa: PLC0415
    from .api.preview import DataPlane  # noqa: PLC0415
    from .effects.memory import Memory  # noqa: PLC0415

    return Server(
        environment=ports.process.name,
        clock=ports.process.clock,
        spare_memory_mb=engine.effect(Memory).available_mb,
        on_change=engine.snapshot.invalidate,
        data_plane=DataPlane(
            selector=selector,
            excluded=engine.excluded,
            prefix=prefix,
            why_not=StagePermits(settings),
            inherited=partial(inherited, _seal(settings, ports)),
        ),
        knows_the_time=ports.clocks.is_known,
    )
