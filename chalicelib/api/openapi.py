"""The endpoints as an OpenAPI document: summaries and answers are the handlers', bodies the models' of requests."""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from inspect import getdoc
from typing import Any, get_args, get_type_hints

from pydantic import BaseModel, TypeAdapter

from .. import __version__, errors
from ..access import Role
from ..errors import ChaosError
from ..experiments.base import Limits
from ..experiments.catalogue import Catalogue
from ..runs.store import MOST_RUNS
from .described import Described, PreviewOfRun
from .endpoints import ENDPOINTS, Endpoint
from .formats import FORMATS
from .handlers import Handlers
from .query import CURSOR, KEY, MOST_ENTRIES, USUAL_ENTRIES
from .requests import EXPERIMENTS, HaltOptions, ResumeOptions, StartRequest, StopOptions, options_schema, schema

Schema = dict[str, Any]

TITLE = "Chaos experiments"
TAG = TITLE.lower()
ABOUT = """Start, watch and stop chaos experiments: faults that all processes of an application inject.

Send a bearer token with every request, except to endpoints that require none, and JSON bodies as `application/json`.
All JSON answers except this document have one envelope: `error`, `error_message`, `resultset`, and for errors `code`
and `details`. An unknown path is answered with 404 `unknown_endpoint`, and an unsupported method with 405
`method_not_allowed` and the header `Allow`, unless a gateway before the application answers it.
"""
MODEL = "Chaos{model}"
"""How a schema is called, so that it stands beside those of an application that shows ours among its own."""

REFERENCE = f"#/components/schemas/{MODEL}"
TOKEN = "chaos_experiments_token"  # noqa: S105 - the scheme's name
SCHEME: Schema = {
    "type": "http",
    "scheme": "bearer",
    "description": "A token of this stage. A viewer can read and halt, an operator can do everything.",
}

ENVELOPE: Schema = {
    "type": "object",
    "required": ["error", "error_message", "resultset"],
    "properties": {"error": {"const": False}, "error_message": {"type": "null"}},
}
FAILURE: Schema = {
    "title": "Failure",
    "type": "object",
    "description": "An error. `error_message` says what is wrong, what is allowed, and what to do. `code` is the "
    "kind of error. `details` lists all problems of the input: `field`, `problem`, and what is `allowed`; `kind` where "
    "each field is allowed by itself and they are not together.",
    "required": ["error", "error_message", "code", "details", "resultset"],
    "properties": {
        "error": {"const": True},
        "error_message": {"type": "string"},
        "code": {"type": "string"},
        "details": {"type": "array", "items": {"type": "object"}},
        "resultset": {"type": "object"},
    },
}
ROLES = {
    Role.ANYONE: "No token is required.",
    Role.VIEWER: "Requires the role viewer or operator.",
    Role.OPERATOR: "Requires the role operator.",
}
EVERYWHERE = (errors.InternalError, errors.ModuleOff, errors.Misconfigured)
WITH_A_TOKEN = (errors.Unauthenticated, errors.Forbidden, errors.StoreUnavailable, errors.KeysUnavailable)
WITH_A_BODY = (errors.InvalidJson, errors.InvalidParameters, errors.BodyTooLarge, errors.UnsupportedMediaType)
REFUSALS: Mapping[str, Sequence[type[ChaosError]]] = {
    "start": (
        *WITH_A_BODY,
        errors.MissingParameter,
        errors.UnknownExperiment,
        errors.UnknownAlarm,
        errors.AlreadyRunning,
        errors.TooManyRuns,
        errors.AlarmActive,
        errors.AlarmsUnavailable,
        errors.Halted,
        errors.ProductionLocked,
    ),
    "preview": (*WITH_A_BODY, errors.MissingParameter, errors.UnknownExperiment, errors.UnknownRun),
    "stop": (*WITH_A_BODY, errors.MissingParameter, errors.UnknownExperiment, errors.NotRunning),
    "status": (errors.InvalidParameters, errors.MissingParameter, errors.UnknownExperiment, errors.UnknownRun),
    "halt": WITH_A_BODY,
    "resume": (*WITH_A_BODY, errors.NotHalted),
    "history": (errors.InvalidParameters, errors.UnknownExperiment),
    "report": (errors.InvalidParameters, errors.MissingParameter, errors.UnknownRun),
}
"""What a handler refuses with, beside what is the same everywhere."""

LIMIT: Schema = {"type": "integer", "minimum": 1, "maximum": MOST_ENTRIES, "default": USUAL_ENTRIES}
MOMENT: Schema = {"type": "string", "format": "date-time"}
INCLUDED = "in ISO 8601, for example `2026-11-24T09:00:00Z`"
RUN_ID: Schema = {"type": "string", "pattern": CURSOR}
LABEL: Schema = {"type": "string", "pattern": f"^{KEY}$"}


def _query(name: str, schema: Schema, description: str, *, required: bool = False) -> Schema:
    return {"name": name, "in": "query", "required": required, "description": description, "schema": schema}


EXPERIMENT = "experiment_name"
ONE_EACH = "What to start, each as a start of its own, with a label that no other one has."
QUERIES: Mapping[str, Sequence[Schema]] = {
    "status": [
        _query(EXPERIMENT, {}, "Name of the experiment. Send exactly one of these four."),
        _query("label", LABEL, "Label of the run."),
        _query("run_id", RUN_ID, "Id of the run."),
        _query("scenario", RUN_ID, "Id of runs that were started together."),
    ],
    "history": [
        _query(EXPERIMENT, {}, "Show entries of this experiment only."),
        _query("label", LABEL, "Show runs with this label only."),
        _query("since", MOMENT, f"Show entries from this time on, {INCLUDED}."),
        _query("until", MOMENT, f"Show entries before this time, {INCLUDED}."),
        _query("before", RUN_ID, "Show entries older than this cursor, the `next` of the previous page."),
        _query("limit", LIMIT, f"Show at most this many entries, 1 to {MOST_ENTRIES}; {USUAL_ENTRIES} if left out."),
    ],
    "report": [
        _query("run_id", RUN_ID, "Id of the run, for example `20261124T090000.000Z-d6f07188`.", required=True),
        _query("format", {"type": "string", "enum": list(FORMATS)}, "Form of the report. Overrides the header Accept."),
    ],
}
"""The schema of an experiment's name is the catalogue's."""

MEDIA_TYPES = {"markdown": "text/markdown", "html": "text/html"}
ANSWERS: Mapping[str, str] = {
    "list_experiments": "The experiments and the active runs.",
    "start": "The run that was started, or the scenario.",
    "preview": "What would become of the request.",
    "stop": "The run that was stopped, and all that were.",
    "status": "The newest active run, or the last one, and all active ones.",
    "halt": "The halt that is in effect.",
    "resume": "The halt that was resumed from.",
    "history": "One page of the history.",
    "report": "The report.",
    "dependencies": "What the processes have called.",
    "test": "The active experiments, and what was injected into this request.",
    "console": "The console, an HTML page.",
    "openapi": "An OpenAPI 3.1 document.",
}
BODIES: Mapping[str, type[BaseModel]] = {"stop": StopOptions, "halt": HaltOptions, "resume": ResumeOptions}


def document(prefix: str, limits: Limits, catalogue: Catalogue, *, open_endpoints: bool = True) -> Schema:
    """OpenAPI 3.1. `limits` are those of every experiment; what an environment can spare is in `GET /list`."""
    return _Document(limits, catalogue, open_endpoints=open_endpoints).build(prefix)


class _Document:
    """One document, while it is built. `models` are the schemas that its operations refer to."""

    def __init__(self, limits: Limits, catalogue: Catalogue, *, open_endpoints: bool) -> None:
        self._limits = limits
        self._catalogue = catalogue
        self._open_endpoints = open_endpoints
        self._name: Schema = {"type": "string", "enum": list(catalogue)}
        self._models: dict[str, Schema] = {MODEL.format(model="Failure"): FAILURE}

    def build(self, prefix: str) -> Schema:
        paths: dict[str, Schema] = {}
        for endpoint in ENDPOINTS:
            paths.setdefault(prefix + endpoint.path, {})[endpoint.method.lower()] = self._operation(endpoint)
        return {
            "openapi": "3.1.0",
            "info": {"title": TITLE, "version": __version__, "description": ABOUT},
            "tags": [{"name": TAG, "description": "Start, watch and stop chaos experiments."}],
            "paths": paths,
            "components": {"schemas": self._models, "securitySchemes": {TOKEN: SCHEME}},
        }

    def _operation(self, endpoint: Endpoint) -> Schema:
        role = endpoint.needed_role(open_endpoints=self._open_endpoints)
        summary, _, description = (getdoc(getattr(Handlers, endpoint.handler)) or "").partition("\n")
        body = self._body(endpoint.handler)
        optional: Schema = {
            "security": [{TOKEN: []}] if role is not Role.ANYONE else None,
            "parameters": [self._parameter(each) for each in QUERIES.get(endpoint.handler, ())],
            "requestBody": body and {"required": True, "content": {"application/json": {"schema": body}}},
        }
        return {
            "operationId": f"chaos_experiments_{endpoint.method.lower()}_{endpoint.handler}",
            "tags": [TAG],
            "summary": summary.removesuffix("."),
            "description": f"{description.strip()}\n\n{ROLES[role]}".strip(),
            "responses": {"200": self._success(endpoint), **_refusals(endpoint, role)},
            **{name: part for name, part in optional.items() if part},
        }

    def _parameter(self, parameter: Schema) -> Schema:
        return {**parameter, "schema": self._name} if parameter["name"] == EXPERIMENT else parameter

    def _success(self, endpoint: Endpoint) -> Schema:
        description = ANSWERS[endpoint.handler]
        texts = {MEDIA_TYPES[each]: {"schema": {"type": "string"}} for each in endpoint.formats if each in MEDIA_TYPES}
        if "json" not in endpoint.formats:
            return {"description": description, "content": texts}
        if not endpoint.envelope:
            return _answer(description, {"type": "object"})
        hint = get_type_hints(getattr(Handlers, endpoint.handler))["return"]
        shapes = [self._model(shape) for shape in get_args(hint) or (hint,)]
        answer = _answer(description, _envelope(shapes[0] if len(shapes) == 1 else {"anyOf": shapes}))
        answer["content"] |= texts
        return answer

    def _body(self, handler: str) -> Schema | None:
        if handler == "start":
            starts = [self._start(name) for name in self._catalogue]
            return {"oneOf": [*starts, _scenario({"oneOf": starts})]}
        if handler == "preview":
            return {"oneOf": [*(self._previewed(name) for name in self._catalogue), options_schema(PreviewOfRun)]}
        if handler not in BODIES:
            return None
        content = BODIES[handler].model_json_schema()
        if EXPERIMENT in content["properties"]:
            content["properties"][EXPERIMENT] |= self._name
        return content

    def _start(self, name: str) -> Schema:
        experiment = self._catalogue[name]
        content = schema(experiment, experiment.Parameters.limited(self._limits))
        options = options_schema(StartRequest)
        options["properties"][EXPERIMENT] |= {"const": name}
        return {
            "title": name,
            "description": experiment.description,
            **content,
            "properties": {**options["properties"], **content["properties"]},
            "required": [*options["required"], *content.get("required", ())],
        }

    def _previewed(self, name: str) -> Schema:
        content, own = self._start(name), options_schema(Described)
        return {
            **content,
            "properties": {**content["properties"], **own["properties"]},
            "required": [*content["required"], *own["required"]],
        }

    def _model(self, shape: Any) -> Schema:  # noqa: ANN401 - a TypedDict's class
        content = TypeAdapter(shape).json_schema(ref_template=REFERENCE)
        self._models |= {MODEL.format(model=name): part for name, part in content.pop("$defs", {}).items()}
        self._models[MODEL.format(model=shape.__name__)] = content
        return {"$ref": REFERENCE.format(model=shape.__name__)}


def _scenario(start: Schema) -> Schema:
    """The body of a start of several."""
    listed = {"type": "array", "minItems": 1, "maxItems": MOST_RUNS, "items": start, "description": ONE_EACH}
    return {
        "title": "scenario",
        "description": "Several starts, of which all succeed or none.",
        "type": "object",
        "properties": {EXPERIMENTS: listed},
        "required": [EXPERIMENTS],
        "additionalProperties": False,
    }


def _refusals(endpoint: Endpoint, role: Role) -> dict[str, Schema]:
    kinds: list[type[ChaosError]] = [*EVERYWHERE, *REFUSALS.get(endpoint.handler, ())]
    if role is not Role.ANYONE:
        kinds += WITH_A_TOKEN
    codes: dict[int, list[str]] = {}
    for kind in sorted(kinds, key=lambda kind: kind.code):
        codes.setdefault(kind.status, []).append(f"`{kind.code}`: {kind.__doc__}")
    failure = {"$ref": REFERENCE.format(model="Failure")}
    return {
        str(status): _answer(f"{HTTPStatus(status).phrase}. {' '.join(codes[status])}", failure)
        for status in sorted(codes)
    }


def _answer(description: str, content: Schema) -> Schema:
    return {"description": description, "content": {"application/json": {"schema": content}}}


def _envelope(content: Schema) -> Schema:
    return {**ENVELOPE, "properties": {**ENVELOPE["properties"], "resultset": content}}
