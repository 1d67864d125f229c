"""The request that a preview is about, as an application gets it: what it may be, and the call that it makes."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, cast

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo, WithJsonSchema
from pydantic_core import PydanticCustomError

from ..runs.condition import HEADER, NO_PATH, Text, refused
from ..runs.target import METHOD, TWICE
from .query import CURSOR
from .requests import options_of

PATH = Text(
    allowed="a decoded path such as /orders/1",
    pattern="^/",
    refused=NO_PATH,
    longest=2000,
)
NOT_IN_A_HEADER = "[^\\t -~\\u00a0-\\u00ff]"
TEXTS = "a text, or a list of texts"


def _by_name(names: Mapping[str, Any], values: Mapping[str, Any], allowed: str) -> WithJsonSchema:
    return WithJsonSchema(
        {"type": "object", "propertyNames": names, "additionalProperties": values, "allowed": allowed}
    )


def _as_received(headers: dict[str, str]) -> dict[str, str]:
    """By the names in lower case, without the blanks around values, which no server hands on."""
    received = {name.lower(): value.strip(" \t") for name, value in headers.items()}
    if len(received) < len(headers):
        raise refused("it has a name twice, since capitals make no difference; keep one of the two", kind=TWICE)
    return received


def _header_value(text: str) -> str:
    if re.search(NOT_IN_A_HEADER, text):
        raise refused("no header has such characters; leave line ends and what is not in ISO 8859-1 out")
    return text


def _as_list(values: Any) -> Any:  # noqa: ANN401 - JSON
    return [values] if isinstance(values, str) else values


Headers = Annotated[
    dict[Annotated[str, AfterValidator(HEADER.check)], Annotated[str, AfterValidator(_header_value)]],
    AfterValidator(_as_received),
    _by_name(
        {**HEADER.schema(), "allowed": HEADER.allowed},
        {"type": "string", "not": {"pattern": NOT_IN_A_HEADER}, "allowed": "a text in one line"},
        "an object of names of headers, each with its value",
    ),
]
Query = Annotated[
    dict[str, Annotated[list[str], BeforeValidator(_as_list)]],
    _by_name(
        {"type": "string"},
        {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}], "allowed": TEXTS},
        f"an object of names, each with {TEXTS}",
    ),
]


def _path(text: str, info: ValidationInfo) -> str:
    if text:
        return PATH.check(text)
    if "event" in info.data and info.data["event"] is None:
        raise PydanticCustomError("missing", "Field required")
    return text


class DescribedRequest(BaseModel):
    """A request, or another event, as an application gets it."""

    model_config = ConfigDict(
        strict=True,
        frozen=True,
        extra="forbid",
        json_schema_extra={"anyOf": [{"required": ["path"]}, {"required": ["event"]}]},
    )

    event: dict[str, Any] = Field(
        default=cast("dict[str, Any]", None),
        description="Event of an invocation, where there is no `path`; or the one that brought the request.",
        examples=[{"Records": [{"eventSource": "aws:sqs", "body": "1"}]}],
    )
    method: Annotated[str, AfterValidator(METHOD.check), METHOD.published()] = Field(
        default="GET", description="HTTP method.", examples=["GET"]
    )
    path: Annotated[str, AfterValidator(_path), PATH.published()] = Field(
        default="",
        validate_default=True,
        description="Path, decoded, without the query. Left out for an `event` that is no request.",
        examples=["/orders/1"],
    )
    headers: Headers = Field(default={}, description="Headers by their names.", examples=[{"x-tenant": "acme"}])
    query: Query = Field(default={}, description="Query by its names, decoded.", examples=[{"debug": "1"}])
    function: str | None = Field(
        default=None,
        description="Name of the Lambda function that gets the request; empty for an application that is not in "
        "Lambda. If left out, whether `target.functions` matches is unknown.",
        examples=["billing-prod-APIHandler"],
    )

    @property
    def call(self) -> "DescribedCall":
        """As what passes a boundary."""
        if self.path:
            return DescribedCall(self.path, self.method, self.headers, self.query, self.event)
        return DescribedCall(self.function or "", event=self.event, kind="invocation")


class Described(BaseModel):
    """What a preview needs beside the body of a start."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")

    request: DescribedRequest = Field(description="The request that is previewed, as an application gets it.")


class PreviewOfRun(Described):
    """A run that there is, and a request."""

    run_id: str = Field(
        description="Id of the run, from `GET /list` or `GET /history`.", json_schema_extra={"pattern": CURSOR}
    )


def divided(content: Mapping[str, Any]) -> tuple[Described, Mapping[str, Any]]:
    """What is previewed with which request, and the body of the start; empty for a run. Raises InvalidParameters."""
    if "run_id" in content:
        return options_of(PreviewOfRun, content), {}
    own = {name: content[name] for name in Described.model_fields if name in content}
    return options_of(Described, own), {name: value for name, value in content.items() if name not in own}


@dataclass(frozen=True, slots=True)
class DescribedCall:
    """A described request, as what passes a boundary."""

    name: str
    method: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    queries: Mapping[str, Sequence[str]] = field(default_factory=dict)
    event: Mapping[str, Any] | None = None
    kind: Literal["request", "invocation"] = "request"
    remaining_seconds: float = math.inf
    timeout_seconds: float = math.inf
    is_client_gone: bool = False
    gateway: None = None
    workers: None = None

    def header(self, name: str) -> str | None:
        return self.headers.get(name)

    def query(self, name: str) -> Sequence[str]:
        return self.queries.get(name, ())
