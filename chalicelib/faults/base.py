"""What a fault is: what it asks of whoever drives it, what it may decide, and what it reports."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, NamedTuple, Protocol, TypeVar, get_args

from ..effects.base import ActiveRun, Effect

E = TypeVar("E", bound=Effect)

Kind = Literal["request", "invocation", "dependency"]
"""What passes a boundary: an inbound request, an invocation of a handler, an outgoing call to a dependency."""

Chance = Callable[[], float]
"""Gives a number from 0 up to, not including, 1: `random.random`."""


# Steps: what a fault asks for. It does no I/O itself, so it runs on a thread and on an event loop alike.


class Sleep(NamedTuple):
    """Wait, in seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class RefreshSnapshot:
    """Read which runs are active, if a read is due. The answer is the active plans."""


class RunBlocking(NamedTuple):
    """Call something that may block. The answer is what it returns."""

    call: Callable[[], Any]


Step = Sleep | RefreshSnapshot | RunBlocking


# Outcomes: what becomes of the call.


@dataclass(frozen=True, slots=True)
class Proceed:
    """The application answers."""


class Answer(NamedTuple):
    """This answer takes the application's place. Without a body, a text or JSON, it is the API's error envelope."""

    status: int
    code: str
    message: str
    headers: Mapping[str, str] = {}
    body: Any = None


class Raise(NamedTuple):
    """This exception is raised in the application's place."""

    exception: Exception


Way = Literal["error", "throttle", "timeout", "refused", "reset", "dns", "tls", "lost_reply", "slow", "garbage"]
"""How an outgoing call can fail. `lost_reply`: it is made, and its answer is lost. `slow`: its answer trickles."""

ALL_FAULTS = frozenset({"latency", *get_args(Way)})
"""What an outgoing call can meet at all."""


RETRY_AFTER_SECONDS = 1
"""What an answer that throttles has in its header Retry-After."""


def _always() -> bool:
    return True


class Failure(NamedTuple):
    """How an outgoing call fails. The file of its client library makes of it what users of that library know."""

    way: Way
    code: str = ""
    """Of an `error` of an AWS service: `ProvisionedThroughputExceededException`."""
    status: int = 0
    """Of an `error` over HTTP; 0 where it is not said."""
    headers: Mapping[str, str] = {}
    body: Any = None
    """A text or JSON; None where it is not said."""
    bytes_per_second: float = 0.0
    """Of an answer that is `slow`."""
    longest_seconds: float = math.inf
    """How long an answer that is `slow` may take for it."""
    goes_on: Callable[[], bool] = _always
    """Whether its run goes on, for what lasts: an answer that is `slow`, and one that is lost when it is whole."""

    @property
    def retry_after_seconds(self) -> float:
        """How long its answer asks the client to wait; 0 where it does not, or names a time of day."""
        for name, value in self.headers.items():
            if name.lower() == "retry-after":
                return float(value) if value.isdecimal() else 0.0
        return float(RETRY_AFTER_SECONDS) if self.way == "throttle" else 0.0


class Fail(NamedTuple):
    """The outgoing call fails like this."""

    failure: Failure


FAILED_CALLS = "failed_calls"
"""Counter: outgoing calls that were made to fail."""


@dataclass(frozen=True, slots=True)
class Disconnect:
    """The connection is closed, without an answer, or in the middle of one, as far as the server lets us."""


class Exit(NamedTuple):
    """This process ends, with this exit code: at once, or so many seconds after the application has answered."""

    code: int
    after_seconds: float | None = None


class FailRecords(NamedTuple):
    """The application gets the batch without these records, and they are reported as failed; `after`: it gets all."""

    identifiers: Sequence[str]
    after: bool = False


Outcome = Proceed | Answer | Raise | Fail | Disconnect | Exit | FailRecords

PROCEED, DISCONNECT = Proceed(), Disconnect()


# What becomes of the application's answer.

Headers = Sequence[tuple[str, str]]

Piece = bytes | Sleep | Disconnect
"""What a changed answer is made of, one after the other. What follows a `Disconnect` is not sent."""


class Change(ABC):
    """What a run does to the application's answer to one call, as it passes. It does no I/O, and never sleeps.

    Made for one call. Of several, the second one gets what the first one gives.
    """

    is_over: bool = False
    """Whether nothing of the answer is sent any more but what `end` gives, so that the application may end, too."""

    replaces: bool = False
    """Whether what the client gets is the run's doing, and so no success and no failure of the application."""

    def begin(self, status: int, headers: Headers) -> tuple[int, Headers]:
        """The answer's beginning. Its headers must fit what `part` and `end` will give."""
        return status, headers

    @abstractmethod
    def part(self, data: bytes) -> Iterable[Piece]:
        """What is sent instead of the next part of the answer's body, which is never empty."""

    def end(self) -> Iterable[Piece]:
        """What is sent after the last part."""
        return ()

    @property
    def counters(self) -> Mapping[str, int]:
        """What it adds to the results of the run, when the answer is over: not what `Applied.counters` has."""
        return {}


@dataclass(slots=True, eq=False)
class Applied:
    """What a fault did to one call: `details` for people, `counters` to be added to the run's results.

    Not frozen, which would triple the time that it takes to make one; nobody changes it.
    """

    outcome: Outcome = PROCEED
    details: Mapping[str, Any] = field(default_factory=dict)
    counters: Mapping[str, int] = field(default_factory=dict)
    change: Change | None = None
    """What becomes of the answer, where the application gives it."""
    did_nothing: bool = False
    """Whether this environment could do nothing to the call: `details` says why, and the call is not hit."""


class Called(Protocol):
    """A call that a run may hit, as it comes."""

    @property
    def kind(self) -> Kind: ...

    @property
    def event(self) -> Any:  # noqa: ANN401 - JSON
        """What invoked the handler; None where nothing did."""


class HitCall(Called, Protocol):
    """One call that a run hits, as far as faults need to know."""

    @property
    def run(self) -> ActiveRun: ...

    def remaining_seconds(self) -> float:
        """How long the call may still take, as far as this process knows; infinite where nothing limits it."""

    def is_client_gone(self) -> bool:
        """Whether whoever made the call waits for its answer no longer, as far as the server shows it."""

    def client_timeout_seconds(self) -> float:
        """How long the client of an outgoing call waits for its answer; infinite where it has no time-out."""

    def seconds_until_stale(self) -> float:
        """How long it is known whether the run is active; after that, ask `is_active` again."""

    def is_active(self) -> Generator[Step, Any, bool]:
        """Whether the run goes on."""

    def goes_on(self) -> bool:
        """As `is_active`, as far as is known: nothing is read."""

    def now(self) -> float:
        """Epoch seconds."""

    def timer(self) -> float:
        """Seconds of a clock that never steps."""

    def chance(self) -> float:
        """A number from 0 up to, not including, 1: by chance, or as the call's key or the run's seed has it."""

    def limit(self, parameter: str) -> float:
        """The largest value of a parameter that the stage allows; infinite where it says nothing."""

    def effect(self, kind: type[E]) -> E:
        """What this process holds for runs until they end, of this kind: `Memory`. Made when it is first asked for."""


Steps = Generator[Step, Any, Applied]


class Counter(NamedTuple):
    """What a kind of fault counts, and how the results of a run show it: in the API, the report and the metrics."""

    name: str
    """As the results have it."""

    title: str
    unit: str
    key: str = ""
    """As `Applied.counters` and the table have it; the name, where that is not said."""

    per_unit: int = 1
    """How many of what is counted make one of the unit: counts are whole numbers."""

    metric: str = ""
    """The name in CloudWatch. None there without it."""

    def value(self, counts: Mapping[str, int]) -> float:
        """How much was counted, in the unit."""
        count = counts.get(self.key or self.name, 0)
        return count if self.per_unit == 1 else round(count / self.per_unit, 3)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault(ABC):
    """What a run does to one call. `share` is the part of the run's calls that meet it."""

    share: float = 1.0
    kind: ClassVar[str]
    applies_to: ClassVar[Kind] = "request"
    order: ClassVar[int]
    """Faults of one call are applied by ascending order."""

    counters: ClassVar[tuple[Counter, ...]] = ()
    """What it adds to the results of its run. What is counted and not among them is shown nowhere."""

    def concerns(self, call: Called) -> bool:
        """Whether it does anything to such a call. One that it does not concern is not hit by it."""
        del call
        return True

    @abstractmethod
    def apply(self, call: HitCall) -> Applied | Steps:
        """Apply it to one call: at once, or as a generator that yields steps and gets their answers. It does no I/O."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerFault(Fault, ABC):
    """A fault of the application's answer, which it changes as it passes. What is invoked by an event has none."""

    def concerns(self, call: Called) -> bool:
        return call.kind == "request"


class Unavailable(Exception):
    """Raised where faults are made: this process cannot apply them as yet, such as those of a module that it has not
    imported. It hits nothing meanwhile, and tries again while the run goes on.
    """


def declared_counters() -> list[Counter]:
    """Those of all kinds of fault that this process has, in the order in which faults are applied."""
    kinds = sorted(_kinds(Fault), key=lambda kind: kind.order)
    return list({counter.name: counter for kind in kinds for counter in kind.counters}.values())


def _kinds(of: Any) -> Iterator[Any]:  # noqa: ANN401 - classes, of which the base is abstract
    for kind in of.__subclasses__():
        if hasattr(kind, "kind"):
            yield kind
        yield from _kinds(kind)
