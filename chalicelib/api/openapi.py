"""The endpoints as an OpenAPI document. Summaries and answers are those of the handlers, bodies those of `body.py`."""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from inspect import getdoc
from typing import Any, get_type_hints

from pydantic import BaseModel, TypeAdapter

from .. import __version__, errors
from ..access import Role
from ..errors import ChaosError
from ..experiment import Limits
from ..experiments import EXPERIMENTS
from .api import Api
from .body import HaltOptions, ResumeOptions, StartOptions, StopOptions, options_schema, schema
from .endpoints import ENDPOINTS, Endpoint
from .query import CURSOR, MOST_ENTRIES, USUAL_ENTRIES
from .report import FORMATS

Schema = dict[str, Any]

TITLE = "Chaos experiments"
MODEL = "Chaos{model}"
"""How a schema is called, so that it stands beside those of an application that shows ours among its own."""

REFERENCE = f"#/components/schemas/{MODEL}"
TOKEN = "chaos_experiments_token"  # noqa: S105 - the scheme's name

ENVELOPE: Schema = {
    "type": "object",
    "required": ["error", "error_message", "resultset"],
    "properties": {"error": {"const": False}, "error_message": {"type": "null"}},
}
FAILURE: Schema = {
    "title": "Failure",
    "type": "object",
    "description": "What is wrong, what is allowed, what to do. `details` has every problem of the input.",
    "required": ["error", "error_message", "code", "details", "resultset"],
    "properties": {
        "error": {"const": True},
        "error_message": {"type": "string"},
        "code": {"type": "string"},
        "details": {"type": "array", "items": {"type": "object"}},
        "resultset": {"type": "object"},
    },
}
EVERYWHERE = (errors.InternalError, errors.ModuleOff)
WITH_A_TOKEN = (errors.Unauthenticated, errors.Forbidden, errors.StoreUnavailable)
WITH_A_BODY = (errors.InvalidJson, errors.InvalidParameters, errors.BodyTooLarge, errors.UnsupportedMediaType)
REFUSALS: Mapping[str, Sequence[type[ChaosError]]] = {
    "start": (
        *WITH_A_BODY,
        errors.MissingParameter,
        errors.UnknownExperiment,
        errors.UnknownAlarm,
        errors.AlreadyRunning,
        errors.AlarmActive,
        errors.AlarmsUnavailable,
        errors.Halted,
        errors.ProductionLocked,
    ),
    "stop": (*WITH_A_BODY, errors.MissingParameter, errors.UnknownExperiment, errors.NotRunning),
    "status": (errors.MissingParameter, errors.UnknownExperiment),
    "halt": WITH_A_BODY,
    "resume": (*WITH_A_BODY, errors.NotHalted),
    "history": (errors.InvalidParameters, errors.UnknownExperiment),
    "report": (errors.InvalidParameters, errors.MissingParameter, errors.UnknownRun),
}
"""What a handler refuses with, beside what is the same everywhere."""

EXPERIMENT: Schema = {"type": "string", "enum": list(EXPERIMENTS)}
LIMIT: Schema = {"type": "integer", "minimum": 1, "maximum": MOST_ENTRIES, "default": USUAL_ENTRIES}
MOMENT: Schema = {"type": "string", "format": "date-time"}


def _query(name: str, schema: Schema, description: str, *, required: bool = False) -> Schema:
    return {"name": name, "in": "query", "required": required, "description": description, "schema": schema}


QUERIES: Mapping[str, Sequence[Schema]] = {
    "status": [_query("experiment_name", EXPERIMENT, "Which experiment.", required=True)],
    "history": [
        _query("experiment_name", EXPERIMENT, "Of which experiment alone."),
        _query("since", MOMENT, "From when on."),
        _query("until", MOMENT, "Up to, not including, when."),
        _query("before", {"type": "string", "pattern": CURSOR}, "The `next` of the page before."),
        _query("limit", LIMIT, "How many."),
    ],
    "report": [
        _query("run_id", {"type": "string", "pattern": CURSOR}, "Of which run.", required=True),
        _query("format", {"type": "string", "enum": list(FORMATS)}, "Instead of the header Accept."),
    ],
}
MEDIA_TYPES = {"markdown": "text/markdown", "html": "text/html"}
BODIES: Mapping[str, type[BaseModel]] = {"stop": StopOptions, "halt": HaltOptions, "resume": ResumeOptions}


def document(prefix: str, limits: Limits) -> Schema:
    """OpenAPI 3.1. `limits` are those of every experiment; what an environment can lose is in `GET /list`."""
    paths: dict[str, Schema] = {}
    models: dict[str, Schema] = {MODEL.format(model="Failure"): FAILURE}
    for endpoint in ENDPOINTS:
        paths.setdefault(prefix + endpoint.path, {})[endpoint.method.lower()] = _operation(endpoint, limits, models)
    return {
        "openapi": "3.1.0",
        "info": {"title": TITLE, "version": __version__},
        "paths": paths,
        "components": {"schemas": models, "securitySchemes": {TOKEN: {"type": "http", "scheme": "bearer"}}},
    }


def _operation(endpoint: Endpoint, limits: Limits, models: dict[str, Schema]) -> Schema:
    handler = getattr(Api, endpoint.handler)
    operation: Schema = {
        "operationId": f"chaos_experiments_{endpoint.method.lower()}_{endpoint.handler}",
        "tags": [TITLE.lower()],
        "summary": (getdoc(handler) or "").partition("\n")[0].removesuffix("."),
        "responses": {
            "200": _success(endpoint, handler, models),
            **_refusals(endpoint),
        },
    }
    if endpoint.role is not Role.ANYONE:
        operation["security"] = [{TOKEN: []}]
        operation["description"] = f"For who is at least {endpoint.role.word}."
    if endpoint.handler in QUERIES:
        operation["parameters"] = QUERIES[endpoint.handler]
    body = _body(endpoint.handler, limits)
    if body:
        operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": body}}}
    return operation


def _success(endpoint: Endpoint, handler: Any, models: dict[str, Schema]) -> Schema:  # noqa: ANN401 - a method
    content = {MEDIA_TYPES[each]: {"schema": {"type": "string"}} for each in endpoint.formats if each in MEDIA_TYPES}
    if "json" not in endpoint.formats:
        return {"description": "A page.", "content": content}
    if not endpoint.envelope:
        return _answer("An OpenAPI document.", {"type": "object"})
    answer = _answer("As asked.", _envelope(_model(get_type_hints(handler)["return"], models)))
    answer["content"] |= content
    return answer


def _body(handler: str, limits: Limits) -> Schema | None:
    if handler == "start":
        return {"oneOf": [_start(name, limits) for name in EXPERIMENTS]}
    if handler not in BODIES:
        return None
    content = BODIES[handler].model_json_schema()
    if "experiment_name" in content["properties"]:
        content["properties"]["experiment_name"] |= EXPERIMENT
    return content


def _start(name: str, limits: Limits) -> Schema:
    content = schema(EXPERIMENTS[name], limits)
    options = options_schema(StartOptions)
    options["properties"]["experiment_name"] |= {"const": name}
    return {
        "title": name,
        "description": EXPERIMENTS[name].description,
        **content,
        "properties": {**options["properties"], **content["properties"]},
        "required": options["required"],
    }


def _refusals(endpoint: Endpoint) -> dict[str, Schema]:
    kinds: list[type[ChaosError]] = [*EVERYWHERE, *REFUSALS.get(endpoint.handler, ())]
    if endpoint.role is not Role.ANYONE:
        kinds += WITH_A_TOKEN
    codes: dict[int, list[str]] = {}
    for kind in kinds:
        codes.setdefault(kind.status, []).append(kind.code)
    failure = {"$ref": REFERENCE.format(model="Failure")}
    return {
        str(status): _answer(f"{HTTPStatus(status).phrase}: {', '.join(sorted(codes[status]))}.", failure)
        for status in sorted(codes)
    }


def _answer(description: str, content: Schema) -> Schema:
    return {"description": description, "content": {"application/json": {"schema": content}}}


def _envelope(content: Schema) -> Schema:
    return {**ENVELOPE, "properties": {**ENVELOPE["properties"], "resultset": content}}


def _model(shape: Any, models: dict[str, Schema]) -> Schema:  # noqa: ANN401 - a TypedDict's class
    content = TypeAdapter(shape).json_schema(ref_template=REFERENCE)
    models |= {MODEL.format(model=name): part for name, part in content.pop("$defs", {}).items()}
    models[MODEL.format(model=shape.__name__)] = content
    return {"$ref": REFERENCE.format(model=shape.__name__)}
