"""What a run does to one request. `order` is the order in which the faults of a request are applied."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

Chance = Callable[[], float]
"""Gives a number from 0 up to, not including, 1: `random.random`."""


@dataclass(frozen=True, slots=True)
class Hold:
    """Keep memory resident in the environment, once, for as long as the run lasts."""

    megabytes: int
    order: ClassVar[int] = 0


@dataclass(frozen=True, slots=True)
class Wait:
    """Delay the request before the application sees it, but not past the Lambda's time unless that is asked for."""

    seconds: float
    allow_timeout: bool = False
    order: ClassVar[int] = 1


@dataclass(frozen=True, slots=True)
class Answer:
    """Answer in the application's place, in the API's error envelope."""

    status: int
    code: str
    message: str
    order: ClassVar[int] = 2


Fault = Hold | Wait | Answer
