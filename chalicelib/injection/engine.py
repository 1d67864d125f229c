"""One per process: decides what a request is hit by, and applies it."""

import logging
import math
import threading
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal, Protocol

from ..faults import Answer, Chance, Hold, Wait
from ..results.recorder import Tallies
from ..runs.run import Run
from .decide import Defect, decide
from .effects.memory import Memory
from .snapshot import Snapshot

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Injected:
    """What `environment` did to one request; `answer`, where there is one, takes the application's place.

    `began` is when, by the timer, `context` the Lambda invocation's, where there is one. `problem` is why a request
    that reads afresh could not. Who served the request tells `Injection.finish` how it was answered.
    """

    environment: str = ""
    active: tuple[Run, ...] = ()
    hits: tuple[dict[str, Any], ...] = ()
    answer: Answer | None = None
    began: float = 0.0
    context: "LambdaContext | None" = None
    problem: Literal["store_unavailable"] | None = None

    @property
    def names(self) -> list[str]:
        """The experiments that are active."""
        return [run.experiment for run in self.active]

    @property
    def headers(self) -> dict[str, str]:
        """What tells a touched response from the application's own; empty for an untouched one."""
        if not self.hits:
            return {}
        cut = [hit["experiment"] for hit in self.hits if "cut_from_seconds" in hit]
        return {
            "X-Chaos-Experiment": ", ".join(dict.fromkeys(hit["experiment"] for hit in self.hits)),
            "X-Chaos-Environment": self.environment,
            "X-Chaos-Run": ", ".join(dict.fromkeys(hit["run_id"] for hit in self.hits)),
            **({"X-Chaos-Cut": ", ".join(cut)} if cut else {}),
        }


UNTOUCHED = Injected()

DEFECT = "Fault injection raised an exception; the request continues untouched"
UNTOLD = "Could not flush the request counts"

LEFT_FOR_THE_APPLICATION_SECONDS = 0.5
"""How much of a Lambda invocation's time a delay leaves."""

TELLING_SECONDS = 1.0
"""How much time an invocation must have left to tell the table what was counted."""


class LambdaContext(Protocol):
    """What Lambda hands to an invocation."""

    def get_remaining_time_in_millis(self) -> int: ...


class Look:
    """The step that asks what is active now."""


Step = float | Look | Callable[[], Any]
Steps = Generator[Step, Any, Injected]


class Injection:
    """Called with the path of every request. Never raises: a defect is logged, and the request goes on untouched."""

    def __init__(
        self,
        snapshot: Snapshot,
        memory: Memory,
        tallies: Tallies,
        *,
        chance: Chance,
        clock: Callable[[], float],
        timer: Callable[[], float] = time.perf_counter,
        sleep: Callable[[float], None],
        environment: str,
        control_plane: str,
        excluded_paths: tuple[str, ...] = (),
        max_active_faults: int = 1000,
        mark: Callable[[Run, str], None] = lambda _run, _defect: None,
    ) -> None:
        """`excluded_paths` are never hit: exact, or everything that begins so where they end in `*`.

        At most `max_active_faults` requests are being hit at a time; the ones above are spared. `mark` is told of
        defects, once each run; it may block.
        """
        self.snapshot = snapshot
        self.memory = memory
        self.tallies = tallies
        self._timer = timer
        self._chance = chance
        self._clock = clock
        self._sleep = sleep
        self._environment = environment
        self._faults_left = threading.BoundedSemaphore(max_active_faults)
        self._mark = mark
        self._marked: set[str] = set()
        prefixes = tuple(path[:-1] for path in excluded_paths if path.endswith("*"))
        test_path = f"{control_plane}/test"
        excluded = test_path in excluded_paths or test_path.startswith(prefixes)
        self._test_paths = () if excluded else (test_path, f"{test_path}/")
        self._exact = frozenset((*excluded_paths, control_plane))
        self._prefixes = (f"{control_plane}/", *prefixes)

    def __call__(self, path: str, context: LambdaContext | None = None) -> Injected:
        """`context` is the Lambda invocation's, where there is one."""
        try:
            if self.spares(path):
                return UNTOUCHED
            if path in self._test_paths:
                return self.with_problem(self._inject(self.snapshot.refresh(), context))
            active = self.snapshot.active()
            if active or self.memory.is_holding or self.tallies.waiting:
                return self._inject(active, context)
        except Exception:
            log.exception(DEFECT)
        return UNTOUCHED

    def finish(self, injected: Injected, status: int) -> None:
        """Count a request that is answered, where something was active. May block in Lambda. Never raises."""
        self.count(injected, status)
        try:
            if self.tallies.waiting and self.may_tell(injected.context):
                self.tallies.tell_if_due()
        except Exception:
            log.exception(UNTOLD)

    def count(self, injected: Injected, status: int) -> None:
        """As `finish`, without blocking."""
        try:
            if injected.active:
                took = self._timer() - injected.began
                self.tallies.count(injected.active, injected.hits, status, took)
        except Exception:
            log.exception("Could not count a request")

    def may_tell(self, context: LambdaContext | None) -> bool:
        """Whether a request has the time to tell the table what is waiting to be told."""
        return _left_seconds(context) >= TELLING_SECONDS

    def spares(self, path: str) -> bool:
        """Whether requests for the path are never hit."""
        return (path.startswith(self._prefixes) or path in self._exact) and path not in self._test_paths

    def reads_afresh(self, path: str) -> bool:
        """Whether a request for the path has to know what runs at this moment: the test endpoint."""
        return path in self._test_paths

    def with_problem(self, injected: Injected) -> Injected:
        """For a request that has read afresh: whether it could."""
        return replace(injected, problem="store_unavailable") if self.snapshot.is_silent else injected

    def steps(self, active: tuple[Run, ...], context: LambdaContext | None = None) -> Steps:
        """What the runs do to one request, for whoever drives it.

        A number is seconds to wait, a `Look` asks for what is active now; anything else is a call that may block. What
        comes of it is sent back.
        """
        began = self._timer()
        done: list[dict[str, Any]] = []
        answer = None
        if self._faults_left.acquire(blocking=False):
            try:
                answer = yield from self._hit(active, context, done)
            finally:
                self._faults_left.release()
        if not done and self.tallies.begin(active):
            yield self.tallies.tell
        return Injected(self._environment, active, tuple(done), answer, began, context)

    def _hit(
        self, active: tuple[Run, ...], context: LambdaContext | None, done: list[dict[str, Any]]
    ) -> Generator[Step, Any, Answer | None]:
        """What is to be answered, where something is. What was done is appended to `done`."""
        waited = 0.0
        for hit in decide(active, self._chance):
            if waited and not (yield from self._goes_on(hit.run)):
                continue  # it ended while this request waited
            told = {"experiment": hit.run.experiment, "run_id": hit.run.run_id}
            match hit.fault:
                case Hold(megabytes):
                    held = yield partial(self.memory.hold, hit.run, megabytes)
                    done.append({**told, "fault": "hold", "memory_mb": held})
                case Defect(defect):
                    if hit.run.run_id not in self._marked:
                        self._marked.add(hit.run.run_id)
                        yield partial(self._mark, hit.run, defect)
                case Wait(seconds, allow_timeout):
                    bearable = seconds if allow_timeout else min(seconds, _bearable(context))
                    waited = yield from self._wait(hit.run, bearable)
                    cut = {"cut_from_seconds": seconds} if bearable < seconds else {}
                    done.append({**told, "fault": "wait", "seconds": waited, **cut})
                case Answer() as answer:
                    done.append({**told, "fault": "answer", "status": answer.status})
                    return answer
        return None

    def _wait(self, run: Run, seconds: float) -> Generator[Step, Any, float]:
        """One delay in pieces, between which to look whether the run goes on: a stop ends the delays under way too."""
        waited = 0.0
        while waited < seconds:
            piece = min(seconds - waited, self.snapshot.fresh_for(), run.expires_at - self._clock())
            if piece <= 0:
                break
            yield piece
            waited += piece
            if waited < seconds and not (yield from self._goes_on(run)):
                break
        return round(waited, 3)

    def _goes_on(self, run: Run) -> Generator[Step, Any, bool]:
        active = self.snapshot.peek()
        if active is None:
            active = yield Look()
        return any(each.run_id == run.run_id for each in active)

    def _inject(self, active: tuple[Run, ...], context: LambdaContext | None) -> Injected:
        if self.memory.is_holding:
            self.memory.settle(active)
        if self.tallies.waiting and self.may_tell(context):
            self.tallies.tell_if_due()
        return self._apply(active, context) if active else UNTOUCHED

    def _apply(self, active: tuple[Run, ...], context: LambdaContext | None) -> Injected:
        steps = self.steps(active, context)
        result = None
        while True:
            try:
                step = steps.send(result)
            except StopIteration as done:
                injected: Injected = done.value
                return injected
            if isinstance(step, float):
                self._sleep(step)
            else:
                result = self.snapshot.active() if isinstance(step, Look) else step()


def _bearable(context: LambdaContext | None) -> float:
    """How long a request may wait, in seconds, without its invocation running out of time."""
    return max(_left_seconds(context) - LEFT_FOR_THE_APPLICATION_SECONDS, 0.0)


def _left_seconds(context: LambdaContext | None) -> float:
    return math.inf if context is None else context.get_remaining_time_in_millis() / 1000
