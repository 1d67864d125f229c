"""What a run holds in this process until it is over, and what it is made of."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol


class ActiveRun(Protocol):
    """A run, as far as faults and effects need to know."""

    @property
    def run_id(self) -> str: ...

    @property
    def expires_at(self) -> float:
        """Epoch seconds."""


def _nobody(_run: ActiveRun, _what: object) -> None:
    """Nobody counts or records."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Surroundings:
    """What this process gives to an effect. `clock` is in epoch seconds."""

    active: Callable[[], Sequence[ActiveRun]]
    """The runs that go on. Reads the table, if that is due."""
    clock: Callable[[], float]
    sleep: Callable[[float], None]
    seconds_until_stale: Callable[[], float]
    """How long it is known which runs go on."""
    lambda_memory_mb: int | None = None
    """The memory of the Lambda function; None elsewhere."""
    count: Callable[[ActiveRun, Mapping[str, int]], None] = _nobody
    """Adds to the results of a run, without any call. Does not block."""
    record_problem: Callable[[ActiveRun, str], None] = _nobody
    """Lets the run say why this environment does nothing for it. May block; never raises."""


class Effect(Protocol):
    """What runs hold in this process until they are over: memory, patches, and whatever must be given back."""

    @property
    def is_holding(self) -> bool:
        """Whether anything is held."""

    def is_due(self, active: Sequence[ActiveRun]) -> bool:
        """Whether something is held for a run that is not active. Does not block."""

    def settle(self, active: Sequence[ActiveRun]) -> None:
        """Give back what is held for runs that are not active. May block."""

    def abandon(self) -> None:
        """Let go of what this process has inherited: it is a copy, and its original still holds that."""
