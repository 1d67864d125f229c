"""From the bytes of a body to what an endpoint is asked for, or to every problem of it in one error."""

import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Self, TypeVar, cast

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from ..errors import BodyTooLarge, InvalidJson, InvalidParameters, MissingParameter, UnsupportedMediaType
from ..experiment import Experiment, Limits, Parameters
from ..experiments import LONGEST_SHOWN
from .http import MAX_BODY_BYTES

JSON = "application/json"
LONGEST_REASON = 100
"""In characters. What runs must stay small, because every environment reads it every second."""

MOST_ALARMS = 5
LONGEST_ALARM = 100

BOUNDS = ("max_error_rate", "p95_seconds")
"""Of a hypothesis; it has one at least."""

KINDS = {
    "object": "an object",
    "number": "a number",
    "integer": "a whole number",
    "boolean": "true or false",
    "string": "a text",
    "array": "a list",
}
"""JSON's types in words."""

CONTROL = "[\\u0000-\\u001f\\u007f-\\u009f]"


def _without_control(text: str) -> str:
    if re.search(CONTROL, text):
        raise PydanticCustomError("control", "has control characters")
    return text


OneLine = Annotated[str, AfterValidator(_without_control), Field(json_schema_extra={"not": {"pattern": CONTROL}})]
"""What somebody writes is shown in others' terminals."""

ModelT = TypeVar("ModelT", bound=BaseModel)
Problem = dict[str, Any]


class StopOptions(BaseModel):
    """What a stop says, and a start says too."""

    model_config = ConfigDict(strict=True, extra="forbid")

    experiment_name: str = Field(description="Which experiment.")
    reason: Annotated[OneLine, Field(max_length=LONGEST_REASON)] | None = Field(
        default=None, description="Why, for the history."
    )


class HypothesisOptions(BaseModel):
    """What is expected of the requests that no fault hits."""

    model_config = ConfigDict(
        strict=True,
        extra="forbid",
        allow_inf_nan=False,
        json_schema_extra={"anyOf": [{"required": [name]} for name in BOUNDS]},
    )

    max_error_rate: float = Field(
        default=cast("float", None), ge=0, le=1, description="The share of requests that may fail."
    )
    p95_seconds: float = Field(
        default=cast("float", None), gt=0, le=900, description="Within what time 95 of 100 are answered."
    )
    min_requests: int = Field(default=50, ge=1, le=1_000_000, description="With fewer nobody can tell.")
    abort: bool = Field(default=False, description="End the run when the hypothesis fails beyond chance.")

    @model_validator(mode="after")
    def _names_a_bound(self) -> Self:
        if not self.model_fields_set.intersection(BOUNDS):
            raise PydanticCustomError("no_bound", "names no bound")
        return self


class StartOptions(StopOptions):
    """What a start may say beside the parameters of the experiment."""

    restart: bool = Field(default=False, description="Replace the run that is running.")
    alarms: list[Annotated[OneLine, Field(min_length=1, max_length=LONGEST_ALARM)]] = Field(
        default=[], max_length=MOST_ALARMS, description="CloudWatch alarms, any of which in ALARM ends the run."
    )
    hypothesis: HypothesisOptions | None = Field(
        default=None, description="What is expected of the requests that no fault hits."
    )


class HaltOptions(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")

    reason: OneLine = Field(min_length=1, max_length=LONGEST_REASON, description="Why everything has to end.")


class ResumeOptions(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")

    reason: Annotated[OneLine, Field(max_length=LONGEST_REASON)] | None = Field(
        default=None, description="Why, for the history."
    )


def parse(body: bytes, headers: Mapping[str, str]) -> dict[str, Any]:
    """The JSON object in a body. Refuses what JSON does not know (NaN) and what it leaves open (a name twice)."""
    if len(body) > MAX_BODY_BYTES:
        raise BodyTooLarge(f"The body is too large; at most {MAX_BODY_BYTES} bytes are allowed.")
    content_type = headers.get("content-type", JSON).partition(";")[0].strip().lower()
    if content_type != JSON:
        raise UnsupportedMediaType(f"The content type must be {JSON}: send the header 'Content-Type: {JSON}'.")
    if not body.strip():
        raise InvalidJson("The body is empty; send a JSON object.")
    try:
        content = json.loads(
            body.decode("utf-8"), parse_constant=_refuse_constant, parse_float=_number, object_pairs_hook=_object
        )
    except RecursionError:
        raise InvalidJson("The body is nested too deeply; send a flat JSON object.") from None
    except ValueError as error:  # broken UTF-8, broken JSON, a number of a thousand digits
        raise InvalidJson(f"The body is not JSON: {error}.") from None
    if not isinstance(content, dict):
        raise InvalidJson('The body must be a JSON object, such as {"experiment_name": "latency_injection"}.')
    return content


def experiment_name(content: Mapping[str, Any], names: Sequence[str]) -> str:
    name = content.get("experiment_name")
    if name is None:
        raise MissingParameter(
            f"experiment_name is missing; it is one of {', '.join(names)}.",
            details=[{"field": "experiment_name", "problem": "is missing", "allowed": f"one of {', '.join(names)}"}],
        )
    if not isinstance(name, str):
        raise invalid([{"field": "experiment_name", "problem": "is no text", "allowed": f"one of {', '.join(names)}"}])
    return name


def start_parameters(
    content: Mapping[str, Any], experiment: Experiment, limits: Limits
) -> tuple[StartOptions, Parameters]:
    options_given = {name: content[name] for name in StartOptions.model_fields if name in content}
    given = {name: value for name, value in content.items() if name not in options_given}
    options, option_problems = _validated(StartOptions, options_given, options_schema(StartOptions))
    its_schema = schema(experiment, limits)
    defaults = {name: its_schema["properties"][name]["default"] for name in limits}
    parameters, problems = _validated(experiment.Parameters, {**defaults, **given}, its_schema)
    for name in limits:
        value, limit = given.get(name), its_schema["properties"][name]["maximum"]
        if isinstance(value, int | float) and value > limit and not any(p["field"] == name for p in problems):
            allowed = _allowed(its_schema["properties"][name])
            problems.append(
                {"field": name, "problem": f"is {value}, more than this environment allows", "allowed": allowed}
            )
    if options is None or parameters is None or problems:
        raise invalid(option_problems + problems)
    return options, parameters


def options_of(model: type[ModelT], content: Mapping[str, Any]) -> ModelT:
    """What the body of an endpoint says that starts nothing."""
    options, problems = _validated(model, dict(content), model.model_json_schema())
    if options is None:
        raise invalid(problems)
    return options


def invalid(problems: Sequence[Problem]) -> InvalidParameters:
    told = "; ".join(f"{p['field']} {p['problem']}, allowed is {p['allowed']}" for p in problems)
    return InvalidParameters(f"{told}.", details=problems)


def schema(experiment: Experiment, limits: Limits) -> dict[str, Any]:
    """The JSON Schema of the parameters, with the limits that hold here and now. No default is above its limit."""
    content = experiment.Parameters.model_json_schema()
    content.pop("title", None)
    for name, part in content["properties"].items():
        part.pop("title", None)
        if name in limits:
            limit = min(limits[name], part.get("maximum", limits[name]))
            part["maximum"] = math.floor(limit) if part["type"] == "integer" else limit
            part["default"] = min(part["default"], part["maximum"])
    return content


def options_schema(model: type[BaseModel]) -> dict[str, Any]:
    """A model's JSON Schema, with what it refers to in its place."""
    content = model.model_json_schema()
    parts = content.pop("$defs", {})

    def inlined(part: Any) -> Any:  # noqa: ANN401 - JSON
        if isinstance(part, dict):
            if "$ref" in part:
                return inlined(parts[part["$ref"].rpartition("/")[2]])
            dropped = [name for name in ("default",) if name in part and part[name] is None and "anyOf" not in part]
            return {name: inlined(each) for name, each in part.items() if name not in dropped}
        return [inlined(each) for each in part] if isinstance(part, list) else part

    made: dict[str, Any] = inlined(content)
    return made


def _validated(
    model: type[ModelT], given: dict[str, Any], its_schema: dict[str, Any]
) -> tuple[ModelT | None, list[Problem]]:
    try:
        return model.model_validate(given), []
    except ValidationError as error:
        return None, [_problem(detail, its_schema["properties"]) for detail in error.errors()]


def _problem(detail: Mapping[str, Any], properties: Mapping[str, Any]) -> Problem:
    name = str(detail["loc"][0])
    if len(detail["loc"]) > 1 and (inner := _object_of(properties.get(name, {}))):
        told = _problem({**detail, "loc": detail["loc"][1:]}, inner["properties"])
        return {**told, "field": f"{name}.{told['field']}"}
    if detail["type"] == "no_bound":
        return {"field": name, "problem": detail["msg"], "allowed": f"{' or '.join(BOUNDS)}, or both"}
    if detail["type"] == "extra_forbidden":
        return {"field": name[:LONGEST_SHOWN], "problem": "is unknown", "allowed": f"one of {', '.join(properties)}"}
    if detail["type"] == "control":
        return {"field": name, "problem": detail["msg"], "allowed": _allowed(properties[name])}
    if detail["type"] == "missing":
        return {"field": name, "problem": "is missing", "allowed": _allowed(properties[name])}
    message = detail["msg"].removeprefix("Input ").removeprefix("should be")
    return {
        "field": name,
        "problem": f"must be{message}" if message != detail["msg"] else message,
        "allowed": _allowed(properties[name]),
    }


def _object_of(part: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """What a field's schema says of an object, where it may be one."""
    return next((each for each in (part, *part.get("anyOf", ())) if "properties" in each), None)


def _allowed(part: Mapping[str, Any]) -> str:
    """A field's schema in words: "a number above 0, up to 3600 (seconds)"."""
    part = {**part, **next(iter(part.get("anyOf", ())), {})}
    kind = part.get("type", "")
    text = KINDS.get(kind, kind)
    if "exclusiveMinimum" in part:
        text += f" above {part['exclusiveMinimum']}"
    if "minimum" in part:
        text += f" from {part['minimum']}"
    if "maximum" in part:
        text += f"{' ' if 'minimum' in part else ', '}up to {part['maximum']}"
    if "maxLength" in part:
        text += f" of {part.get('minLength', 0)} to {part['maxLength']} characters"
    if "properties" in part:
        text += f" with {', '.join(part['properties'])}"
    if "maxItems" in part:
        text += f" of at most {part['maxItems']}, each {_allowed(part['items'])}"
    return f"{text} ({part['unit']})" if "unit" in part else text


def _object(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) < len(pairs):
        raise ValueError("a name stands in it twice")
    return content


def _number(text: str) -> float:
    """In JSON Schema 1.0 is a whole number."""
    number = float(text)
    return int(number) if number.is_integer() else number


def _refuse_constant(word: str) -> None:
    raise ValueError(f"{word} is no JSON number")
