import math
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal, Self, cast

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, WithJsonSchema, model_validator

from ..dependencies import ALLOWED, LONGEST, Dependency, pattern_of
from ..faults.base import Failure, Fault, Way
from ..faults.dependency import FailDependency
from ..faults.wait import LONGEST_SECONDS
from . import base
from .error_injection import BODY_SCHEMA, HEADERS_SCHEMA, body_of, headers_of

FaultName = Literal[
    "latency", "error", "throttle", "timeout", "refused", "reset", "dns", "tls", "lost_reply", "slow", "garbage"
]
DEFAULT_FAULT: FaultName = "error"
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

IS_AWS: Mapping[str, Any] = {"pattern": pattern_of("aws")}
FITS_DEPENDENCY: Mapping[str, Any] = {"code": IS_AWS, **{name: {"not": IS_AWS} for name in OF_HTTP}}
"""What a parameter asks of the dependency, as JSON Schema has it."""


def _asked_by(name: str) -> dict[str, Any]:
    """What a parameter asks of the others."""
    fault = BELONGS_TO[name]
    others: dict[str, Any] = {"fault": {"const": fault}}
    if name in FITS_DEPENDENCY:
        others["dependency"] = FITS_DEPENDENCY[name]
    return {"properties": others} if fault == DEFAULT_FAULT else {"properties": others, "required": ["fault"]}


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
        model_config = ConfigDict(
            json_schema_extra={"dependentSchemas": {name: _asked_by(name) for name in BELONGS_TO}}
        )

        percentage: float = Field(
            100.0,
            gt=0,
            le=100,
            description="Percentage of the outgoing calls to the dependency that the run may hit, chosen at random. "
            "Each attempt of a client's retries is a call.",
            examples=[20.0],
            json_schema_extra={"unit": "percent"},
        )
        dependency: Annotated[str, AfterValidator(_named)] = Field(
            min_length=1,
            max_length=LONGEST,
            description="What the outgoing calls are to that fail.",
            examples=["dynamodb:PutItem"],
            json_schema_extra={"pattern": pattern_of("aws", "http", "host"), "allowed": ALLOWED},
        )
        fault: FaultName = Field(
            DEFAULT_FAULT,
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
            json_schema_extra={"allowed": "a code of 1 to 100 letters, digits and . _ : -, which begins with a letter"},
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
            ge=0.1,
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
            given, dependency = self.model_fields_set, Dependency(self.dependency)
            for name in (name for name in BELONGS_TO if name in given):
                _check_fault(name, self.fault)
                _check_kind(name, dependency)
            if self.fault == "tls" and dependency.scheme == "http":
                problem = "cannot be tls with an address that begins with http://, where there is none: name https://"
                raise base.refusal("fault", f"{problem}, or choose another fault", "tls with an address of https")
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


def _check_fault(name: str, fault: str) -> None:
    """Raises where a parameter is for another fault."""
    wanted = BELONGS_TO[name]
    if fault != wanted:
        problem = f"is for the fault {wanted}, and this is {fault}: leave it out, or send {wanted} as fault"
        raise base.refusal(name, problem, f"with the fault {wanted}")


def _check_kind(name: str, dependency: Dependency) -> None:
    """Raises where a parameter is for another kind of dependency."""
    text, is_aws = dependency.text, dependency.kind == "aws"
    if name == "code" and not is_aws:
        problem = f"is for AWS services, and {text} is none: send status_code instead, or name an AWS service"
        raise base.refusal(name, problem, "with an AWS service as dependency, such as dynamodb")
    if name in OF_HTTP and is_aws:
        problem = f"is for HTTP, and {text} is an AWS service, whose errors have a code: send code instead"
        raise base.refusal(name, problem, "with an address or a host as dependency")


def _failure(fault: str, chosen: Mapping[str, Any]) -> Failure:
    return Failure(
        way=cast("Way", fault),
        code=chosen.get("code", ""),
        status=chosen.get("status_code", 0),
        headers=chosen.get("headers", {}),
        body=chosen.get("body"),
        bytes_per_second=chosen.get("bytes_per_second", BYTES_PER_SECOND),
    )
