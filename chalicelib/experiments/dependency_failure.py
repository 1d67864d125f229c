import math
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal, Self, cast

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema, model_validator

from ..dependencies import ALLOWED, LONGEST, Dependency
from ..faults.base import Failure, Fault, Way
from ..faults.dependency import FailDependency
from ..faults.wait import LONGEST_SECONDS
from . import base
from .error_injection import BODY_SCHEMA, HEADERS_SCHEMA, body_of, headers_of

FaultName = Literal[
    "latency", "error", "throttle", "timeout", "refused", "reset", "dns", "tls", "lost_reply", "slow", "garbage"
]
DELAY_SECONDS, BYTES_PER_SECOND = 2.0, 1000.0
"""Of a delay, and of a slow answer, that say nothing else."""

BELONGS_TO: Mapping[str, str] = {
    "delay_seconds": "latency",
    "code": "error",
    "status_code": "error",
    "body": "error",
    "headers": "error",
    "bytes_per_second": "slow",
}
"""Which fault a parameter is for."""

OF_HTTP = ("status_code", "body", "headers")


def _named(text: str) -> str:
    try:
        Dependency(text)
    except ValueError as error:
        raise base.refusal("dependency", str(error), ALLOWED) from None
    return text


class DependencyFailure(base.Experiment):
    """Let outgoing calls to a dependency fail, so that their clients believe it."""

    name = "dependency_failure"
    applies_to = "dependency"

    class Parameters(base.Parameters):
        dependency: Annotated[str, AfterValidator(_named)] = Field(
            min_length=1,
            max_length=LONGEST,
            description=f"Which outgoing calls: {ALLOWED}.",
            examples=["dynamodb:PutItem"],
        )
        fault: FaultName = Field(
            "error",
            description="What happens to them. lost_reply: the call is made, and its answer is lost. timeout: no "
            "answer comes for as long as the client waits.",
            examples=["timeout"],
        )
        delay_seconds: float = Field(
            default=cast("float", None),
            gt=0,
            le=LONGEST_SECONDS,
            description=f"How long latency delays each call. If it is not set, {DELAY_SECONDS:g} s.",
            examples=[2.0],
            json_schema_extra={"unit": "seconds"},
        )
        code: str = Field(
            default=cast("str", None),
            pattern=r"^[A-Za-z][A-Za-z0-9_.:-]{0,99}$",
            description="Code of the error of an AWS service. If it is not set, InternalServerError.",
            examples=["ProvisionedThroughputExceededException"],
        )
        status_code: int = Field(
            default=cast("int", None),
            ge=400,
            le=599,
            description="Status of the error over HTTP. If it is not set, 503.",
            examples=[503],
            json_schema_extra={"unit": "HTTP status"},
        )
        headers: Annotated[dict[str, str], BeforeValidator(headers_of), WithJsonSchema(HEADERS_SCHEMA)] = Field(
            default=cast("dict[str, str]", None),
            description="Headers of the error over HTTP.",
            examples=[{"Retry-After": "2"}],
        )
        body: Annotated[Any, BeforeValidator(body_of), WithJsonSchema(BODY_SCHEMA)] = Field(
            default=None, description="Body of the error over HTTP: a text, or JSON.", examples=["Service Unavailable"]
        )
        bytes_per_second: float = Field(
            default=cast("float", None),
            gt=0,
            description=f"How fast a slow answer comes. If it is not set, {BYTES_PER_SECOND:g}.",
            examples=[1000.0],
            json_schema_extra={"unit": "bytes per second"},
        )
        scope_of_calls: Literal["requests", "process"] = Field(
            "requests",
            description="requests: only calls made while a request is served that the target matches. process: also "
            "those that serve none, such as background work.",
            examples=["process"],
        )

        @model_validator(mode="after")
        def _agrees(self) -> Self:
            """Raises where parameters do not fit each other."""
            for name in self.model_fields_set & set(BELONGS_TO):
                if self.fault != BELONGS_TO[name]:
                    raise base.refusal(
                        name,
                        f"is for the fault {BELONGS_TO[name]}, and this is {self.fault}: leave it out",
                        f"with fault {BELONGS_TO[name]}",
                    )
            kind = Dependency(self.dependency).kind
            if "code" in self.model_fields_set and kind != "aws":
                raise base.refusal(
                    "code", "is of AWS services, such as dynamodb: send status_code instead", "with an AWS dependency"
                )
            for name in OF_HTTP:
                if name in self.model_fields_set and kind == "aws":
                    raise base.refusal(
                        name, "is of HTTP, and AWS services have codes: send code instead", "without an AWS dependency"
                    )
            return self

    def faults(self, parameters: Parameters) -> Iterator[Fault]:
        chosen: Mapping[str, Any] = parameters.model_dump(exclude_none=True)
        delays = {"latency": chosen.get("delay_seconds", DELAY_SECONDS), "timeout": math.inf}
        yield FailDependency(
            dependency=Dependency(parameters.dependency),
            in_background=parameters.scope_of_calls == "process",
            delay_seconds=delays.get(parameters.fault, 0.0),
            failure=None if parameters.fault in delays else _failure(parameters.fault, chosen),
        )


def _failure(fault: str, chosen: Mapping[str, Any]) -> Failure:
    return Failure(
        way=cast("Way", fault),
        code=chosen.get("code", ""),
        status=chosen.get("status_code", 0),
        headers=chosen.get("headers", {}),
        body=chosen.get("body"),
        bytes_per_second=chosen.get("bytes_per_second", BYTES_PER_SECOND),
    )
