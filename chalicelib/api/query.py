"""From a query string to what an endpoint is asked for, or to every problem of it in one error."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from ..experiments.catalogue import Catalogue
from .problems import Problem, invalid, shown, unknown, wrong

MOST_ENTRIES = 100
USUAL_ENTRIES = 50
NAMES = ("experiment_name", "since", "until", "before", "limit")
LIMITS = {str(number): number for number in range(1, MOST_ENTRIES + 1)}
TIME = "a time in ISO 8601, such as 2026-11-24T09:00:00Z"
PAGE_CURSOR = "the `next` of another page"
CURSOR = "^[!-~]{1,64}$"
FUTURE = timedelta(days=1)


@dataclass(frozen=True, kw_only=True)
class Page:
    """What of the history is asked for; times are epoch seconds."""

    since: float
    until: float
    experiment: str | None
    before: str | None
    limit: int


def asked_for(query: Mapping[str, Sequence[str]], now: float, catalogue: Catalogue) -> Page:
    """Raises InvalidParameters and UnknownExperiment."""
    given = {name: values[0] for name, values in query.items() if values and values[0]}
    problems: list[Problem] = [unknown(name, NAMES) for name in query if name not in NAMES]

    def refuse(name: str, allowed: str) -> None:
        problems.append(wrong(name, allowed, shown(given[name])))

    def moment(name: str, default: float) -> float:
        if name not in given:
            return default
        try:
            at = datetime.fromisoformat(given[name].replace(" ", "+"))  # a plus that nobody encoded
            return max((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp(), 0.0)
        except (ValueError, OverflowError):
            refuse(name, TIME)
            return default

    since, until = moment("since", 0.0), moment("until", now + FUTURE.total_seconds())
    limit = given.get("limit", str(USUAL_ENTRIES))
    if limit not in LIMITS:
        refuse("limit", f"a whole number from 1 to {MOST_ENTRIES}")
    before = given.get("before")
    if before and not re.fullmatch(CURSOR, before):
        refuse("before", PAGE_CURSOR)
    if problems:
        raise invalid(problems)
    name = given.get("experiment_name")
    return Page(
        since=since,
        until=until,
        experiment=catalogue.find(name).name if name else None,
        before=before,
        limit=LIMITS[limit],
    )
