from collections.abc import Iterator

from pydantic import Field

from ..faults import Answer, Chance, Fault
from . import base


class ErrorInjection(base.Experiment):
    """Answer a share of the requests with status 500, as a failing application would."""

    name = "error_injection"

    class Parameters(base.Parameters):
        error_rate: float = Field(
            0.1,
            ge=0,
            le=1,
            description="Share of the affected requests that are answered with status 500: 0.1 is 10 %.",
            examples=[0.1],
            json_schema_extra={"unit": "share"},
        )

    def faults(self, parameters: Parameters, chance: Chance) -> Iterator[Fault]:
        if chance() < parameters.error_rate:
            yield Answer(500, "injected_error", "Chaos experiment: injected error")
