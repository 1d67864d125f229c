from collections.abc import Iterator
from typing import Self, cast

from pydantic import Field, model_validator

from ..faults.base import Fault
from ..faults.memory import HoldMemory
from . import base

MOST_STEPS = 60


class ResourceExhaustion(base.Experiment):
    """Hold memory in each environment that serves requests, as a leak would."""

    name = "resource_exhaustion"

    class Parameters(base.Parameters):
        memory_mb: int = Field(
            100,
            ge=1,
            description="Memory that each environment holds until the run ends, in MB. An environment holds less if it "
            "cannot spare that much.",
            examples=[100],
            json_schema_extra={"unit": "MB"},
        )

        steps: int = Field(
            default=cast("int", None),
            ge=2,
            le=MOST_STEPS,
            description="In how many equal steps the memory grows: with 5 and a duration of 50 seconds an environment "
            "holds a fifth of it at first, and a fifth more every 10 seconds. At most one for each MB. If it is not "
            "set, all of it is held at once.",
            examples=[5],
            json_schema_extra={"unit": "steps"},
        )

        @model_validator(mode="after")
        def _agrees(self) -> Self:
            """Raises where a step would be less than 1 MB."""
            if self.chosen_steps > self.memory_mb:
                problem = f"must be at most memory_mb, which is {self.memory_mb}; got {self.chosen_steps}"
                raise base.refusal("steps", problem, f"a whole number from 2 to {self.memory_mb}")
            return self

        @property
        def chosen_steps(self) -> int:
            """1 where all of it is held at once."""
            chosen: dict[str, int] = self.model_dump(include={"steps"}, exclude_none=True)
            return chosen.get("steps", 1)

    def faults(self, parameters: Parameters) -> Iterator[Fault]:
        steps = parameters.chosen_steps
        yield HoldMemory(megabytes=parameters.memory_mb, steps=steps, step_seconds=parameters.duration_seconds / steps)
