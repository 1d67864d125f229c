from collections.abc import Iterator

from pydantic import Field

from .. import experiment
from ..faults import Chance, Fault, Wait


class LatencyInjection(experiment.Experiment):
    """Adds an artificial delay to responses, as a slow dependency would."""

    name = "latency_injection"

    class Parameters(experiment.Parameters):
        delay_seconds: float = Field(
            2.0, ge=0, le=60, description="How long each request waits.", json_schema_extra={"unit": "seconds"}
        )
        allow_timeout: bool = Field(
            default=False, description="Whether a delay may take a Lambda invocation past its time."
        )

    def faults(self, parameters: Parameters, chance: Chance) -> Iterator[Fault]:
        del chance
        yield Wait(parameters.delay_seconds, parameters.allow_timeout)
