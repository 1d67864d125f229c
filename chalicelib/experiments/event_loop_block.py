from collections.abc import Iterator
from typing import Self

from pydantic import Field, model_validator

from ..faults.base import Fault
from ..faults.event_loop import BlockLoop
from . import base

LONGEST_SECONDS = 10
RAREST_SECONDS = 600
LEAST_RATIO = 2
"""How much longer than a block must be the time from one to the next: half of the time the loop is free."""


class EventLoopBlock(base.Experiment):
    """Block the event loop of each environment again and again, as a call that should have been awaited would."""

    name = "event_loop_block"

    class Parameters(base.Parameters):
        block_seconds: float = Field(
            0.5,
            gt=0,
            le=LONGEST_SECONDS,
            description="How long the event loop is blocked each time, in seconds. Meanwhile it serves no request.",
            examples=[0.5],
            json_schema_extra={"unit": "seconds"},
        )

        every_seconds: float = Field(
            5.0,
            gt=0,
            le=RAREST_SECONDS,
            description="Time from the beginning of one block to that of the next, in seconds; at least twice as "
            "long as a block.",
            examples=[5.0],
            json_schema_extra={"unit": "seconds"},
        )

        @model_validator(mode="after")
        def _leaves_time(self) -> Self:
            """Raises where the loop would be blocked for more than half of the time."""
            least = LEAST_RATIO * self.block_seconds
            if self.every_seconds < least:
                problem = f"must be at least twice block_seconds, which is {self.block_seconds:g}"
                problem += f"; got {self.every_seconds:g}"
                raise base.refusal("every_seconds", problem, f"a number from {least:g} to {RAREST_SECONDS}")
            return self

    def faults(self, parameters: Parameters) -> Iterator[Fault]:
        yield BlockLoop(block_seconds=parameters.block_seconds, every_seconds=parameters.every_seconds)
