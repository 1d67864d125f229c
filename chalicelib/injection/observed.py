"""What this process calls while somebody asks: counted by client and dependency, and flushed to the table."""

import logging
import math
import secrets
import sys
import threading
import time
from collections.abc import Callable

from ..dependencies import OUT_OF_REACH
from ..errors import ChaosError
from ..results.dependencies import LONGEST_NAME, says_failure
from ..results.seen import OTHER, SeenCalls, SeenKey
from ..results.store import SeenStore
from ..results.tally import bucket
from ..runs.observation import Observation
from ..runs.run import NEVER
from .call import OutgoingCall

log = logging.getLogger(__name__)

MOST_NAMES = 100
"""How many dependencies a process tells apart; calls to further ones are counted under `OTHER`."""

INTERVAL_SECONDS = 5.0
"""How long after a flush the next one begins: there may be thousands of processes."""

MOST_FAILURES = 5
"""After how many failures in a row the pause between two flushes gets no longer."""

FORGOTTEN_SECONDS = 3600.0
"""How long after an observation began counts are still added to it."""


class Observed:
    """Counts while the snapshot has an observation. Nothing of a call is kept but its client, its name and its time.

    `on_count` is called when there is something to be flushed: it sees to it that `flush` is called.
    """

    def __init__(self, store: SeenStore, clock: Callable[[], float], on_count: Callable[[], None]) -> None:
        self._store = store
        self._clock = clock
        self._on_count = on_count
        self._counting = threading.Lock()
        self._flushing = threading.Lock()
        self._observation: Observation | None = None
        self._counts: dict[SeenKey, SeenCalls] = {}
        self._in_flight: tuple[SeenKey, SeenCalls, str] | None = None
        """With the name of its addition, of which nobody may know whether it was made."""
        self._known: tuple[float, set[tuple[str, str]]] = (NEVER, set())
        """Clients and names of calls that were seen in an observation, and when that began."""
        self._flushed_at = NEVER
        self._failures = 0

    # Whether somebody asks

    def notice(self, observation: Observation | None) -> None:
        """Learn whether somebody asks, as just read from the table."""
        self._observation = observation
        if observation is not None:
            self._notice_out_of_reach(observation.began)

    @property
    def is_on(self) -> bool:
        """Every outgoing call that no run is about passes here while patches are installed."""
        observation = self._observation
        return observation is not None and observation.is_active(self._clock())

    def _notice_out_of_reach(self, began: float) -> None:
        """Which imported libraries make calls that cannot be observed: they are shown without any."""
        with self._counting:
            known = self._names(began)
            fresh = [client for client in OUT_OF_REACH if client in sys.modules and (client, "") not in known]
            for client in fresh:
                known.add((client, ""))
                self._counts[SeenKey(began, client, "")] = SeenCalls()
        if fresh:
            self._on_count()

    def _names(self, began: float) -> set[tuple[str, str]]:
        if self._known[0] != began:
            self._known = (began, set())
        return self._known[1]

    # Counting

    def count(self, call: OutgoingCall, seconds: float, status: int | None, error: BaseException | None) -> None:
        """Count a call that has ended. Does not block."""
        observation = self._observation
        if observation is None:
            return
        is_error = error is not None or says_failure(status)
        key = SeenKey(observation.began, call.client, call.name[:LONGEST_NAME] or OTHER)
        with self._counting:
            seen = self._counts.get(key) or self._begin(key, call.faults)
            seen.add(bucket(seconds), is_error=is_error)
        self._on_count()

    def _begin(self, key: SeenKey, faults: frozenset[str]) -> SeenCalls:
        """The counts of what has none yet, or of all that is one too many."""
        known, name = self._names(key.observation), (key.client, key.dependency)
        if name not in known and len(known) >= MOST_NAMES:
            key, faults = SeenKey(key.observation, OTHER, OTHER), frozenset()
        else:
            known.add(name)
        return self._counts.setdefault(key, SeenCalls(faults=faults))

    # Flushing

    @property
    def is_pending(self) -> bool:
        return bool(self._counts or self._in_flight)

    def flush(self, patience_seconds: float = math.inf, *, is_last: bool = False) -> None:
        """Add what was counted to the table, where that is due, and unless another thread is at it. May block.

        Never raises. What is not added after `patience_seconds` waits for the next time, unless the process ends.
        """
        if not self.is_pending or not (is_last or self._is_due()) or not self._flushing.acquire(blocking=False):
            return
        try:
            self._flushed_at = self._clock()
            self._send(time.monotonic() + patience_seconds)
            self._failures = 0
        except ChaosError as error:
            self._failures += 1
            log.warning("Could not flush which dependencies are called; the counts are kept: %s", error)
        except Exception:
            log.exception("Flushing which dependencies are called raised an exception")
        finally:
            self._flushing.release()

    def _is_due(self) -> bool:
        pause = INTERVAL_SECONDS * 2.0 ** min(self._failures, MOST_FAILURES)
        return not self._flushed_at <= self._clock() < self._flushed_at + pause

    def _send(self, until: float) -> None:
        """Raises StoreUnavailable."""
        for _ in range(len(self._counts) + 1):
            sent = self._in_flight or self._take()
            if sent is None or time.monotonic() >= until:
                return
            key, calls, addition = sent
            if self._clock() - key.observation < FORGOTTEN_SECONDS:
                self._store.add(key, calls, addition=addition)
            self._in_flight = None

    def _take(self) -> tuple[SeenKey, SeenCalls, str] | None:
        """Put the counts that have waited longest in flight."""
        with self._counting:
            key = next(iter(self._counts), None)
            self._in_flight = key and (key, self._counts.pop(key), secrets.token_hex(4))
        return self._in_flight
