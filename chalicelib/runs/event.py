"""What the history remembers beside runs: who did or tried what, from where, when and why."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Literal, NamedTuple, Self

Action = Literal["halt", "resume", "refusal", "token_created", "token_revoked"]


def identifier(at: float, token: str) -> str:
    """An id that sorts by time (epoch seconds, to the millisecond). `token` makes it unique."""
    moment = datetime.fromtimestamp(at, UTC)
    return f"{moment:%Y%m%dT%H%M%S}.{moment.microsecond // 1000:03d}Z-{token}"


def moment_of(identifier: str) -> float | None:
    """The time, in epoch seconds, that an id sorts by; None where it is none."""
    try:
        return datetime.strptime(identifier.partition("-")[0], "%Y%m%dT%H%M%S.%fZ").replace(tzinfo=UTC).timestamp()
    except (ValueError, OverflowError):
        return None


class Event(NamedTuple):
    """One thing that happened. `at` is in epoch seconds, `source` where it came from, an address or a command line."""

    event_id: str
    at: float
    action: Action
    by: str
    source: str = ""
    reason: str | None = None
    experiment: str | None = None
    details: Mapping[str, Any] = {}

    @classmethod
    def of(cls, action: Action, *, now: float, by: str, token: str, **more: Any) -> Self:  # noqa: ANN401
        at = round(now, 3)
        return cls(event_id=identifier(at, token), at=at, action=action, by=by, **more)
