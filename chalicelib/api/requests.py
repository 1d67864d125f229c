"""From the bytes of a body to what an endpoint is asked for, or to every problem of it in one error."""

import json
import math
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ..errors import BodyTooLarge, InvalidJson, MissingParameter, UnsupportedMediaType
from ..experiments.base import Experiment, Limits, Parameters
from ..runs.options import LONGEST_REASON, WHY, OneLine, Reason, StartOptions
from . import vacuity
from .endpoints import PREFIX
from .http import MAX_BODY_BYTES
from .problems import Problem, allowed, described, invalid, missing, sentences, shown, wrong

JSON = "application/json"
ModelT = TypeVar("ModelT", bound=BaseModel)


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

    restart: bool = Field(default=False, description="Replace the run of this experiment, if there is one.")


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


def parse(body: bytes, headers: Mapping[str, str], *, if_empty: bytes = b"") -> dict[str, Any]:
    """The JSON object in a body. Refuses what JSON does not know (NaN) and what it leaves open (a name twice)."""
    if len(body) > MAX_BODY_BYTES:
        raise BodyTooLarge(f"The body must be at most {MAX_BODY_BYTES} bytes (16 KB). Send a shorter one.")
    _require_json(body, headers)
    body = body or if_empty
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


def _require_json(body: bytes, headers: Mapping[str, str]) -> None:
    """Raises UnsupportedMediaType, also where nothing is declared: any page can make a browser send that with cookies.

    No page can make it send a bearer token, so who does may leave out both the body and its type.
    """
    given = headers.get("content-type", "").partition(";")[0].strip().lower()
    if given == JSON:
        return
    has_token = headers.get("authorization", "").lower().startswith("bearer ")  # a browser adds `Basic` itself
    if given or body or not has_token:
        raise UnsupportedMediaType(f"The header Content-Type must be {JSON}; got {shown(given) if given else 'none'}.")


def experiment_name(content: Mapping[str, Any], names: Sequence[str]) -> str:
    name = content.get("experiment_name")
    allowed = f"one of {', '.join(names)}"
    if name is None:
        problem = missing("experiment_name", allowed)
        raise MissingParameter(sentences([problem]), details=[problem])
    if not isinstance(name, str):
        raise invalid([wrong("experiment_name", allowed, shown(name))])
    return name


def start_parameters(
    content: Mapping[str, Any], experiment: Experiment, limits: Limits, *, prefix: str = PREFIX
) -> tuple[StartRequest, Parameters]:
    """Raises InvalidParameters with every problem. `prefix` is where the endpoints are, which are never hit."""
    own, given = _divided(content)
    general, fields = options_schema(StartRequest)["properties"], schema(experiment, limits)["properties"]
    limited = {name: fields[name] for name in limits}
    options, problems = _validated(StartRequest, own, general)
    defaults = {name: field["default"] for name, field in limited.items()}
    parameters, others = _validated(experiment.Parameters, {**defaults, **given}, {**fields, **general})
    problems += others + _above_limits(given, limited, others)
    if options is None or parameters is None or problems:
        raise invalid(problems)
    if vacuous := [*vacuity.problems(options, parameters, experiment), *vacuity.never_hit(options, prefix)]:
        raise invalid(vacuous)
    return options, parameters


def _divided(content: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """What is the same for all experiments, and what is meant for this one."""
    own = {name: content[name] for name in StartRequest.model_fields if name in content}
    return own, {name: value for name, value in content.items() if name not in own}


def _above_limits(
    given: Mapping[str, Any], limits: Mapping[str, Any], described_already: Sequence[Problem]
) -> list[Problem]:
    """What exceeds a limit that the experiment's own model does not know."""
    described_fields = {problem["field"] for problem in described_already}
    limited = {name: limit for name, limit in limits.items() if name not in described_fields}
    where = " in this stage and environment"
    numbers = {name: given[name] for name in limited if isinstance(given.get(name), int | float)}
    above = [name for name, value in numbers.items() if value > limited[name]["maximum"]]
    return [wrong(name, allowed(limited[name]), shown(given[name]), where=where) for name in above]


def options_of(model: type[ModelT], content: Mapping[str, Any]) -> ModelT:
    """What the body of an endpoint says that starts nothing."""
    options, problems = _validated(model, dict(content), options_schema(model)["properties"])
    if options is None:
        raise invalid(problems)
    return options


def schema(experiment: Experiment, limits: Limits) -> dict[str, Any]:
    """The JSON Schema of the parameters, with the limits that hold here and now. No default is above its limit."""
    content = _published(experiment.Parameters)
    content.pop("title", None)
    for name, part in content["properties"].items():
        part.pop("title", None)
        if name in limits:
            limit = min(limits[name], part.get("maximum", limits[name]))
            part["maximum"] = math.floor(limit) if part["type"] == "integer" else limit
            part["default"] = min(part["default"], part["maximum"])
    return content


def _published(model: type[BaseModel]) -> dict[str, Any]:
    """A model's JSON Schema, for the caller to change: pydantic takes milliseconds to make it."""
    content: dict[str, Any] = json.loads(_published_text(model))
    return content


@cache
def _published_text(model: type[BaseModel]) -> str:
    return json.dumps(model.model_json_schema())


def options_schema(model: type[BaseModel]) -> dict[str, Any]:
    """A model's JSON Schema, with what it refers to in its place."""
    content = _published(model)
    made: dict[str, Any] = _inlined(content, content.pop("$defs", {}))
    return made


def _inlined(part: Any, definitions: Mapping[str, Any]) -> Any:  # noqa: ANN401 - JSON
    if isinstance(part, list):
        return [_inlined(each, definitions) for each in part]
    if not isinstance(part, dict):
        return part
    if "$ref" in part:
        return _inlined(definitions[part["$ref"].rpartition("/")[2]], definitions)
    is_optional = part.get("default", part) is None and "anyOf" not in part  # a null that cannot be sent
    return {name: _inlined(each, definitions) for name, each in part.items() if not (is_optional and name == "default")}


def start_options() -> dict[str, Any]:
    """What a start may have beside the name and the parameters of its experiment, as a JSON Schema."""
    content = options_schema(StartRequest)
    del content["properties"]["experiment_name"]
    content["required"].remove("experiment_name")
    return content


def _validated(
    model: type[ModelT], given: dict[str, Any], properties: Mapping[str, Any]
) -> tuple[ModelT | None, list[Problem]]:
    """`properties` are those of the schema that a caller knows, by which problems are described."""
    try:
        return model.model_validate(given), []
    except ValidationError as error:
        return None, [described(detail, properties) for detail in error.errors(include_url=False)]


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
