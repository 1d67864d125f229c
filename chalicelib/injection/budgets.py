"""How many calls a run may still hit, in all environments together: `max_requests`, and `first`.

Of a number for the whole run, an environment reserves a part of what is left, uses it up without asking, and gives back
what it does not use. Of a number for each key, every hit is one conditional write. Where the table does not answer,
nothing is hit. There are never more hits than asked for; what an environment has reserved when it is killed is lost.
"""

import hashlib
import logging
import secrets
import threading
from collections import OrderedDict
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from ..errors import ChaosError
from ..faults.base import RunBlocking, Sleep, Step
from ..results.recorder import Schedule
from ..results.tally import WITHOUT_KEY
from ..runs.run import NEVER, Run
from ..runs.store import BudgetStore, Exchange, RunStore
from ..time_limits import pass_on
from .call import Call
from .selection import Note

if TYPE_CHECKING:
    from ..runs.key import ReadKey

log = logging.getLogger(__name__)

AGAIN_SECONDS = 1.0
"""After how long the table is asked again that did not answer, or that had nothing left: others may give back."""

IDLE_SECONDS = 0.5
"""How often is looked after what is reserved: what was not touched between two looks is given back."""

PART = 8
"""An environment reserves at most so many-th of what is left, so that reserves are small near the end."""

FIRST_PART, FIRST_MOST = 32, 16
"""At first, when nobody knows how many calls it serves, so many-th of the whole, and at most so many hits."""

ATTEMPTS = 3
"""How often a reserve is asked for at once, where others have taken what was left meanwhile."""

PAUSE_SECONDS = 0.005
PAUSES = 50
"""How often a call waits that long for the answer that another one has asked for: in all as long as a time-out is."""

LAST_SECONDS = 0.6
"""How long the end of a process waits for an answer that is under way."""

MOST_KEYS = 10_000
"""How many keys of a run that have had their hits an environment remembers."""

MOST_BUDGETS = 200
"""How many runs' budgets an environment remembers."""

KEY_BYTES = 12
"""Of the hash that stands for a key in the table."""

Admission = Generator[Step, Any, bool]


class Budget(Protocol):
    """What is left of a run's hits. One for each run in this process; safe to share between threads."""

    def admit(self, call: Call, note: Note) -> bool | Admission:
        """Whether the call may be hit, which uses up one hit. At once where this process knows, else by asking."""

    def over(self) -> Callable[[], None] | None:
        """A call that was admitted has met its faults. What is to be done now, which may block; None for nothing."""


class Pause:
    """A time in which something is not done. By a clock that goes on while a Lambda environment is frozen."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._since = self._until = NEVER

    def begin(self, seconds: float) -> None:
        self._since = self._clock()
        self._until = self._since + seconds

    def is_on(self) -> bool:
        return self._since <= self._clock() < self._until  # a clock that stepped back does not make it longer


@dataclass(kw_only=True, eq=False)
class Counters:
    """The table's counters as all budgets of this process use them: one that fails is asked by nobody for a second."""

    store: BudgetStore
    clock: Callable[[], float]
    schedule: Schedule | None
    """None where nothing runs between requests: there each hit is reserved on its own, and none is given back."""
    is_unreachable: Callable[[], bool] = lambda: False
    environment: str = field(default_factory=lambda: secrets.token_urlsafe(6))
    """A name that no other process has. It is short: a run's item has it for each that has reserved hits."""
    has_failed: bool = False

    def __post_init__(self) -> None:
        self._pause = Pause(self.clock)

    def may_be_asked(self) -> bool:
        return not self._pause.is_on() and not self.is_unreachable()

    def failed(self, run: Run, error: Exception) -> None:
        """Raises what the host raised."""
        pass_on(error)
        self.has_failed = True
        self._pause.begin(AGAIN_SECONDS)
        if isinstance(error, ChaosError):
            log.warning("Run %s hits no further calls until the table says how many are left: %s", run.run_id, error)
        else:
            log.error("Run %s: asking how many hits are left raised an exception", run.run_id, exc_info=error)


class RunBudget:
    """So many hits of the whole run. `on_used_up` is called when all of them are used; it may raise.

    A hit is used when it is over: the end of the run would cut a delay that is under way.
    """

    def __init__(self, run: Run, most: int, counters: Counters, on_used_up: Callable[[], None]) -> None:
        self.run = run
        self._most = most
        self._counters = counters
        self._on_used_up = on_used_up
        self._counting = threading.Lock()
        self._asking = threading.Lock()
        self._reserved = 0
        self._used = 0
        """How many hits were used that the table does not know of. Less than 0: it was told in advance."""
        self._left = most
        """What nobody has reserved, as far as known."""
        self._granted = min(most // FIRST_PART, FIRST_MOST) // 2
        """How many were reserved last."""
        self._number = 0
        self._in_flight: Exchange | None = None
        self._nothing_left = Pause(counters.clock)
        self._under_way = 0
        """How many hits were taken that are not over."""
        self._is_leaving = False
        self._has_to_end = False
        self._is_over = False
        self._was_touched = False
        self._is_scheduled = False

    def admit(self, _call: Call, _note: Note) -> bool | Admission:
        if self.take():
            return True
        return self._ask() if self._may_ask() else False

    def take(self) -> bool:
        """Use one of the reserved hits."""
        with self._counting:
            if not self._reserved or self._is_leaving:
                return False
            self._reserved -= 1
            self._under_way += 1
            self._was_touched = True
            return True

    def put_back(self) -> None:
        """What was taken was not used: it is reserved again."""
        with self._counting:
            self._reserved += 1
            self._under_way -= 1
        self._look_after()

    def abandon(self) -> None:
        """The run ends this process: nothing more is hit here, and what is under way will not have been."""
        with self._counting:
            self._is_leaving = True
            self._reserved += self._under_way
            self._under_way = 0

    def over(self) -> Callable[[], None] | None:
        with self._counting:
            self._used += 1
            self._under_way -= 1
        self._look_after()
        return self._end_now if self._has_to_end and self._counters.schedule is None else None

    def _may_ask(self) -> bool:
        return not (self._is_over or self._is_leaving or self._nothing_left.is_on()) and self._counters.may_be_asked()

    def _ask(self) -> Admission:
        """One call asks, others wait for its answer a little; not while the table is known to fail."""
        for _ in range(PAUSES):
            if not self._asking.locked():
                yield RunBlocking(self._reserve)
            elif self._counters.has_failed:
                return False
            else:
                yield Sleep(PAUSE_SECONDS)
            if self.take():
                return True
            if not self._may_ask():
                return False
        return False

    # What may block

    def _reserve(self) -> None:
        """Reserve more, unless another thread is at it, or has just done so."""
        if not self._asking.acquire(blocking=False):
            return
        try:
            if not self._reserved and self._may_ask():
                self._reserve_some()
        except Exception as error:  # noqa: BLE001 - whatever it is, the application's request goes on
            self._counters.failed(self.run, error)
        finally:
            self._asking.release()
        self._look_after()

    def _reserve_some(self) -> None:
        for _ in range(ATTEMPTS):
            self._exchange(self._wanted())
            if self._reserved or not self._left:
                break
        if not self._reserved and not self._left:
            self._nothing_left.begin(AGAIN_SECONDS)

    def _wanted(self) -> int:
        """Twice what was used up, within a part of what is left: who serves little reserves little."""
        if self._counters.schedule is None:
            return 1
        return max(1, min(2 * self._granted, self._left // PART))

    def give_back(self, *, wait_seconds: float = 0.0) -> bool:
        """Say what was used, and give back what is reserved. Whether the table answered, or did not have to."""
        if self._counters.schedule is None:
            return True
        if not self._asking.acquire(timeout=wait_seconds):
            return False
        try:
            while self._has_something():
                self._exchange(0)
        except Exception as error:  # noqa: BLE001 - nobody waits for it
            self._counters.failed(self.run, error)
            return False
        finally:
            self._asking.release()
        return True

    def _exchange(self, wanted: int) -> None:
        """Say what was used, and reserve so many more, or give back what is reserved where none are wanted.

        While it is not known whether the table has carried it out, nothing else is asked of it.
        """
        asked = self._in_flight = self._in_flight or self._next(wanted)
        lease = self._counters.store.lease(self.run, self._most, asked)
        self._in_flight = None
        self._counters.has_failed = False
        with self._counting:
            self._reserved += lease.granted
            self._was_touched |= lease.granted > 0
            if lease.granted < asked.wanted:  # nothing was carried out
                self._used += asked.used
        if asked.wanted or asked.returned:
            self._granted = lease.granted
        self._left = self._most - lease.taken
        if lease.used >= self._most and not self._is_over:
            self._all_are_used(lease.granted)

    def _all_are_used(self, granted: int) -> None:
        """End the run. Where hits count as used in advance, whoever was granted the last one does, when it is over."""
        if self._counters.schedule is not None or (self._has_to_end and not granted):
            self._end()
        elif granted:
            self._has_to_end = True
        else:
            self._is_over = True

    def _end(self) -> None:
        self._has_to_end = True
        self._on_used_up()
        self._is_over, self._has_to_end = True, False

    def _end_now(self) -> None:
        """Where that fails, the next call that asks tries it again."""
        try:
            self._end()
        except Exception as error:  # noqa: BLE001 - whatever it is, the application's request goes on
            self._counters.failed(self.run, error)

    def _next(self, wanted: int) -> Exchange:
        gives_back = self._counters.schedule is not None
        in_advance = 0 if gives_back else wanted
        with self._counting:
            self._number += 1
            used, self._used = self._used + in_advance, -in_advance
            returned = 0
            if not wanted:
                returned, self._reserved = self._reserved, 0
        name = self._counters.environment if gives_back else ""
        return Exchange(environment=name, number=self._number, wanted=wanted, used=used, returned=returned)

    # Between requests

    def _look_after(self) -> None:
        """Schedule a look at what is reserved, as long as there is something."""
        schedule = self._counters.schedule
        if schedule is None or self._is_scheduled or not self._has_to_be_looked_after():
            return
        self._is_scheduled = True
        try:
            schedule(AGAIN_SECONDS if self._counters.has_failed else IDLE_SECONDS, self._look)
        except RuntimeError as error:  # no more threads
            self._is_scheduled = False
            log.warning("Reserved hits of run %s are given back later: %s", self.run.run_id, error)

    def _has_to_be_looked_after(self) -> bool:
        return self._has_something() and self._counters.clock() < self.run.expires_at

    def _has_something(self) -> bool:
        return bool(self._in_flight or self._reserved or self._used or self._has_to_end)

    def _look(self) -> None:
        self._is_scheduled = False
        with self._counting:
            is_idle = not (self._was_touched and self._reserved)
            self._was_touched = False
        if is_idle:
            self.give_back()
        self._look_after()


class KeyBudget:
    """So many hits of each key; and no more than the `whole` run may have, where that is limited, too."""

    def __init__(self, run: Run, most: int, read_key: "ReadKey", counters: Counters, whole: RunBudget | None) -> None:
        self.run = run
        self._most = most
        self._read_key = read_key
        self._counters = counters
        self._whole = whole
        self._remembering = threading.Lock()
        self._trying = threading.Lock()
        self._done: OrderedDict[bytes, None] = OrderedDict()
        """The keys that have had their hits, the latest asked for last."""

    def admit(self, call: Call, note: Note) -> bool | Admission:
        key = self._read_key(call)
        if key is None:
            note(self.run, WITHOUT_KEY)
            return False
        hashed = hashed_key(self.run, key)
        if self._is_done(hashed) or not self._counters.may_be_asked():
            return False
        return self._ask(hashed, call, note)

    def over(self) -> Callable[[], None] | None:
        return self._whole.over() if self._whole else None

    def abandon(self) -> None:
        if self._whole:
            self._whole.abandon()

    def give_back(self, *, wait_seconds: float = 0.0) -> bool:
        return self._whole is None or self._whole.give_back(wait_seconds=wait_seconds)

    def _ask(self, hashed: bytes, call: Call, note: Note) -> Admission:
        if self._whole is not None:
            admission = self._whole.admit(call, note)
            if not (admission if isinstance(admission, bool) else (yield from admission)):
                return False
        claimed: bool = False
        try:
            claimed = yield RunBlocking(partial(self._claim, hashed))
        finally:
            if self._whole is not None and not claimed:
                self._whole.put_back()
        return claimed

    # What may block

    def _claim(self, hashed: bytes) -> bool:
        """Where the table has failed, one call tries it, and the others are not hit meanwhile."""
        if not self._counters.has_failed:
            return self._claim_now(hashed)
        if not self._trying.acquire(blocking=False):
            return False
        try:
            return self._claim_now(hashed)
        finally:
            self._trying.release()

    def _claim_now(self, hashed: bytes) -> bool:
        if not self._counters.may_be_asked():  # it failed while this call waited for a thread
            return False
        try:
            number = self._counters.store.claim(self.run, hashed.hex(), self._most)
        except Exception as error:  # noqa: BLE001 - whatever it is, the application's request goes on
            self._counters.failed(self.run, error)
            return False
        self._counters.has_failed = False
        if number is None or number >= self._most:
            self._remember(hashed)
        return number is not None

    # Which keys have had their hits

    def _is_done(self, hashed: bytes) -> bool:
        with self._remembering:
            if hashed not in self._done:
                return False
            self._done.move_to_end(hashed)
            return True

    def _remember(self, hashed: bytes) -> None:
        with self._remembering:
            self._done[hashed] = None
            if len(self._done) > MOST_KEYS:
                self._done.popitem(last=False)


def hashed_key(run: Run, key: str) -> bytes:
    """What stands for a key in the table, where it may be personal data. Each run has other ones."""
    return hashlib.blake2b(
        key.encode("utf-8", "surrogatepass"), digest_size=KEY_BYTES, key=run.run_id.encode()[:64]
    ).digest()


class Budgets:
    """The budgets of the runs that this process injects, and how a run ends that has hit as many calls as it was to."""

    def __init__(
        self, counters: Counters, runs: RunStore, *, environment: str, on_end: Callable[[], None] = lambda: None
    ) -> None:
        self._counters = counters
        self._runs = runs
        self._environment = environment
        self._on_end = on_end
        self._making = threading.Lock()
        self._budgets: dict[str, RunBudget | KeyBudget] = {}

    def for_run(self, run: Run) -> Budget | None:
        """None for a run that may hit any number of calls. Raises ValueError where its options cannot be read."""
        if "max_requests" not in run.options and "first" not in run.options:
            return None
        with self._making:
            if run.run_id not in self._budgets:
                self._forget_what_is_over()
                if len(self._budgets) >= MOST_BUDGETS:
                    del self._budgets[next(iter(self._budgets))]
                self._budgets[run.run_id] = self._made(run)
            return self._budgets[run.run_id]

    def give_back(self, ended_by: str | None = None) -> None:
        """Give back what is reserved, when the process ends; until the table does not answer once. Never raises.

        `ended_by` is the id of the run that ends it.
        """
        budget = self._budgets.get(ended_by or "")
        if budget:
            budget.abandon()
        for budget in list(self._budgets.values()):
            if not budget.give_back(wait_seconds=LAST_SECONDS):
                return

    def _forget_what_is_over(self) -> None:
        """Each has up to `MOST_KEYS` keys. A budget that is made anew would be mistaken for the one before it."""
        now = self._counters.clock()
        self._budgets = {run_id: each for run_id, each in self._budgets.items() if now < each.run.expires_at}

    def _made(self, run: Run) -> RunBudget | KeyBudget:
        from ..runs.options import First  # noqa: PLC0415 - pydantic, which a process in which nothing runs does without

        most = run.options.get("max_requests")
        if most is not None and not (isinstance(most, int) and most > 0):
            raise ValueError(f"max_requests is {most!r}, and no whole number from 1 on")
        stored = run.options.get("first")
        first = None if stored is None else First.model_validate(stored)
        if first is None or first.key is None:
            return self._of_whole(run, most, first.requests if first else None)
        whole = None if most is None else self._of_whole(run, most, None)
        return KeyBudget(run, first.requests, first.key.reader(), self._counters, whole)

    def _of_whole(self, run: Run, most: int | None, first: int | None) -> RunBudget:
        """The smaller of both numbers counts; only `max_requests` ends the run."""
        smaller = min(number for number in (most, first) if number is not None)
        ends = partial(self._end, run, smaller) if smaller == most else _go_on
        return RunBudget(run, smaller, self._counters, ends)

    def _end(self, run: Run, most: int) -> None:
        done = "would have been" if run.is_dry else "was" if most == 1 else "were"
        hits = f"{most} call{'s' * (most > 1)} {done} hit"
        spent = run.spent(
            now=self._counters.clock(), by=f"environment {self._environment}", reason=f"max_requests: {hits}"
        )
        if self._runs.stop(spent):
            log.info("Run %s of %s is completed: %s", run.run_id, run.experiment, hits, extra={"run_id": run.run_id})
        self._on_end()


def _go_on() -> None:
    """A run that hits its first calls only goes on, and hits no more."""
