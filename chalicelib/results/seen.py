"""What processes saw of their outgoing calls to one dependency, in counts that can be added up."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from .tally import percentile

OTHER = "other"
"""The client, and the dependency, of calls to more dependencies than a process tells apart."""


class SeenKey(NamedTuple):
    """In which observation, by when it began; by which client library; and to what: `payments.example:443`."""

    observation: float
    client: str
    dependency: str


@dataclass(slots=True)
class SeenCalls:
    """`buckets` are the tally's, of all calls that have ended. `faults` is what the client can be made to meet."""

    calls: int = 0
    errors: int = 0
    buckets: dict[int, int] = field(default_factory=dict)
    faults: frozenset[str] = frozenset()

    def add(self, number: int, *, is_error: bool) -> None:
        """Count one call, by the number of its bucket."""
        self.calls += 1
        self.errors += is_error
        self.buckets[number] = self.buckets.get(number, 0) + 1

    def merge(self, other: "SeenCalls") -> None:
        self.calls += other.calls
        self.errors += other.errors
        for number, count in other.buckets.items():
            self.buckets[number] = self.buckets.get(number, 0) + count
        self.faults |= other.faults

    def percentile(self, share: float) -> float | None:
        """In seconds; None where nothing was called."""
        return percentile(self.buckets, share) if self.buckets else None


Seen = Mapping[SeenKey, SeenCalls]
