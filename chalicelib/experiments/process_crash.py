from collections.abc import Iterator
from typing import Literal

from pydantic import Field

from ..faults.base import Fault
from ..faults.crash import Crash
from ..faults.wait import LONGEST_SECONDS, Wait
from ..server import is_lambda
from . import base


class ProcessCrash(base.Experiment):
    """End a process that serves requests at once, as a crash would; whoever supervises it starts another one."""

    name = "process_crash"

    class Parameters(base.Parameters):
        exit_code: int = Field(
            1,
            ge=0,
            le=255,
            description="Exit code of the process. Some mean something to servers: with 3 and 4 gunicorn ends "
            "as a whole.",
            examples=[1],
            json_schema_extra={"unit": "exit code"},
        )
        when: Literal["before", "after"] = Field(
            "before",
            description="before: the request gets no answer. after: it is answered, and then the process ends; not in "
            "Lambda, which stands still when a request is answered.",
            examples=["after"],
        )
        delay_seconds: float = Field(
            0.0,
            ge=0,
            le=LONGEST_SECONDS,
            description="Time that passes before the crash, in seconds. The request, or the answer, comes before it.",
            examples=[2.0],
            json_schema_extra={"unit": "seconds"},
        )
        max_crashes: int = Field(
            1,
            ge=1,
            le=1000,
            description="How many processes end, in all environments together. With the last one the run is completed.",
            examples=[3],
            json_schema_extra={"unit": "processes"},
        )

    def most_hits(self, parameters: Parameters) -> int:
        return parameters.max_crashes

    def faults(self, parameters: Parameters) -> Iterator[Fault]:
        """Raises ValueError in an environment that cannot crash after an answer."""
        if parameters.when == "before":
            if parameters.delay_seconds:
                yield Wait(seconds=parameters.delay_seconds)
            yield Crash(exit_code=parameters.exit_code)
        elif is_lambda():
            raise ValueError("Lambda stands still after an answer: only before")
        else:
            yield Crash(exit_code=parameters.exit_code, after_seconds=parameters.delay_seconds)
