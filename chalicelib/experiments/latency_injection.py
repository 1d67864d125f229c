from collections.abc import Iterator

from pydantic import Field

from ..faults.base import Fault
from ..faults.wait import Wait
from . import base


class LatencyInjection(base.Experiment):
    """Delay each request, as a slow dependency would."""

    name = "latency_injection"

    class Parameters(base.Parameters):
        delay_seconds: float = Field(
            2.0,
            ge=0,
            le=60,
            description="Time that each affected request waits before the application handles it, in seconds.",
            examples=[2.0],
            json_schema_extra={"unit": "seconds"},
        )
        allow_timeout: bool = Field(
            default=False,
            description="Allow the delay to exceed the time that a request may take: of a Lambda invocation, of API "
            "Gateway, of the server's worker. If false, the delay is cut so that 0.5 seconds remain.",
        )

    def faults(self, parameters: Parameters) -> Iterator[Fault]:
        yield Wait(seconds=parameters.delay_seconds, allow_timeout=parameters.allow_timeout)
