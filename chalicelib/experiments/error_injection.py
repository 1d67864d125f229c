from collections.abc import Iterator

from pydantic import Field

from ..faults.answer import Answer
from ..faults.base import Fault
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

    def faults(self, parameters: Parameters) -> Iterator[Fault]:
        yield Answer(
            share=parameters.error_rate,
            status=500,
            code="injected_error",
            message="Chaos experiment: injected error",
        )
