"""Whose turn it is to ask what all environments want to know: one asks for all, where they can agree on it."""

import logging
from collections.abc import Callable
from typing import Protocol

from ..errors import StoreUnavailable
from ..faults.base import Chance
from ..runs.run import NEVER

log = logging.getLogger(__name__)

HANDOVER_SECONDS = 2.0
"""How much longer than others an environment waits that could not ask."""


class Turn(Protocol):
    """When this environment checks its guardrails."""

    def is_mine(self) -> bool:
        """Whether to check now. Never raises."""

    def failed(self) -> None:
        """The check that was begun could not be made."""


class Lease(Protocol):
    """The port in which environments agree on who asks until when."""

    def take(self, *, now: float, until: float, by: str) -> float | None:
        """None where `by` has it now; otherwise when it is free again. May raise StoreUnavailable."""


class OwnTurn:
    """Each environment checks for itself, once an interval."""

    def __init__(self, clock: Callable[[], float], interval_seconds: float) -> None:
        self._clock = clock
        self._interval_seconds = interval_seconds
        self._since = NEVER
        self._until = NEVER

    def is_mine(self) -> bool:
        now = self._clock()
        if self._since <= now < self._until:  # a clock that stepped back does not put it off
            return False
        self._since, self._until = now, now + self._interval_seconds
        return True

    def failed(self) -> None:
        """It is tried again after an interval."""


class SharedTurn(OwnTurn):
    """One environment checks for all, once an interval. Where it ends or gets no requests, another one takes over.

    The others ask whether it still does once an interval, too, each at a moment of its own in the first half of it: a
    thousand that ask at the same time would be more than one item of the table takes.
    """

    def __init__(
        self,
        lease: Lease,
        clock: Callable[[], float],
        chance: Chance,
        *,
        interval_seconds: float,
        environment: str,
    ) -> None:
        super().__init__(clock, interval_seconds)
        self._lease = lease
        self._chance = chance
        self._environment = environment

    def is_mine(self) -> bool:
        if not super().is_mine():
            return False
        free_at = self._take(self._since, self._until)
        if free_at is not None:
            self._until = min(free_at, self._until) + self._chance() * self._interval_seconds / 2
        return free_at is None

    def failed(self) -> None:
        """Another environment may be able to: it has the next turn, if there is one."""
        self._until += self._interval_seconds / 2 + HANDOVER_SECONDS

    def _take(self, now: float, until: float) -> float | None:
        """Where nobody can agree, each environment checks: too often is better than never."""
        try:
            return self._lease.take(now=now, until=until, by=self._environment)
        except StoreUnavailable as error:
            log.warning("Could not agree on who asks for the alarms, so this environment does: %s", error)
            return None
