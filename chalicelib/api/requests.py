"""From the bytes of a body to what an endpoint is asked for, or to every problem of it in one error."""

import json
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import cache
from operator import attrgetter
from typing import Any, NamedTuple, TypeVar, cast

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ..errors import BodyTooLarge, InvalidJson, InvalidParameters, MissingParameter, UnsupportedMediaType
from ..experiments.base import Experiment, Limits, Parameters
from ..experiments.catalogue import Catalogue
from ..runs.options import LONGEST_REASON, WHY, OneLine, Reason, StartOptions
from ..runs.run import Run
from ..runs.store import MOST_RUNS
from . import vacuity
from .endpoints import PREFIX
from .http import MAX_BODY_BYTES
from .problems import Problem, allowed, described, invalid, missing, sentences, shown, unknown, wrong

JSON = "application/json"
EXPERIMENTS = "experiments"
"""The field of a start that starts several."""

WAYS: Mapping[str, Callable[[Run], str | None]] = {
    "experiment_name": attrgetter("experiment"),
    "label": attrgetter("label"),
    "run_id": attrgetter("run_id"),
    "scenario": attrgetter("scenario"),
}
"""By what runs are named, in a stop and a status: by one of these; and what of a run that is."""

ONE_NAME, TAKEN_LABEL = "one_name", "taken_label"
"""Kinds of problems that no schema of a field tells of, as those of `vacuity.py`."""

ModelT = TypeVar("ModelT", bound=BaseModel)


class Named(BaseModel):
    """A request that names an experiment."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")

    experiment_name: str = Field(
        description="Name of the experiment, from `available_experiments` of `GET /list`.",
        examples=["latency_injection"],
    )


class StopOptions(BaseModel):
    """Which runs to stop, by one of four names, and why."""

    model_config = ConfigDict(
        strict=True,
        frozen=True,
        extra="forbid",
        json_schema_extra={"oneOf": [{"required": [name]} for name in WAYS]},
    )

    experiment_name: str = Field(
        default=cast("str", None),
        description="Name of an experiment: all of its active runs are stopped.",
        examples=["latency_injection"],
    )
    label: str = Field(
        default=cast("str", None),
        description="Label of a run. Without one of its own a run has the name of its experiment.",
        examples=["slow-orders"],
    )
    run_id: str = Field(
        default=cast("str", None), description="Id of a run.", examples=["20261124T090000.000Z-d6f07188"]
    )
    scenario: str = Field(
        default=cast("str", None),
        description="Id of a scenario: all of its active runs are stopped.",
        examples=["20261124T090000.000Z-0c9e6f1b"],
    )
    reason: Reason | None = Field(default=None, description=WHY, examples=["Game day: slow payments"])


class StartRequest(StartOptions, Named):
    """What to start: the options that are stored with the run, and those that concern the request alone."""

    restart: bool = Field(default=False, description="Replace the run of this label, if there is one.")


class Start(NamedTuple):
    """One run to start, validated."""

    experiment: Experiment
    options: StartRequest
    parameters: Parameters

    @property
    def label(self) -> str:
        return self.options.label or self.experiment.name


LimitsOf = Callable[[Experiment], Limits]
"""The limits that hold here and now."""


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
    if b"\\u" in body:
        _require_characters(content)
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


def chosen_by(given: Mapping[str, Any], names: Sequence[str]) -> str:
    """Which of `WAYS` names runs. Raises MissingParameter where none does, and InvalidParameters where several do."""
    ways = [way for way in WAYS if way in given]
    if len(ways) == 1:
        return ways[0]
    several = f"exactly one of {', '.join(WAYS)}"
    if ways:
        with_it = {"kind": ONE_NAME, "problem": f"cannot be sent together with {ways[0]}; send {several}"}
        raise invalid([{"field": way, "allowed": several, **with_it} for way in ways[1:]])
    problem = {**missing("experiment_name", f"one of {', '.join(names)}"), "kind": ONE_NAME}
    raise MissingParameter(
        f"{sentences([problem])} Or send one of {', '.join(list(WAYS)[1:])} instead.", details=[problem]
    )


def stopped_by(content: Mapping[str, Any], names: Sequence[str]) -> tuple[str, StopOptions]:
    """Which field of a stop names the runs, and the stop."""
    given = {name: value for name, value in content.items() if not (name in WAYS and value is None)}
    way = chosen_by(given, names)
    if way == "experiment_name":
        experiment_name(given, names)
    return way, options_of(StopOptions, given)


def start_of(content: Mapping[str, Any], catalogue: Catalogue, limits: LimitsOf, *, prefix: str = PREFIX) -> Start:
    """One start. Raises MissingParameter, UnknownExperiment and InvalidParameters."""
    experiment = catalogue.find(experiment_name(content, list(catalogue)))
    options, parameters = start_parameters(content, experiment, limits(experiment), prefix=prefix)
    start = Start(experiment, options, parameters)
    if start.label != experiment.name and start.label in catalogue:
        allowed = f"a label that is not the name of another experiment than {experiment.name}"
        raise invalid([{**wrong("label", allowed, shown(start.label)), "kind": TAKEN_LABEL}])
    return start


def starts_of(
    content: Mapping[str, Any], catalogue: Catalogue, limits: LimitsOf, *, prefix: str = PREFIX
) -> list[Start]:
    """All starts of a list. Raises UnknownExperiment, and InvalidParameters with every problem of every one."""
    given = content[EXPERIMENTS]
    problems = [unknown(name, [EXPERIMENTS]) for name in content if name != EXPERIMENTS]
    if not isinstance(given, list) or not 1 <= len(given) <= MOST_RUNS:
        raise invalid([*problems, wrong(EXPERIMENTS, f"a list of 1 to {MOST_RUNS} starts", shown(given))])
    starts: list[Start] = []
    for position, each in enumerate(given):
        try:
            starts.append(_start_in_list(each, catalogue, limits, prefix))
        except (MissingParameter, InvalidParameters) as error:
            problems += [_of_item(problem, position) for problem in error.details]
    problems = problems or _same_labels(starts)
    if problems:
        raise invalid(problems)
    return starts


def _start_in_list(content: Any, catalogue: Catalogue, limits: LimitsOf, prefix: str) -> Start:  # noqa: ANN401 - JSON
    if not isinstance(content, dict):
        raise invalid([wrong("", "an object, as of a start", shown(content))])
    return start_of(content, catalogue, limits, prefix=prefix)


def _of_item(problem: Mapping[str, Any], position: int) -> Problem:
    """A problem of one start, as that of the list."""
    return {**problem, "field": f"{EXPERIMENTS}.{position}.{problem['field']}".removesuffix(".")}


def _same_labels(starts: Sequence[Start]) -> list[Problem]:
    """Two runs with one label cannot be active at once."""
    labels = [start.label for start in starts]
    allowed = "a label of its own; without one it is the name of the experiment"
    taken = {position: labels.index(label) for position, label in enumerate(labels)}
    problems = {
        position: wrong("label", allowed, f"{shown(labels[position])}, as {EXPERIMENTS}.{first} has")
        for position, first in taken.items()
        if first != position
    }
    return [_of_item({**problem, "kind": TAKEN_LABEL}, position) for position, problem in problems.items()]


def start_parameters(
    content: Mapping[str, Any], experiment: Experiment, limits: Limits, *, prefix: str = PREFIX
) -> tuple[StartRequest, Parameters]:
    """Raises InvalidParameters with every problem. `prefix` is where the endpoints are, which are never hit."""
    own, given = _divided(content)
    general, fields = options_schema(StartRequest)["properties"], schema(experiment, limits)["properties"]
    limited = {name: fields[name] for name in limits}
    options, problems = _validated(StartRequest, own, general)
    parameters, others = _validated(experiment.Parameters, given, {**fields, **general})
    if lowered := _lowered_defaults(parameters, given, limited):
        parameters, others = _validated(experiment.Parameters, {**lowered, **given}, {**fields, **general})
    problems += others + _above_limits(given, limited, others)
    if options is None or parameters is None or problems:
        raise invalid(problems)
    if vacuous := [*vacuity.problems(options, parameters, experiment), *vacuity.never_hit(options, prefix)]:
        raise invalid(vacuous)
    return options, parameters


def _lowered_defaults(
    parameters: Parameters | None, given: Collection[str], limited: Mapping[str, Any]
) -> dict[str, Any]:
    """What takes the place of defaults that are above a limit. One that another parameter has replaced is None."""
    defaults = {name: getattr(parameters, name, None) for name in limited if name not in given}
    high = [name for name, each in defaults.items() if each is not None and each > limited[name]["maximum"]]
    return {name: limited[name]["default"] for name in high}


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
    content = options_schema(experiment.Parameters)
    content.pop("title", None)
    for name, part in content["properties"].items():
        part.pop("title", None)
        if name in limits:
            limit = min(limits[name], part.get("maximum", limits[name]))
            part["maximum"] = math.floor(limit) if part["type"] == "integer" else limit
        if name in limits and "default" in part:
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
    may_be_null = {"type": "null"} in part.get("anyOf", ())
    is_optional = part.get("default", part) is None and not may_be_null  # a null that cannot be sent
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


def _require_characters(content: object) -> None:
    """JSON can escape half of a character, which nothing can send, hash or store."""
    try:
        json.dumps(content, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise InvalidJson("The body has half a character, such as \\ud800 by itself. Send whole ones.") from None


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
