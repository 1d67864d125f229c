import json
import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal, Self, cast

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema, model_validator

from ..faults.answer import Answer
from ..faults.base import Fault
from ..faults.records import FailRecords
from ..faults.replace import Replace
from . import base

STATUS, MESSAGE = 500, "Chaos experiment: injected error"
"""Of an error that says nothing else."""

MOST_HEADERS, LONGEST_NAME, LONGEST_VALUE = 10, 64, 200
MOST_BODY_BYTES = 1024

NAME = "[A-Za-z0-9!#$%&'*+.^_`|~-]+"
"""RFC 9110's token."""

VALUE = "[!-~]([ -~]*[!-~])?"
"""Visible ASCII, with spaces within: no line can end in it, and no other header begin."""

OURS = "x-chaos-"
FRAMING = {
    "connection",
    "content-length",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
}
"""Headers of the connection, and of how a message is framed, which are the server's."""


CONTROL = "[\\x00-\\x1f\\x7f-\\x9f\\u2028\\u2029]"


def one_line(text: str) -> str:
    """The text, if it is one. Raises ValueError."""
    if re.search(CONTROL, text):
        raise ValueError("has control characters")
    return text


def _header_problem(name: object, value: object) -> str | None:
    """Why there can be no such header."""
    if not isinstance(name, str) or len(name) > LONGEST_NAME or not re.fullmatch(NAME, name):
        return f"must have names of 1 to {LONGEST_NAME} letters, digits and hyphens; got {str(name)[:LONGEST_NAME]!r}"
    if name.lower() in FRAMING or name.lower().startswith(OURS):
        return f"cannot have {name}, which the server or this module sets: leave it out"
    if not isinstance(value, str) or len(value) > LONGEST_VALUE or not re.fullmatch(VALUE, value):
        return f"must have a text of 1 to {LONGEST_VALUE} printable ASCII characters as {name}"
    return None


def headers_of(given: object) -> dict[str, str]:
    """The headers, if each is allowed."""
    allowed = f"an object of at most {MOST_HEADERS} headers, each a text"
    if not isinstance(given, Mapping) or len(given) > MOST_HEADERS:
        got = f"{len(given)} headers" if isinstance(given, Mapping) else "none"
        raise base.refusal("headers", f"must be {allowed}; got {got}", allowed)
    for name, value in given.items():
        if problem := _header_problem(name, value):
            raise base.refusal("headers", problem, allowed)
    if len({name.lower() for name in given}) < len(given):
        raise base.refusal("headers", "must have each name once, in upper or lower case", allowed)
    return dict(given)


def body_of(given: object) -> str | dict[str, Any] | list[Any]:
    """The body, if it is a text or JSON, and short."""
    allowed = f"a text, an object or a list of at most {MOST_BODY_BYTES} bytes (1 KB)"
    if not isinstance(given, str | dict | list):
        raise base.refusal("body", f"must be {allowed}", allowed)
    try:
        size = len(rendered(given).encode())
    except ValueError:  # half a character, NaN
        raise base.refusal("body", f"must be {allowed}; this cannot be sent in UTF-8", allowed) from None
    if size > MOST_BODY_BYTES:
        raise base.refusal("body", f"must be {allowed}; got {size} bytes", allowed)
    return given


def rendered(body: Any) -> str:  # noqa: ANN401 - JSON
    """A body as it is sent."""
    return body if isinstance(body, str) else json.dumps(body, allow_nan=False)


HEADERS_SCHEMA: dict[str, Any] = {
    "type": "object",
    "maxProperties": MOST_HEADERS,
    "propertyNames": {"pattern": f"^{NAME}$", "maxLength": LONGEST_NAME},
    "additionalProperties": {"type": "string", "pattern": f"^{VALUE}$", "maxLength": LONGEST_VALUE},
}
BODY_SCHEMA: dict[str, Any] = {
    "anyOf": [{"type": "string", "maxLength": MOST_BODY_BYTES}, {"type": "object"}, {"type": "array"}]
}


RECORDS = "record_percentage"
OF_ANSWERS = frozenset(("status_code", "message", "headers", "body"))
"""The parameters that records which fail do not have."""


class ErrorInjection(base.Experiment):
    """Answer a share of the requests with an error, as a failing application would."""

    name = "error_injection"

    class Parameters(base.Parameters):
        error_rate: float = Field(
            0.1,
            ge=0,
            le=1,
            description="Share of the affected requests that are answered with an error: 0.1 is 10 %.",
            examples=[0.1],
            json_schema_extra={"unit": "share"},
        )
        record_percentage: float = Field(
            default=cast("float", None),
            gt=0,
            le=100,
            description="Instead of errors: this percentage of the records of a batch of SQS, Kinesis or a DynamoDB "
            "stream is reported as failed, in batchItemFailures. The function must have ReportBatchItemFailures, or "
            "they are lost. What is no batch is not hit. The error rate is then 1, if it is not set.",
            examples=[20.0],
            json_schema_extra={"unit": "percent"},
        )
        status_code: int = Field(
            default=cast("int", None),
            ge=400,
            le=599,
            description=f"Status of the errors. If it is not set, {STATUS}.",
            examples=[503],
            json_schema_extra={"unit": "HTTP status"},
        )
        message: Annotated[str, AfterValidator(one_line)] = Field(
            default=cast("str", None),
            min_length=1,
            max_length=LONGEST_VALUE,
            json_schema_extra={"not": {"pattern": CONTROL}},
            description=f"Message of the errors, in the envelope. If it is not set, {MESSAGE!r}.",
            examples=["Out of stock"],
        )
        headers: Annotated[dict[str, str], BeforeValidator(headers_of), WithJsonSchema(HEADERS_SCHEMA)] = Field(
            default=cast("dict[str, str]", None),
            description="Headers of the errors. Not those of the connection or of framing, Content-Length and "
            "X-Chaos-*, which the server and this module set.",
            examples=[{"Retry-After": "120"}],
        )
        body: Annotated[Any, BeforeValidator(body_of), WithJsonSchema(BODY_SCHEMA)] = Field(
            default=None,
            description=f"Body of the errors: a text, or JSON, of at most {MOST_BODY_BYTES} bytes. If it is not set, "
            "the envelope of this API.",
            examples=["Service Unavailable"],
        )
        when: Literal["instead", "after"] = Field(
            default=cast("Literal['instead', 'after']", None),
            description="instead: the application is not called. after: it does its work, once, and its answer is "
            "lost, as a client's retries find out. If it is not set, instead.",
            examples=["after"],
        )

        @model_validator(mode="before")
        @classmethod
        def _all_batches(cls, content: Any) -> Any:  # noqa: ANN401 - whatever is sent
            """Of records that fail one by one, the share of the calls is no second dice."""
            if isinstance(content, Mapping) and content.get(RECORDS) is not None:
                return {"error_rate": 1.0, **content}
            return content

        @model_validator(mode="after")
        def _is_of_records_alone(self) -> Self:
            """Raises where what is reported as failed is to have an answer."""
            if RECORDS in self.model_fields_set and (said := OF_ANSWERS & self.model_fields_set):
                raise base.refusal(
                    min(said),
                    "cannot be with record_percentage, since records have no answer: leave one of them out",
                    "without record_percentage",
                )
            return self

        @model_validator(mode="after")
        def _agrees(self) -> Self:
            """Raises where two parameters contradict each other."""
            if {"message", "body"} <= self.model_fields_set:
                raise base.refusal(
                    "message", "cannot be with body, which takes its place: leave one of them out", "without body"
                )
            return self

    def faults(self, parameters: Parameters) -> Iterator[Fault]:
        chosen: Mapping[str, Any] = parameters.model_dump(exclude_none=True)
        after = chosen.get("when") == "after"
        if RECORDS in chosen:
            yield FailRecords(share=parameters.error_rate, percentage=chosen[RECORDS], after=after)
            return
        kind = Replace if after else Answer
        yield kind(
            share=parameters.error_rate,
            status=chosen.get("status_code", STATUS),
            code="injected_error",
            message=chosen.get("message", MESSAGE),
            headers=chosen.get("headers", {}),
            body=chosen.get("body"),
        )
