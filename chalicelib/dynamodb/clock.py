"""The table's time: this machine's clock, corrected by the header `Date` of the table's answers.

Runs start and end by it, so that a start by a machine whose clock is wrong lasts as long as any other one, and an
environment whose clock is wrong ends it when the others do.
"""

import logging
import time
from collections.abc import Callable, Mapping
from email.utils import parsedate_to_datetime
from typing import Any

from botocore.session import Session

log = logging.getLogger(__name__)

RESOLUTION_SECONDS = 1.0
"""`Date` has no fractions: it is the beginning of the second in which the answer was made."""

UNNOTICED_SECONDS = 0.5
"""By how much more a clock may be off before it is corrected: servers write a `Date` that is a little old."""

FROZEN_SECONDS = 3.0
"""A `Date` that is still the same after so long is no time. (Some emulators and recorded answers have such a one.)"""

IMPLAUSIBLE_SECONDS = 24 * 3600.0
"""A `Date` that is further off is no time, either: AWS refuses requests of a clock that is off by 5 minutes."""

SENT_AT = "chaos_sent_at"
OK = 200


class TableClock:
    """Epoch seconds by the table's clock, as far as its answers have said how far off this machine's is.

    An answer was made at some moment between its request and its arrival, and within the second of its `Date`. What
    that explains is not corrected, so that a clock that is right is left alone. Safe to share between threads.
    """

    def __init__(self, local: Callable[[], float] = time.time, timer: Callable[[], float] = time.monotonic) -> None:
        """`local` is this machine's clock; `timer` never steps, but may stand still while the machine is frozen."""
        self.local = local
        self.timer = timer
        self.offset = 0.0
        """What is added to this machine's clock."""
        self.is_known = False
        """Whether an answer has said what time it is at the table."""
        self._first_seen: tuple[str, float] = ("", 0.0)
        self._is_frozen = False

    def __call__(self) -> float:
        return self.local() + self.offset

    def watch(self, session: Session) -> None:
        """Learn from each answer to a client that the session makes from now on."""
        session.register("before-call.dynamodb", self._sent)
        session.register("after-call.dynamodb", self._answered)

    def learn(self, date: str, *, sent_at: tuple[float, float]) -> None:
        """From the `Date` of an answer that has just arrived. `sent_at`: the clock and the timer at its request."""
        local, timer = sent_at
        self.is_known = True
        if self._stands_still(date, timer):
            self._correct(0.0, 0.0, "The table's answers have a Date that stands still; it is ignored")
            return
        try:
            at = parsedate_to_datetime(date).timestamp()
        except (ValueError, TypeError, OverflowError):
            return
        if abs(at - self.local()) > IMPLAUSIBLE_SECONDS:
            return
        self._correct(at - self.local(), at + RESOLUTION_SECONDS - local, "This machine's clock is not the table's")

    def _correct(self, least: float, most: float, why: str) -> None:
        """The offset is between these two; one that may be right stays as it is."""
        least, most = least - UNNOTICED_SECONDS, most + UNNOTICED_SECONDS
        if least <= self.offset <= most:
            return
        before, self.offset = self.offset, 0.0 if least <= 0.0 <= most else (least + most) / 2
        if abs(self.offset - before) > RESOLUTION_SECONDS:
            log.warning("%s: from now on %+.1f s are added to the clock of this process", why, self.offset)

    def _stands_still(self, date: str, sent_at: float) -> bool:
        """Whether a request that was sent so much later is still answered with the same date."""
        seen, since = self._first_seen
        if date != seen:
            self._first_seen = (date, self.timer())
            self._is_frozen = False
        elif sent_at - since > FROZEN_SECONDS:
            self._is_frozen = True
        return self._is_frozen

    def _sent(self, **call: Any) -> None:  # noqa: ANN401 - as botocore calls it
        call["context"][SENT_AT] = (self.local(), self.timer())

    def _answered(self, **call: Any) -> None:  # noqa: ANN401 - as botocore calls it
        metadata: Mapping[str, Any] = call["parsed"].get("ResponseMetadata", {})
        date, sent_at = metadata.get("HTTPHeaders", {}).get("date"), call["context"].get(SENT_AT)
        if date and sent_at and metadata.get("HTTPStatusCode") == OK:
            self.learn(date, sent_at=sent_at)
