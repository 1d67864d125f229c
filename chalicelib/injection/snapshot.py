"""This process's view of the active runs: how old it may be, who refreshes it, and what if the table is unreachable."""

import logging
import threading
from collections.abc import Callable, Sequence

from ..runs.run import NEVER, Run

log = logging.getLogger(__name__)

A_MOMENT = 0.05
"""How soon to check again, in seconds, where another thread is reading the table."""


class Snapshot:
    """The active runs of the scope, from at most one read an interval, whatever the load.

    The clock is the wall clock, because runs expire by it and because it goes on while a Lambda environment is
    frozen. It may step back, so what was worked out is used only from that moment on, and not for longer than it holds.
    """

    def __init__(
        self,
        read: Callable[[], Sequence[Run]],
        clock: Callable[[], float],
        *,
        refresh_seconds: float = 1.0,
        idle_refresh_seconds: float = 5.0,
        max_staleness_seconds: float = 3.0,
    ) -> None:
        self._read = read
        self._clock = clock
        self._refresh_seconds = refresh_seconds
        self._idle_refresh_seconds = idle_refresh_seconds
        self._max_staleness_seconds = max_staleness_seconds
        self._refresher = threading.Lock()
        self._failures = 0
        self._attempted_at = NEVER
        self._due_at = NEVER
        # Each is one tuple, replaced whole, so that no thread ever sees half of it.
        self._known: tuple[float, tuple[Run, ...]] = (NEVER, ())  # when the read began, what it gave
        self._view: tuple[float, float, tuple[Run, ...]] = (0.0, 0.0, ())  # valid from, valid until, active runs

    def peek(self) -> tuple[Run, ...] | None:
        """What runs now, without ever waiting; None where it is this caller's turn to read: call `active`."""
        now = self._clock()
        since, until, runs = self._view
        if since <= now < until:
            return runs
        return self.known() if self._refresher.locked() else None

    def known(self) -> tuple[Run, ...]:
        """What runs now as far as the last read tells, as long as that is trusted."""
        return self._known_to_be_active(self._clock())[0]

    def active(self) -> tuple[Run, ...]:
        """What runs now. Reads the table when that is due and nobody else is at it; never raises, never queues."""
        now = self._clock()
        since, until, runs = self._view
        if since <= now < until:
            return runs
        if self._refresher.acquire(blocking=False):
            try:
                self._read_if_due()
                return self._look()
            finally:
                self._refresher.release()
        return self.known()

    def refresh(self) -> tuple[Run, ...]:
        """What runs now, by a read that began after this call; while the table is unreachable, like `active`."""
        asked_at = self._clock()
        with self._refresher:
            if self._failures == 0 and self._known[0] <= asked_at:
                self._due_at = NEVER
            self._read_if_due()
            return self._look()

    def outdate(self) -> None:
        """Read again at the next request: this process itself has just changed what runs."""
        with self._refresher:
            if self._failures == 0:
                self._due_at = NEVER
                self._view = (0.0, 0.0, ())

    @property
    def is_silent(self) -> bool:
        """Whether the table did not answer when it was last read."""
        return self._failures > 0

    def fresh_for(self) -> float:
        """For how many seconds more `active` will not look at the table; at least a moment."""
        return max(self._view[1] - self._clock(), A_MOMENT)

    def _read_if_due(self) -> None:
        now = self._clock()
        if self._attempted_at <= now < self._due_at:
            return
        self._attempted_at = now
        try:
            runs = tuple(self._read())
        except Exception as error:  # noqa: BLE001 - whatever it is, the application's request goes on
            self._failures += 1
            pause = min(self._refresh_seconds * 2.0 ** min(self._failures - 1, 10), self._idle_refresh_seconds)
            self._due_at = self._clock() + pause
            log.warning(
                "Could not read which experiments are active (failure %d in a row, next attempt in %.1f s): %s",
                self._failures,
                pause,
                error,
            )
        else:
            self._failures = 0
            self._known = (now, runs)
            running = any(run.is_active(now) for run in runs)
            self._due_at = now + (self._refresh_seconds if running else self._idle_refresh_seconds)

    def _look(self) -> tuple[Run, ...]:
        """Work the view out anew. Only for who holds the lock: a late one would hide what has been read since."""
        now = self._clock()
        active, trusted_until = self._known_to_be_active(now)
        # A clock that stepped back during the read would make the view last for as long as the step was.
        until = self._due_at if self._attempted_at <= now else now
        if active:
            until = min(until, trusted_until, *(run.expires_at for run in active))
        self._view = (now, until, active)
        return active

    def _known_to_be_active(self, now: float) -> tuple[tuple[Run, ...], float]:
        """What runs as far as the last read tells, and until when that read is trusted."""
        read_at, runs = self._known
        trusted_until = read_at + self._max_staleness_seconds
        trusted = read_at <= now < trusted_until
        return tuple(run for run in runs if run.is_active(now)) if trusted else (), trusted_until
