"""A call that is answered, as far as results need to know: what was active, and what hit it."""

from collections.abc import Collection, Hashable, Mapping, Sequence
from typing import Any, Protocol

from ..faults.base import Change, Outcome
from ..runs.run import Run


class ActivePlan(Protocol):
    """A run that was active while the call was served."""

    run: Run
    run_id: str


class Report(Protocol):
    """What a fault reports to have done: `details` for people, `counters` to be added to the run's results."""

    @property
    def details(self) -> Mapping[str, Any]: ...

    @property
    def counters(self) -> Mapping[str, int]: ...

    @property
    def outcome(self) -> Outcome: ...

    @property
    def change(self) -> Change | None: ...


class ServedHit(Protocol):
    """One fault that hit the call."""

    @property
    def plan(self) -> ActivePlan: ...

    @property
    def applied(self) -> Report: ...


class ServedCall(Protocol):
    """The call. `environment` is the name of the process that served it."""

    meets: Collection[str]
    """The ids of the runs that are about to hit it."""

    @property
    def environment(self) -> str: ...

    @property
    def plans(self) -> Sequence[ActivePlan]: ...

    @property
    def hits(self) -> Sequence[ServedHit]: ...

    @property
    def notes(self) -> Sequence[tuple[Run, str]]:
        """The counters of runs that it adds 1 to, beside those of faults and requests."""

    @property
    def passages(self) -> "Sequence[Passage]":
        """The outgoing calls that were made meanwhile, and that runs are about."""

    @property
    def workers(self) -> int | None:
        """How many workers the process has, where a call that waits occupies one of them and its queue is not seen."""

    @property
    def remaining_seconds(self) -> float:
        """How long the call may still take: of a Lambda invocation; infinite elsewhere."""

    @property
    def outcome(self) -> Outcome:
        """What became of it."""


class OutgoingCall(Protocol):
    """An outgoing call, as its client library describes it."""

    @property
    def client(self) -> str: ...

    @property
    def name(self) -> str: ...

    @property
    def service(self) -> str:
        """Of AWS; empty elsewhere."""

    @property
    def method(self) -> str: ...

    @property
    def path(self) -> str: ...

    @property
    def timeout_seconds(self) -> float: ...

    @property
    def is_repeatable(self) -> bool: ...


class Passage(Protocol):
    """An outgoing call that runs are about, and how it has ended: with a status, with an exception, or with neither.

    Each attempt is one. Times are of a clock that never steps.
    """

    @property
    def call(self) -> OutgoingCall: ...

    @property
    def result(self) -> ServedCall:
        """What hit it, and what is to be counted besides."""

    @property
    def place(self) -> str:
        """Where the application makes it."""

    @property
    def content(self) -> int:
        """A hash of what tells it from others with the same path."""

    @property
    def flow(self) -> Hashable:
        """The thread or the task that makes it."""

    @property
    def is_limited(self) -> bool:
        """Whether it has no time-out of its own, but who awaits it gives it up after a time."""

    @property
    def began(self) -> float: ...

    @property
    def ended(self) -> float: ...

    @property
    def left_seconds(self) -> float:
        """How long the request that it is made for may still take when it begins."""

    @property
    def status(self) -> int | None: ...

    @property
    def error(self) -> type[BaseException] | None: ...
