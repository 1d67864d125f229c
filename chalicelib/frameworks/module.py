"""The module in an application: wired at the first request. Where it cannot be, requests go on untouched."""

import logging
import math
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from typing import Any, TypedDict, Unpack

from ..access import OwnAuthentication
from ..api.endpoints import ENDPOINTS, METHODS, PREFIX, TEST
from ..api.http import Request, Response, failure, injected_failure
from ..bootstrap import Chaos, bootstrap
from ..errors import ChaosError, Misconfigured, ModuleOff, may_pass
from ..faults.base import Disconnect
from ..injection.call import Call
from ..injection.current import CURRENT
from ..injection.drivers import AsyncInjection, Loop, SyncInjection
from ..injection.engine import Engine, InjectionResult, answer_of
from ..outgoing.installation import INSTALLATION
from ..own_calls import RESERVES, lent_reserves
from ..paths import ALLOWED_PATH, problem_of, problem_of_prefix
from ..results.spans import annotate
from ..settings import Settings
from ..time_limits import Interrupted, pass_on, request_time
from .connections import unanswered
from .copies import renew_in_all_copies, renew_in_forks

log = logging.getLogger(__name__)

PATHS = frozenset(endpoint.path for endpoint in ENDPOINTS)
PREFLIGHT_SECONDS = "600"
ALLOWED_ORIGINS = "origins, each a scheme, a host and perhaps a port, such as https://admin.example"
ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://[^/?#*\s]+")

LONGEST_ANSWER_SECONDS = 25.0
"""How long an endpoint may wait in all. API Gateway gives up after 29 s, most servers after 30 s."""

RETRY_SECONDS = 10.0
"""When the module is wired again where files, memory or threads had run out; any other refusal is for good."""

LEFT_TO_ANSWER_SECONDS = 0.5
"""How much of a Lambda invocation's time is left for the answer of an endpoint."""


def is_within_a_call() -> bool:
    """Whether another boundary of this chain has the call already; not one of a call from which a context is left."""
    current = CURRENT.get()
    return current is not None and not current[1].is_answered


Wire = Callable[..., Chaos]


class Options(TypedDict, total=False):
    """What an application may say where it takes the module in."""

    prefix: str
    """Where the endpoints are. All below it is the module's."""
    settings: Settings
    """Instead of the environment variables."""
    excluded_paths: Sequence[str]
    """Paths that are never hit, besides `CHAOS_EXCLUDED_PATHS`."""
    authenticate: OwnAuthentication
    """The application's own way to tell who calls."""
    open_endpoints: bool
    """Whether `/test` and `/openapi.json` need no token; true unless given."""
    allowed_origins: Sequence[str]
    """Origins of front ends that may call the endpoints from a browser, such as https://admin.example."""
    wire: Wire
    """Instead of `bootstrap`."""


class ChaosModule:
    """The module of one application. Safe to share between threads, and across forks."""

    def __init__(self, **options: Unpack[Options]) -> None:
        """Raises ValueError where an option cannot be."""
        given: dict[str, Any] = {**options}
        wire, origins = given.pop("wire", bootstrap), given.pop("allowed_origins", ())
        self.prefix: str = given.setdefault("prefix", PREFIX)
        self.settings = options.get("settings")
        self._origins = frozenset(origins)
        _check_prefix(self.prefix)
        _check_list("excluded_paths", given.get("excluded_paths", ()), f"paths, each {ALLOWED_PATH}", _is_path)
        _check_list("allowed_origins", origins, ALLOWED_ORIGINS, ORIGIN.fullmatch)
        self._below = f"{self.prefix}/"
        self._wire = partial(wire, **given)
        PREFIXES.add(self.prefix)
        self._reset()
        renew_in_forks(self)

    def renew(self) -> None:
        """Be as before the first request: this process is a copy. A call in which it was made is the original's."""
        if current := CURRENT.get():
            current[1].reached_route = False  # so it is not counted here
            CURRENT.set(None)
        INSTALLATION.renew()
        RESERVES.renew()
        if self._chaos:
            self._chaos.engine.abandon_effects()
        self._reset()

    def flush_last(self) -> None:
        """Flush what is pending, before this process ends or is copied. May block; never raises."""
        if self._chaos:
            self._chaos.engine.recorder.flush_last()

    def _reset(self) -> None:
        self._wiring: dict[int, threading.Lock] = {}
        self._chaos: Chaos | None = None
        self._refusal: ChaosError | None = None
        self._refused_until = math.inf
        self._injection: SyncInjection | None = None
        self.is_idle: Callable[[], bool] = _never
        """Whether requests pass through, because nothing is active and nothing is left to do."""

    def get(self) -> Chaos:
        """Raises what wiring refused with: for as long as the process lives, unless that may pass."""
        chaos = self._chaos
        if chaos is None:
            with self._wiring_lock():
                if not self.is_wired:
                    self._start()
                chaos = self._chaos
        if chaos is None:
            raise self._refusal or ModuleOff("The module is not wired.")
        return chaos

    def _wiring_lock(self) -> threading.Lock:
        """Made at the first request: of a preloaded application, gevent patches locks after the fork."""
        return self._wiring.setdefault(0, threading.Lock())

    @property
    def wired_engine(self) -> Engine | None:
        """None where the module cannot be wired, or has not been yet."""
        return self._injection.engine if self._injection else None

    def flushes_at_end(self, engine: Engine) -> bool:
        """Whether counts are flushed where an event loop ends: not those of a process that this one is a copy of."""
        chaos = self._chaos
        return chaos is not None and chaos.engine is engine and not chaos.settings.in_lambda

    def injection(self) -> SyncInjection | None:
        """The data plane on a request's thread; None where the module cannot be wired. The first call may block."""
        if self._injection is None and not self.is_wired:
            with suppress(ChaosError):
                self.get()
        return self._injection

    async def injection_on_loop(self, known: AsyncInjection | None, loop: Loop, wiring: Loop) -> AsyncInjection | None:
        """The data plane of this process on an event loop: the one that is known, unless that is of another process.

        None where the module cannot be wired, or no thread of `wiring` be started to do so.
        """
        if not self.is_wired:
            try:
                await wiring.run_blocking(self.injection)
            except RuntimeError as error:
                log.warning("No fault is injected into this call: %s", error)
                return None
        engine = self.wired_engine
        if engine is None or (known is not None and known.engine is engine):
            return known if engine else None
        return AsyncInjection(engine, loop)

    @property
    def is_wired(self) -> bool:
        """Whether `get` and `engine` answer at once."""
        return self._chaos is not None or (self._refusal is not None and self._is_refused())

    def _start(self) -> None:
        try:
            chaos = self._wire()
            self._injection = SyncInjection(chaos.engine, chaos.sleep)
            self.is_idle = chaos.engine.is_idle
            self._chaos = chaos
            renew_in_all_copies()
        except (Interrupted, Exception) as error:  # noqa: BLE001 - the application goes on without us
            pass_on(error)  # what the host raised: the next request wires
            started_not = f"The chaos experiments module did not start: {error}"
            refusal = error if isinstance(error, ChaosError) else Misconfigured(started_not)
            log.warning("No faults are injected by this process: %s", refusal)
            passes = may_pass(error)
            self._refused_until = time.monotonic() + RETRY_SECONDS if passes else math.inf
            self.is_idle = self._is_refused if passes else _always
            self._refusal = refusal

    def _is_refused(self) -> bool:
        return time.monotonic() < self._refused_until

    # The control plane

    def is_ours(self, path: str) -> bool:
        """Whether the path is below the prefix."""
        return path.startswith(self._below) or path == self.prefix

    def is_test(self, path: str) -> bool:
        """Whether it is the test endpoint, to which faults are applied."""
        return path.rstrip("/") == self.prefix + TEST

    def admit(self, request: Request, call: Call) -> Request | Response:
        """The request with its caller, where it may go on; or the answer that refuses it."""
        try:
            with _time_for(call):
                return self.get().api().admit(request)
        except ChaosError as error:
            return failure(error)

    def handle(self, request: Request, call: Call) -> Response:
        """The answer to a request for one of the endpoints."""
        try:
            with _time_for(call):
                return self.get().api().handle(request)
        except ChaosError as error:
            return failure(error)

    def answer(self, request: Request, call: Call) -> Response:
        """As `handle`; faults are applied to a request for the test endpoint."""
        injection = self.injection()
        if injection is None or not self.is_test(call.name):
            return self.handle(request, call)
        admitted = self.admit(request, call)
        if isinstance(admitted, Response):
            return admitted
        result = injection.test(call)
        outcome = tested(admitted, result)
        response = outcome if isinstance(outcome, Response) else self.handle(outcome, call)
        if result is None:
            return response
        annotate(result)
        injection.finish(result, response.status)
        injection.end(result)
        return response.with_headers(result.headers)

    @property
    def has_origins(self) -> bool:
        """Whether the module itself answers pages of other origins."""
        return bool(self._origins)

    def cross_origin(self, headers: Mapping[str, str]) -> dict[str, str]:
        """The headers by which a browser lets a page of an allowed origin read the answer."""
        if not self._origins:
            return {}
        origin = headers.get("origin", "")
        allowed = {"Access-Control-Allow-Origin": origin} if origin in self._origins else {}
        return {**allowed, "Vary": "Origin"}

    def preflight(self, method: str, headers: Mapping[str, str]) -> Response | None:
        """The answer to a browser's question whether a page of an allowed origin may send a request."""
        if headers.get("origin") not in self._origins or not is_preflight(method, headers):
            return None
        allowed = {
            **self.cross_origin(headers),
            "Access-Control-Allow-Methods": ", ".join(METHODS),
            "Access-Control-Allow-Headers": "authorization, content-type",
            "Access-Control-Max-Age": PREFLIGHT_SECONDS,
        }
        return Response(204, {}, allowed, text="")


@contextmanager
def _time_for(call: Call) -> Iterator[None]:
    """The time that an endpoint may wait for, so that its answer still reaches the client."""
    try:
        seconds = min(LONGEST_ANSWER_SECONDS, call.remaining_seconds - LEFT_TO_ANSWER_SECONDS)
        with request_time(seconds), lent_reserves():  # its first answer imports what it is made of
            yield
    except Interrupted as interrupted:
        interrupted.raise_error()


PREFIXES: set[str] = set()
"""Of all modules in this process: the control plane of one is not hit by another one."""


def is_control_plane(path: str) -> bool:
    """Whether the path is an endpoint of some module in this process, wherever that is mounted."""
    for prefix in PREFIXES:  # noqa: SIM110 - every request passes here while something is active
        if prefix in path and path.partition(prefix)[2].rstrip("/") in PATHS:
            return True
    return False


def is_preflight(method: str, headers: Mapping[str, str]) -> bool:
    """Whether it is a browser's question before its request."""
    return method == "OPTIONS" and "access-control-request-method" in headers


def tested(request: Request, result: InjectionResult | None) -> Request | Response:
    """What becomes of a request to the test endpoint: the injected answer, or the request with what was injected."""
    if result is None:
        return request
    if answer := answer_of(result):
        return injected_failure(answer, result.headers)
    if isinstance(result.outcome, Disconnect):
        return unanswered()
    shown = [hit.shown for hit in result.hits]
    return replace(
        request, active=result.active_names, injected=shown, would_hit=result.would_hit, problem=result.problem
    )


def _check_prefix(prefix: str) -> None:
    """Raises ValueError."""
    if allowed := problem_of_prefix(prefix):
        raise ValueError(f"prefix must be {allowed}; got {prefix!r}.")


def _check_list(name: str, given: Sequence[str], allowed: str, is_allowed: Callable[[str], object]) -> None:
    """Raises ValueError: what matches nothing would protect no health check, and let no page in."""
    for each in [given] if isinstance(given, str) else given:
        if isinstance(given, str) or not is_allowed(each):
            raise ValueError(f"{name} must be a list of {allowed}; got {each!r}.")


def _is_path(path: str) -> bool:
    return problem_of(path) is None


def _always() -> bool:
    return True


def _never() -> bool:
    return False
