"""Which calls a run may hit, declared once: the request, what is stored, echoed and published are made of this model.

It needs pydantic, so it is imported only where a run starts, is shown or is compiled: never by a process in which
nothing runs. What it is compiled to, a `Matcher`, needs none.
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Annotated, Any, NamedTuple, Protocol, Self, cast

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, WithJsonSchema, model_validator
from pydantic_core import PydanticCustomError

from ..globs import glob
from ..paths import ALLOWED_PATH, PathSet
from .condition import (
    EVENT_PATH,
    HEADER,
    IN_EVENT,
    IN_HEADER,
    IN_QUERY,
    LONGEST_NAME,
    MOST_ITEMS,
    NO_PATH,
    QUERY_NAME,
    Text,
    check_condition,
    compiled,
    condition_schema,
    refused,
)
from .event_path import reader
from .key import Keyed

MOST_NAMES = 10
"""Of headers, and of names in the query."""

LONGEST_TARGET = 2000
"""In characters, as JSON. What runs must stay small, because every environment reads it every second."""

WHOLE = 100.0
HASH_BYTES = 8
INVOCATION = "invocation"

TOO_LONG, TWICE, CREDENTIAL = "target_too_long", "name_twice", "credential"
"""The kinds of the problems that the JSON Schema cannot express."""

CREDENTIALS = {"authorization", "proxy-authorization"}
"""Headers whose value is kept by no run: every viewer could read it."""


# What a call, an environment and a criterion are


class Requested(Keyed, Protocol):
    """A call, as far as a target is concerned."""

    @property
    def name(self) -> str:
        """The decoded path."""

    @property
    def kind(self) -> str:
        """Whether it is a request or an invocation."""

    @property
    def method(self) -> str:
        """The HTTP method, in upper case."""

    @property
    def event(self) -> Any:  # noqa: ANN401 - JSON
        """What invoked the handler; None where nothing did."""


class Check(NamedTuple):
    """One thing that a call must be: `allowed` as in the start, `seen` what a call has there, as JSON."""

    name: str
    allowed: Any
    matches: Callable[[Requested], bool]
    seen: Callable[[Requested], Any]


class Matcher:
    """Whether a call is in the target: whether it meets all `criteria`, which are in the order of their cost."""

    __slots__ = ("_matches", "criteria")

    def __init__(self, criteria: Sequence[Check]) -> None:
        self.criteria = tuple(criteria)
        self._matches = tuple(each.matches for each in criteria)

    def matches(self, call: Requested) -> bool:
        for matches in self._matches:  # noqa: SIM110 - every request passes here, and all() costs twice as much
            if not matches(call):
                return False
        return True


class Environment(NamedTuple):
    """One environment, in one run. `function` is the name of its Lambda function; empty elsewhere."""

    run_id: str
    name: str
    function: str


def _every_call(_content: object) -> Sequence[Check]:
    return ()


def _every_environment(_content: object, _environment: Environment) -> bool:
    return True


class Criterion(NamedTuple):
    """What a field of a target says: of calls (`checks`), or of environments (`has`). With both, one is enough."""

    checks: Callable[[Any], Sequence[Check]] = _every_call
    has: Callable[[Any, Environment], bool] = _every_environment

    @property
    def is_of_environments(self) -> bool:
        """Whether environments alone meet it."""
        return self.checks is _every_call


# The criteria


def _methods(methods: list[str]) -> Sequence[Check]:
    known = frozenset(methods)
    return (Check("target.methods", methods, lambda call: call.method in known, lambda call: call.method),)


def _paths(paths: list[str]) -> Sequence[Check]:
    known = PathSet(paths)
    return (Check("target.paths", paths, lambda call: call.name in known, lambda call: call.name),)


def _headers(headers: Mapping[str, Any]) -> Sequence[Check]:
    return [_header(name, condition) for name, condition in headers.items()]


def _header(name: str, condition: Any) -> Check:  # noqa: ANN401 - JSON
    test = compiled(condition)
    return Check(
        f"target.headers.{name}", condition, lambda call: test(call.header(name)), lambda call: call.header(name)
    )


def _query(names: Mapping[str, Any]) -> Sequence[Check]:
    return [_query_name(name, condition) for name, condition in names.items()]


def _query_name(name: str, condition: Any) -> Check:  # noqa: ANN401 - JSON
    test = compiled(condition)

    def matches(call: Requested) -> bool:
        values = call.query(name)
        return any(map(test, values)) if values else test(None)

    return Check(f"target.query.{name}", condition, matches, lambda call: list(call.query(name)))


def _event(paths: Mapping[str, Any]) -> Sequence[Check]:
    return [_value(path, condition) for path, condition in paths.items()]


def _value(path: str, condition: Any) -> Check:  # noqa: ANN401 - JSON
    test, read = compiled(condition), reader(path)
    return Check(f"target.event.{path}", condition, lambda call: test(read(call.event)), lambda call: read(call.event))


def _functions(functions: list[str]) -> Sequence[Check]:
    """Where the environment is no such function: work of such a name."""
    globs = [glob(each) for each in functions]

    def matches(call: Requested) -> bool:
        return call.kind == INVOCATION and any(each(call.name) for each in globs)

    return (Check("target.functions", functions, matches, lambda call: call.name),)


def _has_function(functions: list[str], environment: Environment) -> bool:
    return bool(environment.function) and any(glob(each)(environment.function) for each in functions)


def _has_share(percentage: float, environment: Environment) -> bool:
    return _place(environment.run_id, environment.name) * WHOLE < percentage


def _place(run_id: str, environment: str) -> float:
    """Where the environment stands in this run, from 0 up to, not including, 1: spread evenly, anew for each run."""
    digest = hashlib.sha256(f"{run_id} {environment}".encode()).digest()
    return int.from_bytes(digest[:HASH_BYTES]) / float(2 ** (8 * HASH_BYTES))


CRITERIA: Mapping[str, Criterion] = {
    "methods": Criterion(checks=_methods),
    "paths": Criterion(checks=_paths),
    "headers": Criterion(checks=_headers),
    "query": Criterion(checks=_query),
    "event": Criterion(checks=_event),
    "functions": Criterion(checks=_functions, has=_has_function),
    "environments_percentage": Criterion(has=_has_share),
}
"""The fields of a target, of which at least one is required; the cheapest of those about calls first."""

OF_ENVIRONMENTS = frozenset(name for name, each in CRITERIA.items() if each.has is not _every_environment)
"""The criteria that say which environments may hit anything."""


# What their texts may be

METHOD = Text(
    allowed="an HTTP method in upper case, such as GET",
    pattern="^[A-Z][A-Z_-]*$",
    refused={
        "[a-z]": "methods are in upper case; send it so",
        "[^A-Z_-]|^[^A-Z]": "a method has letters, - and _; send each method as an item of its own",
    },
    longest=20,
)
PATH = Text(
    allowed=ALLOWED_PATH,
    pattern="^/",
    refused={
        **NO_PATH,
        "//": "it has a segment without characters; leave one slash out",
        "/[.][.]?(/|$)": "clients resolve . and .. before they ask; send the path that it leads to",
        "[^/][*]|[*][^/]": "* stands for a whole segment; send it between slashes, or at the end after one",
        "[*]/$": "at the end * is everything below; leave the last slash out",
    },
)
FUNCTION = Text(
    allowed="the name of a Lambda function, in which * is any characters, such as billing-*",
    pattern="^[A-Za-z0-9_.*-]+$",
    refused={
        ":": "send the name of the function alone, not its ARN, its version or its alias",
        "[^A-Za-z0-9_.*-]": "such names have letters, digits, -, . and _",
    },
    longest=LONGEST_NAME,
)


def _named(names: Text, texts: Mapping[str, Text], what: str) -> WithJsonSchema:
    """The JSON Schema of conditions by name."""
    return WithJsonSchema(
        {
            "type": "object",
            "propertyNames": {**names.schema(), "allowed": f"an object in which each name is {names.allowed}"},
            "additionalProperties": condition_schema(texts),
            "minProperties": 1,
            "maxProperties": MOST_NAMES,
            "allowed": f"an object of 1 to {MOST_NAMES} {what}, each with a condition",
        }
    )


def _counted(conditions: dict[str, Any]) -> dict[str, Any]:
    if not 0 < len(conditions) <= MOST_NAMES:
        raise refused(f"it has {len(conditions)}; send 1 to {MOST_NAMES}, or leave the field out")
    return conditions


def _by_header(conditions: dict[str, Any]) -> dict[str, Any]:
    """By the name in lower case, as calls are asked."""
    lower = {name.lower(): condition for name, condition in conditions.items()}
    if len(lower) < len(conditions):
        raise refused("it has a name twice, since capitals make no difference; keep one of the two", kind=TWICE)
    for name in CREDENTIALS & lower.keys():
        if not (isinstance(lower[name], dict) and "exists" in lower[name]):
            why = f'every viewer could read the value of {name}; send {{"exists": true}}, or use another header'
            raise refused(why, kind=CREDENTIAL)
    return lower


Method = Annotated[str, AfterValidator(METHOD.check), METHOD.published()]
Path = Annotated[str, AfterValidator(PATH.check), PATH.published()]
Function = Annotated[str, AfterValidator(FUNCTION.check), FUNCTION.published()]
Headers = Annotated[
    dict[
        Annotated[str, AfterValidator(HEADER.check)],
        Annotated[Any, AfterValidator(partial(check_condition, IN_HEADER))],
    ],
    AfterValidator(_counted),
    AfterValidator(_by_header),
    _named(HEADER, IN_HEADER, "headers"),
]
Query = Annotated[
    dict[
        Annotated[str, AfterValidator(QUERY_NAME.check)],
        Annotated[Any, AfterValidator(partial(check_condition, IN_QUERY))],
    ],
    AfterValidator(_counted),
    _named(QUERY_NAME, IN_QUERY, "fields of the query"),
]


Event = Annotated[
    dict[
        Annotated[str, AfterValidator(EVENT_PATH.check)],
        Annotated[Any, AfterValidator(partial(check_condition, IN_EVENT))],
    ],
    AfterValidator(_counted),
    _named(EVENT_PATH, IN_EVENT, "paths"),
]


class Target(BaseModel):
    """Which calls the run may hit; all others stay untouched, and are counted as such. All criteria must match."""

    model_config = ConfigDict(
        strict=True,
        frozen=True,
        extra="forbid",
        allow_inf_nan=False,
        json_schema_extra={"anyOf": [{"required": [name]} for name in CRITERIA]},
    )

    methods: Annotated[list[Method], Field(min_length=1, max_length=MOST_ITEMS)] = Field(
        default=cast("list[str]", None),
        description="HTTP methods, any of which the request has. HEAD is not GET.",
        examples=[["GET"], ["POST", "PUT"]],
    )
    paths: Annotated[list[Path], Field(min_length=1, max_length=MOST_ITEMS)] = Field(
        default=cast("list[str]", None),
        description="Paths, decoded, any of which the request has. /orders/* is everything below /orders; in the "
        "middle * is one segment: /orders/*/items.",
        examples=[["/orders/*"], ["/orders/*/items", "/cart"]],
    )
    headers: Headers = Field(
        default=cast("dict[str, Any]", None),
        description="Headers, each with a condition that its value meets. Capitals make no difference in names, and "
        "do in values.",
        examples=[{"x-tenant": "acme", "x-beta": {"exists": True}, "user-agent": [{"prefix": "curl/"}]}],
    )
    query: Query = Field(
        default=cast("dict[str, Any]", None),
        description="Fields of the query, each with a condition that one of its values meets.",
        examples=[{"debug": "1"}, {"region": ["eu", {"glob": "eu-*"}]}],
    )
    event: Event = Field(
        default=cast("dict[str, Any]", None),
        description="Values in the event of an invocation, by their dotted paths, each with a condition. Numbers are "
        "places in lists, and what is no text is compared as JSON. What is no invocation has no event.",
        examples=[{"Records.0.eventSource": "aws:sqs", "detail.type": {"prefix": "order"}}],
    )
    functions: Annotated[list[Function], Field(min_length=1, max_length=MOST_ITEMS)] = Field(
        default=cast("list[str]", None),
        description="Names of Lambda functions, any of which serves the call, or of background work, any of which it "
        "is; * is any characters. Requests outside of Lambda are not hit.",
        examples=[["billing-*"]],
    )
    environments_percentage: float = Field(
        default=cast("float", None),
        gt=0,
        le=WHOLE,
        description="Share of the environments in which the run hits anything, in percent. Each environment is chosen "
        "by a hash of the run and itself, once for the whole run.",
        examples=[50.0],
        json_schema_extra={"unit": "percent"},
    )

    @model_validator(mode="after")
    def _names_a_criterion(self) -> Self:
        if not self.model_fields_set.intersection(CRITERIA):
            raise PydanticCustomError("no_criterion", "names no criterion")
        if (length := len(json.dumps(dict(self._chosen()), ensure_ascii=False))) > LONGEST_TARGET:
            why = (
                f"it has {length} characters as JSON; send at most {LONGEST_TARGET}, for example by a glob or a prefix"
            )
            raise refused(why, kind=TOO_LONG)
        return self

    @classmethod
    def stored(cls, content: Any) -> Self | None:  # noqa: ANN401 - whatever another version has stored
        """A target from the table. Raises ValueError for one that this version cannot read: it would hit too much."""
        return None if content is None else cls.model_validate(content)

    def has_environment(self, run_id: str, environment: str, function: str = "") -> bool:
        """Whether the run may hit calls of this environment. The same answer for as long as the run lasts."""
        here = Environment(run_id, environment, function)
        return all(
            CRITERIA[name].has(content, here) for name, content in self._chosen() if CRITERIA[name].is_of_environments
        )

    def has_function(self, function: str) -> bool:
        """Whether calls that a function of that name serves are in it, as far as that goes."""
        return self.functions is None or _has_function(self.functions, Environment("", "", function))

    def matcher(self, function: str | None = "") -> Matcher | None:
        """How calls are matched in a function of that name; None where the target says nothing about calls there.

        The function None is any that the target names.
        """
        is_function = function is None or self.has_function(function)
        chosen = [(name, content) for name, content in self._chosen() if name != "functions" or not is_function]
        checks = [check for name, content in chosen for check in CRITERIA[name].checks(content)]
        return Matcher(checks) if checks else None

    def _chosen(self) -> Iterator[tuple[str, Any]]:
        """The criteria that it has, in their order."""
        return ((name, getattr(self, name)) for name in CRITERIA if name in self.model_fields_set)
