"""This process's view of the active runs: how old it may be, who refreshes it, and what if the table is unreachable."""

import logging
import threading
from collections.abc import Callable, Sequence

from ..runs.run import NEVER
from ..time_limits import pass_on
from .plan import Plan

log = logging.getLogger(__name__)

SHORTEST_SECONDS = 0.05
"""How soon to check again, in seconds, where another thread is reading the table."""


class Snapshot:
    """The active runs of the scope, from at most one read an interval, whatever the load.

    Only the thread that holds the lock `_reading` reads the table and replaces the view; at most one does at a time.
    All other threads go on with the view or the last read, so no request ever waits for another one's read.

    Runs begin and end by the table's clock. How long a read and a view hold is measured by this machine's own one, so
    that a request asks nothing else. Both are wall clocks, since those go on while a Lambda environment is frozen. It
    may step back, so a view is used only from the moment on at which it was made, and while it holds.
    """

    def __init__(
        self,
        read: Callable[[], Sequence[Plan]],
        clock: Callable[[], float],
        *,
        refresh_seconds: float = 1.0,
        idle_refresh_seconds: float = 5.0,
        max_staleness_seconds: float = 3.0,
        local: Callable[[], float] | None = None,
        notice: Callable[[tuple[Plan, ...]], None] = lambda _: None,
    ) -> None:
        """`clock` is the table's, `local` this machine's. `notice` hears of each view, one after the other."""
        self._read = read
        self._clock = clock
        self._local = local or clock
        self._refresh_seconds = refresh_seconds
        self._idle_refresh_seconds = idle_refresh_seconds
        self._max_staleness_seconds = max_staleness_seconds
        self._notice = notice
        self._reading = threading.Lock()
        self._failures = 0
        self._attempted_at = NEVER
        self._due_at = NEVER
        # Each is one tuple, replaced whole, so that no thread ever sees half of it.
        self._known: tuple[float, tuple[Plan, ...]] = (NEVER, ())  # when the read began, what it gave
        self._view: tuple[float, float, tuple[Plan, ...]] = (0.0, 0.0, ())  # valid from, valid until, active runs

    def cached(self) -> tuple[Plan, ...] | None:
        """The active plans, without ever waiting; None if a read is due and nobody is at it: call `get`."""
        now = self._local()
        since, until, runs = self._view
        if since <= now < until:
            return runs
        return self.last_known() if self._reading.locked() else None

    def last_known(self) -> tuple[Plan, ...]:
        """The active plans of the last read, as long as it is trusted."""
        return self._known_to_be_active(self._local())[0]

    def get(self) -> tuple[Plan, ...]:
        """The active plans. Reads the table if a read is due and nobody is at it; never raises, never queues."""
        now = self._local()
        since, until, runs = self._view
        if since <= now < until:
            return runs
        if self._reading.acquire(blocking=False):
            try:
                self._read_if_due()
                return self._renew_view()
            finally:
                self._reading.release()
        return self.last_known()

    def get_fresh(self) -> tuple[Plan, ...]:
        """The active plans, by a read that began after this call; while the table is unreachable, like `get`."""
        asked_at = self._local()
        with self._reading:
            if self._failures == 0 and self._known[0] <= asked_at:
                self._due_at = NEVER
            self._read_if_due()
            return self._renew_view()

    def invalidate(self) -> None:
        """Read again at the next request: this process itself has just changed what runs."""
        with self._reading:
            if self._failures == 0:
                self._due_at = NEVER
                self._view = (0.0, 0.0, ())

    @property
    def is_unreachable(self) -> bool:
        """Whether the table did not answer when it was last read."""
        return self._failures > 0

    def seconds_until_stale(self) -> float:
        """For how many seconds more `get` will not read the table; at least a moment."""
        return max(self._view[1] - self._local(), SHORTEST_SECONDS)

    def _read_if_due(self) -> None:
        now = self._local()
        if self._attempted_at <= now < self._due_at:
            return
        self._attempted_at = now
        try:
            runs = tuple(self._read())
            if self._known[0] == NEVER and self._local() - now >= self._max_staleness_seconds:
                # The first read makes clients and imports experiments, for seconds where there is little CPU.
                now = self._local()
                runs = tuple(self._read())
        except Exception as error:  # noqa: BLE001 - whatever it is, the application's request goes on
            pass_on(error)
            self._failures += 1
            pause = min(self._refresh_seconds * 2.0 ** min(self._failures - 1, 10), self._idle_refresh_seconds)
            self._due_at = self._local() + pause
            log.warning(
                "Could not read which experiments are active (failure %d in a row, next attempt in %.1f s): %s",
                self._failures,
                pause,
                error,
            )
        else:
            self._failures = 0
            self._known = (now, runs)
            running = any(run.is_active(self._clock()) for run in runs)
            self._due_at = now + (self._refresh_seconds if running else self._idle_refresh_seconds)

    def _renew_view(self) -> tuple[Plan, ...]:
        """Work the view out anew. Only for who holds the lock: a late one would hide what has been read since."""
        now = self._local()
        active, trusted_until = self._known_to_be_active(now)
        # A clock that stepped back during the read would make the view last for as long as the step was.
        until = self._due_at if self._attempted_at <= now else now
        if active:
            by_the_table = self._clock()
            until = min(until, trusted_until, *(now + run.remaining_seconds(by_the_table) for run in active))
        self._view = (now, until, active)
        self._notice(active)
        return active

    def _known_to_be_active(self, now: float) -> tuple[tuple[Plan, ...], float]:
        """What runs as far as the last read tells, and until when that read is trusted."""
        read_at, runs = self._known
        trusted_until = read_at + self._max_staleness_seconds
        trusted = read_at <= now < trusted_until
        by_the_table = self._clock()
        return tuple(run for run in runs if run.is_active(by_the_table)) if trusted else (), trusted_until
