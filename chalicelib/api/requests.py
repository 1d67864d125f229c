"""From the bytes of a body to what an endpoint is asked for, or to every problem of it in one error."""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ..errors import BodyTooLarge, InvalidJson, InvalidParameters, MissingParameter, UnsupportedMediaType
from ..experiments import LONGEST_SHOWN
from ..experiments.base import Experiment, Limits, Parameters
from ..runs.options import BOUNDS, LONGEST_REASON, WHY, OneLine, Reason, StartOptions
from .http import MAX_BODY_BYTES

JSON = "application/json"
KINDS = {
    "object": "an object",
    "number": "a number",
    "integer": "a whole number",
    "boolean": "true or false",
    "string": "a string",
    "array": "a list",
}
"""JSON's types in words."""

UNITS = {"share": "a share: 0.1 is 10 %"}
"""What a unit means, where its name does not say it."""

ModelT = TypeVar("ModelT", bound=BaseModel)
Problem = dict[str, Any]


class Named(BaseModel):
    """A request that names an experiment."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")

    experiment_name: str = Field(
        description="Name of the experiment, from `available_experiments` of `GET /list`.",
        examples=["latency_injection"],
    )


class StopOptions(Named):
    """Which experiment to stop, and why."""

    reason: Reason | None = Field(default=None, description=WHY, examples=["Game day: slow payments"])


class StartRequest(StartOptions, Named):
    """What to start: the options that are stored with the run, and those that concern the request alone."""

    restart: bool = Field(
        default=False, description="Replace the run of this experiment that is running, instead of answering 409."
    )


class HaltOptions(BaseModel):
    """Why everything is halted."""

    model_config = ConfigDict(strict=True, extra="forbid")

    reason: OneLine = Field(
        min_length=1, max_length=LONGEST_REASON, description=WHY, examples=["Orders are being lost"]
    )


class ResumeOptions(BaseModel):
    """Why experiments may be started again."""

    model_config = ConfigDict(strict=True, extra="forbid")

    reason: Reason | None = Field(default=None, description=WHY, examples=["The cause was a deployment"])


def parse(body: bytes, headers: Mapping[str, str]) -> dict[str, Any]:
    """The JSON object in a body. Refuses what JSON does not know (NaN) and what it leaves open (a name twice)."""
    if len(body) > MAX_BODY_BYTES:
        raise BodyTooLarge(f"The body must be at most {MAX_BODY_BYTES} bytes (16 KB). Send a shorter one.")
    content_type = headers.get("content-type", JSON).partition(";")[0].strip().lower()
    if content_type != JSON:
        raise UnsupportedMediaType(f"The header Content-Type must be {JSON}; got {shown(content_type)}.")
    if not body.strip():
        raise InvalidJson("The body is empty. Send a JSON object.")
    try:
        content = json.loads(
            body.decode("utf-8"), parse_constant=_refuse_constant, parse_float=_number, object_pairs_hook=_object
        )
    except RecursionError:
        raise InvalidJson("The body is nested too deeply. Send a flat JSON object.") from None
    except UnicodeDecodeError as error:
        raise InvalidJson(f"The body is not UTF-8: byte {error.start + 1} is not valid. Send JSON in UTF-8.") from None
    except json.JSONDecodeError as error:
        what = error.msg.partition(" (")[0]  # without Python's advice
        raise InvalidJson(f"The body is not valid JSON: {what}: line {error.lineno} column {error.colno}.") from None
    except ValueError:
        raise InvalidJson("The body has a number with too many digits.") from None
    if not isinstance(content, dict):
        raise InvalidJson(f"The body must be a JSON object; got {shown(content)}.")
    return content


def experiment_name(content: Mapping[str, Any], names: Sequence[str]) -> str:
    name = content.get("experiment_name")
    allowed = f"one of {', '.join(names)}"
    if name is None:
        problem = missing("experiment_name", allowed)
        raise MissingParameter(told([problem]), details=[problem])
    if not isinstance(name, str):
        raise invalid([wrong("experiment_name", allowed, shown(name))])
    return name


def start_parameters(
    content: Mapping[str, Any], experiment: Experiment, limits: Limits
) -> tuple[StartRequest, Parameters]:
    options_given = {name: content[name] for name in StartRequest.model_fields if name in content}
    given = {name: value for name, value in content.items() if name not in options_given}
    fields_of_options = options_schema(StartRequest)["properties"]
    options, option_problems = _validated(StartRequest, options_given, fields_of_options)
    fields = schema(experiment, limits)["properties"]
    defaults = {name: fields[name]["default"] for name in limits}
    parameters, problems = _validated(experiment.Parameters, {**defaults, **given}, {**fields, **fields_of_options})
    for name in limits:
        value, limit = given.get(name), fields[name]["maximum"]
        if isinstance(value, int | float) and value > limit and not any(p["field"] == name for p in problems):
            problems.append(wrong(name, _allowed(fields[name]), shown(value), where=" in this stage and environment"))
    if options is None or parameters is None or problems:
        raise invalid(option_problems + problems)
    return options, parameters


def options_of(model: type[ModelT], content: Mapping[str, Any]) -> ModelT:
    """What the body of an endpoint says that starts nothing."""
    options, problems = _validated(model, dict(content), model.model_json_schema()["properties"])
    if options is None:
        raise invalid(problems)
    return options


def wrong(field: str, allowed: str, got: str, *, where: str = "") -> Problem:
    """A value that a field cannot have."""
    return {"field": field, "problem": f"must be {allowed}{where}; got {got}", "allowed": allowed}


def missing(field: str, allowed: str) -> Problem:
    return {"field": field, "problem": f"is missing; it must be {allowed}", "allowed": allowed}


def unknown(field: str, known: Iterable[str]) -> Problem:
    allowed = f"one of {', '.join(known)}"
    return {"field": field[:LONGEST_SHOWN], "problem": f"is not a known field; use {allowed}", "allowed": allowed}


def told(problems: Sequence[Problem]) -> str:
    return " ".join(f"{each['field']} {each['problem']}." for each in problems)


def invalid(problems: Sequence[Problem]) -> InvalidParameters:
    return InvalidParameters(told(problems), details=problems)


def shown(value: Any) -> str:  # noqa: ANN401 - JSON
    """A caller's value in a message: short ones as JSON, long ones in words, control characters escaped."""
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return f"a list of {len(value)}"
    if isinstance(value, str) and len(value) > LONGEST_SHOWN:
        return f"a string of {len(value)} characters"
    text = json.dumps(value)
    return text if len(text) <= 2 * LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]}…"


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
    model: type[ModelT], given: dict[str, Any], properties: Mapping[str, Any]
) -> tuple[ModelT | None, list[Problem]]:
    """`properties` are those of the schema that a caller knows, by which problems are described."""
    try:
        return model.model_validate(given), []
    except ValidationError as error:
        return None, [_problem(detail, properties) for detail in error.errors(include_url=False, include_context=False)]


def _problem(detail: Mapping[str, Any], properties: Mapping[str, Any]) -> Problem:
    """Of pydantic's errors only the place, the kind and the input are used: the words are ours."""
    name, *inside = detail["loc"]
    if inside and (inner := _object_of(properties.get(name, {}))):
        problem = _problem({**detail, "loc": inside}, inner["properties"])
        return {**problem, "field": f"{name}.{problem['field']}"}
    kind, value = detail["type"], detail["input"]
    if kind == "extra_forbidden":
        return unknown(name, properties)
    if kind == "missing":
        return missing(name, _allowed(properties[name]))
    if kind == "no_bound":
        return wrong(name, f"an object with {' or '.join(BOUNDS)}, or both", "neither")
    got = shown(value)
    if isinstance(value, str) and _schema_of(properties[name])["type"] != "string" and not inside:
        got = f"the string {got}"
    if inside:
        got += f" as item {inside[0] + 1}"
    return wrong(name, _allowed(properties[name]), got)


def _schema_of(part: Mapping[str, Any]) -> Mapping[str, Any]:
    """A field's schema, also where it may be null besides."""
    return {**part, **next(iter(part.get("anyOf", ())), {})}


def _object_of(part: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """What a field's schema says of an object, where it may be one."""
    return next((each for each in (part, *part.get("anyOf", ())) if "properties" in each), None)


def _allowed(part: Mapping[str, Any]) -> str:
    """A field's schema in words: "a number greater than 0 and at most 3600 (seconds)"."""
    part = _schema_of(part)
    text = KINDS[part["type"]] + _bounds(part)
    if "maxLength" in part:
        text += f" of {part.get('minLength', 0)} to {part['maxLength']} characters"
    if "not" in part:
        text += " in one line, without control characters"
    if "properties" in part:
        text += f" with {', '.join(part['properties'])}"
    if "maxItems" in part:
        text += f" of at most {part['maxItems']}, each {_allowed(part['items'])}"
    if "unit" in part:
        text += f" ({UNITS.get(part['unit'], part['unit'])})"
    if part.get("minimum", -math.inf) > part.get("maximum", math.inf):
        text += ", so no value is possible here at the moment"
    return text


def _bounds(part: Mapping[str, Any]) -> str:
    most = _plain(part.get("maximum"))
    if "exclusiveMinimum" in part:
        return f" greater than {_plain(part['exclusiveMinimum'])}" + (f" and at most {most}" if most else "")
    if "minimum" in part:
        least = _plain(part["minimum"])
        return f" from {least} to {most}" if most else f" of at least {least}"
    return f" of at most {most}" if most else ""


def _plain(number: float | None) -> str:
    """Without a fraction where there is none: 3600, not 3600.0."""
    if number is None:
        return ""
    return str(int(number) if float(number).is_integer() else number)


def _object(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise InvalidJson(f"The body has the field {shown(twice)} more than once. Send each field once.")
    return content


def _number(text: str) -> float:
    """In JSON Schema 1.0 is a whole number."""
    number = float(text)
    return int(number) if number.is_integer() else number


def _refuse_constant(word: str) -> None:
    raise InvalidJson(f"The body has {word}, which is not a JSON number. Send a finite number.")
