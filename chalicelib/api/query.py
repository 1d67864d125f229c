"""From a query string to what an endpoint is asked for, or to every problem of it in one error."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from ..experiments.catalogue import Catalogue
from .problems import Problem, invalid, shown, unknown, wrong

MOST_ENTRIES = 100
USUAL_ENTRIES = 50
NAMES = ("experiment_name", "label", "since", "until", "before", "limit")
LIMITS = {str(number): number for number in range(1, MOST_ENTRIES + 1)}
TIME = "a time in ISO 8601, such as 2026-11-24T09:00:00Z"
PAGE_CURSOR = "the `next` of another page"
CURSOR = "^[!-~]{1,64}$"
FUTURE = timedelta(days=1)
KEY = '[!"$-~]{1,128}'
"""What can be a label, or the name of an experiment that is not installed here any more. (DynamoDB takes keys of up to
1 KB.)"""


@dataclass(frozen=True, kw_only=True)
class Page:
    """What of the history is asked for; times are epoch seconds."""

    since: float
    until: float
    experiment: str | None
    label: str | None
    before: str | None
    limit: int


def asked_for(query: Mapping[str, Sequence[str]], now: float, catalogue: Catalogue) -> Page:
    """Raises InvalidParameters and UnknownExperiment."""
    asked = _Query(query)
    since, until = asked.time("since", 0.0), asked.time("until", now + FUTURE.total_seconds())
    asked.require_order(since, until)
    limit = asked.one_of("limit", LIMITS, f"a whole number from 1 to {MOST_ENTRIES}", USUAL_ENTRIES)
    before = asked.matching("before", CURSOR, PAGE_CURSOR)
    label = asked.matching("label", KEY, "a label of at most 128 characters")
    if asked.problems:
        raise invalid(asked.problems)
    name = asked.given.get("experiment_name")
    experiment = catalogue.find(name).name if name else None
    return Page(since=since, until=until, experiment=experiment, label=label, before=before, limit=limit)


class _Query:
    """What is given in a query, and what is wrong with it."""

    def __init__(self, query: Mapping[str, Sequence[str]]) -> None:
        self.given = {name: values[0] for name, values in query.items() if values and values[0]}
        self.problems: list[Problem] = [unknown(name, NAMES) for name in query if name not in NAMES]

    def time(self, name: str, default: float) -> float:
        """In epoch seconds."""
        if name not in self.given:
            return default
        try:
            at = datetime.fromisoformat(self.given[name].replace(" ", "+"))  # a plus that nobody encoded
            in_utc = (at if at.tzinfo else at.replace(tzinfo=UTC)).astimezone(UTC)  # an OverflowError beyond the years
            return max(in_utc.timestamp(), 0.0)
        except (ValueError, OverflowError):
            self._refuse(name, TIME)
            return default

    def require_order(self, since: float, until: float) -> None:
        """Where both are given: DynamoDB refuses a range that ends before it begins."""
        if {"since", "until"} <= self.given.keys() and since > until and not self.problems:
            self._refuse("since", f"a time that is not after `until`, {shown(self.given['until'])}")

    def one_of(self, name: str, values: Mapping[str, int], allowed: str, default: int) -> int:
        if self.given.get(name, str(default)) not in values:
            self._refuse(name, allowed)
        return values.get(self.given.get(name, ""), default)

    def matching(self, name: str, pattern: str, allowed: str) -> str | None:
        given = self.given.get(name)
        if given and not re.fullmatch(pattern, given):
            self._refuse(name, allowed)
        return given

    def _refuse(self, name: str, allowed: str) -> None:
        self.problems.append(wrong(name, allowed, shown(self.given[name])))
