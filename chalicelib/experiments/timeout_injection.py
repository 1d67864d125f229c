from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field

from ..faults.base import Fault
from ..faults.silence import Silence
from ..faults.wait import LEFT_FOR_THE_APPLICATION_SECONDS
from . import base

LONGEST_INVOCATION_SECONDS = 900.0


class TimeoutInjection(base.Experiment):
    """Leave each request without an answer until its client or its server gives it up."""

    name = "timeout_injection"

    class Parameters(base.Parameters):
        until: Literal["client", "deadline"] = Field(
            "client",
            description="How long there is no answer. client: until the client has gone. deadline: until the request "
            "may not take longer, by the time-out of the Lambda function or of the server, whether the client waits "
            "or not. Then the connection is dropped. The application does not handle the request, unless the run ends "
            "before.",
            examples=["deadline"],
        )
        longest_seconds: Annotated[float, base.LimitOf("delay_seconds")] = Field(
            30.0,
            gt=0,
            le=LONGEST_INVOCATION_SECONDS,
            description="How long there is no answer at most, in seconds.",
            examples=[30.0],
            json_schema_extra={"unit": "seconds"},
        )
        margin_seconds: float = Field(
            LEFT_FOR_THE_APPLICATION_SECONDS,
            ge=0,
            le=60,
            description="How long before the time-out of the Lambda function or of the server the connection is "
            "dropped, in seconds. With 0 they end the request themselves: Lambda the environment, gunicorn and uWSGI "
            "the worker.",
            examples=[0.5],
            json_schema_extra={"unit": "seconds"},
        )

    def faults(self, parameters: Parameters) -> Iterator[Fault]:
        yield Silence(
            longest_seconds=parameters.longest_seconds,
            margin_seconds=parameters.margin_seconds,
            ends_with_client=parameters.until == "client",
        )
